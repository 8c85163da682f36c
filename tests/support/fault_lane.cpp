// In every test program: lv::run() that cannot start fails its test. And a lane: a test program whose calls into the kernel fail as
// LEVITY_FAULTS says, from its first test to its last.
//
//   LEVITY_FAULTS=eintr=3,seed=7 build/gcc-release/io_test
//
// What the text may say stands in src/platform/fault_plan.hpp. Each test begins at the beginning of the plan, so that it meets
// the same faults alone. A test that fails says how to meet them again; a plan that struck nothing fails the run.
//
// `taken=SEED` besides: in runtimes with several workers slots are taken from tasks that do nothing wrong, drawn from that seed, as
// often as the watchdog looks. `stall=PERIOD`: in all runtimes workers stand still at one await of so many (sched/stall_fault.hpp),
// drawn from the same seed, for a second of each test at most: a test that awaits a million times ends, too.

#include <gtest/gtest.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "platform/fault_plan.hpp"
#include "runtime/refusal.hpp"
#include "sched/stall_fault.hpp"
#include "sched/watchdog.hpp"

namespace levity::test {
namespace {

using detail::fault_plan;
using detail::stall_fault;
using detail::watchdog;

class lane final : public ::testing::Environment {
public:
  explicit lane(std::string text) : text_(std::move(text)) {}

  void SetUp() override {
    const plan parts = split(text_);
    watchdog::eagerly.seed.store(parts.taken_from, std::memory_order_relaxed);
    watchdog::eagerly.slots_min.store(2, std::memory_order_relaxed);
    stall_period_ = parts.stall_period;
    seed_ = parts.taken_from;
    if (const auto unread = fault_plan::install(parts.faults)) FAIL() << "LEVITY_FAULTS: cannot read \"" << *unread << '"';
  }

  void TearDown() override {
    const bool whole = ::testing::GTEST_FLAG(filter).starts_with('*') || ::testing::GTEST_FLAG(filter).starts_with('-');
    for (const fault_plan::tally& each : fault_plan::tallies()) {
      if (each.fault == nullptr) continue;
      std::printf("levity: %s struck %llu times\n", each.fault, static_cast<unsigned long long>(each.struck));
      if (whole) {
        EXPECT_GT(each.struck, 0U) << each.fault << " happened to nothing: this lane tests nothing";
      }
    }
    fault_plan::remove();
    const auto tell = [whole](const char* of_what, std::uint64_t count) {
      std::printf("levity: %llu %s\n", static_cast<unsigned long long>(count), of_what);
      if (whole) {
        EXPECT_GT(count, 0U) << "no " << of_what << ": this lane tests nothing";
      }
    };
    if (stall_fault::is_installed()) tell("stalls", stall_fault::struck());
    stall_fault::install(0, 0);
    if (watchdog::eagerly.seed.exchange(0, std::memory_order_relaxed) != 0) {
      tell("slots taken", watchdog::eagerly.taken.load(std::memory_order_relaxed));
    }
  }

  void begin_test() const noexcept {
    fault_plan::restart();
    if (stall_period_ != 0) stall_fault::install(stall_period_, seed_, stalled_ns);
  }

  [[nodiscard]] const std::string& text() const noexcept { return text_; }

private:
  // 0: it does not occur.
  struct plan {
    std::string faults;
    std::uint64_t taken_from = 0;
    unsigned stall_period = 0;
  };

  static plan split(std::string_view text) {
    plan parts;
    while (!text.empty()) {
      const std::string_view rule = text.substr(0, text.find(','));
      text.remove_prefix(std::min(text.size(), rule.size() + 1));
      const auto reads = [rule](std::string_view name, auto& into) {
        if (!rule.starts_with(name)) return false;
        std::from_chars(rule.data() + name.size(), rule.data() + rule.size(), into);
        return true;
      };
      if (reads("taken=", parts.taken_from) || reads("stall=", parts.stall_period)) continue;
      parts.faults += (parts.faults.empty() ? "" : ",") + std::string(rule);
    }
    return parts;
  }

  static constexpr std::int64_t stalled_ns = 1'000'000'000;

  const std::string text_;
  unsigned stall_period_ = 0;
  std::uint64_t seed_ = 0;
};

class replay_line final : public ::testing::EmptyTestEventListener {
public:
  explicit replay_line(const lane& in) noexcept : in_(in) {}

  void OnTestStart(const ::testing::TestInfo&) override { in_.begin_test(); }

  void OnTestEnd(const ::testing::TestInfo& test) override {
    if (!test.result()->Failed()) return;
    std::printf("levity: to meet the same faults again: LEVITY_FAULTS=%s %s --gtest_filter=%s.%s\n", in_.text().c_str(),
                ::testing::internal::GetArgvs()[0].c_str(), test.test_suite_name(), test.name());
  }

private:
  const lane& in_;
};

// A test whose tasks did not run would be passed otherwise.
[[maybe_unused]] const bool hears_refusals = [] {
  detail::tell_refusal = [](const std::runtime_error& why) { ADD_FAILURE() << why.what(); };
  return true;
}();

[[maybe_unused]] const bool installed = [] {
  const char* text = std::getenv("LEVITY_FAULTS");
  if (text == nullptr || *text == '\0') return false;
  auto* made = new lane(text);
  ::testing::AddGlobalTestEnvironment(made);
  ::testing::UnitTest::GetInstance()->listeners().Append(new replay_line(*made));
  return true;
}();

}  // namespace
}  // namespace levity::test
