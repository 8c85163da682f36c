// A lane: a test program whose calls into the kernel fail as LEVITY_FAULTS says, from its first test to its last.
//
//   LEVITY_FAULTS=eintr=3,seed=7 build/gcc-release/io_test
//
// What the text may say stands in src/platform/fault_plan.hpp. Each test begins at the beginning of the plan, so that it meets
// the same faults alone. A test that fails says how to meet them again; a plan that struck nothing fails the run.
//
// `taken=SEED` besides: in runtimes with several workers slots are taken from tasks that do nothing wrong, drawn from that seed, as
// often as the watchdog looks.

#include <gtest/gtest.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>

#include "platform/fault_plan.hpp"
#include "sched/watchdog.hpp"

namespace levity::test {
namespace {

using detail::fault_plan;
using detail::watchdog;

class lane final : public ::testing::Environment {
public:
  explicit lane(std::string text) : text_(std::move(text)) {}

  void SetUp() override {
    const auto [faults, taken_from] = split(text_);
    watchdog::eagerly.seed.store(taken_from, std::memory_order_relaxed);
    watchdog::eagerly.slots_min.store(2, std::memory_order_relaxed);
    if (const auto unread = fault_plan::install(faults)) FAIL() << "LEVITY_FAULTS: cannot read \"" << *unread << '"';
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
    if (watchdog::eagerly.seed.exchange(0, std::memory_order_relaxed) == 0) return;
    const std::uint64_t taken = watchdog::eagerly.taken.load(std::memory_order_relaxed);
    std::printf("levity: %llu slots were taken\n", static_cast<unsigned long long>(taken));
    if (whole) {
      EXPECT_GT(taken, 0U) << "no slot was taken: this lane tests nothing";
    }
  }

  [[nodiscard]] const std::string& text() const noexcept { return text_; }

private:
  // What is for the plan, and the seed of `taken`; 0: it does not occur.
  static std::pair<std::string, std::uint64_t> split(std::string_view text) {
    std::pair<std::string, std::uint64_t> parts{};
    while (!text.empty()) {
      const std::string_view rule = text.substr(0, text.find(','));
      text.remove_prefix(std::min(text.size(), rule.size() + 1));
      constexpr std::string_view taken = "taken=";
      if (rule.starts_with(taken)) {
        std::from_chars(rule.data() + taken.size(), rule.data() + rule.size(), parts.second);
      } else {
        parts.first += (parts.first.empty() ? "" : ",") + std::string(rule);
      }
    }
    return parts;
  }

  const std::string text_;
};

class replay_line final : public ::testing::EmptyTestEventListener {
public:
  explicit replay_line(const lane& in) noexcept : in_(in) {}

  void OnTestStart(const ::testing::TestInfo&) override { fault_plan::restart(); }

  void OnTestEnd(const ::testing::TestInfo& test) override {
    if (!test.result()->Failed()) return;
    std::printf("levity: to meet the same faults again: LEVITY_FAULTS=%s %s --gtest_filter=%s.%s\n", in_.text().c_str(),
                ::testing::internal::GetArgvs()[0].c_str(), test.test_suite_name(), test.name());
  }

private:
  const lane& in_;
};

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
