#include "levity/service/drain.hpp"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <exception>
#include <optional>
#include <utility>

#include "io/simulated_signals.hpp"
#include "levity/base/atomic.hpp"
#include "levity/io/signal_set.hpp"
#include "levity/service/health.hpp"
#include "levity/service/log.hpp"
#include "levity/sync/event.hpp"
#include "levity/task/detach.hpp"
#include "levity/task/detail/executor.hpp"
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
  atomic<bool> flushed{false};
};

struct tells_at_the_end {
  news* tell;
  atomic<bool>* what;
  ~tells_at_the_end() {
    what->store(true, std::memory_order_relaxed);
    tell->any.set();
  }
};

task<> serve(http::server* server, tcp_listener listener, news* tell) {
  const tells_at_the_end guard{tell, &tell->served};
  co_await server->serve(std::move(listener));
}

task<> hear(signal_set* signals, news* tell) {
  for (;;) {
    const auto came = co_await signals->next();
    if (!came) co_return;
    tell->signals.fetch_add(1, std::memory_order_relaxed);
    tell->any.set();
  }
}

task<> flush(log* notes, news* tell) {
  const tells_at_the_end guard{tell, &tell->flushed};
  co_await notes->flush();
}

task<> wait_for(news* of) { co_await of->any.wait(); }

void note(log* notes, const char* what, drain_state state) {
  if (notes != nullptr) notes->info(what, {{"state", to_string(state)}});
}

// What the last lines of the log get of the bound.
duration log_part(const drain_options& of) noexcept {
  return std::clamp(of.bound / 10, duration::zero(), duration(std::chrono::seconds(1)));
}

// One end: what serve_until_told() and what it awaits have in common.
struct serving_end {
  http::server* server;
  serving_companions companions;
  drain ends;
  news told{};
  unsigned heard = 0;
  std::optional<time_point> signalled{};
  bool failed = false;    // the listener
  bool insisted = false;  // somebody, by a second signal

  // Takes in the signals that have come.
  void take(unsigned signals) noexcept {
    for (; heard < signals; heard++) {
      insisted = signalled.has_value();
      if (!insisted) signalled = clock::now();
      ends.signal(clock::now());
    }
  }
};

drain_options without_the_log(drain_options options, const serving_companions& companions) noexcept {
  if (companions.notes != nullptr) options.bound -= log_part(options);
  return options;
}

// Until nothing is left, or the time is over. Throws `cancelled`.
task<> run_down(serving_end* of, scope* serving) {
  drain& ends = of->ends;
  while (ends.state() != drain_state::ended && ends.state() != drain_state::cut_off) {
    const auto next = ends.next_look();
    if (next) {
      const duration left = std::max(*next - clock::now(), duration::zero());
      (void)co_await with_timeout(left, wait_for(&of->told));
    } else {
      co_await wait_for(&of->told);
    }
    of->told.any.reset();
    const drain_state before = ends.state();
    const unsigned signals = of->told.signals.load(std::memory_order_relaxed);
    const bool served = of->told.served.load(std::memory_order_relaxed);
    if (before == drain_state::serving && served && signals == of->heard) {
      of->failed = true;  // the listener's failure; nothing is under way any more
      break;
    }
    of->take(signals);
    ends.look(clock::now(), served ? 0 : 1);
    if (ends.state() == before) continue;
    note(of->companions.notes, "ending", ends.state());
    if (before == drain_state::serving) {
      if (of->companions.probes != nullptr) of->companions.probes->begin_drain();
      of->server->wind_down();
    }
    if (ends.state() == drain_state::finishing) serving->cancel();
  }
}

// Until the last lines are written, the time is over, or somebody has insisted. Throws `cancelled`.
task<> run_out(serving_end* of, const drain_options& options, scope* flushing) {
  if (of->companions.notes == nullptr || of->insisted) co_return;
  time_point until = clock::now() + std::chrono::seconds(1);
  if (of->signalled) until = std::min(until, *of->signalled + options.bound);
  flushing->spawn("last lines", flush, of->companions.notes, &of->told);
  while (!of->told.flushed.load(std::memory_order_relaxed) && of->told.signals.load(std::memory_order_relaxed) == of->heard) {
    if (!co_await with_timeout(until, wait_for(&of->told))) co_return;
    of->told.any.reset();
  }
}

// How the process ends when the time is over.
struct cut {
  int code;
  void (*instead)(int code);
};

// In a simulated world the process is ended by the world, and this returns: nothing that is done then is seen by anybody.
void end_process(const cut& how) {
  if (how.instead != nullptr) return how.instead(how.code);
  levity::detail::simulated_signals* const of_world = levity::detail::current_run().exec->signals();
  if (of_world == nullptr || !of_world->end_program(how.code)) ::_exit(how.code);
}

// Whoever serves closes what it owns when serve_until_told() has returned, and may hang in that as well as a handler may. Of the
// runtime, so that it ends with the main task.
task<> watch_the_rest(signal_set signals, time_point until, cut how) {
  const auto came = co_await with_deadline(until, signals.next());
  if (came || came.error() == io_failure::timed_out) end_process(how);
}

time_point end_of(const drain_options& options, time_point signalled) noexcept {
  const duration bound = std::max(options.bound, duration::zero());
  return bound < time_point::max() - signalled ? signalled + bound : time_point::max();
}

}  // namespace

task<int> serve_until_told(http::server* server, tcp_listener listener, drain_options options, serving_companions companions) {
  serving_end end{server, companions, drain(without_the_log(options, companions))};
  // Before anything else runs: a signal that comes earlier is whoever's it was, and one that comes later is never missed.
  auto signals = signal_set::open({SIGTERM, SIGINT});
  scope ears{on_failure::report};
  scope serving;
  scope flushing{on_failure::report};
  std::exception_ptr broken;
  try {
    if (signals) ears.spawn("end signals", hear, &*signals, &end.told);
    serving.spawn("http server", serve, server, std::move(listener), &end.told);
    if (companions.probes != nullptr) companions.probes->started(clock::now());
    note(companions.notes, "serving", end.ends.state());
    co_await run_down(&end, &serving);
    co_await run_out(&end, options, &flushing);
  } catch (...) {
    broken = std::current_exception();  // cancelled, most probably; the tasks here hold what goes with this frame
  }
  flushing.cancel();
  co_await flushing.join();
  ears.cancel();
  co_await ears.join();
  end.take(end.told.signals.load(std::memory_order_relaxed));
  const cut at_once{options.overdue_code, companions.cut_off};
  const bool is_cut_off = end.insisted || end.ends.state() == drain_state::cut_off;
  if (is_cut_off) {
    end_process(at_once);
  } else if (signals && end.signalled) {
    detach("end watch", watch_the_rest, std::move(*signals), end_of(options, *end.signalled), at_once);
  }
  if (signals) signals->close();
  if (broken || is_cut_off) serving.cancel();
  co_await serving.join();
  if (broken) std::rethrow_exception(broken);
  co_return is_cut_off || end.failed ? options.overdue_code : end.ends.exit_code();
}

}  // namespace levity::service
