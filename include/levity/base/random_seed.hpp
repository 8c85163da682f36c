#pragma once

#include <cstdint>

namespace levity::inline v0 {

/// A seed for a generator (lv::rng) that shall be unlike every other: for ids, jitter, the start of hashes. Not for secrets.
///
/// Inside a task of a simulated run, and on a thread of a simulated host, it is drawn from that world's seed, so the run repeats
/// itself. Everywhere else it is the kernel's entropy, by getrandom(2): a system call, so draw one seed and make the rest of it.
/// All of levity's own chance comes from here. Any thread; never fails: where the kernel refuses, clock and address serve.
[[nodiscard]] std::uint64_t random_seed() noexcept;

}  // namespace levity
