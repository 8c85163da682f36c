#include "levity/sync/watch.hpp"

#include "tests/support/explored_crew.hpp"

namespace {

namespace model = levity::model;
using levity::task;
using levity::watch;
using levity::explored::crew;
using levity::explored::job;

// What changes: a word that says where something lies which the setter has written.
using place = model::cell<int>*;

// A follower may miss versions, never the last one.
LEVITY_SCENARIO(who_follows_sees_the_last_version, {.executions_max = 300'000}) {
  crew all;
  watch<place> followed(nullptr);
  model::cell<int> first{0};
  model::cell<int> second{0};
  int seen = 0;
  job& follows = all.make([](watch<place>& on, int& last) -> task<> {
    auto now = on.get();
    while (!now.closed) {
      now = co_await on.changed(now.version);
      if (*now.value != nullptr) static_cast<void>((*now.value)->get());
    }
    model::require(now.version == 2, "each set() is a version");
    last = (*now.value)->get();
  }(followed, seen));
  model::together(all.runs(follows), all.does([&] {
    first.set(1);
    static_cast<void>(followed.set(&first));
    second.set(2);
    static_cast<void>(followed.set(&second));
    followed.close();
  }));
  all.check();
  model::require(seen == 2, "the last version is there, with what its setter wrote");
}

// The value goes with whoever drops it last: the reader, or the setter that replaced it.
LEVITY_SCENARIO(a_version_lasts_as_long_as_who_reads_it, {.executions_max = 300'000}) {
  crew all;
  watch<int> followed(1);
  const auto reads = [&] {
    const auto now = followed.get();
    model::require(*now.value == 1 + static_cast<int>(now.version), "the value is of that version");
  };
  model::together(all.does(reads), all.does([&] { static_cast<void>(followed.set(2)); }));
  all.check();
}

LEVITY_SCENARIO(a_wait_for_a_version_ends_by_it_or_by_a_cancellation, {.executions_max = 300'000}) {
  crew all;
  watch<int> followed(0);
  job& follows = all.make([](watch<int>& on) -> task<> {
    try {
      const auto now = co_await on.changed(0);
      model::require(*now.value == 1, "the new version is there");
    } catch (const levity::cancelled&) {
    }
  }(followed));
  model::together(all.runs(follows), all.does([&] { cancel(follows); }),
                  all.does([&] { static_cast<void>(followed.set(1)); }));
  all.check();
}

}  // namespace
