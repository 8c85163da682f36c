#include "runtime/runtime_core.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <string_view>

#include "platform/cpu_limit.hpp"
#include "platform/placement.hpp"
#include "platform/ring_host.hpp"
#include "reactor/epoll_reactor.hpp"
#include "reactor/ring/ring_reactor.hpp"
#include "reactor/sim_reactor.hpp"

namespace levity::inline v0::detail {
namespace {

using sockets = runtime_options::sockets;

[[noreturn]] void cannot_start(const std::string& why) { throw std::runtime_error("levity cannot start: " + why); }

sockets chosen_backend(const runtime_options& options) {
  if (options.backend != sockets::automatic) return options.backend;
  const char* wish = std::getenv("LEVITY_SOCKETS");
  const std::string_view name = wish != nullptr ? wish : "epoll";
  if (name == "epoll") return sockets::epoll;
  if (name == "ring") return sockets::ring;
  if (name == "ring_or_epoll") return sockets::ring_or_epoll;
  cannot_start("LEVITY_SOCKETS says \"" + std::string(name) + "\"; make it epoll, ring or ring_or_epoll");
}

// The ring of all reactors; null: they use epoll.
std::shared_ptr<socket_ring> make_socket_ring(const runtime_options& options) {
  const sockets backend = chosen_backend(options);
  if (backend != sockets::ring && backend != sockets::ring_or_epoll) return nullptr;
  socket_ring_options how;
  if (options.zero_copy_from != 0) how.zero_copy_from = options.zero_copy_from;
  io_result<std::shared_ptr<socket_ring>> made = socket_ring::create(how);
  if (made) return std::move(*made);
  const char* cause = cause_of_ring_refusal(made.error().code());
  const std::string refusal = "io_uring is refused (" + (cause != nullptr ? cause : made.error().message()) + ")";
  if (backend == sockets::ring) cannot_start(refusal + "; allow it or choose runtime_options::sockets::ring_or_epoll");
  std::fprintf(stderr, "levity: %s; sockets use epoll\n", refusal.c_str());
  return nullptr;
}

template <class Backend>
void add(std::vector<std::unique_ptr<reactor>>& reactors, io_result<std::unique_ptr<Backend>> made) {
  if (!made) cannot_start(made.error().message());
  reactors.push_back(std::move(*made));
}

// Reads the machine only where something follows from it.
slot_places choose_places(const runtime_options& options, unsigned slots) {
  using affinity = runtime_options::worker_affinity;
  const bool is_threaded = !options.embedded && options.backend != sockets::sim;
  if (!is_threaded || options.affinity == affinity::none) return {};
  if (options.affinity == affinity::automatic && (slots == 1 || !has_several_nodes())) return {};
  const cpu_set allowed = cpu_set::of_this_thread();
  if (allowed.empty()) return {};
  const topology machine = read_topology().restricted_to(allowed);
  if (options.affinity == affinity::automatic && machine.nodes_with_cpus() == 1) return {};
  slot_places chosen;
  chosen.of = place_slots(machine, allowed, slots);
  const bool one_cpu = options.affinity == affinity::cpu;
  chosen.exact = one_cpu ? steal_order::known::cpu : steal_order::known::node;
  // Of a node all CPUs: the kernel keeps its say there, and a neighbour's load moves nobody to another node.
  for (const topology::cpu& each : chosen.of) chosen.affinity.push_back(one_cpu ? cpu_set{each.id} : machine.cpus_of(each.node));
  return chosen;
}

scheduler_options set_up(const runtime_options& options, stall_listener& stalls) {
  scheduler_options made;
  made.reactors = make_reactors(options);
  if (options.backend == sockets::sim) made.seed = options.seed | 1;
  made.stuck_threads_max = std::min(options.stuck_threads_max, 16'384U);
  made.stalls = &stalls;
  made.stalls_told_after_ns = std::int64_t{options.stalls_told_after_ms} * 1'000'000;
  made.places = choose_places(options, static_cast<unsigned>(made.reactors.size()));
  return made;
}

}  // namespace

std::vector<std::unique_ptr<reactor>> make_reactors(const runtime_options& options) {
  std::vector<std::unique_ptr<reactor>> reactors;
  if (options.backend == runtime_options::sockets::sim) {
    reactors.push_back(make_sim_reactor(options.seed));
    return reactors;
  }
  const unsigned workers = options.embedded ? 1 : options.workers != 0 ? options.workers : usable_cpus();
  const std::shared_ptr<socket_ring> ring = make_socket_ring(options);
  for (unsigned i = 0; i < workers && i < idle_set::workers_max; i++) {
    if (ring != nullptr) {
      add(reactors, ring_reactor::create(ring, options.embedded));
    } else {
      add(reactors, epoll_reactor::create(options.embedded));
    }
  }
  return reactors;
}

runtime_core::runtime_core(const runtime_options& options)
    : embedded(options.embedded),
      simulated(options.backend == runtime_options::sockets::sim),
      runs(set_up(options, stalls)),
      files(runs, options.files, simulated),
      listed(runs, simulated) {
  runs.use_files(files);
}

}  // namespace levity::detail
