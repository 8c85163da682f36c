#include "levity/runtime/run.hpp"

#include <unistd.h>

#include <cstdlib>
#include <exception>
#include <optional>

#include "inspect/dump.hpp"
#include "levity/base/assert.hpp"
#include "platform/bounded_writer.hpp"
#include "platform/signal_counts.hpp"
#include "platform/signals.hpp"
#include "reactor/sim_reactor.hpp"
#include "runtime/runtime_core.hpp"
#include "sched/scheduler.hpp"

namespace levity::inline v0::detail {
namespace {

// Adopts the main task and waits for the end of everything.
int run_to_end(scheduler& runs, task<> main, const main_outcome& outcome, bool here, signal_watch* signals) {
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
    runs.root().adopt(frame, frame.promise(), "main", std::source_location::current());
    runs.run_here();
  } else {
    try {
      runs.root().adopt(frame, frame.promise(), "main", std::source_location::current());
    } catch (...) {
      runs.root_empty();
      runs.join();
      throw;
    }
    bool asked = false;
    while (signals != nullptr) {
      const int signal = signals->wait();
      if (signal == signal_watch::stopped) break;
      if (deliver_signal(signal)) continue;  // the program takes it itself
      if (signal == SIGQUIT) {
        print_tasks(runs, STDERR_FILENO);
      } else if (asked) {
        bounded_writer(STDERR_FILENO, 0).write("levity: second signal, ending at once\n");
        std::_Exit(128 + signal);
      } else {
        asked = true;
        code = 128 + signal;
        runs.root().cancel(cancel_reason::shutdown);
      }
    }
    runs.join();
  }
  scope_state& root = runs.root();
  if (root.failure != nullptr) {
    runs.unobserved(root.failure, "main", std::source_location{});
    return 1;
  }
  return code != 0 && root.child_cancelled ? code : outcome.code;
}

}  // namespace

int run_main(const runtime_options& options, task<> main, const main_outcome& outcome) {
  LEVITY_ASSERT(!options.embedded, "runtime_options::embedded is for lv::runtime; lv::run has no loop to be embedded in");
  const bool simulated = options.backend == runtime_options::sockets::sim;
  // Blocks them before any thread exists, and until the last one, which may yet send what was written, has ended.
  std::optional<signal_watch> signals;
  if (!simulated && options.handle_signals) signals.emplace();
  runtime_core core(options);
  return run_to_end(core.runs, std::move(main), outcome, simulated, signals ? &*signals : nullptr);
}

}  // namespace levity::detail
