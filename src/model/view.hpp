#pragma once

// view: what is known, as a vector of numbers, of which a larger one knows more.
//
//   entry t < threads_max      how much of what thread t did happened before: its clock. It orders plain data
//   entry threads_max + x      the oldest message of word x that may still be read: its place in the modification order
//
// Both grow by the same rule (a join takes the larger one, entry by entry), so they are one vector, and a join is a few
// instructions on sixteen entries at a time. A view is as long as there are words; what lies beyond its end is 0.

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

namespace levity::inline v0::model::detail {

inline constexpr unsigned threads_max = 8;

using view_entry = std::uint16_t;
inline constexpr unsigned view_step = 16;  // lengths are multiples of it

/// into := into joined with from, of which `length` entries count.
inline void join(view_entry* into, const view_entry* from, unsigned length) noexcept {
  for (unsigned at = 0; at < length; at += view_step) {
    for (unsigned i = at; i < at + view_step; i++) into[i] = std::max(into[i], from[i]);
  }
}

/// The memory of views that last as long as one execution: taken one after the other, given back all at once.
class view_arena {
public:
  view_entry* take(unsigned length) noexcept {
    if (at_ + length > block_entries) {
      block_++;
      at_ = 0;
    }
    if (block_ == blocks_.size()) blocks_.push_back(std::make_unique<view_entry[]>(block_entries));
    view_entry* const taken = blocks_[block_].get() + at_;
    at_ += length;
    return taken;
  }

  void clear() noexcept { block_ = at_ = 0; }

private:
  static constexpr std::size_t block_entries = std::size_t{1} << 16;

  std::vector<std::unique_ptr<view_entry[]>> blocks_;
  std::size_t block_ = 0;
  std::size_t at_ = 0;
};

}  // namespace levity::model::detail
