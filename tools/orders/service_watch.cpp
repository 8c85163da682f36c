#include "orders/service_watch.hpp"

#include "load/ask.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include <algorithm>
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
  load::asker health(where, 1'000'000'000);
  const auto answer = health.ask("GET", "/healthz");
  return answer ? number_in(answer->body, "tasks") : std::nullopt;
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
