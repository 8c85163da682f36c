#pragma once

// explored_kernel: the kernel's part of one io_uring, for scenarios of the model lane. The ring thread enters it; what comes from
// elsewhere, a bell or a peer, is told from any thread by happen(), and answered when the ring thread is here.
//
// It is as strong as it must be, and no stronger: who rings a bell, or causes an event, happens before the completion that tells of
// it, for the kernel has locks of its own. The buffers for received bytes are read as if it had none.

#include <liburing.h>

#include <array>
#include <cstdint>
#include <vector>

#include "levity/model/scenario.hpp"
#include "platform/explored_calls.hpp"
#include "platform/futex.hpp"
#include "platform/ring.hpp"

namespace levity::inline v0::explored {

class kernel : public detail::explored_calls {
public:
  static constexpr std::uint32_t bell = 1;  // of an event; others are the scenario's

  /// Any thread.
  void happen(std::uint32_t events) noexcept {
    events_.fetch_or(events, std::memory_order_release);
    detail::futex_wake_one(reinterpret_cast<const std::uint32_t*>(&events_));
  }

  void ring_bell(int) noexcept override { happen(bell); }
  bool knows(int) noexcept override { return true; }
  void opens(io_uring& ring, unsigned) noexcept override {
    ring = {};
    ring.sq.khead = &submitted_;
    ring.sq.ktail = &queued_;
    ring.sq.kflags = &flags_;
    ring.sq.array = order_.data();
    ring.sq.sqes = entries_.data();
    ring.sq.ring_mask = size - 1;
    ring.sq.ring_entries = size;
    ring.cq.khead = &seen_;
    ring.cq.ktail = reinterpret_cast<unsigned*>(&completed_);
    ring.cq.cqes = completions_.data();
    ring.cq.ring_mask = size - 1;
    ring.cq.ring_entries = size;
    is_open_ = true;
  }
  void closes(io_uring&) noexcept override {
    model::require(is_open_ && armed_.empty(), "a ring is closed when nothing is in flight but its bell");
    is_open_ = false;
  }
  void registers(void* entries, std::uint32_t count) noexcept override {
    buffers_ = static_cast<io_uring_buf_ring*>(entries);
    buffers_mask_ = count - 1;
  }
  void enters(io_uring& ring, std::int64_t wait_ns) noexcept override {
    for (; ring.sq.sqe_head != ring.sq.sqe_tail; ring.sq.sqe_head++, submitted_++) {
      take(ring.sq.sqes[ring.sq.sqe_head & ring.sq.ring_mask]);
    }
    for (bool is_late = wait_ns == 0;;) {
      pending_ |= events_.exchange(0, std::memory_order_acquire);
      if ((pending_ & bell) != 0 && bell_armed_) {
        pending_ &= ~bell;
        bell_armed_ = false;
        complete(bell_mark_, 8);
      }
      answer();
      if (unseen() != 0 || is_late) return;
      const auto* const word = reinterpret_cast<const std::uint32_t*>(&events_);
      is_late = wait_ns != detail::ring::for_ever_ns;
      if (is_late) detail::futex_wait_for(word, 0, wait_ns);
      else detail::futex_wait(word, 0);
    }
  }

protected:
  /// On the ring thread. What has been submitted and not answered, and what has happened.
  virtual void answer() noexcept {}

  /// Takes the armed operation of that kind out of those that wait. False: there is none.
  bool take_armed(int operation, io_uring_sqe& into) noexcept {
    for (std::size_t i = 0; i < armed_.size(); i++) {
      if (armed_[i].opcode != operation) continue;
      into = armed_[i];
      armed_.erase(armed_.begin() + static_cast<std::ptrdiff_t>(i));
      return true;
    }
    return false;
  }
  /// One that stays armed.
  [[nodiscard]] const io_uring_sqe* armed(int operation) const noexcept {
    for (const io_uring_sqe& each : armed_) {
      if (each.opcode == operation) return &each;
    }
    return nullptr;
  }
  /// True: it has happened, and was not taken yet.
  bool take_event(std::uint32_t event) noexcept {
    const bool happened = (pending_ & event) != 0;
    pending_ &= ~event;
    return happened;
  }
  void complete(std::uint64_t data, std::int32_t result, std::uint32_t flags = 0) noexcept {
    model::require(unseen() < size, "a scenario has few completions");
    const unsigned tail = completed_.load(std::memory_order_relaxed);
    io_uring_cqe& made = completions_[tail & (size - 1)];
    made.user_data = data;
    made.res = result;
    made.flags = flags;
    completed_.store(tail + 1, std::memory_order_release);  // as the kernel's
  }
  /// The oldest buffer that is in the buffer ring. Negative: none. Not told of, for what the kernel reads is nobody's race.
  __attribute__((no_sanitize("thread"), noinline)) int take_buffer() noexcept {
    const std::uint16_t tail = *const_cast<const volatile std::uint16_t*>(&buffers_->tail);
    if (buffers_head_ == tail) return -1;
    return buffers_->bufs[buffers_head_++ & buffers_mask_].bid;
  }

private:
  static constexpr unsigned size = 16;

  // What liburing says by atomics of its own is read as it lies there.
  [[nodiscard]] unsigned unseen() const noexcept {
    return completed_.load(std::memory_order_relaxed) - *const_cast<const volatile unsigned*>(&seen_);
  }

  void take(const io_uring_sqe& entry) noexcept {
    if (entry.opcode == IORING_OP_READ && entry.len == sizeof(std::uint64_t)) {
      bell_armed_ = true;
      bell_mark_ = entry.user_data;
    } else if (entry.opcode == IORING_OP_ASYNC_CANCEL) {
      cancel(entry);
    } else {
      armed_.push_back(entry);
    }
  }
  void cancel(const io_uring_sqe& asks) noexcept {
    const bool all = (asks.cancel_flags & IORING_ASYNC_CANCEL_ANY) != 0;
    int found = 0;
    for (std::size_t i = armed_.size(); i-- > 0;) {
      if (!all && armed_[i].user_data != asks.addr) continue;
      complete(armed_[i].user_data, -ECANCELED);
      armed_.erase(armed_.begin() + static_cast<std::ptrdiff_t>(i));
      found++;
    }
    if (all && bell_armed_) {
      bell_armed_ = false;
      complete(bell_mark_, -ECANCELED);
    }
    complete(asks.user_data, found != 0 ? (all ? found : 0) : -ENOENT);
  }

  levity::atomic<std::uint32_t> events_{0};
  // Of the ring thread.
  std::uint32_t pending_ = 0;
  bool is_open_ = false;
  bool bell_armed_ = false;
  std::uint64_t bell_mark_ = 0;
  std::vector<io_uring_sqe> armed_;
  std::array<io_uring_sqe, size> entries_{};
  std::array<io_uring_cqe, size> completions_{};
  std::array<unsigned, size> order_{};
  unsigned submitted_ = 0, queued_ = 0, flags_ = 0, seen_ = 0;
  levity::atomic<unsigned> completed_{0};  // liburing reads it as one
  io_uring_buf_ring* buffers_ = nullptr;
  std::uint16_t buffers_head_ = 0;
  std::uint32_t buffers_mask_ = 0;
};

}  // namespace levity::explored
