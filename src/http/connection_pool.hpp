#pragma once

// connection_pool: the connections of a client, and who may use them.
//
// A host has `per_host` places. A request takes one, first come first served, and holds it until its exchange is over; only who
// holds a place may take an idle connection or make a new one, and a new one is made only when none is idle. Hence
//
//   open == in_use + idle                      in_use: places that are taken
//   a new connection begins with idle == 0     so open <= in_use <= per_host at that moment
//   and open grows only so, or in warm_up()    which holds a place, too, and begins only while open < per_host
//
// State of a connection   moved by
//   being made -> in use      who holds the place
//   in use -> idle            give_back(): the answer was read to its end, to the byte, and the peer keeps the connection
//   idle -> in use            take_idle(): the newest first, so that those that are too many grow old
//   in use -> gone            drop(): anything else, such as an answer not read to its end, bytes behind it, a failure, a cancelled
//                             task
//   idle -> gone              take_idle() finds it old or with something to read; its time is over (janitor); too many; close()
//
// Idle connections of all hosts are in one list, the longest idle one in front. One task, the janitor, sleeps until the time of
// that one is over, so an idle connection that nobody needs costs no timer; there is none while nothing is idle.
//
// Places are a semaphore: its queue is first come first served, and a waiter that is cancelled or late leaves it. The waiters are
// in a list besides, with the moment at which they came, for the sentence that says why a request failed.
//
// Everything is guarded by one lock, held for a few pointers; connections are closed outside of it.
//
// A kept connection is read before use, which must bring nothing: not the peer's end, and no byte that nobody asked for. That is
// one system call a request. To trust the events that have come so far costs nothing, but they come late: an answer too many that
// lies in the kernel by then would be taken for that of the next request.
//
// Rejected: to hand an idle connection to who waits while it is still connecting (saves a connection now and then, at the price of
// a place in two queues); a task that reads each idle connection for its end (a frame and a record for each, and the same window
// between its event and the next request).

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "http/duration_table.hpp"
#include "http/response_parser.hpp"
#include "levity/base/clock.hpp"
#include "levity/base/intrusive_list.hpp"
#include "levity/base/spin_lock.hpp"
#include "levity/http/client.hpp"
#include "levity/http/url.hpp"
#include "levity/io/tcp.hpp"
#include "levity/sync/channel.hpp"
#include "levity/sync/event.hpp"
#include "levity/sync/semaphore.hpp"

namespace levity::inline v0::http::detail {

using levity::detail::link_list;
using levity::detail::list_link;

struct pooled_host;

// One connection, in use by one request or idle.
struct pooled_connection {
  explicit pooled_connection(const limits& bounds) noexcept : parser(bounds) {}

  // Each list link is a base of its own type, so that a link finds its connection.
  struct host_link : list_link {
    pooled_connection* of = nullptr;
  };

  tcp_stream stream;
  response_parser parser;
  std::string head_text;  // of the request; reused
  pooled_host* host = nullptr;
  time_point use_until{};   // age
  time_point idle_until{};
  bool kept = false;        // it has carried an exchange
  host_link of_host;        // while idle; guarded by the pool's lock
  host_link of_all;
};

// Who waits for a place; lives in the waiting frame.
struct place_waiter : list_link {
  time_point since{};
};

struct pooled_host {
  pooled_host(std::string_view name, std::string_view address, std::uint16_t at_port, std::uint64_t places_max,
              duration_table::who number)
      : authority(name), host(address), port(at_port), places(places_max), whose(number) {}

  const std::string authority;
  const std::string host;
  const std::uint16_t port;
  semaphore places;
  const duration_table::who whose;

  // Guarded by the pool's lock.
  link_list idle;     // pooled_connection::of_host, newest first
  link_list waiters;  // place_waiter, oldest first
  std::size_t pins = 0;
  std::size_t idle_count = 0;
  std::size_t in_use = 0;
  std::size_t waiting = 0;
  std::uint32_t serial = 0;
  std::uint64_t connects = 0;
  std::uint64_t reused = 0;
  std::uint64_t stale = 0;
  std::uint64_t repeated = 0;
  std::uint64_t failures = 0;
  std::uint64_t exhausted = 0;
};

// What `co_await` of a place uses: an acquire with a name of its own that says why it ended and throws nothing.
class place_wait : public semaphore::acquire_awaiter {
public:
  explicit place_wait(pooled_host& of) noexcept : acquire_awaiter(of.places, 1, reason_), host_(of) {}
  place_wait(place_wait&& other) noexcept : place_wait(other.host_) {}

  [[nodiscard]] cancel_reason await_resume() const noexcept { return stage_ == stage::cancelled ? why_ : cancel_reason::none; }

private:
  static void describe(const levity::detail::waiter& self, char* text, std::size_t size) noexcept;
  static const wait_reason reason_;

  pooled_host& host_;
};

class connection_pool : public std::enable_shared_from_this<connection_pool> {
public:
  explicit connection_pool(client_options options);
  connection_pool(const connection_pool&) = delete;
  connection_pool& operator=(const connection_pool&) = delete;
  ~connection_pool();

  [[nodiscard]] const client_options& options() const noexcept { return options_; }
  [[nodiscard]] duration_table& durations() noexcept { return durations_; }

  // The host of a URL; it stays until unpin(). Null: the client is closed. May throw std::bad_alloc.
  [[nodiscard]] pooled_host* pin(const url& target);
  void unpin(pooled_host& host) noexcept;

  // A place at once, if one is free and nobody waits.
  [[nodiscard]] bool try_place(pooled_host& host) noexcept;
  // Before and after a place_wait. begin_wait() says no when too many wait.
  [[nodiscard]] bool begin_wait(pooled_host& host, place_waiter& self) noexcept;
  void end_wait(pooled_host& host, place_waiter& self, bool has_place) noexcept;
  void leave_place(pooled_host& host) noexcept;

  // An idle connection that is as silent as it should be, or null. Inside a task; the caller has a place.
  [[nodiscard]] pooled_connection* take_idle(pooled_host& host) noexcept;
  // A connection that was just made. May throw std::bad_alloc.
  [[nodiscard]] pooled_connection* adopt(pooled_host& host, tcp_stream stream);
  // The exchange went to its end; the connection rests, or closes. The place stays taken.
  void give_back(pooled_connection* connection) noexcept;
  // It is of no more use.
  void drop(pooled_connection* connection) noexcept;
  // Warm-up: a place, if there is one and fewer than `count` connections are open.
  [[nodiscard]] bool try_place_below(pooled_host& host, std::size_t count, std::size_t& open) noexcept;

  // Counts of requests.
  void count_repeated(pooled_host& host) noexcept;
  void count_failure(pooled_host& host, bool exhausted) noexcept;

  void close() noexcept;
  [[nodiscard]] bool closed() const noexcept;
  [[nodiscard]] event& drained() noexcept { return drained_; }
  [[nodiscard]] client_figures look() const;
  // The figures must be of now: "100 of 100 connections to 127.0.0.1:9000 are in use, ...".
  [[nodiscard]] std::string why_exhausted(pooled_host& host) const;

private:
  struct text_hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const noexcept { return std::hash<std::string_view>{}(text); }
  };

  static task<> keep_clean(std::shared_ptr<connection_pool> self);
  void start_janitor() noexcept;
  // Of idle connections, under the lock.
  void unlink(pooled_connection& connection) noexcept;
  // Closes idle connections whose time is over at `now`, a few at each taking of the lock; when the next one's is, and where it
  // never is, time_point::max(). Empty: none is left, and the janitor's duty is over.
  std::optional<time_point> close_expired(time_point now) noexcept;
  void forget_hosts(std::vector<std::unique_ptr<pooled_host>>& forgotten);

  const client_options options_;
  duration_table durations_;
  channel<char> woken_{1};  // ends the janitor's sleep
  event drained_;

  mutable levity::detail::spin_lock lock_;
  std::unordered_map<std::string, std::unique_ptr<pooled_host>, text_hash, std::equal_to<>> hosts_;  // guarded by lock_, as below
  link_list idle_;                                                                                 // of_all, longest idle first
  std::size_t idle_count_ = 0;
  std::size_t pinned_ = 0;  // requests under way
  bool has_janitor_ = false;
  bool closed_ = false;
};

}  // namespace levity::http::detail
