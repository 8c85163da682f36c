#pragma once

// Doubly linked lists whose links live in their elements: no allocation, O(1) removal from the middle.

#include "levity/base/assert.hpp"

namespace levity::inline v0::detail {

/// The links of one element. `next == nullptr` means: in no list.
struct list_link {
  list_link* next = nullptr;
  list_link* prev = nullptr;

  [[nodiscard]] bool linked() const noexcept { return next != nullptr; }

  void unlink() noexcept {
    next->prev = prev;
    prev->next = next;
    next = prev = nullptr;
  }
};

/// A circular list of links with a sentinel. Not thread-safe; every operation O(1). Must not move while non-empty.
class link_list {
public:
  link_list() noexcept { head_.next = head_.prev = &head_; }
  link_list(const link_list&) = delete;
  link_list& operator=(const link_list&) = delete;

  [[nodiscard]] bool empty() const noexcept { return head_.next == &head_; }
  [[nodiscard]] list_link* front() noexcept { return empty() ? nullptr : head_.next; }
  [[nodiscard]] list_link* end() noexcept { return &head_; }

  void push_back(list_link& link) noexcept { insert_before(head_, link); }
  void push_front(list_link& link) noexcept { insert_before(*head_.next, link); }

  list_link* pop_front() noexcept {
    list_link* first = front();
    if (first != nullptr) first->unlink();
    return first;
  }

  static void insert_before(list_link& place, list_link& link) noexcept {
    LEVITY_DEBUG_ASSERT(!link.linked(), "an element is in one list at a time");
    link.next = &place;
    link.prev = place.prev;
    place.prev->next = &link;
    place.prev = &link;
  }

  /// Moves all of `other` to the end of this list. O(1).
  void splice_back(link_list& other) noexcept {
    if (other.empty()) return;
    other.head_.next->prev = head_.prev;
    head_.prev->next = other.head_.next;
    other.head_.prev->next = &head_;
    head_.prev = other.head_.prev;
    other.head_.next = other.head_.prev = &other.head_;
  }

private:
  list_link head_;
};

}  // namespace levity::detail
