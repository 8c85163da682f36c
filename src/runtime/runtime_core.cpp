#include "runtime/runtime_core.hpp"

#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <string_view>

#include "platform/cpu_limit.hpp"
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
      runs({make_reactors(options), simulated ? options.seed | 1 : 0}),
      files(runs, options.files, simulated),
      listed(runs, simulated) {
  runs.use_files(files);
}

}  // namespace levity::detail
