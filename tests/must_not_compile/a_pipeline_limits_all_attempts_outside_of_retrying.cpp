// expect: total_timeout stands before retrying; what limits one attempt is attempt_timeout
// Behind it, it would be taken for the limit of an attempt by one reader, and of the call by another.
#include <levity/resilience/pipeline.hpp>

levity::task<> handle(levity::retry_policy& policy, levity::retry_budget& budget) {
  auto calls = levity::pipeline(levity::retrying{policy, budget}, levity::total_timeout{levity::duration{1}});
  co_return;
}
