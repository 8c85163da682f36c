#include "levity/service/drain.hpp"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "levity/base/atomic.hpp"
#include "levity/io/signal_set.hpp"
#include "levity/service/health.hpp"
#include "levity/service/log.hpp"
#include "levity/sync/event.hpp"
#include "levity/task/scope.hpp"
#include "levity/time/deadline.hpp"
#include "levity/time/timeout.hpp"

namespace levity::inline v0::service {

std::string_view to_string(drain_state of) noexcept {
  switch (of) {
    case drain_state::serving: return "serving";
    case drain_state::noticing: return "noticing";
    case drain_state::finishing: return "finishing";
    case drain_state::ended: return "ended";
    case drain_state::cut_off: return "cut_off";
  }
  return "unknown";
}

drain::drain(drain_options options) noexcept : options_(options) {
  options_.bound = std::max(options_.bound, duration::zero());
  options_.notice = std::clamp(options_.notice, duration::zero(), options_.bound);
}

drain_state drain::signal(time_point now) noexcept {
  if (state_ == drain_state::serving) {
    state_ = drain_state::noticing;
    signalled_ = now;
  } else if (state_ == drain_state::noticing || state_ == drain_state::finishing) {
    state_ = drain_state::cut_off;
  }
  return state_;
}

drain_state drain::look(time_point now, std::size_t under_way) noexcept {
  const duration passed = now - signalled_;
  if (state_ == drain_state::noticing && passed >= options_.notice) {
    state_ = drain_state::finishing;  // what is under way is looked at when nothing more is accepted
    return state_;
  }
  if (state_ == drain_state::finishing) {
    if (under_way == 0) {
      state_ = drain_state::ended;
    } else if (passed >= options_.bound) {
      state_ = drain_state::cut_off;
    }
  }
  return state_;
}

std::optional<time_point> drain::next_look() const noexcept {
  if (state_ == drain_state::noticing) return signalled_ + options_.notice;
  if (state_ == drain_state::finishing) return signalled_ + options_.bound;
  return std::nullopt;
}

namespace {

// What the tasks of one end tell each other.
struct news {
  event any;
  atomic<unsigned> signals{0};  // relaxed, as the next: written before `any` is set
  atomic<bool> served{false};
};

struct tells_at_the_end {
  news* tell;
  ~tells_at_the_end() {
    tell->served.store(true, std::memory_order_relaxed);
    tell->any.set();
  }
};

task<> serve(http::server* server, tcp_listener listener, news* tell) {
  const tells_at_the_end guard{tell};
  co_await server->serve(std::move(listener));
}

task<> hear(news* tell) {
  auto signals = signal_set::open({SIGTERM, SIGINT});
  while (signals) {
    const auto came = co_await signals->next();
    if (!came) co_return;
    tell->signals.fetch_add(1, std::memory_order_relaxed);
    tell->any.set();
  }
}

task<> wait_for(news* of) { co_await of->any.wait(); }

void note(log* notes, const char* what, drain_state state) {
  if (notes != nullptr) notes->info(what, {{"state", to_string(state)}});
}

}  // namespace

task<int> serve_until_told(http::server* server, tcp_listener listener, drain_options options, serving_companions companions) {
  drain ends(options);
  news told;
  scope ears;
  scope serving;
  ears.spawn(hear, &told);
  serving.spawn(serve, server, std::move(listener), &told);
  if (companions.probes != nullptr) companions.probes->started(clock::now());
  note(companions.notes, "serving", ends.state());
  unsigned heard = 0;
  bool failed = false;
  while (ends.state() != drain_state::ended && ends.state() != drain_state::cut_off) {
    const auto next = ends.next_look();
    if (next) {
      const duration left = std::max(*next - clock::now(), duration::zero());
      (void)co_await with_timeout(left, wait_for(&told));
    } else {
      co_await wait_for(&told);
    }
    told.any.reset();
    const drain_state before = ends.state();
    const unsigned signals = told.signals.load(std::memory_order_relaxed);
    const bool served = told.served.load(std::memory_order_relaxed);
    if (before == drain_state::serving && served && signals == heard) {
      failed = true;  // the listener's failure; nothing is under way any more
      break;
    }
    for (; heard < signals; heard++) ends.signal(clock::now());
    ends.look(clock::now(), served ? 0 : 1);
    if (ends.state() == before) continue;
    note(companions.notes, "ending", ends.state());
    if (before == drain_state::serving) {
      if (companions.probes != nullptr) companions.probes->begin_drain();
      server->wind_down();
    }
    if (ends.state() == drain_state::finishing) serving.cancel();
  }
  ears.cancel();
  co_await ears.join();
  if (companions.notes != nullptr) (void)co_await with_timeout(std::chrono::seconds(1), companions.notes->flush());
  if (ends.state() == drain_state::cut_off) {
    if (companions.cut_off == nullptr) ::_exit(options.overdue_code);
    companions.cut_off(options.overdue_code);
    serving.cancel();
  }
  co_await serving.join();
  co_return failed ? options.overdue_code : ends.exit_code();
}

}  // namespace levity::service
