// expect g++12: ::run.* twice when.*::run.* twice when.*::retry.* twice when.*::retry.* twice when.*::hedge.* twice when
#include <levity/resilience/hedge.hpp>
#include <levity/resilience/pipeline.hpp>
#include <levity/resilience/retry.hpp>
#include <string>

using outcome = std::expected<std::size_t, int>;
levity::task<outcome> measure(std::string text);
levity::judgement judge_by(const std::string& text, const outcome& of);

levity::task<> runs(levity::attempt_timeout limit, std::string text) {
  auto calls = levity::pipeline(limit);
  (void)co_await calls.run([text] { return measure(text); });
}
levity::task<> runs_again(levity::retry_policy& policy, levity::retry_budget& budget, std::string text) {
  auto calls = levity::pipeline(levity::retrying{policy, budget});
  (void)co_await calls.run(levity::repeatable::yes, [text] { return measure(text); });
}
levity::task<> repeats(levity::retry_policy& policy, levity::retry_budget& budget, std::string text) {
  (void)co_await levity::retry(policy, budget, [text] { return measure(text); });
}
levity::task<> judges(levity::retry_policy& policy, levity::retry_budget& budget, const std::string& text) {
  (void)co_await levity::retry(policy, budget, [&] { return measure(text); },
                               [text](const outcome& of) { return judge_by(text, of); });
}
levity::task<> hedges(levity::hedged_route& route, std::string text) {
  (void)co_await levity::hedge(route, [text] { return measure(text); });
}
