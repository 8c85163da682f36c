#include "story/child.hpp"

#include "load/engine.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <ctime>
#include <fstream>
#include <iterator>
#include <utility>

namespace levity::story {

namespace {

void pause_ns(std::int64_t ns) {
  const timespec span{ns / 1'000'000'000, ns % 1'000'000'000};
  nanosleep(&span, nullptr);
}

std::string read_all(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

std::expected<void, std::string> child::start(const std::vector<std::string>& words) {
  const int log = open(log_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (log < 0) return std::unexpected(fmt::format("the log '{}' cannot be made: {}", log_, std::strerror(errno)));
  std::vector<char*> arguments;
  for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  if (access(words.front().c_str(), X_OK) != 0) {
    close(log);
    return std::unexpected(fmt::format("the program '{}' of {} is not there; './dev run --story' builds it", words.front(), name_));
  }
  const int parent = getpid();
  const int pid = fork();
  if (pid == 0) {
    // Ctrl-C is for the story, which ends its processes in order; who outlives it is told to end.
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) _exit(1);
    dup2(log, STDOUT_FILENO);
    dup2(log, STDERR_FILENO);
    execv(arguments.front(), arguments.data());
    _exit(127);
  }
  const int error = errno;
  close(log);
  if (pid < 0) return std::unexpected(fmt::format("{} cannot be started: {}", name_, std::strerror(error)));
  pid_ = pid;
  return {};
}

std::expected<load::target, std::string> child::address_behind(const std::string& sign) {
  const std::int64_t give_up_ns = load::now_ns() + 10'000'000'000;
  while (load::now_ns() < give_up_ns) {
    const std::string said = read_all(log_);
    const auto at = said.find(sign);
    const auto end = at == std::string::npos ? at : said.find('\n', at);
    if (end != std::string::npos) {
      const auto from = said.find("http://", at);
      if (from == std::string::npos || from > end)
        return std::unexpected(fmt::format("{} says no address behind '{}'", name_, sign));
      auto where = load::parse_target(said.substr(from, end - from));
      if (!where) return where;
      if (auto known = load::resolve(*where); !known) return std::unexpected(known.error());
      return where;
    }
    if (!alive()) return std::unexpected(fmt::format("{} has ended before it listened; it said: {}", name_, last_words()));
    pause_ns(5'000'000);
  }
  return std::unexpected(fmt::format("{} does not listen after 10 s", name_));
}

bool child::gone(bool waits) {
  if (pid_ == 0) return true;
  int status = 0;
  const int ended = waitpid(pid_, &status, waits ? 0 : WNOHANG);
  if (ended == 0 || (ended < 0 && errno == EINTR)) return false;
  pid_ = 0;
  return true;
}

bool child::alive() { return !gone(false); }

void child::end(std::int64_t patience_ns) {
  if (gone(false)) return;
  kill(pid_, SIGTERM);
  const std::int64_t give_up_ns = load::now_ns() + patience_ns;
  while (load::now_ns() < give_up_ns) {
    if (gone(false)) return;
    pause_ns(5'000'000);
  }
  kill(pid_, SIGKILL);
  while (!gone(true)) {
  }
}

std::string child::last_words() const {
  std::string said = read_all(log_);
  while (!said.empty() && said.back() == '\n') said.pop_back();
  constexpr std::size_t shown_max = 600;
  if (said.size() > shown_max) said.erase(0, said.size() - shown_max);
  return said.empty() ? "nothing" : said;
}

}  // namespace levity::story
