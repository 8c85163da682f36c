#pragma once

// explored_atomic: an atomic that asks whoever explores what it holds.
//
// Why: the model lane (docs/design/0026-the-model-lane.md) runs the real source under every order of steps and every value that
// C++20 lets a load see. For that each operation on a shared word must go through one place. `explorer` is that place,
// `this_explorer` says whether this thread is inside an exploration; outside of one an explored_atomic is the std::atomic that it
// contains, of the same size and at the same address, so that a whole program can be built of them.
//
// The word itself always holds the newest value: a debugger, or whoever looks at it after the exploration, finds what it expects.
//
// Rejected: an interface of templates (the explorer would have to be in headers); a pointer in each atomic (layouts are asserted
// all over the house, and constinit objects have nobody to ask for one).

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <source_location>
#include <type_traits>

namespace levity::inline v0::detail {

/// How a read-modify-write makes the new value of the old one.
enum class change : std::uint8_t { exchange, add, subtract, bit_and, bit_or, bit_xor };

/// What an exploration is asked by the code that it runs. Values are the bytes of the object, from the lowest bit on. All functions
/// are for the thread that explores; each may go on in another virtual thread before it returns.
class explorer {
public:
  /// A word begins, or ends, to live. Where there was one before, that one has ended.
  virtual void begins(const void* word, std::size_t size, std::source_location where) noexcept = 0;
  virtual void ends(const void* word, std::size_t size) noexcept = 0;

  virtual std::uint64_t load(const void* word, std::size_t size, std::memory_order order,
                             std::source_location where) noexcept = 0;
  virtual void store(void* word, std::size_t size, std::uint64_t value, std::memory_order order,
                     std::source_location where) noexcept = 0;
  /// Returns the old value.
  virtual std::uint64_t read_modify_write(void* word, std::size_t size, change how, std::uint64_t operand,
                                          std::memory_order order, std::source_location where) noexcept = 0;
  /// As compare_exchange_strong, or _weak.
  virtual bool compare_exchange(void* word, std::size_t size, std::uint64_t& expected, std::uint64_t desired, bool weak,
                                std::memory_order success, std::memory_order failure, std::source_location where) noexcept = 0;

  virtual void fence(std::memory_order order, std::source_location where) noexcept = 0;
  virtual void compiler_fence(std::source_location where) noexcept = 0;
  /// A full fence in every thread between call and return.
  virtual void process_barrier(std::source_location where) noexcept = 0;
  /// This thread looks again and again until another one has written something.
  virtual void spins() noexcept = 0;

  /// futex(2). False: the time is over.
  virtual bool futex_wait(const std::uint32_t* word, std::uint32_t expected, bool timed, std::source_location where) noexcept = 0;
  virtual void futex_wake(const std::uint32_t* word, bool all, std::source_location where) noexcept = 0;

  /// A mutex, by its address: a word of 4 bytes that begins and ends as an atomic does.
  virtual void lock(const void* mutex, std::source_location where) noexcept = 0;
  virtual void unlock(const void* mutex, std::source_location where) noexcept = 0;
  /// A condition variable, which is such a word, too. Lets go of the mutex meanwhile. False: the time is over.
  virtual bool wait(const std::uint32_t* condition, const void* mutex, bool timed, std::source_location where) noexcept = 0;
  virtual void notify(const std::uint32_t* condition, bool all, std::source_location where) noexcept = 0;
  /// A thread begins; returns its number, by which it is joined. `drop` is called with `data` when it has ended.
  virtual unsigned start(void (*body)(void*), void* data, void (*drop)(void*), std::source_location where) = 0;
  virtual void join(unsigned thread, std::source_location where) = 0;

  /// Plain data is read, or written, by the instruction at `pc`: in a program that is compiled so that it tells
  /// (src/base/explored_plain.cpp).
  virtual void touches(const void* data, bool writes, const void* pc) noexcept = 0;
  /// Memory of the heap is given back. The explorer frees it when the execution is over; who touches it until then fails.
  virtual void frees(void* memory) noexcept = 0;

  /// Nanoseconds of a clock of its own, which goes on with each look.
  virtual std::int64_t now_ns() noexcept = 0;
  /// A belief of the explored code is broken: this execution ends here.
  [[noreturn]] virtual void fails(const char* what, std::source_location where) noexcept = 0;

protected:
  ~explorer() = default;
};

/// Who explores on this thread; null outside of an execution, and while the explorer itself is at work.
extern constinit thread_local explorer* this_explorer [[gnu::tls_model("initial-exec")]];

/// The bytes of `value`, as an explorer has them.
template <class T>
std::uint64_t word_of(const T& value) noexcept {
  std::uint64_t word = 0;
  std::memcpy(&word, &value, sizeof(T));
  return word;
}

template <class T>
T value_of(std::uint64_t word) noexcept {
  T value;
  std::memcpy(&value, &word, sizeof(T));
  return value;
}

/// std::atomic under an explorer. Members as there, with the place of the call as a last parameter that nobody writes; those that
/// the house does not use are missing (operators, wait, notify). T has 8 bytes at most.
template <class T>
class explored_atomic {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= sizeof(std::uint64_t), "an explorer knows words of 8 bytes");
  using order = std::memory_order;
  using site = std::source_location;

public:
  using value_type = T;
  static constexpr bool is_always_lock_free = std::atomic<T>::is_always_lock_free;

  constexpr explored_atomic(site where = site::current()) noexcept : value_{} { begin(where); }
  constexpr explored_atomic(T value, site where = site::current()) noexcept : value_(value) { begin(where); }
  constexpr ~explored_atomic() {
    if !consteval {
      if (this_explorer != nullptr) [[unlikely]] this_explorer->ends(&value_, sizeof(T));
    }
  }
  explored_atomic(const explored_atomic&) = delete;
  explored_atomic& operator=(const explored_atomic&) = delete;

  [[nodiscard]] bool is_lock_free() const noexcept { return value_.is_lock_free(); }

  T load(order wanted = order::seq_cst, site where = site::current()) const noexcept {
    if (this_explorer != nullptr) [[unlikely]] return value_of<T>(this_explorer->load(&value_, sizeof(T), wanted, where));
    return value_.load(wanted);
  }

  void store(T value, order wanted = order::seq_cst, site where = site::current()) noexcept {
    if (this_explorer != nullptr) [[unlikely]] return this_explorer->store(&value_, sizeof(T), word_of(value), wanted, where);
    value_.store(value, wanted);
  }

  T exchange(T value, order wanted = order::seq_cst, site where = site::current()) noexcept {
    if (this_explorer != nullptr) [[unlikely]] return change_word(change::exchange, value, wanted, where);
    return value_.exchange(value, wanted);
  }

  bool compare_exchange_strong(T& expected, T desired, order success, order failure, site where = site::current()) noexcept {
    if (this_explorer != nullptr) [[unlikely]] return compare_word(expected, desired, false, success, failure, where);
    return value_.compare_exchange_strong(expected, desired, success, failure);
  }
  bool compare_exchange_strong(T& expected, T desired, order both = order::seq_cst, site where = site::current()) noexcept {
    return compare_exchange_strong(expected, desired, both, of_failure(both), where);
  }
  bool compare_exchange_weak(T& expected, T desired, order success, order failure, site where = site::current()) noexcept {
    if (this_explorer != nullptr) [[unlikely]] return compare_word(expected, desired, true, success, failure, where);
    return value_.compare_exchange_weak(expected, desired, success, failure);
  }
  bool compare_exchange_weak(T& expected, T desired, order both = order::seq_cst, site where = site::current()) noexcept {
    return compare_exchange_weak(expected, desired, both, of_failure(both), where);
  }

  T fetch_add(T delta, order wanted = order::seq_cst, site where = site::current()) noexcept
    requires std::is_integral_v<T>
  {
    if (this_explorer != nullptr) [[unlikely]] return change_word(change::add, delta, wanted, where);
    return value_.fetch_add(delta, wanted);
  }
  T fetch_sub(T delta, order wanted = order::seq_cst, site where = site::current()) noexcept
    requires std::is_integral_v<T>
  {
    if (this_explorer != nullptr) [[unlikely]] return change_word(change::subtract, delta, wanted, where);
    return value_.fetch_sub(delta, wanted);
  }
  T fetch_and(T mask, order wanted = order::seq_cst, site where = site::current()) noexcept
    requires std::is_integral_v<T>
  {
    if (this_explorer != nullptr) [[unlikely]] return change_word(change::bit_and, mask, wanted, where);
    return value_.fetch_and(mask, wanted);
  }
  T fetch_or(T mask, order wanted = order::seq_cst, site where = site::current()) noexcept
    requires std::is_integral_v<T>
  {
    if (this_explorer != nullptr) [[unlikely]] return change_word(change::bit_or, mask, wanted, where);
    return value_.fetch_or(mask, wanted);
  }
  T fetch_xor(T mask, order wanted = order::seq_cst, site where = site::current()) noexcept
    requires std::is_integral_v<T>
  {
    if (this_explorer != nullptr) [[unlikely]] return change_word(change::bit_xor, mask, wanted, where);
    return value_.fetch_xor(mask, wanted);
  }

private:
  constexpr void begin(site where) noexcept {
    if !consteval {
      if (this_explorer != nullptr) [[unlikely]] this_explorer->begins(&value_, sizeof(T), where);
    }
  }

  static constexpr order of_failure(order both) noexcept {
    return both == order::acq_rel ? order::acquire : both == order::release ? order::relaxed : both;
  }

  T change_word(change how, T operand, order wanted, site where) noexcept {
    return value_of<T>(this_explorer->read_modify_write(&value_, sizeof(T), how, word_of(operand), wanted, where));
  }

  bool compare_word(T& expected, T desired, bool weak, order success, order failure, site where) noexcept {
    std::uint64_t found = word_of(expected);
    if (this_explorer->compare_exchange(&value_, sizeof(T), found, word_of(desired), weak, success, failure, where)) return true;
    expected = value_of<T>(found);
    return false;
  }

  std::atomic<T> value_;
};

/// std::atomic_thread_fence under an explorer.
inline void explored_fence(std::memory_order order, std::source_location where = std::source_location::current()) noexcept {
  if (this_explorer != nullptr) [[unlikely]] return this_explorer->fence(order, where);
  std::atomic_thread_fence(order);
}

}  // namespace levity::detail
