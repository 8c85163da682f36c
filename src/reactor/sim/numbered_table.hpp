#pragma once

// numbered_table: things that are found by a number which each is given once, in rising order.
//
// Why: whatever happens in a simulated network begins with finding its sockets, several times for each segment. Here that is two
// loads, and the pages of those that live are in the cache; a hash table divides and follows a chain.
//
//   page      of a block of numbers; null: of none of them is there anything
//   the last  page stays while numbers are given from it, or each connection that comes and goes would make it anew
//
// What is left of a block of numbers whose things have all gone are 8 bytes, so a world may have very many, one after the other.
//
// Rejected: a window over the numbers in use, in a deque: a listener is as old as its program and would keep it open.

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "levity/base/assert.hpp"

namespace levity::inline v0::detail {

template <class T>
class numbered_table {
public:
  using number = std::uint32_t;

  /// Null: there is none, or no longer.
  [[nodiscard]] T* find(number of) const noexcept {
    const std::size_t at = of / page_size;
    return at < pages_.size() && pages_[at] != nullptr ? pages_[at]->things[of % page_size].get() : nullptr;
  }
  /// Numbers rise (asserted by way of their pages).
  T& add(number of, std::unique_ptr<T> made) {
    const std::size_t at = of / page_size;
    LEVITY_ASSERT(at + 1 >= pages_.size(), "numbers rise");
    if (at >= pages_.size()) {
      if (!pages_.empty() && pages_.back() != nullptr && pages_.back()->used == 0) pages_.back().reset();
      pages_.resize(at + 1);
    }
    if (pages_[at] == nullptr) pages_[at] = std::make_unique<page>();
    std::unique_ptr<T>& place = pages_[at]->things[of % page_size];
    LEVITY_ASSERT(place == nullptr, "a number is given once");
    place = std::move(made);
    pages_[at]->used++;
    size_++;
    return *place;
  }
  /// It is there (asserted).
  void erase(number of) noexcept {
    const std::size_t at = of / page_size;
    LEVITY_ASSERT(find(of) != nullptr, "what is erased is there");
    pages_[at]->things[of % page_size].reset();
    size_--;
    if (--pages_[at]->used == 0 && at + 1 < pages_.size()) pages_[at].reset();
  }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

  /// Calls `visit(thing)` for each, by rising numbers.
  template <class Visit>
  void each(Visit&& visit) const {
    for (const auto& of : pages_) {
      if (of == nullptr) continue;
      for (const auto& thing : of->things) {
        if (thing != nullptr) visit(*thing);
      }
    }
  }

private:
  static constexpr std::size_t page_size = 256;
  struct page {
    std::array<std::unique_ptr<T>, page_size> things;
    std::size_t used = 0;
  };

  std::vector<std::unique_ptr<page>> pages_;
  std::size_t size_ = 0;
};

}  // namespace levity::detail
