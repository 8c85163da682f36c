#pragma once

// fault_plan: what goes wrong in a run, and how often. Drawn from a seed, installed by tests, asked by every call in
// platform/syscall.hpp.
//
// A plan is a list of rules. A rule has a fault, the calls it may happen to, and either a period (each such call is struck with
// the probability 1/period, decided by the seed and the number of the call) or the number of the one call that it strikes.
//
//   fault      what the caller sees                                              without an @ it happens to
//   eintr      -1 and EINTR; close and connect have done their work              every call that a signal can interrupt
//   eagain     -1 and EAGAIN, and then an event                                  non-blocking transfers, accept, the ring
//   short      fewer bytes moved than could be, and then an event                reads and writes of streams and files
//   batch      one item instead of many                                          epoll_wait, sendmmsg, recvmmsg
//   ecanceled  a ring's operation ends with ECANCELED although nobody asked      ring operations
//   ebusy      the ring takes no submissions now                                 ring_enter
//   nothread   a thread is not started: EAGAIN                                   every start of a thread
//   emfile, enfile, enomem, enobufs   -1 and that errno                          accept
//   eio        a page could not be written: EIO, told once as the kernel does    syncs of files, by calls and by rings
//   completions=N, buffers=N          rings have N completion slots, buffer rings N buffers: sizes, not periods
//
// Edge-triggered epoll promises an event after EAGAIN and after a short read, so an invented one must bring it: a rule of that
// kind strikes only descriptors that a reactor watches, and re-arms the watch before it does. That is the spurious readiness of
// a datagram with a broken checksum and of a stream's urgent mark; without the event it would be a kernel that does not exist.
//
// No rule strikes one call more than `in_a_row_max` times in a row, but for cuts: each of those makes progress.
//
// The state is atomic word by word and relaxed: it decides, it orders nothing. A plan is installed and taken away while nobody
// depends on which plan a call still sees.

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "levity/base/atomic.hpp"
#include "platform/syscall.hpp"

namespace levity::inline v0::detail {

class fault_plan {
public:
  static constexpr unsigned in_a_row_max = 3;

  /// Reads "eintr=5,short=3,emfile@accept=4,completions=2,seed=7" and installs it in place of the one before. An empty text takes
  /// it away. Returns what cannot be read, nothing when all can.
  static std::optional<std::string> install(std::string_view text);

  /// Strikes the `number`th call (from 1) among all that could fail with `code`, or those of them that `only` names, once.
  static void install_one(int code, std::uint64_t number, std::optional<kernel::call> only = std::nullopt) noexcept;

  /// Without a plan, as in an ordinary run.
  static void remove() noexcept;

  /// Counts calls from the beginning again, so that the same calls meet the same faults. Counters of what was done stay.
  static void restart() noexcept;

  /// How often each rule struck and how many calls it looked at, in the order of the text; then how often a small completion
  /// queue overflowed and how many small buffer rings there were.
  struct tally {
    const char* fault = nullptr;
    std::uint64_t struck = 0;
    std::uint64_t seen = 0;
  };
  static constexpr std::size_t rules_max = 12;
  static constexpr std::size_t tallies_max = rules_max + 2;
  static std::array<tally, tallies_max> tallies() noexcept;

  /// The call that the rule of install_one() struck; nothing when it has not come to that.
  static std::optional<kernel::call> struck_call() noexcept;
};

}  // namespace levity::detail
