#include "levity/runtime/run.hpp"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "inspect/dump.hpp"
#include "io/file_service.hpp"
#include "platform/signal_counts.hpp"
#include "platform/signals.hpp"
#include "platform/topology.hpp"
#include "reactor/epoll_reactor.hpp"
#include "reactor/sim_reactor.hpp"
#include "sched/scheduler.hpp"

namespace levity::inline v0::detail {
namespace {

std::vector<std::unique_ptr<reactor>> make_reactors(const runtime_options& options) {
  std::vector<std::unique_ptr<reactor>> reactors;
  if (options.backend == runtime_options::sockets::sim) {
    reactors.push_back(make_sim_reactor(options.seed));
    return reactors;
  }
  const unsigned workers = options.workers != 0 ? options.workers : usable_cpus();
  for (unsigned i = 0; i < workers && i < idle_set::workers_max; i++) {
    auto made = epoll_reactor::create();
    if (!made) throw std::runtime_error("levity cannot start: " + made.error().message());
    reactors.push_back(std::move(*made));
  }
  return reactors;
}

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
    runs.root().adopt(frame, frame.promise(), nullptr, "main", std::source_location::current());
    runs.run_here();
  } else {
    try {
      runs.root().adopt(frame, frame.promise(), nullptr, "main", std::source_location::current());
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
        std::fprintf(stderr, "levity: second signal, ending at once\n");
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
  const bool simulated = options.backend == runtime_options::sockets::sim;
  scheduler runs{{make_reactors(options), simulated ? options.seed | 1 : 0}};
  file_service files{runs, options.files, simulated};
  runs.use_files(files);
  if (simulated || !options.handle_signals) {
    return run_to_end(runs, std::move(main), outcome, simulated, nullptr);
  }
  signal_watch signals;  // blocks them before any thread exists
  return run_to_end(runs, std::move(main), outcome, false, &signals);
}

}  // namespace levity::detail
