#include "levity/sync/select.hpp"

#include "tests/support/explored_crew.hpp"

namespace {

namespace model = levity::model;
using levity::cancel_reason;
using levity::channel;
using levity::task;
using levity::explored::crew;
using levity::explored::job;

using parcel = model::cell<int>*;

// Receives from one of two.
task<> select_one(channel<parcel>& first, channel<parcel>& second, int& sum) {
  const auto won = co_await levity::select(levity::receive_from(first), levity::receive_from(second));
  if (!won) co_return;  // cancelled
  const auto& got = won->index() == 0 ? std::get<0>(*won) : std::get<1>(*won);
  if (got) sum += (*got)->get();
}

// One of two channels serves a select, and the other keeps its value.
LEVITY_SCENARIO(a_select_is_decided_once, {.executions_max = 1'000'000}) {
  crew all;
  channel<parcel> left(1);
  channel<parcel> right(1);
  model::cell<int> one{0};
  model::cell<int> two{0};
  int sum = 0;
  job& selects = all.make(select_one(left, right, sum));
  model::together(all.runs(selects), all.does([&] {
                    one.set(1);
                    static_cast<void>(left.try_send(&one));
                  }),
                  all.does([&] {
                    two.set(2);
                    static_cast<void>(right.try_send(&two));
                  }));
  all.check();
  const auto a = left.try_receive();
  const auto b = right.try_receive();
  model::require(sum + (a ? 1 : 0) + (b ? 2 : 0) == 3, "each value has come once, or is left");
  model::require(a.has_value() != b.has_value(), "one of them is left");
}

// A value and a cancellation.
LEVITY_SCENARIO(a_select_that_is_cancelled_takes_a_value_or_leaves_it, {.executions_max = 1'000'000}) {
  crew all;
  channel<parcel> left(1);
  channel<parcel> right(1);
  model::cell<int> one{0};
  int sum = 0;
  job& selects = all.make(select_one(left, right, sum));
  model::together(all.runs(selects), all.does([&] {
                    one.set(1);
                    static_cast<void>(left.try_send(&one));
                  }),
                  all.does([&] { cancel(selects); }));
  all.check();
  const auto a = left.try_receive();
  model::require(sum + (a ? 1 : 0) == 1, "the value has come once, or is left");
}

// Two selects that serve each other, of which each looks at both channels.
LEVITY_SCENARIO(two_selects_meet_once, {.executions_max = 1'000'000}) {
  crew all;
  channel<parcel> left(0);
  channel<parcel> right(0);
  model::cell<int> one{0};
  int sum = 0;
  bool sent = false;
  job& receives = all.make(select_one(left, right, sum));
  job& sends = all.make([](channel<parcel>& first, channel<parcel>& second, model::cell<int>& what, bool& done) -> task<> {
    what.set(1);
    parcel a = &what;
    parcel b = &what;
    done = (co_await levity::select(levity::send_to(first, a), levity::send_to(second, b))).has_value();
  }(left, right, one, sent));
  model::together(all.runs(receives), all.runs(sends));
  all.check();
  model::require(sent && sum == 1, "it was sent and received");
}

}  // namespace
