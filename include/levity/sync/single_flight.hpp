#pragma once

// single_flight: of all who want the same thing at the same time, one fetches it and the others wait for what it brings.
//
// state of a flight    moved by                                                                guarded by
//   idle -> flying     who comes first: the leader                                             list.lock
//   flying -> flying   pass_on(): a leader that was cancelled makes the longest waiting        list.lock
//                      follower the leader, which begins anew
//   flying -> idle     pass_on() that finds no follower                                        list.lock
//   flying -> landed   land(): the result is there; all followers go on with it                list.lock
//
// A flight is in the table from its first passenger until it lands or its last passenger has left, so there is never more than
// one under a key; it lives until its last passenger has left.
//
// Keys are compared without a lock, for that is user code. In the table flights stand under the hash of their key, numbered in
// the order of their entry. Who looks for a key boards, one after the other, the flights with its hash, compares, and leaves
// again what is another key's; a flight of its own is entered in the same breath in which no further one was found.
//
// A result counts for all only if its leader was not cancelled: what a cancelled call returns or throws is its own affair.
//
// Rejected: a std::unordered_map under a lock (hash, equality and allocation under it); running the call in a scope of its own,
// so that a cancelled leader need not break it off (who owns that scope, and whose deadline, name and locals does the call
// have then?).

#include <array>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "levity/sync/detail/wait_list.hpp"
#include "levity/task/detail/awaited_callable.hpp"
#include "levity/task/task.hpp"

namespace levity::inline v0 {
namespace detail {

class flight_core {
public:
  class board_awaiter;

  /// Waits until the flight has landed (false), or the caller is to lead it (true).
  [[nodiscard]] board_awaiter board() noexcept;
  // The leader.
  void pass_on() noexcept;
  void land() noexcept;

private:
  // Guarded by list_.lock.
  bool flying_ = false;
  bool landed_ = false;
  link_list leaving_;
  wait_list list_;
};

class flight_core::board_awaiter : public queued_wait {
public:
  explicit board_awaiter(flight_core& on) noexcept : queued_wait(reason_, on.list_), flight_(on) {}
  // Before it is awaited: GCC moves what await_transform passes through.
  board_awaiter(board_awaiter&& other) noexcept : board_awaiter(other.flight_) {}

  template <levity_promise Promise>
  bool await_suspend(std::coroutine_handle<Promise> frame) noexcept {
    return suspend(frame, running_task());
  }

  // Only the leader changes what is read here, and that is the caller, or it is over.
  bool await_resume() const {
    throw_if_refused();
    return !flight_.landed_;
  }

  bool attempt(task_record& record) noexcept;

private:
  bool suspend(std::coroutine_handle<> frame, task_record& record) noexcept;
  static bool settle(waiter& self, task_record& record) noexcept;
  static void describe(const waiter& self, char* text, std::size_t size) noexcept;
  static const wait_reason reason_;

  flight_core& flight_;
};

inline flight_core::board_awaiter flight_core::board() noexcept { return board_awaiter{*this}; }

/// What compares keys where the user says nothing: their own ==.
struct equal_keys {
  template <class Key>
  bool operator()(const Key& a, const Key& b) const {
    return a == b;
  }
};

/// Whether the awaiting task is cancelled right now. Never suspends.
class cancel_look {
public:
  bool await_ready() const noexcept { return false; }
  template <levity_promise Promise>
  bool await_suspend(std::coroutine_handle<Promise>) noexcept {
    cancelled_ = pending_cancel(running_task()) != cancel_reason::none;
    return false;
  }
  [[nodiscard]] bool await_resume() const noexcept { return cancelled_; }

private:
  bool cancelled_ = false;
};

}  // namespace detail

/// One call a key at a time: who asks for a key that is being fetched waits for that result instead of fetching it again.
///
///     lv::single_flight<std::string, price> flights;
///     price now = co_await flights.run(article, [&] { return fetch_price(article); });
///
/// The first caller leads: its `work()`, which returns a task<T>, runs within the caller's task. Its result is copied to all who
/// asked meanwhile; if it throws, its exception goes to all of them. Afterwards the next caller fetches anew: nothing is kept.
///
/// Cancellation: a follower that is cancelled gets `cancelled` thrown and leaves no trace. When the leader is cancelled, whatever
/// its call then returns or throws goes to the leader alone; the longest waiting follower leads from there, with its own `work`.
/// So nobody fails because somebody else gave up.
///
/// run() in any task. A call costs two looks into a table of 64 lists, O(keys that are being fetched / 64); who leads allocates one
/// block. Order: followers are let go together, in no promised order; who leads next is first come, first served.
template <class Key, class T, class Hash = std::hash<Key>, class Equal = detail::equal_keys>
class single_flight {
  static_assert(std::is_object_v<T> && std::is_copy_constructible_v<T>,
                "all who asked get a copy of the result; return a std::shared_ptr to what cannot be copied");

public:
  single_flight() = default;
  single_flight(const single_flight&) = delete;
  single_flight& operator=(const single_flight&) = delete;
  /// Nobody is in run().
  ~single_flight() = default;

  /// What `work()`, or the call that is under way for this key, returns or throws.
  template <class Work>
  task<T> run(Key key, Work&& work) {
    detail::check_callable<Work>();
    return run_kept<std::decay_t<Work>>(std::move(key), std::forward<Work>(work));
  }

  /// Keys that are being fetched; racy by nature.
  [[nodiscard]] std::size_t size_approx() noexcept {
    std::size_t count = 0;
    for (shelf& each : table_) {
      each.lock.lock();
      for (detail::list_link* link = each.flights.front(); link != nullptr && link != each.flights.end(); link = link->next) {
        count++;
      }
      each.lock.unlock();
    }
    return count;
  }

private:
  struct flight : detail::list_link {
    const Key key;
    const std::size_t hash;
    detail::flight_core core;
    // Written by the leader before it lands.
    std::optional<T> value;
    std::exception_ptr failure;
    // Guarded by the shelf's lock.
    std::uint64_t number = 0;
    std::uint64_t passengers = 1;

    flight(Key of, std::size_t hashed) : key(std::move(of)), hash(hashed) {}

    T result() const {
      if (failure != nullptr) std::rethrow_exception(failure);
      return *value;
    }
  };

  struct shelf {
    detail::spin_lock lock;
    // Guarded by lock.
    detail::link_list flights;
    std::uint64_t numbers = 0;

    flight* first_after(std::uint64_t number, std::size_t hash) noexcept {
      for (detail::list_link* link = flights.front(); link != nullptr && link != flights.end(); link = link->next) {
        auto* const each = static_cast<flight*>(link);
        if (each->hash == hash && each->number > number) return each;
      }
      return nullptr;
    }
  };

  // One call's share in a flight.
  class passenger {
  public:
    passenger(shelf& at, flight& on) noexcept : shelf_(&at), on_(&on) {}
    passenger(passenger&& other) noexcept : shelf_(other.shelf_), on_(std::exchange(other.on_, nullptr)) {}
    passenger& operator=(passenger&&) = delete;
    ~passenger() {
      if (on_ == nullptr) return;
      shelf_->lock.lock();
      const bool last = --on_->passengers == 0;
      if (last && on_->linked()) on_->unlink();
      shelf_->lock.unlock();
      if (last) delete on_;
    }

    [[nodiscard]] flight& on() const noexcept { return *on_; }
    void take_off_the_table() const noexcept {
      shelf_->lock.lock();
      on_->unlink();
      shelf_->lock.unlock();
    }

  private:
    shelf* shelf_;
    flight* on_;
  };

  template <class Work>
  task<T> run_kept(Key key, Work work) {
    const passenger seat = board(std::move(key));
    flight& on = seat.on();
    const bool leads = co_await on.core.board();
    if (!leads) co_return on.result();
    std::optional<T> value;
    std::exception_ptr failure;
    try {
      T fetched = co_await work();
      value.emplace(std::move(fetched));
    } catch (...) {
      failure = std::current_exception();
    }
    const bool gave_up = co_await detail::cancel_look{};
    if (gave_up) {
      on.core.pass_on();
      if (failure != nullptr) std::rethrow_exception(failure);
      co_return std::move(*value);
    }
    on.value.swap(value);
    on.failure = failure;
    seat.take_off_the_table();
    on.core.land();
    co_return on.result();
  }

  // The flight under way for `key`, or a new one.
  passenger board(Key key) {
    const std::size_t hash = Hash{}(key);
    // Many hashes are the key itself: the upper bits of the product depend on all of them.
    shelf& at = table_[static_cast<std::uint64_t>(hash) * 0x9e37'79b9'7f4a'7c15 >> (64 - shelves_log2)];
    std::unique_ptr<flight> fresh;
    for (std::uint64_t seen = 0;;) {
      at.lock.lock();
      flight* found = at.first_after(seen, hash);
      if (found != nullptr) {
        found->passengers++;
      } else if (fresh != nullptr) {
        fresh->number = ++at.numbers;
        at.flights.push_back(*fresh);
      }
      at.lock.unlock();
      if (found == nullptr) {
        if (fresh != nullptr) return {at, *fresh.release()};
        fresh = std::make_unique<flight>(std::move(key), hash);
        continue;
      }
      passenger seat(at, *found);
      if (Equal{}(found->key, fresh != nullptr ? fresh->key : key)) return seat;
      seen = found->number;
    }
  }

  static constexpr int shelves_log2 = 6;
  std::array<shelf, std::size_t{1} << shelves_log2> table_;
};

}  // namespace levity
