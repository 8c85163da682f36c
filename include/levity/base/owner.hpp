#pragma once

// owner: a pointer that deletes what it points to, for members of public classes that hide what they hold.
//
// Rejected: std::unique_ptr. Its deleter, tuple and traits cost every file that includes us 8 ms of compile time for each type.

namespace levity::inline v0::detail {

template <class T>
class owner {
public:
  owner() = default;
  explicit owner(T* mine) noexcept : mine_(mine) {}
  owner(owner&& other) noexcept : mine_(other.mine_) { other.mine_ = nullptr; }
  owner& operator=(owner&& other) noexcept {
    T* const before = mine_;
    mine_ = other.mine_;
    other.mine_ = before;
    return *this;
  }
  ~owner() {
    static_assert(sizeof(T) > 0, "it is destroyed where the type is known");
    delete mine_;
  }

  T& operator*() const noexcept { return *mine_; }
  T* operator->() const noexcept { return mine_; }

private:
  T* mine_ = nullptr;
};

/// Of an array.
template <class T>
class owner<T[]> {
public:
  owner() = default;
  explicit owner(T* mine) noexcept : mine_(mine) {}
  owner(owner&& other) noexcept : mine_(other.mine_) { other.mine_ = nullptr; }
  owner& operator=(owner&& other) noexcept {
    T* const before = mine_;
    mine_ = other.mine_;
    other.mine_ = before;
    return *this;
  }
  ~owner() { delete[] mine_; }

  T& operator[](decltype(sizeof 0) index) const noexcept { return mine_[index]; }

private:
  T* mine_ = nullptr;
};

}  // namespace levity::detail
