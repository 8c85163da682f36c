#pragma once

// thread_stack: where a thread of this process stands, frame by frame, without a signal that one of its calls could notice.
//
// One that sleeps stands still. The kernel tells its stack and program counter (thread_state.hpp), not its frame pointer, and what
// waits in libc has been compiled without one. So the innermost frames are looked for: words on the stack that point behind a call
// instruction, up to the first pair of a saved frame pointer and such a word whose own frame is a pair as well. From there the
// chain of frame pointers is followed. What was looked for is a guess and marked as one: a word may be left over from a call that
// has returned.
//
// One that computes does not stand still, and nothing outside it knows its registers. It is asked, by a timer on its own CPU-time
// clock that sends it a signal. On the kernels where that is done (below), the timer is looked at when the thread returns to user
// code, from an interrupt or out of a call that has ended; never in a call that waits or could be cut short. So no call returns
// EINTR or fewer bytes because of it. A thread that goes to sleep does not run down the timer, and is not asked.
//
//   100,000 requests, of a thread that computes, polls, sleeps, waits on futex, epoll and socket, reads 4 MiB from /dev/zero, 6.18:
//   by such a timer: no call ended with EINTR, none short.   by tgkill: 15,002 of 18,278 calls with EINTR, 983 short
//
//   request's word       moved by
//   idle -> claimed      claim(): there are several lookers where there are several runtimes
//   claimed -> armed     arm(), when there is a timer        the looker
//   armed -> taking      begin_answer(): the signal, if it is for this request    the thread that is looked at
//   taking -> taken      end_answer(): it has written its frames                  the thread that is looked at
//   taken -> idle        end()                               the looker
//   armed -> idle        end(): it was never asked           the looker
//   taking -> abandoned  end(): it takes too long            the looker
//   abandoned -> idle    end_answer()                        the thread that is looked at
//
// The number of the request is part of the word. A thread that was held up in its handler since an earlier request, which has been
// given up, finds another number and leaves the stack of the next one alone. Whoever is held up while it writes (no CPU, a page of
// the handler's code, a debugger) is not waited for: the looker goes on, and asks nobody until that one is done.
//
// Memory is read with process_vm_readv(), on this process itself: an address that is not there is an answer and no fault.
//
// Edges
//   E340  taken -> take(): the frames.
//   E341  idle -> armed -> taking: the frames of the last one have been written, and read if anybody wanted them, before they are
//         written over.
//
// Kernels: x86-64 from Linux 5.11 (POSIX_CPU_TIMERS_TASK_WORK). On others such a timer may interrupt a call, so a thread that
// computes has no stack there. The one call that notices all the same is io_uring_enter when it waits, for it does such work while
// it waits; workers do not wait there.
//
// The signal is SIGSTKFLT, which Linux has never sent. If the program has a handler of its own for it there are no such stacks.
//
// Rejected: tgkill (see above); ptrace from a helper process (stops the thread, interrupts its calls, is forbidden in most
// containers); perf_event_open (forbidden there, too); to search the stack of a thread that computes from its outermost frame
// inwards (what is found is as likely a frame that has returned).

#include <time.h>

#include <array>
#include <cstdint>
#include <span>

#include "levity/base/atomic.hpp"
#include "platform/thread_sign.hpp"
#include "platform/thread_state.hpp"

namespace levity::inline v0::detail {

struct stack_frame {
  std::uint64_t code_at = 0;  // the innermost: the next instruction; of the others: where their call returns to
  bool is_guess = false;
};

/// Innermost first.
struct stack_trace {
  static constexpr std::size_t frames_max = 32;
  std::array<stack_frame, frames_max> frames{};
  std::size_t size = 0;

  void add(std::uint64_t code_at, bool is_guess) noexcept {
    if (size < frames_max) frames[size++] = {code_at, is_guess};
  }
  [[nodiscard]] std::span<const stack_frame> all() const noexcept { return {frames.data(), size}; }
};

/// The stack of a thread that slept at the look `seen` and has been asleep since: look again afterwards, and forget what was found
/// if `turns` has moved. Empty where the kernel hides the stack pointer. Any thread; some 20 us.
[[nodiscard]] stack_trace stack_of_sleeper(const thread_state& seen) noexcept;

/// Frames of a thread by its registers; `frame_at` is 0 if it is not known. Any thread, signal handlers too.
[[nodiscard]] stack_trace walk_stack(std::uint64_t code_at, std::uint64_t stack_at, std::uint64_t frame_at) noexcept;

/// One request for a stack, and its answer: where a looker and the thread that it asks meet. Nobody waits for anybody.
class stack_request {
public:
  // The looker.
  /// The number of the request; 0: somebody else is being asked.
  [[nodiscard]] std::uint32_t claim() noexcept;
  /// From now on it may be answered.
  void arm(std::uint32_t number) noexcept;
  /// Whether it has been answered; then `into` has the answer.
  [[nodiscard]] bool read(std::uint32_t number, stack_trace& into) const noexcept;
  /// Gives it up, answered or not. The next one can be made at once, or when whoever is just answering is done.
  void end(std::uint32_t number) noexcept;

  // The thread that is asked, in a signal handler.
  /// False: nobody wants that any more.
  [[nodiscard]] bool begin_answer(std::uint32_t number) noexcept;
  [[nodiscard]] stack_trace& answer() noexcept { return frames_; }
  void end_answer(std::uint32_t number) noexcept;

private:
  enum class state : std::uint8_t { idle, claimed, armed, taking, taken, abandoned };
  static constexpr std::uint64_t word(std::uint32_t number, state is) noexcept {
    return std::uint64_t{number} << 8 | static_cast<std::uint64_t>(is);
  }

  atomic<std::uint64_t> word_{word(0, state::idle)};
  stack_trace frames_;
};

/// Asks threads that compute where they are, one at a time. One looker; there may be several samplers, of which one is in use. A
/// thread that blocks SIGSTKFLT, as one does that inherited a full signal mask, never answers.
class stack_sampler {
public:
  stack_sampler() = default;
  stack_sampler(const stack_sampler&) = delete;
  stack_sampler& operator=(const stack_sampler&) = delete;
  ~stack_sampler() { end(); }

  /// Whether this kernel and this program let threads be asked. The first call installs the handler.
  [[nodiscard]] static bool is_possible() noexcept;

  /// Whether it waits for an answer.
  [[nodiscard]] bool is_begun() const noexcept { return number_ != 0; }
  /// Asks; the thread answers at the next tick of the kernel, up to some ms on a CPU from now, or never. False: it cannot be asked,
  /// or somebody else is being asked. 2 us.
  bool begin(thread_sign thread) noexcept;
  /// True, and its stack, when it has answered.
  bool take(stack_trace& into) noexcept;
  /// Forgets the request. Idempotent; does not wait for a thread that is just answering.
  void end() noexcept;

private:
  timer_t timer_{};
  std::uint32_t number_ = 0;  // of the request; 0: there is none
};

}  // namespace levity::detail
