#pragma once

// socket_attempt: what an awaiter of one direction of a socket or pipe derives from; it says how to try once, this says when.

#include <cstddef>

#include "levity/base/error.hpp"
#include "levity/task/detail/promise.hpp"

namespace levity::inline v0::detail {

struct endpoint;

/// An attempt on one direction of a socket that is repeated at each event until it succeeds or fails.
class socket_attempt : public waiter {
public:
  socket_attempt(const wait_reason& why, endpoint* socket) noexcept : waiter{&why}, socket_(socket) {}
  /// Fails with the error of a socket that is not there.
  socket_attempt(const wait_reason& why, io_result<endpoint*> socket) noexcept;

  bool await_ready() const noexcept { return false; }

  // Whether the attempt has an outcome now; false: the task is parked.
  [[nodiscard]] bool try_now(std::coroutine_handle<> frame, task_record& record) noexcept;

protected:
  enum class outcome : unsigned char { again, done };

  static bool take_back(waiter& self, task_record& record) noexcept;
  static bool settle(waiter& self, task_record& record) noexcept;
  static void describe_fd(const waiter& self, char* text, std::size_t size) noexcept;
  static void describe_unix(const waiter& self, char* text, std::size_t size) noexcept;  // with its name

  // The rest of the object, by its reason: reads or writes once, fills in its result or error.
  virtual outcome attempt() noexcept = 0;
  virtual bool reads() const noexcept = 0;
  virtual void before_wait() noexcept {}

  ~socket_attempt() = default;

  endpoint* socket_;
  io_error error_{io_failure::would_block};
  bool finished_ = false;

private:
  bool run(task_record& record) noexcept;
};

}  // namespace levity::detail
