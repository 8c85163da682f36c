#include "orders/service_watch.hpp"

#include "load/response_reader.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>

namespace levity::orders {

std::optional<process_figures> read_process(int pid) {
  std::ifstream file(fmt::format("/proc/{}/stat", pid));
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  // The name stands in parentheses and may hold anything; the numbers follow the last one. State is field 3.
  const auto name_end = text.rfind(')');
  if (name_end == std::string::npos) return std::nullopt;
  std::istringstream fields(text.substr(name_end + 2));
  std::string skipped;
  process_figures figures;
  std::int64_t user = 0;
  std::int64_t system = 0;
  std::uint64_t pages = 0;
  for (int field = 3; field <= 24; ++field) {
    if (field == 14) fields >> user;
    else if (field == 15) fields >> system;
    else if (field == 20) fields >> figures.threads;
    else if (field == 24) fields >> pages;
    else fields >> skipped;
  }
  if (!fields) return std::nullopt;
  figures.cpu_ns = (user + system) * (1'000'000'000 / sysconf(_SC_CLK_TCK));
  figures.rss_bytes = pages * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
  return figures;
}

std::optional<std::uint64_t> number_in(std::string_view json, std::string_view name) {
  const auto parsed = nlohmann::json::parse(json, nullptr, false);
  const auto at = parsed.is_object() ? parsed.find(std::string(name)) : parsed.end();
  if (at == parsed.end() || !at->is_number_unsigned()) return std::nullopt;
  return at->get<std::uint64_t>();
}

std::optional<std::uint64_t> ask_tasks(const load::target& where) {
  const auto* address = reinterpret_cast<const sockaddr*>(&where.address);
  const int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return std::nullopt;
  const timeval limit{1, 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  const std::string request =
      fmt::format("GET /healthz HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", where.authority);
  load::response_reader reader;
  reader.start();
  if (connect(fd, address, where.address_size) == 0 &&
      send(fd, request.data(), request.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(request.size())) {
    std::array<char, 4096> buffer{};
    while (!reader.complete() && !reader.failed()) {
      const ssize_t got = recv(fd, buffer.data(), buffer.size(), 0);
      if (got < 0) break;
      if (got == 0) {
        reader.end();
        break;
      }
      reader.feed({buffer.data(), static_cast<std::size_t>(got)});
    }
  }
  close(fd);
  if (!reader.complete()) return std::nullopt;
  return number_in(reader.body(), "tasks");
}

void service_watch::begin() {
  if (pid_ > 0) first_ = read_process(pid_);
  sample();
}

void service_watch::sample() {
  if (pid_ > 0) {
    if (const auto now = read_process(pid_)) {
      last_ = now;
      rss_bytes_max_ = std::max(rss_bytes_max_, now->rss_bytes);
    }
  }
  if (const auto tasks = ask_tasks(where_)) {
    tasks_ = tasks;
    tasks_max_ = std::max(tasks_max_.value_or(0), *tasks);
  }
}

void service_watch::end() { sample(); }

std::optional<std::int64_t> service_watch::cpu_ns() const {
  if (!first_ || !last_) return std::nullopt;
  return last_->cpu_ns - first_->cpu_ns;
}

}  // namespace levity::orders
