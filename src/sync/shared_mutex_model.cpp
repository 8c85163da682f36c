#include "levity/sync/shared_mutex.hpp"

#include "tests/support/explored_crew.hpp"

namespace {

namespace model = levity::model;
using levity::shared_mutex;
using levity::task;
using levity::explored::crew;
using levity::explored::job;

task<> writes(shared_mutex& lock, model::cell<int>& inside) {
  const auto held = co_await lock.lock();
  inside.set(inside.get() + 1);
}

task<> reads(shared_mutex& lock, model::cell<int>& inside) {
  const auto held = co_await lock.lock_shared();
  static_cast<void>(inside.get());
}

LEVITY_SCENARIO(what_a_writer_wrote_the_reader_sees, {.executions_max = 1'000'000}) {
  crew all;
  shared_mutex lock;
  model::cell<int> inside{0};
  all.together(writes(lock, inside), reads(lock, inside));
  model::require(inside.get() == 1, "the writer was inside");
}

// Two readers beside each other, and a writer that waits for both.
LEVITY_SCENARIO(a_writer_waits_for_all_readers, {.executions_max = 300'000}) {
  crew all;
  shared_mutex lock;
  model::cell<int> inside{0};
  all.together(writes(lock, inside), reads(lock, inside), reads(lock, inside));
  model::require(static_cast<bool>(lock.try_lock()), "it is free at the end");
}

// A writer that waits for a reader holds another one back, and lets it go when it is cancelled.
LEVITY_SCENARIO(a_writer_that_is_cancelled_lets_the_readers_behind_it_go, {.executions_max = 1'000'000}) {
  crew all;
  shared_mutex lock;
  model::cell<int> inside{0};
  auto held = lock.try_lock_shared();
  job& wants = all.make([](shared_mutex& wanted, model::cell<int>& data) -> task<> {
    try {
      const auto mine = co_await wanted.lock();
      data.set(data.get() + 1);
    } catch (const levity::cancelled&) {
    }
  }(lock, inside));
  job& behind = all.make(reads(lock, inside));
  all.runs(wants)();
  model::together(all.runs(behind), all.does([&] { cancel(wants); }));
  all.check();
  held.unlock();
  model::require(static_cast<bool>(lock.try_lock()), "it is free at the end");
}

}  // namespace
