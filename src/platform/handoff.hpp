#pragma once

// handoff: a list that any thread pushes onto and one thread takes whole. Lock-free; what is pushed is not copied.
//
// Edges
//   E75  push -> take: the item's fields.

#include "levity/base/atomic.hpp"

namespace levity::inline v0::detail {

template <class Item, Item* Item::* link>
class handoff {
public:
  /// Any thread. From here on the item may be taken and gone.
  void push(Item& item) noexcept {
    Item* head = newest_.load(std::memory_order_relaxed);
    do {
      item.*link = head;
    } while (!newest_.compare_exchange_weak(head, &item, std::memory_order_release,  // E75 release.
                                            std::memory_order_relaxed));
  }

  /// The taker: calls `visit(item)` for each, oldest first; the item may be pushed again meanwhile. Returns how many.
  template <class Visit>
  unsigned take(Visit&& visit) noexcept {
    if (empty_approx()) return 0;
    Item* newest = newest_.exchange(nullptr, std::memory_order_acquire);  // E75 acquire.
    Item* oldest = nullptr;
    while (newest != nullptr) {
      Item* older = newest->*link;
      newest->*link = oldest;
      oldest = newest;
      newest = older;
    }
    unsigned count = 0;
    while (oldest != nullptr) {
      Item* next = oldest->*link;
      visit(*oldest);
      count++;
      oldest = next;
    }
    return count;
  }

  [[nodiscard]] bool empty_approx() const noexcept { return newest_.load(std::memory_order_relaxed) == nullptr; }

private:
  atomic<Item*> newest_{nullptr};
};

}  // namespace levity::detail
