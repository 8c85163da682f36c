// Linked into the order service it makes `orders_taken`: its workers stand still at every await and lose their slots at
// random moments, from the first task to the last, and at its end it says how often. LEVITY_TAKEN=SEED; 1 without it.
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "sched/stall_fault.hpp"
#include "sched/watchdog.hpp"

namespace {

using levity::detail::stall_fault;
using levity::detail::watchdog;

struct taking {
  taking() {
    const char* text = std::getenv("LEVITY_TAKEN");
    const std::uint64_t seed = text != nullptr ? std::strtoull(text, nullptr, 10) : 1;
    watchdog::eagerly.seed.store(seed, std::memory_order_relaxed);
    stall_fault::install(1, seed);
  }
  ~taking() {
    std::fprintf(stderr, "orders_taken: %llu slots were taken, %llu stalls\n",
                 static_cast<unsigned long long>(watchdog::eagerly.taken.load(std::memory_order_relaxed)),
                 static_cast<unsigned long long>(stall_fault::struck()));
  }
};

[[maybe_unused]] const taking from_now_on;

}  // namespace
