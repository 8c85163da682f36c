#pragma once

#include <coroutine>
#include <exception>
#include <optional>
#include <type_traits>
#include <utility>

#include "levity/base/assert.hpp"
#include "levity/task/detail/promise.hpp"

namespace levity::inline v0 {

/// A coroutine that gives one value after the other, and may wait between them.
///
///     lv::generator<std::string> lines(lv::buffered_reader<lv::tcp_stream>* from) {
///       for (;;) {
///         auto line = co_await from->read_until('\n');
///         if (!line) co_return;
///         co_yield std::move(*line);
///       }
///     }
///     auto each = lines(&reader);
///     for (auto line = co_await each.next(); line; line = co_await each.next()) use(*line);
///
/// It runs only inside next(), as part of the task that awaits that: its waits, locals and cancellation are that task's, so a
/// generator is no task and needs no channel. One that is dropped before its end is destroyed where it stands, at a co_yield;
/// drop it in the task that used it. An exception leaves through next(), and ends it.
///
/// Move-only, not while next() runs. T: an object type. A value costs about as much as an await, and no allocation.
template <class T>
class [[nodiscard("a generator runs only inside next()")]] generator {
  static_assert(std::is_object_v<T> && !std::is_const_v<T>, "a generator gives values; yield pointers instead of references");

public:
  struct promise_type : detail::promise_base {
    detail::result_slot<T>* result;  // of who called next()

    // Gives control back to whoever called next().
    struct yield_awaiter {
      bool await_ready() const noexcept { return false; }
      std::coroutine_handle<> await_suspend(std::coroutine_handle<promise_type> self) const noexcept {
        return detail::transfer(self.promise().continuation());
      }
      void await_resume() const noexcept {}
    };

    generator get_return_object() noexcept { return generator{std::coroutine_handle<promise_type>::from_promise(*this)}; }
    yield_awaiter final_suspend() const noexcept { return {}; }

    template <class U>
      requires std::constructible_from<T, U>
    yield_awaiter yield_value(U&& value) {
      result->set_value(std::forward<U>(value));
      return {};
    }
    void return_void() const noexcept {}
    void unhandled_exception() noexcept { result->set_failure(std::current_exception()); }
  };

  using value_type = T;

  generator(generator&& other) noexcept : frame_(std::exchange(other.frame_, {})) {}
  generator& operator=(generator&& other) noexcept {
    if (this != &other) {
      if (frame_) frame_.destroy();
      frame_ = std::exchange(other.frame_, {});
    }
    return *this;
  }
  ~generator() {
    if (frame_) frame_.destroy();
  }

  class next_awaiter {
  public:
    explicit next_awaiter(std::coroutine_handle<promise_type> frame) noexcept : frame_(frame) {}
    // Before it is awaited: GCC moves what await_transform passes through.
    next_awaiter(next_awaiter&& other) noexcept : frame_(other.frame_) {}
    bool await_ready() const noexcept { return !frame_ || frame_.done(); }

    template <detail::levity_promise Promise>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> parent) noexcept {
      promise_type& promise = frame_.promise();
      promise.continuation_address = parent.address();
      promise.result = &result_;
      return detail::transfer(frame_);
    }

    std::optional<T> await_resume() {
      if (result_.has_value() || result_.has_failure()) return result_.take();
      return std::nullopt;
    }

  private:
    std::coroutine_handle<promise_type> frame_;
    detail::result_slot<T> result_;
  };

  /// The next value; empty when the generator has ended, from then on always. Throws what the generator threw, once.
  [[nodiscard("co_await the value")]] next_awaiter next() noexcept { return next_awaiter{frame_}; }

private:
  explicit generator(std::coroutine_handle<promise_type> frame) noexcept : frame_(frame) {}

  std::coroutine_handle<promise_type> frame_;
};

}  // namespace levity
