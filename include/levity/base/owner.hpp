#pragma once

// owner: a pointer that deletes what it points to, for members of public classes that hide what they hold.
//
// Rejected: std::unique_ptr. Its deleter, tuple and traits cost every file that includes us 8 ms of compile time for each type.

#include <type_traits>

namespace levity::inline v0::detail {

/// Of an object, or of an array: owner<int[]>.
template <class T>
class owner {
  using element = std::remove_extent_t<T>;

public:
  owner() = default;
  explicit owner(element* mine) noexcept : mine_(mine) {}
  owner(owner&& other) noexcept : mine_(other.mine_) { other.mine_ = nullptr; }
  owner& operator=(owner&& other) noexcept {
    element* const before = mine_;
    mine_ = other.mine_;
    other.mine_ = before;
    return *this;
  }
  ~owner() {
    static_assert(sizeof(element) > 0, "it is destroyed where the type is known");
    if constexpr (std::is_array_v<T>) {
      delete[] mine_;
    } else {
      delete mine_;
    }
  }

  element& operator*() const noexcept { return *mine_; }
  element* operator->() const noexcept { return mine_; }
  element& operator[](decltype(sizeof 0) index) const noexcept
    requires std::is_array_v<T>
  {
    return mine_[index];
  }

private:
  element* mine_ = nullptr;
};

}  // namespace levity::detail
