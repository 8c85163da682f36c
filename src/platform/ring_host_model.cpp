#include "platform/ring_host.hpp"

#include <optional>

#include "levity/model/scenario.hpp"
#include "platform/futex.hpp"
#include "platform/handoff.hpp"
#include "tests/support/explored_kernel.hpp"

namespace {

namespace model = levity::model;
using namespace levity::detail;

struct operation {
  operation* next = nullptr;
  levity::atomic<std::uint32_t> is_done{0};

  void await() {
    while (is_done.load(std::memory_order_relaxed) == 0) futex_wait(reinterpret_cast<const std::uint32_t*>(&is_done), 0);
  }
};

// Operations are over as soon as they are taken.
struct guest final : ring_guest {
  handoff<operation, &operation::next> inbox;
  std::optional<levity::io_error> refuses;
  bool has_ended = false;

  levity::io_result<void> opened(ring&) noexcept override {
    if (refuses) return std::unexpected(*refuses);
    return {};
  }
  unsigned take(ring&) noexcept override {
    return inbox.take([](operation& each) {
      each.is_done.store(1, std::memory_order_relaxed);
      futex_wake_one(reinterpret_cast<const std::uint32_t*>(&each.is_done));
    });
  }
  bool has_more() const noexcept override { return !inbox.empty_approx(); }
  void completed(ring&, const completion&) noexcept override { model::require(false, "it has no operation on the ring"); }
  bool may_end(ring&) noexcept override { return true; }
  void ended() noexcept override { has_ended = true; }
};

struct house {
  levity::explored::kernel answers;
  guest served;
  ring_host host{served};
};

// E76, E77: what is handed over is carried out while nobody else has anything to do with the thread, and it ends.
LEVITY_SCENARIO(what_is_handed_to_a_ring_thread_is_carried_out) {
  house all;
  operation one;
  model::require(all.host.start(8).has_value(), "its thread has started");
  all.served.inbox.push(one);
  all.host.knock();
  one.await();
  all.host.stop();
  model::require(all.served.has_ended, "the ring is closed");
}

// E76: two at a time.
LEVITY_SCENARIO(who_knocks_beside_another_is_heard, {.executions_max = 8'000}) {
  house all;
  operation one, other;
  model::require(all.host.start(8).has_value(), "its thread has started");
  const auto ask = [&all](operation& what) {
    all.served.inbox.push(what);
    all.host.knock();
    what.await();
  };
  model::together([&] { ask(one); }, [&] { ask(other); });
  all.host.stop();
}

// E77: why it does not serve.
LEVITY_SCENARIO(who_starts_a_ring_thread_hears_why_it_is_refused) {
  house all;
  all.served.refuses = levity::io_error::from_errno(EINVAL, "looking for something");
  const auto started = all.host.start(8);
  model::require(!started && started.error().code() == EINVAL, "the reason is told");
}

LEVITY_SCENARIO(a_ring_thread_that_nobody_asks_ends) {
  house all;
  model::require(all.host.start(8).has_value(), "its thread has started");
  all.host.stop();
  model::require(all.served.has_ended, "the ring is closed");
}

}  // namespace
