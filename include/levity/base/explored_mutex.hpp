#pragma once

// explored_mutex: a std::mutex that asks whoever explores, as explored_atomic is a std::atomic that does.
//
// Why: what a mutex guards is ordered by unlock -> lock, and the model lane (docs/design/0026-the-model-lane.md) is to see that as
// it sees the orders of atomics. In an exploration a thread that finds it taken is not run until it is free; the std::mutex is not
// touched. Outside of one it is the std::mutex that it contains.

#include <mutex>

#include "levity/base/explored_atomic.hpp"

namespace levity::inline v0::detail {

/// std::mutex under an explorer, without try_lock, which the house does not use.
class explored_mutex {
  using site = std::source_location;

public:
  constexpr explored_mutex(site where = site::current()) noexcept {
    if !consteval {
      if (this_explorer != nullptr) this_explorer->begins(this, word_bytes, where);
    }
  }
  constexpr ~explored_mutex() {
    if !consteval {
      if (this_explorer != nullptr) this_explorer->ends(this, word_bytes);
    }
  }
  explored_mutex(const explored_mutex&) = delete;
  explored_mutex& operator=(const explored_mutex&) = delete;

  /// Outside of an exploration.
  [[nodiscard]] std::mutex& native() noexcept { return native_; }

private:
  friend class explored_guard;  // and not std::lock_guard, which would be the place of all locks
  friend class explored_unique_guard;

  void lock(site where) {
    if (this_explorer != nullptr) return this_explorer->lock(this, where);
    native_.lock();
  }
  void unlock(site where) {
    if (this_explorer != nullptr) return this_explorer->unlock(this, where);
    native_.unlock();
  }

  // As what the explorer knows it: by its first bytes, which are 0 while it is free.
  static constexpr std::size_t word_bytes = 4;

  std::mutex native_;
};

/// std::lock_guard<std::mutex> under an explorer. Where it is made is the place of its unlock, too.
class [[nodiscard]] explored_guard {
public:
  explicit explored_guard(explored_mutex& held, std::source_location where = std::source_location::current())
      : held_(held), where_(where) {
    held_.lock(where_);
  }
  explored_guard(const explored_guard&) = delete;
  explored_guard& operator=(const explored_guard&) = delete;
  ~explored_guard() { held_.unlock(where_); }

private:
  explored_mutex& held_;
  const std::source_location where_;
};

/// std::unique_lock<std::mutex> under an explorer, as far as the house needs it.
class [[nodiscard]] explored_unique_guard {
public:
  explicit explored_unique_guard(explored_mutex& held, std::source_location where = std::source_location::current())
      : held_(held), where_(where) {
    held_.lock(where_);
  }
  explored_unique_guard(const explored_unique_guard&) = delete;
  explored_unique_guard& operator=(const explored_unique_guard&) = delete;
  ~explored_unique_guard() {
    if (owns_) held_.unlock(where_);
  }

  void lock(std::source_location where = std::source_location::current()) {
    held_.lock(where);
    owns_ = true;
  }
  void unlock(std::source_location where = std::source_location::current()) {
    owns_ = false;
    held_.unlock(where);
  }
  [[nodiscard]] explored_mutex* mutex() const noexcept { return &held_; }

private:
  explored_mutex& held_;
  const std::source_location where_;
  bool owns_ = true;
};

}  // namespace levity::detail
