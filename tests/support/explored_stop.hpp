#pragma once

// explored_stop: std::stop_token and its relatives for scenarios of the model lane, as far as with_stop() uses them.
//
// Those of libstdc++ ask which thread of the system they are on, to tell a callback that ends its own registration from one that
// another thread waits for; and all virtual threads of an exploration are on one. These know virtual threads, and do what the
// standard promises: a callback is called once, by who tells it to stop or by who registers it late; and its destructor returns
// when it is not called any more, unless it is the call itself that destroys it.
//
// In the place of <stop_token>, in a program where nobody includes that.

#include <memory>
#include <utility>

#include "levity/base/atomic.hpp"
#include "levity/base/intrusive_list.hpp"
#include "levity/base/spin_lock.hpp"
#include "levity/model/explore.hpp"

namespace levity::inline v0::explored {

struct stop_call : levity::detail::list_link {
  void (*make)(stop_call&) noexcept = nullptr;
  levity::atomic<bool> is_over{false};
  bool* is_gone = nullptr;  // set by who destroys it inside of its own call
};

/// What this virtual thread is calling.
inline constinit thread_local stop_call* call_here = nullptr;

inline const bool calls_are_of_threads = [] {
  model::per_thread(call_here);
  return true;
}();

class stop_state {
public:
  bool requested() const noexcept { return requested_.load(std::memory_order_acquire); }

  void request() noexcept {
    lock_.lock();
    if (requested()) return lock_.unlock();
    requested_.store(true, std::memory_order_release);
    while (levity::detail::list_link* const link = calls_.pop_front()) {
      auto& each = static_cast<stop_call&>(*link);
      bool is_gone = false;
      each.is_gone = &is_gone;
      lock_.unlock();
      stop_call* const outer = std::exchange(call_here, &each);
      each.make(each);
      call_here = outer;
      if (!is_gone) each.is_over.store(true, std::memory_order_release);
      lock_.lock();
    }
    lock_.unlock();
  }

  /// False: it is to be made now, by who registers it.
  bool add(stop_call& call) noexcept {
    lock_.lock();
    const bool late = requested();
    if (!late) calls_.push_back(call);
    lock_.unlock();
    return !late;
  }

  void remove(stop_call& call) noexcept {
    lock_.lock();
    const bool waits = call.linked();
    if (waits) call.unlink();
    lock_.unlock();
    if (waits) return;
    if (call_here == &call) {
      *call.is_gone = true;
      return;
    }
    while (!call.is_over.load(std::memory_order_acquire)) levity::give_way();
  }

private:
  levity::detail::spin_lock lock_;
  levity::detail::link_list calls_;
  levity::atomic<bool> requested_{false};
};

}  // namespace levity::explored

namespace std {
_GLIBCXX_BEGIN_NAMESPACE_VERSION

class stop_token {
public:
  stop_token() noexcept = default;
  explicit stop_token(std::shared_ptr<levity::explored::stop_state> of) noexcept : state(std::move(of)) {}
  [[nodiscard]] bool stop_requested() const noexcept { return state != nullptr && state->requested(); }

  std::shared_ptr<levity::explored::stop_state> state;
};

class stop_source {
public:
  [[nodiscard]] stop_token get_token() const noexcept { return stop_token{state_}; }
  void request_stop() noexcept { state_->request(); }

private:
  std::shared_ptr<levity::explored::stop_state> state_ = std::make_shared<levity::explored::stop_state>();
};

template <class Callback>
class stop_callback : levity::explored::stop_call {
public:
  template <class Call>
  explicit stop_callback(const stop_token& token, Call&& call) : state_(token.state), call_(std::forward<Call>(call)) {
    make = [](levity::explored::stop_call& self) noexcept { static_cast<stop_callback&>(self).call_(); };
    if (state_->add(*this)) return;
    call_();
    is_over.store(true, std::memory_order_relaxed);
  }
  stop_callback(const stop_callback&) = delete;
  stop_callback& operator=(const stop_callback&) = delete;
  ~stop_callback() { state_->remove(*this); }

private:
  std::shared_ptr<levity::explored::stop_state> state_;
  Callback call_;
};
template <class Callback>
stop_callback(stop_token, Callback) -> stop_callback<Callback>;

_GLIBCXX_END_NAMESPACE_VERSION
}  // namespace std
