#pragma once

#include <utility>

#include "levity/base/clock.hpp"
#include "levity/cache/detail/cache_block.hpp"

namespace levity::inline v0 {

namespace detail {
class cached_access;
}  // namespace detail

/// A value that a cache has, or had: an immutable snapshot, which stays as it is while the cache gets newer ones. Empty where
/// there was nothing.
///
///     if (auto order = orders.get(id)) use(order->total);
///
/// May be kept for as long as one likes, across co_await, on another thread, after the entry was replaced or erased, and after the
/// cache is gone; the value is destroyed with the last of its handles, by whoever lets that one go. One pointer; a copy or the end
/// of one is one atomic addition. Different handles of one value from any thread; one and the same as any plain object.
template <class Value>
class cached {
public:
  /// Empty.
  cached() noexcept = default;
  cached(const cached& other) noexcept : block_(other.block_) {
    if (block_ != nullptr) block_->share();
  }
  cached(cached&& other) noexcept : block_(std::exchange(other.block_, nullptr)) {}
  cached& operator=(cached other) noexcept {
    std::swap(block_, other.block_);
    return *this;
  }
  ~cached() {
    if (block_ != nullptr) block_->drop();
  }

  /// Whether there is a value.
  [[nodiscard]] explicit operator bool() const noexcept { return block_ != nullptr && !block_->absent; }
  /// Whether it is known that there is none: the loader said so, and the cache remembers it.
  [[nodiscard]] bool known_absent() const noexcept { return block_ != nullptr && block_->absent; }

  /// The value; not of an empty handle.
  [[nodiscard]] const Value& operator*() const noexcept { return block_->value; }
  /// The same.
  [[nodiscard]] const Value* operator->() const noexcept { return &block_->value; }

  /// When it was set or loaded; not of a handle that is empty and knows of no absence.
  [[nodiscard]] time_point written_at() const noexcept { return time_point{duration{block_->written_ns}}; }
  /// When its time is over by its age alone; time_point::max() if never.
  [[nodiscard]] time_point expires_at() const noexcept { return time_point{duration{block_->expires_ns}}; }
  /// How old it is.
  [[nodiscard]] duration age(time_point now = clock::now()) const noexcept { return now - written_at(); }
  /// Whether its time is over, so that it is only better than nothing.
  [[nodiscard]] bool is_stale(time_point now = clock::now()) const noexcept {
    return block_ != nullptr && now >= expires_at();
  }

private:
  friend class detail::cached_access;
  explicit cached(detail::cache_block<Value>* held) noexcept : block_(held) {}

  detail::cache_block<Value>* block_ = nullptr;
};

namespace detail {

/// How the cache makes handles, and knows its own again.
class cached_access {
public:
  /// Takes over a reference that the caller has.
  template <class Value>
  static cached<Value> adopt(cache_block<Value>* held) noexcept {
    return cached<Value>{held};
  }
  template <class Value>
  static cache_block<Value>* block_of(const cached<Value>& handle) noexcept {
    return handle.block_;
  }
};

}  // namespace detail
}  // namespace levity
