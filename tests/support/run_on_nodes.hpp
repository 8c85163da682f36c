#pragma once

#include <source_location>
#include <utility>
#include <vector>

#include "levity/task/task.hpp"
#include "reactor/epoll_reactor.hpp"
#include "sched/scheduler.hpp"

namespace levity::test {

/// A scheduler whose slot i lives on node `nodes[i]`, which this machine need not have. Its threads run anywhere, and where
/// `stuck_threads_max` is 0 a task that does not wait keeps its slot.
class scheduler_on_nodes {
public:
  explicit scheduler_on_nodes(const std::vector<unsigned>& nodes, unsigned stuck_threads_max = 512)
      : runs(options_for(nodes, stuck_threads_max)) {}

  /// `main` is the only task that nobody spawns. Returns when there are no more.
  void run(task<> main) {
    runs.start();
    auto frame = std::move(main).release_frame();
    runs.root().adopt(frame, frame.promise(), "main", std::source_location::current());
    runs.join();
  }

  detail::scheduler runs;

private:
  static detail::scheduler_options options_for(const std::vector<unsigned>& nodes, unsigned stuck_threads_max) {
    detail::scheduler_options made;
    made.stuck_threads_max = stuck_threads_max;
    made.places.exact = detail::steal_order::known::node;
    for (unsigned slot = 0; slot < nodes.size(); slot++) {
      made.reactors.push_back(detail::epoll_reactor::create().value());
      made.places.of.push_back({slot, slot, slot, nodes[slot], 0});
    }
    return made;
  }
};

}  // namespace levity::test
