#pragma once

// For tests by GoogleTest, and for them alone: nothing else of levity includes it, and only whoever does needs GoogleTest.
//
//     void an_order_is_kept(lv::sim::check_run& run) { ... }
//     const lv::sim::check_options bad_days{.seeds = 200};
//     TEST(orders, are_kept) { EXPECT_TRUE(lv::sim::holds(bad_days, an_order_is_kept)); }
//     TEST(book, counts_all) {
//       EXPECT_TRUE(lv::sim::holds_in_each_order([]() -> lv::task<> { ... }));
//     }

#include <gtest/gtest-spi.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include "levity/sim/check.hpp"
#include "levity/sim/explore.hpp"

namespace levity::inline v0 {
namespace detail {

/// Takes what EXPECT_ and ASSERT_ find, but for what programs that were killed find on their way to their end: there everything
/// fails.
class heard_failures final : public ::testing::ScopedFakeTestPartResultReporter {
public:
  explicit heard_failures(::testing::TestPartResultArray* into)
      : ScopedFakeTestPartResultReporter(INTERCEPT_ALL_THREADS, into) {}
  void ReportTestPartResult(const ::testing::TestPartResult& result) override {
    if (sim::check_run::is_heard()) ScopedFakeTestPartResultReporter::ReportTestPartResult(result);
  }
};

/// check() that names the test in its replay lines and takes what EXPECT_ and ASSERT_ find for failures of the seed.
inline sim::check_result check_in_test(sim::check_options options, const std::function<void(sim::check_run&)>& scenario) {
  if (const ::testing::TestInfo* now = ::testing::UnitTest::GetInstance()->current_test_info();
      options.arguments.empty() && now != nullptr) {
    options.arguments = std::string("--gtest_filter=") + now->test_suite_name() + "." + now->name();
  }
  return sim::check(options, [&](sim::check_run& run) {
    ::testing::TestPartResultArray found;
    const auto tell = [&] {
      for (int i = 0; i < found.size(); i++) {
        const ::testing::TestPartResult& each = found.GetTestPartResult(i);
        if (!each.failed()) continue;
        const std::string file = each.file_name() != nullptr ? each.file_name() : "?";
        return run.fail(each.summary(), file + ":" + std::to_string(each.line_number()));
      }
    };
    try {
      const detail::heard_failures instead(&found);
      try {
        scenario(run);
      } catch (...) {
        run.end_programs();  // not when these are the test's own failures again
        throw;
      }
      run.end_programs();
    } catch (...) {
      tell();
      throw;
    }
    tell();
  });
}

/// Says in one line how much was tried, as GoogleTest would: what holds is not asked for its message.
inline void print_if_it_holds(const sim::check_result& result) {
  if (!result) return;
  std::string_view line = result.message;
  line = line.substr(0, line.find('\n'));
  constexpr std::string_view speaker = "sim::check: ";
  if (line.starts_with(speaker)) line.remove_prefix(speaker.size());
  std::printf("[   SIM    ] %.*s\n", static_cast<int>(line.size()), line.data());
  std::fflush(stdout);
}

}  // namespace detail

namespace sim {

/// check() within a test. A replay line names the test that runs now, and what EXPECT_ and ASSERT_ find wrong in the scenario and
/// the programs fails the seed instead of the test: so its plan is made smaller and its timeline shown, and the sentence becomes
/// part of the message. They see to that when the scenario returns, so always() breaks a run off sooner. What holds says how
/// much was tried, on standard output. EXPECT_TRUE repeats its argument above a failure: give options and scenario names.
inline ::testing::AssertionResult holds(check_options options, const std::function<void(check_run&)>& scenario) {
  const check_result result = detail::check_in_test(std::move(options), scenario);
  detail::print_if_it_holds(result);
  return result ? ::testing::AssertionSuccess() << result.message : ::testing::AssertionFailure() << result.message;
}

/// The same of explore(scenario): fails also where schedule::runs_max has left orders out. Where the environment wants one run, or
/// another schedule, it is as holds().
template <class F>
::testing::AssertionResult holds_in_each_order(F scenario, const schedule& how = each_order) {
  if (how.what != schedule_kind::exhaustive) return ::testing::AssertionFailure() << "each order is seen by an exhaustive schedule";
  const check_result result = detail::check_in_test(exploring(how), [&scenario](check_run& run) { run.play(scenario); });
  if (!result.cut_short) detail::print_if_it_holds(result);
  return result && !result.cut_short ? ::testing::AssertionSuccess() << result.message
                                     : ::testing::AssertionFailure() << result.message;
}

}  // namespace sim
}  // namespace levity
