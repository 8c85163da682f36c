#pragma once

// host_network: in which network a thread that runs no task opens its sockets. A program binds its listeners before lv::run; on a
// thread of a simulated host they must not become the kernel's. See runtime/run_host.hpp, which installs it.

namespace levity::inline v0::detail {

struct reactor;

/// The reactor of this thread's host; null: the network is the kernel's.
[[nodiscard]] reactor* host_network() noexcept;

/// Installs `network` (null: the kernel's) for this thread and returns what was there.
reactor* exchange_host_network(reactor* network) noexcept;

}  // namespace levity::detail
