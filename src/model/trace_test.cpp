// What a failure tells: things by the names that the source has for them, places that are there, loops folded.

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdlib>
#include <new>
#include <stdexcept>
#include <string>

#include "levity/model/mutex.hpp"
#include "model/test_support.hpp"

namespace {

namespace model = levity::model;

using model::test::acquire;
using model::test::relaxed;
using model::test::word;

template <class Body>
model::failure failure_of(Body body, model::options wanted = {}) {
  const model::result seen = model::explore(wanted, body);
  return seen.failure.value_or(model::failure{"none", {}, {}});
}

bool tells(const model::failure& of, const std::string& text) { return of.interleaving.find(text) != std::string::npos; }

std::string line(unsigned number) { return "model/trace_test.cpp:" + std::to_string(number); }

// --- names ----------------------------------------------------------------------------------------------------------------------

TEST(traces, call_words_as_the_source_does) {
  const model::failure seen = failure_of([] {
    word ready{0};
    std::array<word, 2> slots{};
    word* const first = &slots[0];
    slots[1].store(3, relaxed);
    slots[0].exchange(4, relaxed);
    first->store(5, relaxed);
    model::together([&] { ready.store(1, relaxed); }, [&] { model::require(ready.load(relaxed) == 0, "not yet"); });
  });
  EXPECT_TRUE(tells(seen, "  ready = 1, relaxed")) << seen.interleaving;
  EXPECT_TRUE(tells(seen, "  ready reads 1 [")) << seen.interleaving;
  EXPECT_TRUE(tells(seen, "  slots.w0 = 3, relaxed")) << seen.interleaving;
  EXPECT_TRUE(tells(seen, "  slots.w1 0 -> 4 [")) << seen.interleaving;
  EXPECT_TRUE(tells(seen, "  slots.w1 = 5, relaxed")) << seen.interleaving;
}

TEST(traces, call_each_of_two_words_on_a_line_by_its_own_name) {
  const model::failure seen = failure_of([] {
    word first{1}, second{2};
    const int sum = 10 * second.load(relaxed) + first.load(relaxed);
    model::require(sum == 0, "they are counted");
  });
  EXPECT_TRUE(tells(seen, "  second reads 2 [")) << seen.interleaving;
  EXPECT_TRUE(tells(seen, "  first reads 1 [")) << seen.interleaving;
}

TEST(traces, call_no_word_by_the_name_of_the_one_beside_it) {
  const auto look = [](const word& at, std::source_location where = std::source_location::current()) {
    return at.load(relaxed, where);
  };
  const model::failure seen = failure_of([&] {
    word first{1}, second{2};
    const int sum = look(second) + first.load(relaxed);
    model::require(sum == 0, "they are counted");
  });
  EXPECT_TRUE(tells(seen, "  w0 reads 2 [")) << seen.interleaving;
  EXPECT_TRUE(tells(seen, "  first reads 1 [")) << seen.interleaving;
}

TEST(traces, call_each_of_two_mutexes_on_a_line_by_its_own_name) {
  const model::failure seen = failure_of([] {
    model::mutex inner, outer;
    const model::guard one{outer}; const model::guard two{inner};
    model::require(false, "both are locked");
  });
  EXPECT_LT(seen.interleaving.find("locks outer "), seen.interleaving.find("locks inner ")) << seen.interleaving;
  EXPECT_TRUE(tells(seen, "locks inner ")) << seen.interleaving;
}

TEST(traces, call_what_is_waited_at_by_its_name) {
  const model::failure seen = failure_of([] {
    model::atomic<std::uint32_t> bell{0};
    model::together([&] { model::futex_wait(bell, 0); }, [&] { model::futex_wake_one(bell); });
  });
  EXPECT_TRUE(tells(seen, " waits at bell, which is 0")) << seen.interleaving;
}

// --- plain data -----------------------------------------------------------------------------------------------------------------

TEST(traces, have_lines_of_plain_data) {
  const model::failure seen = failure_of([] {
    model::cell<int> data{0};
    int kept = 0;
    word ready{0};
    model::together(
        [&] {
          data.set(42);
          model::write(kept);
          ready.store(1, relaxed);
        },
        [&] {
          if (ready.load(acquire) == 0) return;
          model::read(kept);
        });
  });
  EXPECT_NE(seen.what.find("reads plain data beside a write"), std::string::npos) << seen.what;
  EXPECT_TRUE(tells(seen, "b  writes data ")) << seen.interleaving;
  EXPECT_TRUE(tells(seen, "b  writes kept ")) << seen.interleaving;
  EXPECT_TRUE(tells(seen, "c  reads kept ")) << seen.interleaving;
}

TEST(traces, call_no_plain_data_by_the_name_of_what_lay_there_before) {
  const model::failure seen = failure_of([] {
    alignas(model::cell<int>) std::array<std::byte, sizeof(model::cell<int>)> room{};
    const auto* const before = new (room.data()) model::cell<int>{1};
    static_cast<void>(before->get());
    auto& after = *new (room.data()) model::cell<int>{2};
    after.set(3);
    model::require(false, "both have been there");
  });
  EXPECT_TRUE(tells(seen, "a  reads before ")) << seen.interleaving;
  EXPECT_TRUE(tells(seen, "a  writes after ")) << seen.interleaving;
}

// --- places ---------------------------------------------------------------------------------------------------------------------

TEST(traces, name_the_line_of_who_calls_together) {
  unsigned calls = 0;
  const auto race = [&] {
    model::cell<int> data{0};
    calls = __LINE__ + 1;
    model::together([&] { data.set(1); }, [&] { data.set(2); });
  };
  const model::failure seen = failure_of(race);
  EXPECT_EQ(seen.interleaving.find("model/explore.hpp"), std::string::npos) << seen.interleaving;
  EXPECT_TRUE(tells(seen, line(calls))) << seen.interleaving;
  const model::failure stuck = failure_of([&] {
    model::atomic<std::uint32_t> never{0};
    calls = __LINE__ + 1;
    model::together([&] { model::futex_wait(never, 0); });
  });
  EXPECT_NE(stuck.what.find("a joins at " + line(calls)), std::string::npos) << stuck.what;
}

TEST(traces, have_no_place_without_a_line) {
  std::string told;
  const auto tell = [&](const model::failure& seen) { told += seen.what + '\n' + seen.interleaving + '\n'; };
  tell(failure_of([] { std::abort(); }));
  tell(failure_of([] {
    auto* const shared = new word{0};
    model::together([&] { shared->store(1, relaxed); }, [&] { delete shared; });
  }));
  tell(failure_of([] {
    model::atomic<model::cell<int>*> shared{nullptr};
    model::together([&] { shared.store(new model::cell<int>{1}, relaxed); },
                    [&] {
                      if (auto* const found = shared.load(relaxed); found != nullptr) static_cast<void>(found->get());
                    });
  }));
  tell(failure_of([] { model::together([] { model::spin_hint(); }, [] { model::require(false, "here"); }); }));
  tell(failure_of([] {
    word x{0};
    model::together([&] { levity::detail::this_explorer->store(&x, sizeof(int), 1, relaxed, {}); },
                    [&] { model::require(x.load(relaxed) == 0, "not yet"); });
  }));
  EXPECT_EQ(told.find(" :0"), std::string::npos) << told;
  EXPECT_EQ(std::count(told.begin(), told.end(), '\n') > 10, true) << told;
}

// --- loops ----------------------------------------------------------------------------------------------------------------------

TEST(traces, fold_what_is_repeated) {
  const model::failure seen = failure_of([] {
    word first{0}, second{0};
    const auto spins = [&] {
      while (first.load(relaxed) == 0 && second.exchange(0, relaxed) == 0) {
      }
    };
    model::together(spins);
  });
  EXPECT_NE(seen.what.find("no end after 5000 steps"), std::string::npos) << seen.what;
  EXPECT_NE(seen.what.find("spin_hint()"), std::string::npos) << seen.what;
  EXPECT_LT(std::count(seen.interleaving.begin(), seen.interleaving.end(), '\n'), 20) << seen.interleaving;
  EXPECT_TRUE(tells(seen, "the 2 lines above, 2,49")) << seen.interleaving;
}

TEST(traces, fold_nothing_that_happens_twice) {
  const model::failure seen = failure_of([] {
    word looks{0};
    for (int i = 0; i < 2; i++) looks.load(relaxed);
    model::require(false, "two looks");
  });
  EXPECT_EQ(std::count(seen.interleaving.begin(), seen.interleaving.end(), '\n'), 2) << seen.interleaving;
}

// --- exceptions -----------------------------------------------------------------------------------------------------------------

TEST(exceptions, that_leave_a_thread_are_told_whatever_they_are) {
  const auto told_of = [](auto thrown) { return failure_of([=] { throw thrown; }).what; };
  EXPECT_EQ(told_of(std::runtime_error("full")), "a: an exception leaves the thread: full");
  EXPECT_EQ(told_of(42), "a: an exception leaves the thread that is no std::exception, but int");
}

}  // namespace
