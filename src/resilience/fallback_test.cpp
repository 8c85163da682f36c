// Who answers, how much time each rung has, and what is said and counted of it. In virtual time.

#include "levity/resilience/fallback.hpp"

#include <gtest/gtest.h>

#include <stdexcept>
#include <string>
#include <vector>

#include "levity/levity.hpp"
#include "tests/support/run_simulated.hpp"

namespace lv = levity;
using namespace std::chrono_literals;

namespace {

template <class F, class... Args>
void simulate(F f, Args... args) {
  EXPECT_EQ(levity::test::run_simulated(42, std::move(f), std::move(args)...), 0);
}

using outcome = std::expected<std::string, int>;
using call = lv::call_error<int>;

lv::task<outcome> answers(int id) { co_return "order " + std::to_string(id); }
lv::task<outcome> fails(int) {
  co_await lv::yield();
  co_return std::unexpected(503);
}
lv::task<outcome> hangs(int) {
  co_await lv::sleep(1h);
  co_return "never";
}
lv::task<std::expected<lv::aged<std::string>, std::string>> redis(int) {
  co_await lv::sleep(1ms);
  co_return lv::aged<std::string>{"old order", 12s};
}
lv::task<std::expected<std::string, std::string>> redis_is_down(int) {
  co_await lv::sleep(1ms);
  co_return std::unexpected("connection refused");
}
std::optional<std::string> nothing_stale_text(int) { return std::nullopt; }
std::optional<lv::aged<std::string>> nothing_stale(int) { return std::nullopt; }
std::optional<lv::aged<std::string>> stale(int) { return lv::aged<std::string>{"stale order", 90s}; }

TEST(fallback, the_primary_answers_where_it_does) {
  simulate([]() -> lv::task<> {
    auto chain =
        lv::fallback(lv::rung{"primary", answers}, lv::rung{"redis", redis}, lv::constant_rung("none", std::string("no order")));
    const auto got = co_await chain.run(7);
    EXPECT_TRUE(got && got->value == "order 7" && got->rung == 0 && got->name == "primary");
    EXPECT_FALSE(got->is_degraded());
    EXPECT_EQ(got->degraded_text(), "");
    EXPECT_EQ(chain.counted()[0].answered, 1u);
    EXPECT_EQ(chain.counted()[1].answered, 0u);
  });
}

TEST(fallback, the_first_rung_that_answers_does_and_says_who_it_is_and_how_old) {
  simulate([]() -> lv::task<> {
    auto chain =
        lv::fallback(lv::rung{"primary", fails}, lv::rung{"redis", redis}, lv::constant_rung("none", std::string("no order")));
    const auto got = co_await chain.run(7);
    EXPECT_TRUE(got && got->value == "old order" && got->rung == 1 && got->age == 12s);
    EXPECT_EQ(got->degraded_text(), "redis; age=12");

    auto further = lv::fallback(lv::rung{"primary", fails}, lv::rung{"redis", redis_is_down}, lv::rung{"stale", stale});
    const auto older = co_await further.run(7);
    EXPECT_TRUE(older && older->degraded_text() == "stale; age=90");

    auto to_the_end = lv::fallback(lv::rung{"primary", fails}, lv::rung{"redis", redis_is_down}, lv::rung{"stale", nothing_stale},
                                   lv::constant_rung("none", std::string("no order")));
    const auto last = co_await to_the_end.run(7);
    EXPECT_TRUE(last && last->value == "no order" && last->degraded_text() == "none") << "a constant has no age";
    EXPECT_FALSE(last->age.has_value());
    const auto counted = to_the_end.counted();
    EXPECT_EQ(counted[0].failed, 1u);
    EXPECT_EQ(counted[1].failed, 1u);
    EXPECT_EQ(counted[2].failed, 1u);
    EXPECT_EQ(counted[3].answered, 1u);
    EXPECT_EQ(counted[3].name, "none");
  });
}

TEST(fallback, when_none_answers_the_primarys_error_is_told) {
  simulate([]() -> lv::task<> {
    auto chain = lv::fallback(lv::rung{"primary", fails}, lv::rung{"redis", redis_is_down}, lv::rung{"stale", nothing_stale});
    const auto got = co_await chain.run(7);
    EXPECT_FALSE(got.has_value());
    EXPECT_EQ(got.error(), call(std::in_place, 503));
    auto late = lv::fallback(lv::rung{"primary", hangs}, lv::rung{"redis", redis_is_down});
    struct probe {
      static auto calls(decltype(late)& through) -> lv::task<std::expected<lv::fallback_answer<std::string>, call>> {
        co_return co_await through.run(7);
      }
    };
    const auto timed_out = co_await lv::with_deadline(1s, probe::calls(late));
    EXPECT_FALSE(timed_out.has_value());
    EXPECT_EQ(timed_out.error(), call(lv::call_timeout::attempt));
  });
}

// What is left of a deadline of one second when each rung hangs.
TEST(fallback, each_rung_has_its_slice_of_the_deadline) {
  simulate([]() -> lv::task<> {
    static std::vector<lv::duration> took;
    took.clear();
    const auto hangs_noting = [](lv::time_point) -> lv::task<outcome> {
      const lv::time_point began = lv::clock::now();
      try {
        co_await lv::sleep(1h);
      } catch (const lv::cancelled&) {
        took.push_back(lv::clock::now() - began);
        throw;
      }
      co_return "never";
    };
    auto chain = lv::fallback(lv::rung{"primary", hangs_noting}, lv::rung{"second", hangs_noting}, lv::rung{"third", hangs_noting},
                              lv::constant_rung("none", std::string("no order")));
    struct probe {
      static auto calls(decltype(chain)& through) -> lv::task<std::expected<lv::fallback_answer<std::string>, call>> {
        co_return co_await through.run(lv::clock::now());
      }
    };
    const lv::time_point due = lv::clock::now() + 1s;
    const auto got = co_await lv::with_deadline(due, probe::calls(chain));
    EXPECT_TRUE(got && got->name == "none") << "an answer all the same,";
    EXPECT_LT(lv::clock::now(), due) << "and in time";
    EXPECT_EQ(took.size(), 3u);
    EXPECT_NEAR(static_cast<double>(took[0] / 1ms), 600, 2);
    EXPECT_NEAR(static_cast<double>(took[1] / 1ms), 320, 2);
    EXPECT_NEAR(static_cast<double>(took[2] / 1ms), 75, 2);
    EXPECT_EQ(chain.counted()[1].timed_out, 1u);
  });
}

TEST(fallback, a_rung_has_at_least_its_least_and_one_without_time_is_skipped) {
  simulate([]() -> lv::task<> {
    auto chain = lv::fallback(lv::rung{"primary", hangs}, lv::rung{"redis", redis, lv::time_slice{0.0, 20ms}},
                              lv::constant_rung("none", std::string("no order")));
    struct probe {
      static auto calls(decltype(chain)& through) -> lv::task<std::expected<lv::fallback_answer<std::string>, call>> {
        co_return co_await through.run(7);
      }
    };
    const lv::time_point began = lv::clock::now();
    const auto got = co_await lv::with_deadline(60ms, probe::calls(chain));
    EXPECT_TRUE(got && got->name == "redis");
    EXPECT_NEAR(static_cast<double>((lv::clock::now() - began) / 1ms), 41, 1);
    const auto in_a_hurry = co_await lv::with_deadline(15ms, probe::calls(chain));
    EXPECT_TRUE(in_a_hurry && in_a_hurry->name == "redis");
    EXPECT_EQ(chain.counted()[0].skipped, 1u);
    const auto too_late = co_await lv::with_deadline(-1s, probe::calls(chain));
    EXPECT_TRUE(too_late && too_late->name == "none") << "what needs no time is asked whatever the time";
    EXPECT_EQ(chain.counted()[1].skipped, 1u);
  });
}

TEST(fallback, a_primary_that_fails_at_once_leaves_its_time_to_the_next) {
  simulate([]() -> lv::task<> {
    const auto slow_redis = [](int) -> lv::task<outcome> {
      co_await lv::sleep(900ms);
      co_return "after all";
    };
    auto chain = lv::fallback(lv::rung{"primary", fails}, lv::rung{"redis", slow_redis});
    struct probe {
      static auto calls(decltype(chain)& through) -> lv::task<std::expected<lv::fallback_answer<std::string>, call>> {
        co_return co_await through.run(7);
      }
    };
    const auto got = co_await lv::with_deadline(1s, probe::calls(chain));
    EXPECT_TRUE(got && got->value == "after all");
  });
}

TEST(fallback, some_errors_are_answers) {
  simulate([]() -> lv::task<> {
    const auto unknown = [](int) -> lv::task<outcome> { co_return std::unexpected(404); };
    auto chain = lv::fallback(lv::stands{[](int error) { return error == 404; }}, lv::rung{"primary", unknown},
                              lv::constant_rung("none", std::string("no order")));
    const auto got = co_await chain.run(7);
    EXPECT_FALSE(got.has_value());
    EXPECT_EQ(got.error(), call(std::in_place, 404));
    auto other = lv::fallback(lv::stands{[](int error) { return error == 404; }}, lv::rung{"primary", fails},
                              lv::constant_rung("none", std::string("no order")));
    const auto degraded = co_await other.run(7);
    EXPECT_TRUE(degraded && degraded->name == "none");
  });
}

TEST(fallback, goes_around_a_call_whose_errors_are_those_of_a_pipeline) {
  simulate([]() -> lv::task<> {
    const auto refused = [](int) -> lv::task<std::expected<std::string, call>> {
      co_return std::unexpected(call(lv::rejection{lv::rejection_cause::breaker_open, 5s}));
    };
    auto chain = lv::fallback(lv::rung{"primary", refused}, lv::rung{"stale", nothing_stale});
    const auto got = co_await chain.run(7);
    EXPECT_FALSE(got.has_value());
    EXPECT_TRUE(got.error().rejected() != nullptr && got.error().rejected()->retry_after == 5s);
  });
}

TEST(fallback, may_consist_of_what_needs_no_time) {
  simulate([]() -> lv::task<> {
    auto chain = lv::fallback(lv::rung{"stale", nothing_stale}, lv::rung{"other", [](int id) { return std::to_string(id); }});
    const auto got = co_await chain.run(7);
    EXPECT_TRUE(got && got->value == "7" && got->rung == 1);
    auto none = lv::fallback(lv::rung{"stale", nothing_stale});
    const auto nothing = co_await none.run(7);
    EXPECT_FALSE(nothing.has_value());
  });
}

TEST(fallback, what_a_rung_throws_passes_through) {
  simulate([]() -> lv::task<> {
    const auto throws = [](int) -> lv::task<outcome> {
      co_await lv::yield();
      throw std::runtime_error("its own");
    };
    auto chain = lv::fallback(lv::rung{"primary", throws}, lv::constant_rung("none", std::string("no order")));
    std::string what;
    try {
      (void)co_await chain.run(7);
    } catch (const std::runtime_error& error) {
      what = error.what();
    }
    EXPECT_EQ(what, "its own");
    EXPECT_EQ(chain.counted()[0].failed, 1u);
    EXPECT_EQ(chain.counted()[1].answered, 0u) << "no further rung is asked";
  });
}

TEST(fallback, what_a_plain_function_throws_passes_through_as_the_primary_and_as_a_rung) {
  simulate([]() -> lv::task<> {
    const auto throws = [](int) -> std::optional<std::string> { throw std::runtime_error("its own"); };
    auto first = lv::fallback(lv::rung{"primary", throws}, lv::constant_rung("none", std::string("no order")));
    auto second = lv::fallback(lv::rung{"primary", nothing_stale_text}, lv::rung{"next", throws},
                               lv::constant_rung("none", std::string("no order")));
    int thrown = 0;
    try {
      (void)co_await first.run(7);
    } catch (const std::runtime_error&) {
      thrown++;
    }
    try {
      (void)co_await second.run(7);
    } catch (const std::runtime_error&) {
      thrown++;
    }
    EXPECT_EQ(thrown, 2);
    EXPECT_EQ(first.counted()[0].failed, 1u);
    EXPECT_EQ(second.counted()[0].failed, 1u);
    EXPECT_EQ(second.counted()[1].failed, 1u);
    EXPECT_EQ(first.counted()[1].answered + second.counted()[2].answered, 0u);
  });
}

TEST(fallback, who_is_cancelled_asks_no_further_rung) {
  simulate([]() -> lv::task<> {
    static int asked;
    const auto receives = [](int) -> lv::task<outcome> {  // and has a value for it
      lv::channel<int> nothing(1);
      (void)co_await nothing.receive();
      co_return std::unexpected(499);
    };
    const auto counts = [](int) -> std::optional<std::string> {
      asked++;
      return "not wanted";
    };
    auto by_value = lv::fallback(lv::rung{"primary", receives}, lv::rung{"counts", counts});
    auto by_exception = lv::fallback(lv::rung{"primary", hangs}, lv::rung{"counts", counts});
    for (int after_us = 0; after_us < 2000; after_us += 100) {
      asked = 0;
      const auto first = [](decltype(by_value)* through) -> lv::task<> { (void)co_await through->run(7); };
      const auto second = [](decltype(by_exception)* through) -> lv::task<> { (void)co_await through->run(7); };
      lv::scope both;
      both.spawn(first, &by_value);
      both.spawn(second, &by_exception);
      co_await lv::sleep(after_us * 1us);
      both.cancel();
      co_await both.join();
      EXPECT_EQ(asked, 0);
    }
  });
}

TEST(fallback, is_a_value) {
  simulate([]() -> lv::task<> {
    struct service {
      decltype(lv::fallback(lv::rung{"primary", fails}, lv::rung{"stale", stale})) orders;
    };
    auto chain = lv::fallback(lv::rung{"primary", fails}, lv::rung{"stale", stale});
    const auto one = co_await chain.run(1);
    EXPECT_TRUE(one.has_value());
    service moved{std::move(chain)};
    const auto two = co_await moved.orders.run(2);
    EXPECT_TRUE(two.has_value());
    EXPECT_EQ(moved.orders.counted()[1].answered, 2u) << "it takes its counts along";
  });
}

TEST(fallback, followers_leave_the_primary_time) {
  const auto chain_of = [](double share) {
    return lv::fallback(lv::rung{"primary", answers}, lv::rung{"second", hangs, lv::time_slice{share, 5ms}},
                        lv::rung{"third", hangs, lv::time_slice{0.5, 5ms}}, lv::rung{"stale", stale, lv::time_slice{1.0, 5ms}},
                        lv::constant_rung("none", std::string("no order")));
  };
  (void)chain_of(0.45);  // what needs no time is kept none
  EXPECT_DEATH((void)chain_of(0.5), "leave the primary no time");
}

}  // namespace
