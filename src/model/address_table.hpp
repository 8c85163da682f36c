#pragma once

// address_table: a value by address, forgotten all at once in O(1). Open addressing with linear probing; an entry of an earlier
// round counts as free.

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace levity::inline v0::model::detail {

template <class T>
class address_table {
public:
  void clear() noexcept {
    round_++;
    used_.clear();
  }

  /// Null: there is none.
  T* find(const void* address) noexcept {
    if (used_.empty()) return nullptr;
    slot& there = probe(address);
    return there.round == round_ ? &there.value : nullptr;
  }

  /// The value at `address`, T{} if it is new. Valid until the next call.
  T& operator[](const void* address) {
    if (2 * (used_.size() + 1) > slots_.size()) grow();
    slot& there = probe(address);
    if (there.round != round_) {
      there = slot{address, round_, T{}};
      used_.push_back(address);
    }
    return there.value;
  }

  /// The addresses that have one, in the order in which they came.
  [[nodiscard]] const std::vector<const void*>& addresses() const noexcept { return used_; }

private:
  struct slot {
    const void* address = nullptr;
    std::uint64_t round = 0;
    T value{};
  };

  slot& probe(const void* address) noexcept {
    const std::size_t mask = slots_.size() - 1;
    // Fibonacci hashing: addresses differ in their middle bits.
    std::size_t at = (reinterpret_cast<std::uintptr_t>(address) * 0x9e3779b97f4a7c15U) >> shift_;
    while (slots_[at].round == round_ && slots_[at].address != address) at = (at + 1) & mask;
    return slots_[at];
  }

  void grow() {
    std::vector<slot> old = std::exchange(slots_, std::vector<slot>(slots_.empty() ? 64 : 2 * slots_.size()));
    shift_ = 64 - static_cast<unsigned>(__builtin_ctzll(slots_.size()));
    for (slot& each : old) {
      if (each.round == round_) probe(each.address) = std::move(each);
    }
  }

  std::vector<slot> slots_;
  std::uint64_t round_ = 1;
  std::vector<const void*> used_;
  unsigned shift_ = 58;
};

}  // namespace levity::model::detail
