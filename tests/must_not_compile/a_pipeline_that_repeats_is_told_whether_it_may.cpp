// expect: this pipeline repeats calls, so say whether this one may be made twice
// A payment that is made twice by default is worse than a read that is made once.
#include <levity/resilience/pipeline.hpp>

levity::task<std::expected<int, int>> pay();
levity::task<> handle(levity::retry_policy& policy, levity::retry_budget& budget) {
  auto calls = levity::pipeline(levity::retrying{policy, budget});
  (void)co_await calls.run(pay);
}
