#include "levity/resolve/connect.hpp"

#include <algorithm>
#include <deque>
#include <optional>
#include <variant>

#include "levity/sync/channel.hpp"
#include "levity/task/scope.hpp"
#include "levity/task/yield.hpp"
#include "levity/time/deadline.hpp"

namespace levity::inline v0 {

namespace {

constexpr const char* doing = "connecting";

struct looked_up {
  bool v6;
  io_result<std::vector<address>> answer;
};
struct connected {
  tcp_stream stream;
};
using news = std::variant<looked_up, connected, failed_attempt>;
using inbox = channel<news>;

// More than there can be tasks: a send never waits.
constexpr std::size_t news_max = 4096;
constexpr std::size_t candidates_max = 1024;

task<> look_up(inbox* to, resolver* names, std::string host, std::string service, bool v6) {
  auto answer = co_await names->resolve(std::move(host), std::move(service), v6 ? address_family::v6 : address_family::v4);
  (void)to->try_send(looked_up{v6, std::move(answer)});
}

task<> attempt(inbox* result, address to) {
  io_result<tcp_stream> stream = co_await tcp_stream::connect(to);
  if (stream) {
    (void)result->try_send(connected{std::move(*stream)});  // if nobody takes it, it is closed with the inbox
  } else {
    (void)result->try_send(failed_attempt{to, stream.error()});
  }
}

task<std::expected<news, channel_error>> next_news(inbox* from) { co_return co_await from->receive(); }

// The addresses that were not tried, and who is next.
class candidates {
public:
  void add(const std::vector<address>& more) {
    for (const address& each : more) {
      if (v4_.size() + v6_.size() < candidates_max) (each.is_v6() ? v6_ : v4_).push_back(each);
    }
  }
  [[nodiscard]] bool empty() const noexcept { return v4_.empty() && v6_.empty(); }
  address take() {
    auto& from = v4_.empty() || (v6_turn_ && !v6_.empty()) ? v6_ : v4_;
    const address first = from.front();
    from.pop_front();
    v6_turn_ = !first.is_v6();
    return first;
  }

private:
  std::deque<address> v4_;
  std::deque<address> v6_;
  bool v6_turn_ = true;
};

// What the caller shall act on.
io_error summary_of(const std::vector<failed_attempt>& attempts, const std::vector<io_error>& look_ups) noexcept {
  if (!attempts.empty()) return attempts.front().why;
  for (const io_error& each : look_ups) {
    if (each != io_failure::not_found) return each;
  }
  return look_ups.empty() ? io_error{io_failure::not_found, 0, doing} : look_ups.front();
}

// Takes news until a connection stands or nothing is left to hope for. `waiting` look-ups will report.
task<connect_result> first_of(scope& work, inbox& from, candidates& known, int waiting, connect_options options,
                              std::string target) {
  std::vector<failed_attempt> failed;
  std::vector<io_error> look_ups;
  bool v6_pending = waiting > 0;
  int running = 0;
  time_point next_start = time_point::min();
  for (;;) {
    // The IPv4 answer alone waits a little for the other.
    while (!known.empty() && clock::now() >= next_start) {
      running++;
      work.spawn("connection attempt", attempt, &from, known.take());
      next_start = clock::now() + options.attempt_delay;
    }
    if (known.empty() && running == 0 && waiting == 0) {
      co_return std::unexpected(connect_error{summary_of(failed, look_ups), std::move(target), std::move(failed)});
    }
    const time_point until = known.empty() ? time_point::max() : next_start;
    auto received = co_await with_deadline(until, next_news(&from));
    if (!received) {
      try {
        co_await detail::throw_if_cancelled();
      } catch (const cancelled& ended) {
        co_return std::unexpected(
            connect_error{to_io_error(ended.reason(), doing), std::move(target), std::move(failed)});
      }
      continue;  // it is time for the next attempt
    }
    if (auto* won = std::get_if<connected>(&*received)) co_return std::move(won->stream);
    if (auto* lost = std::get_if<failed_attempt>(&*received)) {
      running--;
      next_start = time_point::min();
      failed.push_back(*lost);
      continue;
    }
    const looked_up& names = std::get<looked_up>(*received);
    waiting--;
    if (names.answer) {
      known.add(*names.answer);
    } else {
      look_ups.push_back(names.answer.error());
    }
    if (names.v6) {
      const bool held_back = v6_pending && running == 0 && failed.empty();
      v6_pending = false;
      if (held_back) next_start = time_point::min();
    } else if (v6_pending && running == 0) {
      next_start = clock::now() + options.resolution_delay;
    }
  }
}

}  // namespace

std::string connect_error::message() const {
  std::string text = "cannot connect to " + target_ + ": ";
  if (attempts_.empty()) return text + summary_.message();
  const char* between = "";
  for (const failed_attempt& each : attempts_) {
    text.append(between).append(each.to.to_string()).append(" ").append(to_string(each.why.failure()));
    between = ", ";
  }
  const bool own = summary_ == io_failure::cancelled || summary_ != attempts_.front().why;
  if (own) text.append(between).append("then ").append(to_string(summary_.failure()));
  return text;
}

task<connect_result> connect(std::string host, std::string service, connect_options options) {
  std::string target = host.find(':') != std::string::npos ? "[" + host + "]:" + service : host + ":" + service;
  resolver* names = options.names != nullptr ? options.names : &resolver::system();
  inbox from{news_max};
  candidates known;
  scope work{on_failure::keep_going};
  work.spawn("name look-up", look_up, &from, names, host, service, true);
  work.spawn("name look-up", look_up, &from, names, std::move(host), std::move(service), false);
  connect_result result = co_await first_of(work, from, known, 2, options, std::move(target));
  work.cancel(cancel_reason::lost_race);
  co_await work.join();
  co_return result;
}

task<connect_result> connect_any(std::vector<address> wanted, connect_options options) {
  std::string target;
  for (const address& each : wanted) target.append(target.empty() ? "" : " or ").append(each.to_string());
  inbox from{news_max};
  candidates known;
  known.add(wanted);
  scope work{on_failure::keep_going};
  connect_result result = co_await first_of(work, from, known, 0, options, std::move(target));
  work.cancel(cancel_reason::lost_race);
  co_await work.join();
  co_return result;
}

}  // namespace levity
