#pragma once

// The promise of every levity coroutine: 24 bytes that make a chain of frames walkable from its leaf to its root.
//
//   continuation  the frame that awaits this one; null for the root of a task
//   failure       what it threw, until the awaiting frame takes that
//   here          the source line of the last co_await: with the continuation it gives the await chain, in every build
//
// A value follows, in the promises of coroutines that return one. The awaiting frame takes it from there: a place for it beside
// the awaiter, with a pointer to it here, would cost both frames more than the value's move.
//
// A frame is used by the thread that runs its task, and read by who holds the task's record.

#include <bit>
#include <concepts>
#include <coroutine>
#include <cstddef>
#include <exception>
#include <memory>
#include <optional>
#include <source_location>
#include <type_traits>
#include <utility>

#include "levity/base/assert.hpp"
#include "levity/memory/frame_pool.hpp"
#include "levity/task/detail/executor.hpp"
#include "levity/task/detail/record.hpp"

namespace levity::inline v0::detail {

/// Awaits through a pointer.
template <class Awaiter>
struct awaiter_ref {
  Awaiter* target;

  decltype(auto) await_ready() const noexcept(noexcept(target->await_ready())) { return target->await_ready(); }
  template <class Promise>
  decltype(auto) await_suspend(std::coroutine_handle<Promise> frame) const {
    return target->await_suspend(frame);
  }
  decltype(auto) await_resume() const { return target->await_resume(); }
};

struct promise_base {
  // Set when the frame is awaited or adopted, and not before: every await pays for what is stored here. Which task a frame works
  // for is not stored: while it runs, that is running_task(), and who holds a task has come to its frames from the record.
  void* continuation_address;
  union {
    std::exception_ptr failure;  // whoever awaited the frame takes it away, so nobody has to look for it at the frame's end
    const char* name;            // of a root that has not started yet, see mark_fresh()
  };
  const void* here;  // as __builtin_source_location() gives it; a class object here would cost each frame a copy

  promise_base() noexcept : failure() {}
  promise_base(const promise_base&) = delete;
  promise_base& operator=(const promise_base&) = delete;
  ~promise_base() {}

  [[nodiscard]] std::coroutine_handle<> continuation() const noexcept {
    return std::coroutine_handle<>::from_address(continuation_address);
  }

  static void* operator new(std::size_t bytes) { return frame_allocate(bytes); }
  static void operator delete(void* frame, std::size_t bytes) noexcept { frame_free(frame, bytes); }

  std::suspend_always initial_suspend() const noexcept { return {}; }

  // Notes the line of each co_await. What is awaited is passed on in the form that costs a frame the least: the awaiter itself
  // where an operator makes one, else a reference to it; on g++ a pointer, for g++ 12 copies an awaiter that it is handed by
  // reference.
  template <class Awaited>
    requires requires(Awaited&& awaited) { static_cast<Awaited&&>(awaited).operator co_await(); }
  auto await_transform(Awaited&& awaited, const void* at = __builtin_source_location()) noexcept {
    here = at;
    return static_cast<Awaited&&>(awaited).operator co_await();
  }
#ifdef __clang__
  template <class Awaited>
  std::remove_reference_t<Awaited>& await_transform(Awaited&& awaited, const void* at = __builtin_source_location()) noexcept {
    here = at;
    return static_cast<std::remove_reference_t<Awaited>&>(awaited);
  }
#else
  template <class Awaited>
  awaiter_ref<std::remove_reference_t<Awaited>> await_transform(Awaited&& awaited,
                                                                const void* at = __builtin_source_location()) noexcept {
    here = at;
    return {&awaited};
  }
#endif

  [[nodiscard]] std::source_location location() const noexcept { return std::bit_cast<std::source_location>(here); }
};

static_assert(sizeof(std::source_location) == sizeof(void*), "a source location is a pointer to constant data");

static_assert(sizeof(promise_base) <= 24, "a parked task must stay light");

template <class Promise>
concept levity_promise = std::derived_from<Promise, promise_base>;

// The promise of a type-erased frame. All promises start with promise_base and none is over-aligned.
inline promise_base& promise_of(std::coroutine_handle<> frame) noexcept {
  return std::coroutine_handle<promise_base>::from_address(frame.address()).promise();
}

/// The root frame of the running task is about to destroy itself; the task ends when its thread has got control back. With Clang
/// a call, for the reason that transfer() tells; with GCC that would make every coroutine set up a frame of the machine.
void note_root_end() noexcept;
inline void root_ends() noexcept {
#ifdef __clang__
  note_root_end();
#else
  this_run.ended_root = this_run.current;
#endif
}

/// Keeps what the running task's root frame threw for its scope.
void root_failed(std::exception_ptr failure) noexcept;

// A frame that was awaited stays, suspended, until the awaiting one drops it. A root does not suspend: it runs off its end and is
// gone, its arguments too, without being entered again for that.
struct final_awaiter {
  bool is_root;

  bool await_ready() const noexcept { return is_root; }

  template <levity_promise Promise>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> frame) const noexcept {
    return transfer(frame.promise().continuation());
  }

  void await_resume() const noexcept { root_ends(); }
};

/// Throws what an awaited coroutine threw. Not inline: an exception_ptr on the stack would cost every frame that awaits one.
[[noreturn, gnu::cold, gnu::noinline]] inline void rethrow(std::exception_ptr& failure) {
  std::rethrow_exception(std::move(failure));
}

// What an awaited coroutine hands to the frame that awaits it: nothing yet, a value or an exception.
template <class T>
class result_slot {
public:
  result_slot() noexcept {}
  result_slot(const result_slot&) = delete;
  result_slot& operator=(const result_slot&) = delete;
#if defined(__GNUC__) && !defined(__clang__)
// g++ 14 doubts the state and warns in the user's program.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
  ~result_slot() {
    if (state_ == state::value) value_.~T();
    if (state_ == state::failure) failure_.~exception_ptr();
  }
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

  template <class... Args>
  void set_value(Args&&... args) {
    std::construct_at(&value_, std::forward<Args>(args)...);
    state_ = state::value;
  }
  void set_failure(std::exception_ptr failure) noexcept {
    std::construct_at(&failure_, std::move(failure));
    state_ = state::failure;
  }
  [[nodiscard]] bool has_value() const noexcept { return state_ == state::value; }
  [[nodiscard]] bool has_failure() const noexcept { return state_ == state::failure; }

  T take() {
    if (state_ == state::failure) [[unlikely]] rethrow(failure_);
    return std::move(value_);
  }

private:
  enum class state : unsigned char { empty, value, failure };
  union {
    T value_;
    std::exception_ptr failure_;
  };
  state state_ = state::empty;
};

template <>
class result_slot<void> {
public:
  result_slot() noexcept = default;
  result_slot(const result_slot&) = delete;
  result_slot& operator=(const result_slot&) = delete;

  void set_value() noexcept { done_ = true; }
  void set_failure(std::exception_ptr failure) noexcept { failure_ = std::move(failure); }
  [[nodiscard]] bool has_value() const noexcept { return done_; }
  [[nodiscard]] bool has_failure() const noexcept { return failure_ != nullptr; }

  void take() {
    if (failure_ != nullptr) [[unlikely]] rethrow(failure_);
  }

private:
  std::exception_ptr failure_;
  bool done_ = false;
};

struct task_promise_base : promise_base {
  final_awaiter final_suspend() const noexcept { return {continuation_address == nullptr}; }

  void unhandled_exception() noexcept {
    if (continuation_address != nullptr) {
      failure = std::current_exception();
    } else {
      root_failed(std::current_exception());
    }
  }
  void rethrow_failure() {
    if (failure != nullptr) [[unlikely]] rethrow(failure);
  }
};

template <class T>
class task_promise : public task_promise_base {
  // A promise lies 16 bytes into its frame, and what knows frames without their types relies on that.
  static_assert(alignof(T) <= 2 * sizeof(void*),
                "a task returns values aligned to 16 bytes at most; return a std::unique_ptr to it");

public:
  task_promise() noexcept {}
  task_promise(const task_promise&) = delete;
  task_promise& operator=(const task_promise&) = delete;
  ~task_promise()
    requires std::is_trivially_destructible_v<T>
  = default;
  ~task_promise() {
    if (has_value_) value_.~T();
  }

  // What `return` takes in a function that returns T: with the default `co_return {}` too, without what T is only built from.
  template <class U = T>
    requires std::convertible_to<U, T>
  void return_value(U&& value) {
    if constexpr (!std::is_trivially_destructible_v<T>) {
      // A destructor that threw after the first `return`, and was caught.
      if (std::exchange(has_value_, false)) [[unlikely]] value_.~T();
    }
    std::construct_at(std::addressof(value_), std::forward<U>(value));
    if constexpr (!std::is_trivially_destructible_v<T>) has_value_ = true;
  }

  /// Once, for who awaited the coroutine to its end.
  T take() {
    rethrow_failure();
    return std::move(value_);
  }

private:
  struct nothing {};
  union {
    T value_;
  };
  [[no_unique_address]] std::conditional_t<std::is_trivially_destructible_v<T>, nothing, bool> has_value_{};
};

template <>
class task_promise<void> : public task_promise_base {
public:
  void return_void() const noexcept {}
  void take() { rethrow_failure(); }
};

}  // namespace levity::detail
