// service_watch.hpp -- what the service costs while it is driven: /proc/PID and GET /healthz, about once a second.
#pragma once

#include "load/target.hpp"

#include <cstdint>
#include <optional>
#include <string_view>

namespace levity::orders {

struct process_figures {
  std::int64_t cpu_ns = 0;  ///< user and system time since the process began
  std::uint64_t rss_bytes = 0;
  std::uint64_t threads = 0;
};

/// Empty when there is no such process.
[[nodiscard]] std::optional<process_figures> read_process(int pid);

/// The number at the top level of a JSON object, for example `tasks` of GET /healthz.
[[nodiscard]] std::optional<std::uint64_t> number_in(std::string_view json, std::string_view name);

/// One request on its own connection, at most a second long. Empty when anything goes wrong: health is shown, not judged.
[[nodiscard]] std::optional<std::uint64_t> ask_tasks(const load::target& where);

class service_watch {
public:
  /// `pid` 0: only /healthz is asked.
  service_watch(load::target where, int pid) : where_(std::move(where)), pid_(pid) {}

  void begin();   ///< before the load
  void sample();  ///< while it goes on
  void end();     ///< after it

  [[nodiscard]] std::optional<std::int64_t> cpu_ns() const;
  [[nodiscard]] std::optional<process_figures> last() const { return last_; }
  [[nodiscard]] std::uint64_t rss_bytes_max() const { return rss_bytes_max_; }
  [[nodiscard]] std::optional<std::uint64_t> tasks() const { return tasks_; }
  [[nodiscard]] std::optional<std::uint64_t> tasks_max() const { return tasks_max_; }

private:
  load::target where_;
  int pid_;
  std::optional<process_figures> first_;
  std::optional<process_figures> last_;
  std::uint64_t rss_bytes_max_ = 0;
  std::optional<std::uint64_t> tasks_;
  std::optional<std::uint64_t> tasks_max_;
};

}  // namespace levity::orders
