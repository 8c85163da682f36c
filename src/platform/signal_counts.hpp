#pragma once

// signal_counts: how often each signal came to this process, for whoever subscribed to it.
//
// A handler counts and rings an eventfd that is never read and never closed; each subscriber watches a duplicate of it, edge by
// edge, and compares counts with what it has seen. So the handler touches nothing that could go away, and every subscriber
// sees every signal. Threads need no particular mask: whichever the kernel picks runs the handler, and where a runtime's
// signal_watch has a signal blocked for itself, it calls deliver() instead.
//
// Edges
//   E113  count of a signal -> who sees it: what its sender did before (through the eventfd, and for a look without a wait).
//   E395  a subscription -> who delivers to it: the bell, and what the subscriber did before. A handler needs none: it is installed
//         after the bell was made.
//
// Rejected: a signalfd a set (the signal would have to be blocked in every thread before there are any).

#include "levity/base/error.hpp"

#include <cstdint>

namespace levity::inline v0::detail {

/// Signals are numbers from 1 to below this.
inline constexpr int signals_max = 65;

/// Whether a program may take it: it is a signal, and neither one that cannot be caught nor one that tells of a fault.
[[nodiscard]] bool can_be_caught(int signal) noexcept;

/// Counts `signal` from now on instead of what it did before, until as many unsubscribe() have been called. invalid: it is no
/// signal, cannot be caught, or tells of a fault of the program.
io_result<void> subscribe_signal(int signal) noexcept;
void unsubscribe_signal(int signal) noexcept;

/// A signal that was taken otherwise than by the handler. True: somebody has subscribed to it and is told.
bool deliver_signal(int signal) noexcept;

[[nodiscard]] std::uint64_t signal_count(int signal) noexcept;

/// A descriptor, the caller's, that has an edge for each signal after it was made.
io_result<int> open_signal_bell() noexcept;

}  // namespace levity::detail
