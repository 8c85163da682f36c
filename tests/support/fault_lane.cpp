// A lane: a test program whose calls into the kernel fail as LEVITY_FAULTS says, from its first test to its last.
//
//   LEVITY_FAULTS=eintr=3,seed=7 build/gcc-release/io_test
//
// What the text may say stands in src/platform/fault_plan.hpp. Each test begins at the beginning of the plan, so that it meets
// the same faults alone. A test that fails says how to meet them again; a plan that struck nothing fails the run.

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "platform/fault_plan.hpp"

namespace levity::test {
namespace {

using detail::fault_plan;

class lane final : public ::testing::Environment {
public:
  explicit lane(std::string text) : text_(std::move(text)) {}

  void SetUp() override {
    if (const auto unread = fault_plan::install(text_)) FAIL() << "LEVITY_FAULTS: cannot read \"" << *unread << '"';
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
  }

  [[nodiscard]] const std::string& text() const noexcept { return text_; }

private:
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
