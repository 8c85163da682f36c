#include "levity/io/tcp_listener.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include "io/accepting.hpp"
#include "io/address_text.hpp"
#include "io/event_wait.hpp"
#include "levity/base/assert.hpp"
#include "levity/base/atomic.hpp"
#include "levity/task/cancel.hpp"
#include "levity/task/yield.hpp"
#include "levity/time/sleep.hpp"
#include "platform/syscall.hpp"
#include "reactor/host_network.hpp"
#include "reactor/reactor.hpp"

namespace levity::inline v0 {

using namespace detail;

namespace {

constexpr const char* accepting = "accepting";

const wait_reason accept_reason{"accept", &event_wait::take_back, nullptr, &event_wait::describe};

listen_request request_for(const address& at, const listen_options& options) noexcept {
  const auto seconds = std::chrono::ceil<std::chrono::seconds>(options.defer_accept);
  return {at, options.backlog, options.sharding == accept_sharding::reuse_port, options.ipv6_only,
          static_cast<int>(seconds.count())};
}

}  // namespace

bool detail::passes_by_itself(const io_error& why) noexcept {
  return why == io_failure::no_descriptors || why == io_failure::no_memory || why == io_failure::permission;
}

void detail::say_that_connections_wait(const io_error& why) noexcept {
  const bool forbidden = why == io_failure::permission;
  static levity::atomic<bool> said[2]{};
  if (said[forbidden].exchange(true, std::memory_order_relaxed)) return;
  std::fprintf(stderr, "levity: %s; new connections wait until %s\n", why.message().c_str(),
               forbidden ? "that is allowed" : "some close");
}

tcp_listener::tcp_listener(tcp_listener&& other) noexcept
    : options_(other.options_), shards_(std::move(other.shards_)), early_fd_(std::exchange(other.early_fd_, -1)),
      at_(std::exchange(other.at_, {})) {
  other.shards_.clear();
}

tcp_listener& tcp_listener::operator=(tcp_listener&& other) noexcept {
  if (this != &other) {
    close();
    options_ = other.options_;
    shards_ = std::move(other.shards_);
    other.shards_.clear();
    early_fd_ = std::exchange(other.early_fd_, -1);
    at_ = std::exchange(other.at_, {});
  }
  return *this;
}

tcp_listener::~tcp_listener() { close(); }

io_result<tcp_listener> tcp_listener::bind(std::string_view at, const listen_options& options) {
  const io_result<address> parsed = read_address(at, "reading the address to listen on");
  if (!parsed) return std::unexpected(parsed.error());
  return bind(*parsed, options);
}

io_result<tcp_listener> tcp_listener::bind(address at, const listen_options& options) {
  const listen_request request = request_for(at, options);
  tcp_listener listener;
  listener.options_ = options;
  executor* here = current_run().exec;
  if (reactor* network = here == nullptr ? host_network() : nullptr) {
    listener.shards_.reserve(1);
    const io_result<endpoint*> only = network->listen(request);
    if (!only) return std::unexpected(only.error());
    listener.shards_.push_back(*only);
    listener.at_ = network->local_address(**only);
    return listener;
  }
  if (here == nullptr) {
    const io_result<int> fd = open_listening_socket(request);
    if (!fd) return std::unexpected(fd.error());
    listener.early_fd_ = *fd;
    listener.at_ = socket_local_address(*fd);
    return listener;
  }
  listener.reserve(*here);
  const io_result<endpoint*> first = listener.first_reactor(*here).listen(request);
  if (!first) return std::unexpected(first.error());
  listener.at_ = (*first)->home->local_address(**first);
  if (const io_result<void> opened = listener.complete(*here, **first); !opened) return std::unexpected(opened.error());
  return listener;
}

reactor& tcp_listener::first_reactor(executor& here) const noexcept {
  return options_.sharding == accept_sharding::reuse_port ? here.reactor_at(0) : here.home_reactor();
}

// Room for all shards, before the first one is open and could be lost.
void tcp_listener::reserve(executor& here) {
  shards_.reserve(options_.sharding == accept_sharding::reuse_port ? here.reactor_count() : 1);
}

// With its first shard open, opens those on the other reactors, at the address that the first has got. All or none.
io_result<void> tcp_listener::complete(executor& here, endpoint& first) {
  shards_.push_back(&first);
  if (options_.sharding != accept_sharding::reuse_port) return {};
  const listen_request request = request_for(first.home->local_address(first), options_);
  // The number of reactors may have grown since there was made room.
  const auto count = static_cast<unsigned>(std::min<std::size_t>(here.reactor_count(), shards_.capacity()));
  for (unsigned i = 1; i < count; i++) {
    const io_result<endpoint*> socket = here.reactor_at(i).listen(request);
    if (!socket) {
      close();
      return std::unexpected(socket.error());
    }
    shards_.push_back(*socket);
  }
  return {};
}

io_result<std::size_t> tcp_listener::open_shards() {
  if (early_fd_ >= 0) {
    executor* here = current_run().exec;
    LEVITY_ASSERT(here != nullptr, "the shards of a listener are opened inside a task, where there are reactors");
    reserve(*here);
    const io_result<endpoint*> first = first_reactor(*here).adopt_listener(std::exchange(early_fd_, -1));
    if (!first) return std::unexpected(first.error());
    if (const io_result<void> opened = complete(*here, **first); !opened) return std::unexpected(opened.error());
  }
  if (shards_.empty()) return std::unexpected(io_error{io_failure::closed, 0, accepting});
  return shards_.size();
}

// One attempt; keeps the direction's word right. Only a connection uses a turn up: attempts that find nothing come at a
// regular beat, and would leave reactors out.
io_result<tcp_stream> tcp_listener::accept_once(endpoint& from) noexcept {
  // Shards have no turns, and a task each: they must not touch what is the only socket's.
  const bool deals = options_.sharding == accept_sharding::round_robin;
  if (deals && turn_of_ == nullptr) turn_of_ = &current_run().exec->next_reactor();
  from.reading.clear();
  const io_result<endpoint*> peer = from.home->try_accept(from, deals ? *turn_of_ : *from.home);
  // There may be more in the queue.
  if (peer || peer.error() != io_failure::would_block) from.reading.mark_ready();
  if (!peer) return std::unexpected(peer.error());
  if (deals) turn_of_ = nullptr;
  return tcp_stream{**peer};
}

task<io_result<tcp_stream>> tcp_listener::accept(std::size_t shard) {
  if (early_fd_ >= 0) {
    const io_result<std::size_t> opened = open_shards();
    if (!opened) co_return std::unexpected(opened.error());
  }
  if (shard == only_shard) {
    LEVITY_ASSERT(shards_.size() <= 1, "a listener with several shards is accepted from by accept(shard), a task each, or serve()");
    shard = 0;
  }
  if (!is_open(shard)) co_return std::unexpected(io_error{io_failure::closed, 0, accepting});
  endpoint& socket = *shards_[shard];
  for (;;) {
    if (!socket.reading.is_drained()) {
      // What is there needs no wait, but who takes connections without end lets the others run, and ends when it shall.
      try {
        if (spend_budget()) {
          co_await throw_if_cancelled();
        } else {
          co_await yield();
        }
      } catch (const cancelled& ended) {
        co_return std::unexpected(to_io_error(ended.reason(), accepting));
      }
      io_result<tcp_stream> peer = accept_once(socket);
      if (peer) co_return peer;
      const io_failure failure = peer.error().failure();
      if (passes_by_itself(peer.error())) {
        say_that_connections_wait(peer.error());
        try {
          co_await sleep(10ms);
        } catch (const cancelled& ended) {
          co_return std::unexpected(to_io_error(ended.reason(), accepting));
        }
        continue;
      }
      if (failure != io_failure::would_block) co_return peer;
    }
    const cancel_reason why = co_await event_wait{accept_reason, socket, true};
    if (why != cancel_reason::none) co_return std::unexpected(to_io_error(why, accepting));
  }
}

io_result<tcp_stream> tcp_listener::try_accept(std::size_t shard) noexcept {
  if (!is_open(shard)) return std::unexpected(io_error{io_failure::closed, 0, accepting});
  return accept_once(*shards_[shard]);
}

void tcp_listener::close() noexcept {
  if (const int fd = std::exchange(early_fd_, -1); fd >= 0) kernel::close(fd);
  for (std::size_t i = 0; i < shards_.size(); i++) close_shard(i);
  shards_.clear();
  at_ = {};
  turn_of_ = nullptr;  // a reactor of this runtime; the next address may belong to another one
}

void tcp_listener::close_shard(std::size_t shard) noexcept {
  if (!is_open(shard)) return;
  endpoint* socket = std::exchange(shards_[shard], nullptr);
  socket->home->close(*socket, false);
}

}  // namespace levity
