// child.hpp -- a process that the story starts and ends: one of the services, its log, what it costs.
#pragma once

#include "load/target.hpp"
#include "orders/service_watch.hpp"

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <vector>

namespace levity::story {

/// Ends with its object, and with this process if that dies first. Not thread-safe, but pid() and figures() are for any thread
/// between start() and end().
class child {
public:
  child(std::string name, std::string folder) : name_(std::move(name)), log_(std::move(folder) + "/" + name_ + ".log") {}
  child(const child&) = delete;
  child& operator=(const child&) = delete;
  ~child() { end(); }

  /// Starts `words` (the program and its arguments); standard output and error go to the log. The error is one sentence.
  [[nodiscard]] std::expected<void, std::string> start(const std::vector<std::string>& words);
  /// Waits until the log has a line with `sign` and an address behind it; at most 10 s. The error tells what the process said.
  [[nodiscard]] std::expected<load::target, std::string> address_behind(const std::string& sign);
  /// SIGTERM, and SIGKILL when it has not ended after `patience_ns`. Idempotent.
  void end(std::int64_t patience_ns = 3'000'000'000);

  [[nodiscard]] bool alive();
  [[nodiscard]] int pid() const { return pid_; }
  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] std::optional<orders::process_figures> figures() const { return orders::read_process(pid_); }
  /// The last lines of its log.
  [[nodiscard]] std::string last_words() const;

private:
  bool gone(bool waits);

  std::string name_;
  std::string log_;
  int pid_ = 0;
};

}  // namespace levity::story
