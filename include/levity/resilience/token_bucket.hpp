#pragma once

// token_bucket: so many calls a second, and so many at once after a pause.
//
// One word, `full_at_`, moved by a compare-and-swap (detail/gcra.hpp has the equations). Relaxed throughout: nothing is published
// by it, and of two calls for the last token exactly one moves the word. The clock does not go into it, so a thread whose `now`
// is a little behind takes from the bucket as it stood a little earlier, never more than there is.
//
// A reservation is a stretch of that word's way, from `begin` to `end`, and whoever holds one has been told its turn. So only the
// last one can be given back: full_at_ goes back to its begin, and no two that are held overlap. Who gives up in take() before that
// leaves the stretch to the next one who sleeps there, if it begins where the other ended, and that one gives back both. When all
// give up, in whatever order, all comes back. turns_ is for that, and touched by who sleeps alone.
//
// Rejected: to give back n tokens whoever has reserved since (the turns of others were given out a second time); tokens and a time
// of the last refill (two words, hence a lock, or 32 bits each and coarse); a task that refills.

#include <cstdint>
#include <expected>
#include <utility>

#include "levity/base/atomic.hpp"
#include "levity/base/clock.hpp"
#include "levity/base/intrusive_list.hpp"
#include "levity/base/spin_lock.hpp"
#include "levity/resilience/detail/gcra.hpp"
#include "levity/resilience/policy_mode.hpp"
#include "levity/resilience/rejection.hpp"
#include "levity/resilience/verdict.hpp"
#include "levity/task/task.hpp"

namespace levity::inline v0 {

/// How a token_bucket is made. What is out of bounds is clamped to them.
struct token_bucket_options {
  /// Tokens that come each second, evenly: from one in a year to 10^9.
  double per_second = 100;
  /// Tokens that it holds when full, as it is at first: so many calls may come at once. 0: what comes in a second, at least 1.
  std::uint64_t burst = 0;
  /// observe: every call is let through; those that would have been refused take no token and are counted.
  policy_mode mode = policy_mode::enforce;
};

/// Limits a rate. Any thread; one word of state and the list of who sleeps, no allocation, about 15 ns a call without contention.
///
///     lv::token_bucket calls{{.per_second = 200, .burst = 20}};
///     if (!calls.try_take(1, lv::clock::now())) return too_many();
class token_bucket {
public:
  /// What a token paid for. It gives nothing back when it goes: the call was made, whatever became of it.
  class permit {
  public:
    permit(permit&& other) noexcept : of_(std::exchange(other.of_, nullptr)), due_(other.due_) {}
    permit& operator=(permit&& other) noexcept {
      of_ = std::exchange(other.of_, nullptr);
      due_ = other.due_;
      return *this;
    }
    /// No effect: a rate does not mind what becomes of a call.
    void record(verdict, time_point) noexcept {}
    /// Puts the token back, once: the call was not made, since another policy refused it. A pipeline says so. Any thread.
    void withdraw() noexcept {
      if (token_bucket* const of = std::exchange(of_, nullptr)) of->put_back(1, due_);
    }

  private:
    friend class token_bucket;
    permit(token_bucket* of, time_point due) noexcept : of_(of), due_(due) {}
    token_bucket* of_;  // null: no token was taken
    time_point due_;
  };

  /// What has been asked of it so far.
  struct figures {
    std::uint64_t admitted;            ///< calls that were let through
    std::uint64_t refused;             ///< rate_exceeded
    std::uint64_t would_have_refused;  ///< let through because the mode is observe
    double tokens;                     ///< in the bucket; below zero by what is reserved
  };

  /// Full.
  explicit token_bucket(token_bucket_options options = {}) noexcept;
  token_bucket(const token_bucket&) = delete;
  token_bucket& operator=(const token_bucket&) = delete;

  /// Takes n tokens, all or none. False: fewer are there, or n is more than the bucket ever holds.
  [[nodiscard]] bool try_take(std::uint64_t n, time_point now) noexcept;

  /// How long from `now` until n tokens are there, if nobody else takes any; zero: they are. duration::max(): never.
  [[nodiscard]] duration time_until(std::uint64_t n, time_point now) const noexcept;

  /// Takes n tokens in advance, if they come within wait_max: who sleeps for the time that is returned has waited its turn.
  /// Those who reserve are served in the order in which they ask. Refused: rate_exceeded, and in how long to ask again.
  [[nodiscard]] std::expected<duration, rejection> reserve(std::uint64_t n, time_point now, duration wait_max) noexcept;

  /// Puts n tokens back that were taken at once for calls which were never made. `due` is when these would have been: the moment of
  /// try_take(), or that of reserve() and the wait which it returned. A full bucket stays full. Who reserved later keeps his turn,
  /// so tokens behind which such turns lie are lost: who gives up several reservations puts the last one back first.
  void put_back(std::uint64_t n, time_point due) noexcept;

  /// As reserve(), and sleeps for that time. Inside tasks. A task that is cancelled while it sleeps puts the tokens back, once
  /// those who sleep behind it have given up too, for they keep their turns, and gets `cancelled` thrown. Reads the
  /// clock; one frame. The bucket outlives the call.
  task<std::expected<void, rejection>> take(std::uint64_t n = 1, duration wait_max = duration::max());

  /// One token, for one call; the bucket outlives the permit. Refused: rate_exceeded, with the time until there is one.
  [[nodiscard]] std::expected<permit, rejection> try_admit(time_point now) noexcept;

  /// A look from outside; racy by nature.
  [[nodiscard]] figures look(time_point now) const noexcept;

private:
  // Of a task that sleeps in take(), in its frame.
  struct turn : detail::list_link {
    turn(std::uint64_t begins, std::uint64_t ends) noexcept : begin(begins), end(ends) {}
    std::uint64_t begin;  // earlier by those who gave up before it
    const std::uint64_t end;
  };

  [[nodiscard]] bool refuse() noexcept;
  [[nodiscard]] bool take_now(std::uint64_t n, time_point now) noexcept;
  [[nodiscard]] std::expected<duration, rejection> reserve(std::uint64_t n, time_point now, duration wait_max,
                                                           std::uint64_t& end) noexcept;
  void give_back(std::uint64_t units, std::uint64_t end) noexcept;
  void line_up(turn& mine) noexcept;
  void leave(turn& mine) noexcept;
  void give_up(turn& mine) noexcept;

  const detail::gcra rule_;
  const policy_mode mode_;
  atomic<std::uint64_t> full_at_{0};
  atomic<std::uint64_t> admitted_{0};
  atomic<std::uint64_t> refused_{0};  // or would have been
  detail::spin_lock lock_;
  detail::link_list turns_;  // guarded by lock_; in their order
};

}  // namespace levity
