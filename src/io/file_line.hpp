#pragma once

// file_line: an io_uring that belongs to a reactor, for the file operations of a worker that has nothing else to do.
//
// Why: by the ring thread an operation costs two hand-overs, there and back, and where idle processors halt each of them takes
// about as long as a disk that answers in 50 us. A worker that would sleep anyway submits itself, and its reactor's wait ends
// when the operation has completed: nobody else is woken (docs/design/0014 has figures, and what does not come here).
//
//   submit()     the operation waits              the worker, in the task that asks
//   prepare()    it is queued on the ring         the worker, from its loop: it has found nothing else to do
//   enter()      the kernel has it                the worker, in a call that may block: its slot may go to another one
//   collect()    it has completed                 whoever polls that reactor
//
// The ring is no thread's, for slots change hands: one thread at a time submits (`entering_`), one collects (the lease). What a
// thread has submitted completes on its account, so while something is in flight it makes no call that may block, neither
// one of a task in place (worker::enter_call) nor another submission: one operation at a time, the others go to the ring thread.
//
// Edges
//   E310  enter() -> the next submit(), by another thread: the queue of submissions.

#include <cstdint>

#include "levity/base/atomic.hpp"
#include "levity/base/error.hpp"
#include "levity/io/detail/file_operation.hpp"
#include "platform/ring.hpp"
#include "reactor/reactor.hpp"

namespace levity::inline v0::detail {

class file_line final : public poll_guest {
public:
  file_line(reactor& home, file_backend& other) noexcept : home_(home), other_(other) {}
  file_line(const file_line&) = delete;
  file_line& operator=(const file_line&) = delete;
  /// When nobody polls any more and nothing is in flight (asserted).
  ~file_line();

  /// The error says why the kernel refuses, or that the reactor takes no guests.
  io_result<void> open(const poll_lease& held) noexcept;

  /// False: not now; hand it over.
  [[nodiscard]] bool submit(file_operation& operation) noexcept;

  void collect(ready_batch& ready) noexcept override;
  [[nodiscard]] bool has_more() const noexcept override { return ring_.has_completions(); }
  [[nodiscard]] bool has_waiting() const noexcept override { return waiting_ != nullptr; }
  void prepare() noexcept override;
  void enter() noexcept override;
  void hand_over() noexcept override;

private:
  [[nodiscard]] bool is_over(file_operation& operation, std::int32_t result) noexcept;

  static constexpr unsigned entries = 8;  // one, and what was taken back before it
  // Who watches over calls that may block costs wake-ups of its own. So the line is for operations that follow each other: not
  // for the first few, nor after a pause.
  static constexpr unsigned run_min = 4;
  static constexpr std::int64_t pause_ns = 5'000'000;

  reactor& home_;
  file_backend& other_;  // carries out what the line does not
  ring ring_;
  file_operation* waiting_ = nullptr;
  file_operation* entered_ = nullptr;
  atomic<bool> entering_{false};
  unsigned run_ = 0;  // operations without a pause in between
  std::int64_t last_ns_ = 0;
};

}  // namespace levity::detail
