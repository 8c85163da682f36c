#include "runtime/runtime_core.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "platform/placement.hpp"
#include "platform/ring_host.hpp"
#include "reactor/epoll_reactor.hpp"
#include "reactor/ring/ring_reactor.hpp"
#include "reactor/sim/sim_reactor.hpp"
#include "runtime/limit.hpp"

namespace levity::inline v0::detail {
namespace {

using sockets = runtime_options::sockets;

constexpr unsigned stuck_threads_most = 16'384;

[[noreturn]] void cannot_start(const std::string& why) { throw std::runtime_error("levity cannot start: " + why); }

sockets chosen_backend(const runtime_options& options) {
  if (options.backend != sockets::automatic) return options.backend;
  const char* wish = std::getenv("LEVITY_SOCKETS");
  const std::string_view name = wish != nullptr ? wish : "";
  if (name.empty() || name == "epoll") return sockets::epoll;
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

// What is out of range is refused, and not taken for something else.
void check(const runtime_options& options) {
  if (options.workers > idle_set::workers_max) {
    cannot_start("runtime_options::workers is " + std::to_string(options.workers) + "; make it " +
                 std::to_string(idle_set::workers_max) + " at most, or 0: as many as this process may use CPUs");
  }
  if (options.stuck_threads_max > stuck_threads_most) {
    cannot_start("runtime_options::stuck_threads_max is " + std::to_string(options.stuck_threads_max) + "; make it " +
                 std::to_string(stuck_threads_most) + " at most");
  }
  const auto refuse_unknown = [](const char* option, auto value, auto last) {
    const unsigned number = std::to_underlying(value);
    if (value > last) cannot_start(std::string("runtime_options::") + option + " has no value " + std::to_string(number));
  };
  refuse_unknown("affinity", options.affinity, runtime_options::worker_affinity::cpu);
  refuse_unknown("backend", options.backend, sockets::sim);
  refuse_unknown("files", options.files, file_means::blocking);
}

using reactor_source = std::function<io_result<std::unique_ptr<reactor>>()>;

// What makes the reactors of a runtime on the kernel. Throws std::runtime_error.
reactor_source source_of(const runtime_options& options) {
  const bool embedded = options.embedded;
  if (std::shared_ptr<socket_ring> ring = make_socket_ring(options)) {
    return [ring = std::move(ring), embedded] { return ring_reactor::create(ring, embedded); };
  }
  return [embedded] { return epoll_reactor::create(embedded); };
}

// Who says a number gets it.
bool follows_limit(const runtime_options& options) {
  return options.workers == 0 && !options.embedded && options.backend != sockets::sim;
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
  check(options);
  scheduler_options made;
  made.stuck_threads_max = options.stuck_threads_max;
  made.stalls = &stalls;
  made.stalls_told_after_ns = std::int64_t{options.stalls_told_after_ms} * 1'000'000;
  if (options.backend == sockets::sim) {
    made.reactors.push_back(make_sim_reactor(options.seed));
    made.seed = options.seed | 1;
    return made;
  }
  unsigned workers = options.embedded ? 1 : options.workers;
  if (follows_limit(options)) {
    made.limit = make_limit();
    workers = std::min(made.limit->cpus(), idle_set::workers_max);
    // One that never will be another needs nobody who follows it.
    if (made.limit->highest() == 1) made.limit.reset();
  }
  made.make_reactor = source_of(options);
  for (unsigned i = 0; i < workers; i++) {
    io_result<std::unique_ptr<reactor>> one = made.make_reactor();
    if (!one) cannot_start(one.error().message());
    made.reactors.push_back(std::move(*one));
  }
  if (made.limit != nullptr) made.slots = std::min(made.limit->highest(), idle_set::workers_max);
  made.places = choose_places(options, std::max(made.slots, static_cast<unsigned>(made.reactors.size())));
  return made;
}

scheduler_options set_up(simulated_parts& parts, stall_listener& stalls) {
  scheduler_options made;
  made.stalls = &stalls;
  made.reactors.push_back(std::move(parts.home));
  made.seed = parts.seed | 1;
  made.chooses = parts.chooses;
  return made;
}

}  // namespace

runtime_core::runtime_core(const runtime_options& options, file_backend* other)
    : embedded(options.embedded),
      simulated(options.backend == runtime_options::sockets::sim),
      runs(set_up(options, stalls)),
      files(runs, options.files, simulated),
      listed(runs, simulated) {
  runs.use_files(other != nullptr ? *other : static_cast<file_backend&>(files));
  if (simulated) runs.use_signals(signals.emplace(runs, options.handle_signals));
}

runtime_core::runtime_core(simulated_parts parts)
    : embedded(true), simulated(true), runs(set_up(parts, stalls)), files(runs, file_means::automatic, true), listed(runs, true) {
  runs.use_files(parts.files != nullptr ? *parts.files : static_cast<file_backend&>(files));
  runs.use_signals(signals.emplace(runs, true));
  runs.use_names(parts.names);
}

}  // namespace levity::detail
