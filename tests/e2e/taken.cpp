// Linked into the order service it makes `orders_taken`: its workers lose their slots at random moments, from the first task to
// the last, and at its end it says how often. LEVITY_TAKEN=SEED; 1 without it.
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "sched/watchdog.hpp"

namespace {

using levity::detail::watchdog;

struct taking {
  taking() {
    const char* seed = std::getenv("LEVITY_TAKEN");
    watchdog::eagerly.seed.store(seed != nullptr ? std::strtoull(seed, nullptr, 10) : 1, std::memory_order_relaxed);
  }
  ~taking() {
    std::fprintf(stderr, "orders_taken: %llu slots were taken\n",
                 static_cast<unsigned long long>(watchdog::eagerly.taken.load(std::memory_order_relaxed)));
  }
};

[[maybe_unused]] const taking from_now_on;

}  // namespace
