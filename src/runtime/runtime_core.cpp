#include "runtime/runtime_core.hpp"

#include <stdexcept>

#include "platform/topology.hpp"
#include "reactor/epoll_reactor.hpp"
#include "reactor/sim_reactor.hpp"

namespace levity::inline v0::detail {

std::vector<std::unique_ptr<reactor>> make_reactors(const runtime_options& options) {
  std::vector<std::unique_ptr<reactor>> reactors;
  if (options.backend == runtime_options::sockets::sim) {
    reactors.push_back(make_sim_reactor(options.seed));
    return reactors;
  }
  const unsigned workers = options.embedded ? 1 : options.workers != 0 ? options.workers : usable_cpus();
  for (unsigned i = 0; i < workers && i < idle_set::workers_max; i++) {
    auto made = epoll_reactor::create();
    if (!made) throw std::runtime_error("levity cannot start: " + made.error().message());
    reactors.push_back(std::move(*made));
  }
  return reactors;
}

runtime_core::runtime_core(const runtime_options& options)
    : embedded(options.embedded),
      simulated(options.backend == runtime_options::sockets::sim),
      runs({make_reactors(options), simulated ? options.seed | 1 : 0}),
      files(runs, options.files, simulated),
      listed(runs, simulated) {
  runs.use_files(files);
}

}  // namespace levity::detail
