#pragma once

// tcp_listener: where TCP connections come in, through one socket or through one for each reactor.
//
//   sharding      sockets         a connection is watched by
//   none          1               the reactor that watches the listening socket
//   round_robin   1               the reactors in turn
//   reuse_port    one a reactor   the reactor of the socket the kernel chose, by a hash of both addresses and ports
//
// Of the three round_robin spreads evenly whatever the clients do, at the price of one queue that one worker empties; reuse_port
// has no such queue, but few or unequal clients fall unequally, and a shard that nobody accepts from keeps what it was given.
//
// Closing. What a socket's queue still holds when it closes is reset by the kernel: the peer's connect had succeeded, its first
// read fails. So empty the queue before: drain() in close_gracefully.hpp does. With net.ipv4.tcp_migrate_req=1 (Linux 5.14) what
// comes between the last try_accept() and the close moves to another socket of the same address: to the next shard, or to those
// of a process that takes over. Without it, or with no other socket, that remainder is reset.

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "levity/base/address.hpp"
#include "levity/base/clock.hpp"
#include "levity/base/error.hpp"
#include "levity/io/tcp.hpp"
#include "levity/task/task.hpp"

namespace levity::inline v0 {

/// How the connections of a listener are spread over the reactors of the runtime.
enum class accept_sharding : std::uint8_t {
  none,         ///< one socket; its connections stay with the reactor that watches it
  round_robin,  ///< one socket; its connections are dealt to the reactors in turn
  reuse_port,   ///< one socket a reactor (SO_REUSEPORT), each with a queue of its own; its connections stay there
};

/// How a listener is set up. The defaults serve a network service.
struct listen_options {
  /// Connections that may wait to be accepted, in each shard; the kernel bounds it by net.core.somaxconn.
  int backlog = 4096;
  /// How connections are spread over the reactors.
  accept_sharding sharding = accept_sharding::round_robin;
  /// Whether "[::]" takes no IPv4 connections; it does take them otherwise, whatever net.ipv6.bindv6only says.
  bool ipv6_only = false;
  /// Not zero: a connection is accepted when its first bytes are there, or after about so long (TCP_DEFER_ACCEPT; in
  /// seconds, rounded up). For protocols in which the client speaks first. A simulated network does not know it.
  duration defer_accept{};
};

/// A listening TCP address: one socket, or several that share it, its shards. Move-only.
///
/// Different tasks may accept from different shards at a time; several from one shard must not (asserted).
class tcp_listener {
public:
  tcp_listener() = default;
  tcp_listener(tcp_listener&& other) noexcept;
  tcp_listener& operator=(tcp_listener&& other) noexcept;
  ~tcp_listener();

  /// Opens a listener at "127.0.0.1:7000", "[::1]:7000" or ":7000" (port 0: any free one; see local_address). May be called
  /// before the runtime exists. A malformed address fails with io_failure::invalid, a taken one with address_in_use. Another
  /// process of the same user that asked for reuse_port, too, takes no address: the kernel deals connections to both. One that is
  /// bound before a simulated runtime exists is the kernel's: there the first accept() fails with unsupported; bind inside a task.
  static io_result<tcp_listener> bind(std::string_view at, const listen_options& options = {});
  static io_result<tcp_listener> bind(address at, const listen_options& options = {});

  /// Inside a task: how many shards there are, at least one. Where the listener was bound before the runtime, the others are opened
  /// now; if that fails, all are closed. Called before several tasks accept; a single one need not.
  io_result<std::size_t> open_shards();

  /// The next connection of the only shard (asserted), or of one of them. When descriptors or memory run out, or a
  /// firewall forbids it, it waits and tries again rather than fail, and says so once on standard error. Fails when cancelled, out
  /// of time or closed; then it has taken no connection.
  [[nodiscard]] task<io_result<tcp_stream>> accept() { return accept(only_shard); }
  [[nodiscard]] task<io_result<tcp_stream>> accept(std::size_t shard);

  /// A connection that is there already; would_block if there is none. After open_shards(), while no task accepts from that shard.
  [[nodiscard]] io_result<tcp_stream> try_accept(std::size_t shard) noexcept;

  /// Closes every shard. Connections that nobody has accepted are reset by the kernel: take them by try_accept() before.
  /// Idempotent. No task may accept from it. The address is free at once; but over io_uring that of a listener that was bound
  /// before the runtime, whose socket others may share, is so a moment later: try again there, or bind inside a task.
  void close() noexcept;
  /// The same for one shard.
  void close_shard(std::size_t shard) noexcept;
  /// Where it listens, with the port that was given for port 0; the empty address after close(). Any thread, also while tasks
  /// accept.
  [[nodiscard]] address local_address() const noexcept { return at_; }

private:
  static constexpr std::size_t only_shard = static_cast<std::size_t>(-1);

  [[nodiscard]] detail::reactor& first_reactor(detail::executor& here) const noexcept;
  void reserve(detail::executor& here);
  io_result<void> complete(detail::executor& here, detail::endpoint& first);
  [[nodiscard]] bool is_open(std::size_t shard) const noexcept { return shard < shards_.size() && shards_[shard] != nullptr; }

  io_result<tcp_stream> accept_once(detail::endpoint& from) noexcept;

  listen_options options_;
  std::vector<detail::endpoint*> shards_;  // null: closed
  int early_fd_ = -1;                      // bound before any runtime; watched from open_shards() on
  address at_;                             // from bind() to close()
  detail::reactor* turn_of_ = nullptr;     // round_robin: who watches the next connection; null: not drawn yet
};

}  // namespace levity
