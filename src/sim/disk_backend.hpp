#pragma once

// disk_backend: a host's file operations, on its simulated disk, in virtual time.
//
//   an operation   where                        moved by
//   waits          in its file's sync_queue     submit()   another sync of the open file is under way
//   in flight      in `started_`, by its end    submit()   what it changes, it changes now or at its end, as is drawn; a sync
//                                                          covers what was done before it began, and is durable at its end
//   over           its task is woken            its time has come; go_on(), after a hang; cut_off(), with EIO and without effect
//
// One timer stands for all of them: it is armed on the executor of the task that submits, for the end that comes first. What takes
// no time is over by the next turn, not before submit() returns, as with a kernel's threads. It is over at once only where there is
// no executor of the host to arm the timer on: for main(), within blocking(f), and for what goes on when somebody else, the
// scenario, lets a disk that hangs go on.
//
// A disk has one user at a time. Once cut off, by a crash or by the end of its process, it answers EIO to everything and knows the
// disk no more, which may have its next user by then.

#include <cstddef>
#include <cstdint>
#include <map>
#include <utility>

#include "levity/io/detail/file_operation.hpp"
#include "levity/task/detail/executor.hpp"
#include "sim/disk.hpp"

namespace levity::inline v0::sim {

/// Of the thread of the world. Outlives the runtime that uses it.
class disk_backend final : public detail::file_backend {
public:
  explicit disk_backend(disk& on);
  disk_backend(const disk_backend&) = delete;
  disk_backend& operator=(const disk_backend&) = delete;
  ~disk_backend();

  void submit(detail::file_operation& operation) noexcept override;
  std::int64_t perform_now(const detail::file_operation& operation) noexcept override;
  std::int64_t size_of(std::int32_t fd) noexcept override;
  std::int64_t status_of(std::int32_t fd, unsigned wanted, struct statx& into) noexcept override;
  std::int64_t try_lock(std::int32_t fd) noexcept override;

  /// From here on nothing reaches the disk; what is in flight is over.
  void cut_off() noexcept;
  /// The disk hangs no more: what is overdue is over.
  void go_on() noexcept;
  [[nodiscard]] std::size_t under_way() const noexcept { return started_.size(); }

private:
  struct started {
    detail::file_operation* operation;
    bool done = false;        // it has had its effect
    std::int64_t result = 0;  // then
    disk::sync_ticket ticket;
  };
  using when = std::pair<std::int64_t, std::uint64_t>;  // due, in the order of their coming
  struct alarm : detail::timer_node {
    disk_backend* owner = nullptr;
  };

  void begin(detail::file_operation& operation);
  void end(started ended);
  void carry_out(started& one);
  void over(detail::file_operation& operation, std::int64_t result);
  [[nodiscard]] bool has_time(const detail::file_operation& operation) const noexcept;
  void arm();
  static std::int64_t ring(detail::timer_node& node) noexcept;

  disk* disk_;  // null: cut off
  std::map<when, started> started_;
  std::uint64_t last_ = 0;
  alarm alarm_;
  detail::executor* armed_on_ = nullptr;
  bool rings_ = false;  // who ends operations arms it himself
};

}  // namespace levity::sim
