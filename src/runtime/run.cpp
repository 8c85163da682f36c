#include "levity/runtime/run.hpp"

#include <unistd.h>

#include <cstdlib>
#include <exception>
#include <optional>
#include <stdexcept>
#include <system_error>

#include "base/system_thread.hpp"
#include "inspect/dump.hpp"
#include "levity/sched/detail/apart_call.hpp"
#include "platform/bounded_writer.hpp"
#include "platform/signal_counts.hpp"
#include "platform/signals.hpp"
#include "platform/thread.hpp"
#include "reactor/sim/sim_reactor.hpp"
#include "runtime/refusal.hpp"
#include "runtime/run_host.hpp"
#include "runtime/runtime_core.hpp"
#include "sched/scheduler.hpp"

namespace levity::inline v0::detail {
namespace {

// Who has been asked for the end, by a signal.
struct asked_for_end {
  bool runtime = false;
  bool program = false;  // which took it itself
};

// Until the watch is stopped. The first signal that asks for the end is `first`'s, the second one ends the process.
template <class First>
void hear(signal_watch& signals, scheduler& runs, asked_for_end& asked, First&& first) {
  for (int signal = signals.wait(); signal != signal_watch::stopped; signal = signals.wait()) {
    if (deliver_signal(signal)) {
      if (signal != SIGQUIT) asked.program = true;
      continue;
    }
    if (signal == SIGQUIT) {
      print_tasks(runs, STDERR_FILENO);
    } else if (asked.runtime) {
      bounded_writer(STDERR_FILENO, 0).write("levity: second signal, ending at once\n");
      std::_Exit(128 + signal);
    } else {
      asked.runtime = true;
      first(signal);
    }
  }
}

// Waits for threads and calls while signals are heard as before: calls that were left behind may take as long as they like. False:
// no thread is to be had for that.
bool end_while_heard(signal_watch& signals, scheduler& runs, asked_for_end& asked) {
  if (asked.program) asked.runtime = true;  // nobody has to ask a third time
  signals.resume();
  system_thread ends;
  try {
    ends = start_thread("levity end", [&signals, &runs] {
      runs.join();
      runs.end_calls();
      signals.stop();
    });
  } catch (const std::system_error&) {
    return false;
  }
  hear(signals, runs, asked, [](int) {
    bounded_writer(STDERR_FILENO, 0).write("levity: the end waits for blocking calls that were left behind; another signal ends "
                                           "the process at once\n");
  });
  ends.join();
  return true;
}

// Adopts the main task and waits for the end of everything.
int run_to_end(runtime_core& core, task<> main, const main_outcome& outcome, signal_watch* signals) {
  scheduler& runs = core.runs;
  const bool here = core.simulated;
  int code = 0;
  if (!here) {
    runs.on_empty = [signals] {
      if (signals != nullptr) signals->stop();
    };
    runs.start();
  }
  auto frame = std::move(main).release_frame();
  if (here) {
    static_cast<sim_reactor&>(runs.reactor_at(0)).on_deadlock = [&runs] { print_tasks(runs, STDERR_FILENO); };
    core.signals->on_quit = [&runs] { print_tasks(runs, STDERR_FILENO); };
    runs.root().adopt(frame, frame.promise(), "main", std::source_location{});
    runs.run_here();
    code = core.signals->code();
  } else {
    try {
      runs.root().adopt(frame, frame.promise(), "main", std::source_location{});
    } catch (...) {
      runs.root_empty();
      runs.join();
      throw;
    }
    asked_for_end asked;
    if (signals != nullptr) {
      hear(*signals, runs, asked, [&](int signal) {
        code = 128 + signal;
        runs.root().cancel(cancel_reason::shutdown);
      });
    }
    if (signals == nullptr || apart_call::left_behind_approx() == 0 || !end_while_heard(*signals, runs, asked)) runs.join();
  }
  return exit_code(runs, code, outcome);
}

void refuse_embedded(const runtime_options& options) {
  if (!options.embedded) return;
  throw std::runtime_error("levity cannot start: lv::run is asked for runtime_options::embedded, which is for a lv::runtime in a "
                           "loop of your own; leave it out");
}

int run_on_host(run_host& host, const runtime_options& options, task<> main, const main_outcome& outcome) {
  if (current_run().exec != nullptr) {
    throw std::runtime_error("levity cannot start: lv::run is called inside a task of a simulated host, which has one runtime; "
                             "co_await the task instead");
  }
  return host.run(options, std::move(main), outcome);
}

int run_on_new_runtime(const runtime_options& options, task<> main, const main_outcome& outcome) {
  const bool simulated = options.backend == runtime_options::sockets::sim;
  // Blocks them before any thread exists, and until the last one, which may yet send what was written, has ended.
  std::optional<signal_watch> signals;
  if (!simulated && options.handle_signals) signals.emplace();
  runtime_core core(options);
  return run_to_end(core, std::move(main), outcome, signals ? &*signals : nullptr);
}

}  // namespace

int run_main(const runtime_options& options, task<> main, const main_outcome& outcome) {
  try {
    refuse_embedded(options);
    if (run_host* const host = this_run_host()) return run_on_host(*host, options, std::move(main), outcome);
    return run_on_new_runtime(options, std::move(main), outcome);
  } catch (const std::runtime_error& refused) {
    // There is no runtime: what a task throws ends with the task.
    tell_refusal(refused);
    return 1;
  }
}

}  // namespace levity::detail
