#include "levity/sync/channel.hpp"

#include <memory>

#include "tests/support/explored_crew.hpp"

namespace {

namespace model = levity::model;
using levity::cancel_reason;
using levity::channel;
using levity::channel_error;
using levity::task;
using levity::explored::crew;
using levity::explored::job;

// What travels: a word that says where something lies which its sender has written.
using parcel = model::cell<int>*;

task<> send(channel<parcel>& to, model::cell<int>& what, int value) {
  what.set(value);
  model::require((co_await to.send(&what)).has_value(), "it is sent");
}

task<> receive(channel<parcel>& from, int& sum) {
  const auto got = co_await from.receive();
  if (got) sum += (*got)->get();
}

template <std::size_t capacity>
void one_to_one() {
  crew all;
  channel<parcel> line(capacity);
  model::cell<int> first{0};
  model::cell<int> second{0};
  int sum = 0;
  all.together([](channel<parcel>& to, model::cell<int>& one, model::cell<int>& two) -> task<> {
    co_await send(to, one, 1);
    co_await send(to, two, 2);
  }(line, first, second),
               [](channel<parcel>& from, int& into) -> task<> {
                 co_await receive(from, into);
                 model::require(into == 1, "the first comes first");
                 co_await receive(from, into);
               }(line, sum));
  model::require(sum == 3, "both have come");
}

LEVITY_SCENARIO(what_is_sent_is_received_with_what_its_sender_wrote) { one_to_one<0>(); }
LEVITY_SCENARIO(what_lies_in_the_buffer_is_received_with_what_its_sender_wrote) { one_to_one<1>(); }

// Two senders and a receiver that closes: nobody waits for ever, and nothing comes twice.
LEVITY_SCENARIO(a_channel_that_is_closed_lets_go_who_waits, {.executions_max = 1'000'000}) {
  crew all;
  channel<parcel> line(0);
  model::cell<int> data{0};
  bool sent = false;
  int sum = 0;
  job& sends = all.make([](channel<parcel>& to, model::cell<int>& what, bool& done) -> task<> {
    what.set(1);
    done = (co_await to.send(&what)).has_value();
  }(line, data, sent));
  job& receives = all.make(receive(line, sum));
  model::together(all.runs(sends), all.runs(receives), all.does([&] { line.close(); }));
  all.check();
  model::require(sum == (sent ? 1 : 0), "what was sent was received");
}

// A receiver is cancelled while a value comes: it is taken, or stays where it was.
LEVITY_SCENARIO(a_receiver_that_is_cancelled_takes_a_value_or_leaves_it, {.executions_max = 1'000'000}) {
  crew all;
  channel<parcel> line(1);
  model::cell<int> data{0};
  int sum = 0;
  job& receives = all.make(receive(line, sum));
  model::together(all.runs(receives), all.runs(send(line, data, 1)), all.does([&] { cancel(receives); }));
  all.check();
  const auto left = line.try_receive();
  model::require(sum + (left ? (*left)->get() : 0) == 1, "it has come once");
}

// The receiver destroys the channel when it finds it closed, while close() is not over.
LEVITY_SCENARIO(a_channel_goes_when_it_is_found_closed) {
  crew all;
  auto line = std::make_unique<channel<parcel>>(1);
  channel<parcel>& to = *line;
  job& receives = all.make([](std::unique_ptr<channel<parcel>>& owned) -> task<> {
    const auto got = co_await owned->receive();
    model::require(!got && got.error() == channel_error::closed, "it is closed");
    owned.reset();
  }(line));
  model::together(all.runs(receives), all.does([&] { to.close(); }));
  all.check();
}

}  // namespace
