#include "resolve/query.hpp"

#include "tests/support/explored_crew.hpp"

namespace {

namespace model = levity::model;
using levity::task;
using levity::explored::cancel;
using levity::explored::crew;
using levity::explored::job;
using namespace levity::detail;

// As resolver::resolve() does. It counts who was answered.
task<> asks(query_inbox& inbox, const char* host, levity::atomic<int>& answered) {
  auto* const one = new query;
  one->host = host;
  static_cast<void>(inbox.push(*one));
  const levity::cancel_reason why = co_await query_wait{*one};
  if (why == levity::cancel_reason::none) {
    const auto outcome = std::move(one->outcome);
    model::require(outcome.has_value() && outcome->empty(), "the outcome is there");
    answered.fetch_add(1, std::memory_order_relaxed);
  }
  one->let_go();
}

// What the resolver's thread does until it has answered so many.
auto answers(query_inbox& inbox, int count) {
  return [&inbox, count]() mutable {
    while (count > 0) {
      query* first = inbox.take_all();
      if (first == nullptr) levity::spin_hint();
      for (; first != nullptr; count--) {
        query& one = *first;
        first = first->next;
        model::require(!one.host.empty(), "the query is there");
        one.answer(std::vector<levity::address>{});
      }
    }
  };
}

// E110, E111, E112: the answer comes before its task waits, or after; either of them is the last owner.
LEVITY_SCENARIO(a_query_is_answered_once) {
  crew all;
  query_inbox inbox;
  levity::atomic<int> answered{0};
  job& one = all.make(asks(inbox, "one", answered));
  model::together(all.runs(one), all.does(answers(inbox, 1)));
  all.check();
  model::require(answered.load(std::memory_order_relaxed) == 1, "its task has the answer");
}

LEVITY_SCENARIO(each_of_two_queries_is_answered_once) {
  crew all;
  query_inbox inbox;
  levity::atomic<int> answered{0};
  job& one = all.make(asks(inbox, "one", answered));
  job& other = all.make(asks(inbox, "other", answered));
  model::together(all.runs(one), all.runs(other), all.does(answers(inbox, 2)));
  all.check();
  model::require(answered.load(std::memory_order_relaxed) == 2, "each task has its answer");
}

// A task that is cancelled leaves at once; the late answer is dropped.
LEVITY_SCENARIO(a_query_is_answered_or_its_task_leaves) {
  crew all;
  query_inbox inbox;
  levity::atomic<int> answered{0};
  job& one = all.make(asks(inbox, "one", answered));
  model::together(all.runs(one), all.does(answers(inbox, 1)), all.does([&] { cancel(one); }));
  all.check();
}

}  // namespace
