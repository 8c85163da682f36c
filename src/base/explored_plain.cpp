// The hooks that a compiler calls when it instruments for data races (-fsanitize=thread), answered by whoever explores. So each
// plain access of the explored source is known, without a word in that source.
//
// Only in the model build, and this file is not instrumented itself. ThreadSanitizer's own library is not linked: of its names
// those are here that compilers use. Atomics that are not levity::atomic (the counts of a std::shared_ptr) are explored as well.

#ifdef LEVITY_MODEL

#include <cstring>

#include "levity/base/explored_atomic.hpp"

namespace {

using levity::detail::change;
using levity::detail::explorer;
using levity::detail::this_explorer;

inline void touches(const void* data, bool writes, const void* pc) noexcept {
  if (explorer* const by = this_explorer; by != nullptr) [[unlikely]] by->touches(data, writes, pc);
}

constexpr std::memory_order order_of(int number) noexcept { return static_cast<std::memory_order>(number & 7); }

template <class T>
T load(const volatile T* word, int order) noexcept {
  if (explorer* const by = this_explorer; by != nullptr) {
    return static_cast<T>(by->load(const_cast<const T*>(word), sizeof(T), order_of(order), std::source_location::current()));
  }
  return __atomic_load_n(word, __ATOMIC_SEQ_CST);
}

template <class T>
void store(volatile T* word, T value, int order) noexcept {
  if (explorer* const by = this_explorer; by != nullptr) {
    return by->store(const_cast<T*>(word), sizeof(T), value, order_of(order), std::source_location::current());
  }
  __atomic_store_n(word, value, __ATOMIC_SEQ_CST);
}

template <class T>
T changed(volatile T* word, change how, T value, int order) noexcept {
  if (explorer* const by = this_explorer; by != nullptr) {
    return static_cast<T>(by->read_modify_write(const_cast<T*>(word), sizeof(T), how, value, order_of(order),
                                                std::source_location::current()));
  }
  switch (how) {
    case change::exchange: return __atomic_exchange_n(word, value, __ATOMIC_SEQ_CST);
    case change::add: return __atomic_fetch_add(word, value, __ATOMIC_SEQ_CST);
    case change::subtract: return __atomic_fetch_sub(word, value, __ATOMIC_SEQ_CST);
    case change::bit_and: return __atomic_fetch_and(word, value, __ATOMIC_SEQ_CST);
    case change::bit_or: return __atomic_fetch_or(word, value, __ATOMIC_SEQ_CST);
    case change::bit_xor: return __atomic_fetch_xor(word, value, __ATOMIC_SEQ_CST);
  }
  __builtin_unreachable();
}

template <class T>
int exchanged(volatile T* word, T* expected, T desired, bool weak, int success, int failure) noexcept {
  if (explorer* const by = this_explorer; by != nullptr) {
    std::uint64_t found = *expected;
    const bool done = by->compare_exchange(const_cast<T*>(word), sizeof(T), found, desired, weak, order_of(success),
                                           order_of(failure), std::source_location::current());
    *expected = static_cast<T>(found);
    return done ? 1 : 0;
  }
  return __atomic_compare_exchange_n(word, expected, desired, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST) ? 1 : 0;
}

}  // namespace

#define LEVITY_PC __builtin_return_address(0)

#define LEVITY_ACCESSES(size)                                                                       \
  void __tsan_read##size(void* data) { touches(data, false, LEVITY_PC); }                           \
  void __tsan_write##size(void* data) { touches(data, true, LEVITY_PC); }                           \
  void __tsan_unaligned_read##size(void* data) { touches(data, false, LEVITY_PC); }                 \
  void __tsan_unaligned_write##size(void* data) { touches(data, true, LEVITY_PC); }                 \
  void __tsan_read_write##size(void* data) { touches(data, true, LEVITY_PC); }                      \
  void __tsan_unaligned_read_write##size(void* data) { touches(data, true, LEVITY_PC); }

#define LEVITY_CHANGE(bits, type, name, how)                                                        \
  type __tsan_atomic##bits##_##name(volatile type* word, type value, int order) { return changed(word, how, value, order); }

#define LEVITY_ATOMICS(bits, type)                                                                  \
  type __tsan_atomic##bits##_load(const volatile type* word, int order) { return load(word, order); } \
  void __tsan_atomic##bits##_store(volatile type* word, type value, int order) { store(word, value, order); } \
  LEVITY_CHANGE(bits, type, exchange, change::exchange)                                             \
  LEVITY_CHANGE(bits, type, fetch_add, change::add)                                                 \
  LEVITY_CHANGE(bits, type, fetch_sub, change::subtract)                                            \
  LEVITY_CHANGE(bits, type, fetch_and, change::bit_and)                                             \
  LEVITY_CHANGE(bits, type, fetch_or, change::bit_or)                                               \
  LEVITY_CHANGE(bits, type, fetch_xor, change::bit_xor)                                             \
  int __tsan_atomic##bits##_compare_exchange_strong(volatile type* word, type* expected, type desired, int success,   \
                                                    int failure) {                                  \
    return exchanged(word, expected, desired, false, success, failure);                             \
  }                                                                                                 \
  int __tsan_atomic##bits##_compare_exchange_weak(volatile type* word, type* expected, type desired, int success, int failure) { \
    return exchanged(word, expected, desired, true, success, failure);                              \
  } \
  /* Of clang alone, for both. */ \
  type __tsan_atomic##bits##_compare_exchange_val(volatile type* word, type expected, type desired, int success, int failure) { \
    static_cast<void>(exchanged(word, &expected, desired, false, success, failure)); \
    return expected; \
  }

extern "C" {

void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
// A destructor writes what is there already, if no other class comes below; whoever calls a virtual function meanwhile reads it.
void __tsan_vptr_update(void** place, void* table) {
  if (*place != table) touches(place, true, LEVITY_PC);
}
void __tsan_vptr_read(void** place) { touches(place, false, LEVITY_PC); }
void __tsan_read_range(void* data, unsigned long) { touches(data, false, LEVITY_PC); }
void __tsan_write_range(void* data, unsigned long) { touches(data, true, LEVITY_PC); }

// Of clang alone; g++ leaves these as they are, and what they touch is not told.
void* __tsan_memcpy(void* to, const void* from, unsigned long bytes) {
  touches(from, false, LEVITY_PC);
  touches(to, true, LEVITY_PC);
  return std::memcpy(to, from, bytes);
}
void* __tsan_memmove(void* to, const void* from, unsigned long bytes) {
  touches(from, false, LEVITY_PC);
  touches(to, true, LEVITY_PC);
  return std::memmove(to, from, bytes);
}
void* __tsan_memset(void* to, int value, unsigned long bytes) {
  touches(to, true, LEVITY_PC);
  return std::memset(to, value, bytes);
}

LEVITY_ACCESSES(1)
LEVITY_ACCESSES(2)
LEVITY_ACCESSES(4)
LEVITY_ACCESSES(8)
LEVITY_ACCESSES(16)

LEVITY_ATOMICS(8, std::uint8_t)
LEVITY_ATOMICS(16, std::uint16_t)
LEVITY_ATOMICS(32, std::uint32_t)
LEVITY_ATOMICS(64, std::uint64_t)

void __tsan_atomic_thread_fence(int order) { levity::detail::explored_fence(order_of(order)); }
void __tsan_atomic_signal_fence(int) { __atomic_signal_fence(__ATOMIC_SEQ_CST); }

}  // extern "C"

#endif
