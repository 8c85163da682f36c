#pragma once

// still_reactor: a reactor in which nothing ever happens, for scenarios of the model lane: it has no sockets, its time stands
// still, and who polls it waits until it is rung. As in each backend, what a thread did before it rang is there for the poll that
// hears it (E206).

#include <cstdint>

#include "levity/base/atomic.hpp"
#include "platform/futex.hpp"
#include "reactor/reactor.hpp"

namespace levity::inline v0::detail {

class still_reactor final : public reactor {
public:
  static constexpr std::int64_t time_ns = 1'000'000'000;

  still_reactor() noexcept : reactor(time_ns) {}

  std::int64_t now_ns() noexcept override { return time_ns; }
  void poll(const poll_lease&, std::int64_t until_ns, ready_batch&) noexcept override {
    while (rung_.exchange(0, std::memory_order_acquire) == 0 && until_ns > time_ns) {  // E206 acquire.
      futex_wait(reinterpret_cast<const std::uint32_t*>(&rung_), 0);
    }
  }
  void ring() noexcept override {
    rung_.store(1, std::memory_order_release);  // E206 release.
    futex_wake_one(reinterpret_cast<const std::uint32_t*>(&rung_));
  }
  io_result<void> attend(reactor&, unsigned) noexcept override { return {}; }

  io_result<endpoint*> listen(const listen_request&) noexcept override { return none(); }
  io_result<endpoint*> adopt_listener(int) noexcept override { return none(); }
  io_result<endpoint*> adopt(int) noexcept override { return none(); }
  io_result<endpoint*> try_accept(endpoint&, reactor&) noexcept override { return none(); }
  io_result<endpoint*> start_connect(const address&) noexcept override { return none(); }
  io_result<void> finish_connect(endpoint&) noexcept override { return none(); }
  io_result<std::size_t> try_read(endpoint&, std::span<std::byte>) noexcept override { return none(); }
  io_result<std::size_t> try_write(endpoint&, std::span<const iovec>) noexcept override { return none(); }
  io_result<void> shutdown_write(endpoint&) noexcept override { return none(); }
  void close(endpoint&, bool) noexcept override {}
  bool lends_descriptor(const endpoint&) const noexcept override { return false; }
  address local_address(const endpoint&) const noexcept override { return {}; }
  address peer_address(const endpoint&) const noexcept override { return {}; }
  io_result<void> set_option(endpoint&, int, int, int) noexcept override { return none(); }
  std::uint64_t endpoints_approx() const noexcept override { return 0; }

private:
  static std::unexpected<io_error> none() noexcept {
    return std::unexpected(io_error{io_failure::unsupported, 0, "sockets where nothing happens"});
  }

  atomic<std::uint32_t> rung_{0};
};

}  // namespace levity::detail
