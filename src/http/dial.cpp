#include "http/dial.hpp"

#include <optional>
#include <utility>

#include "levity/sync/channel.hpp"
#include "levity/task/scope.hpp"
#include "levity/time/deadline.hpp"

namespace levity::inline v0::http::detail {

namespace {

task<> attempt(channel<connect_result>* to, std::vector<address> addresses) {
  connect_result made = co_await connect_any(std::move(addresses));
  (void)to->try_send(std::move(made));  // if nobody takes it, it is closed with the channel
}

task<std::expected<connect_result, channel_error>> next_of(channel<connect_result>* from) { co_return co_await from->receive(); }

}  // namespace

task<connect_result> dial(std::vector<address> addresses, duration second_after) {
  if (second_after <= duration::zero()) co_return co_await connect_any(std::move(addresses));
  channel<connect_result> results{2};
  scope attempts{on_failure::keep_going, "http dial"};
  attempts.spawn("connection attempt", attempt, &results, addresses);
  std::optional<connect_result> outcome;
  bool second = false;
  int running = 1;
  while (!outcome) {
    std::expected<connect_result, channel_error> told = std::unexpected(channel_error::would_block);
    if (second) {
      told = co_await results.receive();
    } else {
      told = co_await with_deadline(second_after, next_of(&results));
    }
    if (told) {
      if (*told || --running == 0) outcome.emplace(std::move(*told));
      continue;
    }
    if (told.error() == channel_error::timed_out && !second && current_deadline().value_or(time_point::max()) > clock::now()) {
      second = true;
      running++;
      attempts.spawn("second connection attempt", attempt, &results, std::move(addresses));
      continue;
    }
    const bool late = told.error() == channel_error::timed_out;
    outcome.emplace(std::unexpected(
        connect_error{io_error{late ? io_failure::timed_out : io_failure::cancelled, 0, "connecting"}, {}, {}}));
  }
  attempts.cancel(cancel_reason::lost_race);
  co_await attempts.join();
  co_return std::move(*outcome);
}

}  // namespace levity::http::detail
