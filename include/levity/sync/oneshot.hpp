#pragma once

#include <expected>
#include <memory>
#include <type_traits>
#include <utility>
#include <variant>

#include "levity/base/atomic.hpp"
#include "levity/sync/channel.hpp"

namespace levity::inline v0 {

/// One value that somebody else brings, once: the bridge from callbacks to tasks.
///
///     lv::oneshot<int> answer;
///     c_library_start(request, [done = answer.get_completer()](int code) { done.complete(code); });   // any thread, later
///     auto code = co_await answer.wait();       // std::expected<int, channel_error>
///
/// The completer is copied as freely as callbacks are; the first complete() counts. When the last copy goes without one, the
/// wait ends with `closed`: a library that forgets its callback strands nobody. A cancelled wait ends with `cancelled` or
/// `timed_out`, and may be repeated. The oneshot may go before its completers. T: movable without exceptions, or void.
/// complete(): any thread, no wait. wait(): one task at a time. One allocation each for value and completer.
template <class T>
class oneshot {
  using carried = std::conditional_t<std::is_void_v<T>, std::monostate, T>;
  using line = channel<carried>;

  struct ending {
    explicit ending(std::shared_ptr<line> on) noexcept : to(std::move(on)) {}
    ~ending() { to->close(); }

    std::shared_ptr<line> to;
    atomic<bool> brought{false};
  };

public:
  /// Who brings the value. Copyable; the last copy that goes ends the wait.
  class completer {
  public:
    /// Brings the value. False: it was brought before, or the oneshot has gone; `value` is destroyed. Any thread.
    template <class U = carried>
      requires std::constructible_from<carried, U>
    bool complete(U&& value = {}) const {
      // Relaxed: only who is first; the value is published by the channel.
      if (end_->brought.exchange(true, std::memory_order_relaxed)) return false;
      const bool sent = end_->to->try_send(carried(std::forward<U>(value))).has_value();
      end_->to->close();
      return sent;
    }

  private:
    friend class oneshot;
    explicit completer(std::shared_ptr<ending> end) noexcept : end_(std::move(end)) {}
    std::shared_ptr<ending> end_;
  };

  oneshot() : line_(std::make_shared<line>(1)) {}
  oneshot(const oneshot&) = delete;
  oneshot& operator=(const oneshot&) = delete;
  /// Nobody waits for it.
  ~oneshot() { line_->close(); }

  /// What brings the value. Those of one oneshot are copies of each other; after the last one has gone, one more brings nothing.
  [[nodiscard]] completer get_completer() {
    std::shared_ptr<ending> end = end_.lock();
    if (end == nullptr) end_ = end = std::make_shared<ending>(line_);
    return completer(std::move(end));
  }

  /// Waits for the value: std::expected<T, channel_error>.
  [[nodiscard("co_await the value")]] auto wait() noexcept { return wait_awaiter{line_->core()}; }

private:
  // A receive that a dump calls what it is.
  class wait_awaiter : public line::receive_awaiter {
  public:
    explicit wait_awaiter(detail::channel_core& core) noexcept : line::receive_awaiter(core) {
      this->reason = &detail::channel_operation::oneshot_reason;
    }
    wait_awaiter(wait_awaiter&& other) noexcept : wait_awaiter(other.core_) {}
  };

  std::shared_ptr<line> line_;
  std::weak_ptr<ending> end_;
};

}  // namespace levity
