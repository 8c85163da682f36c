#pragma once

// explored_thread: a std::thread that is a virtual one where it is started inside an exploration (explored_mutex.hpp). What its
// starter did happens before it; what it did, before the return of join().

#include <memory>
#include <thread>
#include <utility>

#include "levity/base/explored_atomic.hpp"

namespace levity::inline v0::detail {

/// std::thread under an explorer, as far as the house needs it.
class explored_thread {
  using site = std::source_location;

public:
  explored_thread() noexcept = default;
  template <class Work>
  explicit explored_thread(Work work, site where = site::current()) {
    if (this_explorer == nullptr) {
      native_ = std::thread(std::move(work));
      return;
    }
    auto kept = std::make_unique<Work>(std::move(work));
    number_ = static_cast<int>(this_explorer->start([](void* data) { (*static_cast<Work*>(data))(); }, kept.get(),
                                                    [](void* data) { delete static_cast<Work*>(data); }, where));
    static_cast<void>(kept.release());
  }
  explored_thread(explored_thread&& other) noexcept { swap(other); }
  explored_thread& operator=(explored_thread&& other) noexcept {
    if (joinable()) std::terminate();
    swap(other);
    return *this;
  }
  ~explored_thread() {
    if (number_ < 0) return;  // else as std::thread
    if (this_explorer != nullptr) this_explorer->fails("a thread is neither joined nor detached", {});
    std::terminate();
  }

  void swap(explored_thread& other) noexcept {
    native_.swap(other.native_);
    std::swap(number_, other.number_);
  }
  [[nodiscard]] bool joinable() const noexcept { return number_ >= 0 || native_.joinable(); }
  void join(site where = site::current()) {
    if (number_ < 0) return native_.join();
    this_explorer->join(static_cast<unsigned>(std::exchange(number_, none)), where);
  }
  void detach() {
    if (number_ < 0) return native_.detach();
    number_ = none;  // the execution is over when it has ended
  }

private:
  static constexpr int none = -1;

  std::thread native_;
  int number_ = none;  // of a virtual one
};

}  // namespace levity::detail
