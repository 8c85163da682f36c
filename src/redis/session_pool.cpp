#include "redis/session_pool.hpp"

#include <algorithm>
#include <optional>
#include <utility>

#include "levity/task/cancel.hpp"
#include "levity/task/detail/executor.hpp"
#include "levity/time/deadline.hpp"

namespace levity::inline v0::redis::detail {

namespace {

constexpr const char* holding = "waiting for a session of redis";
constexpr duration trusted = std::chrono::seconds(1);  // after that an idle one is asked

// Whether the server answers on it.
task<bool> answers(dialogue& wire) {
  request ping("PING");
  const io_result<void> written = co_await wire.write(ping.encode());
  if (!written) co_return false;
  for (;;) {
    const result<value> reply = co_await wire.next(true);
    if (!reply) co_return false;
    if (reply->kind() != value_kind::push) co_return reply->text() == "PONG";
  }
}

}  // namespace

session_pool::session_pool(std::shared_ptr<const options> how)
    : options_(std::move(how)), room_(std::max(options_->sessions_max, 1U)) {
  idle_.reserve(std::max(options_->sessions_max, 1U));
}

std::unique_ptr<dialogue> session_pool::take_idle(duration& lay) noexcept {
  idle found;
  lock_.lock();
  if (!idle_.empty()) {
    found = std::move(idle_.back());
    idle_.pop_back();
  }
  lock_.unlock();
  if (found.wire != nullptr) lay = clock::now() - found.since;
  return std::move(found.wire);
}

task<result<std::unique_ptr<dialogue>>> session_pool::open(session_pool& self) {
  for (;;) {
    // Who is cancelled or late would find each of them silent.
    const cancel_reason why = levity::detail::pending_cancel(levity::detail::running_task());
    if (why != cancel_reason::none) co_return std::unexpected(error::of_io(to_io_error(why, holding), false));
    duration lay{};
    std::unique_ptr<dialogue> idle = self.take_idle(lay);
    if (idle == nullptr) break;
    if (lay > self.options_->session_idle_max) continue;
    if (lay <= trusted) co_return std::move(idle);
    // One that says nothing must leave the time for others, and for a connect.
    duration patience = self.options_->connect_timeout;
    if (const std::optional<duration> left = deadline_left()) patience = std::min(patience, *left / 4);
    const bool good = co_await with_deadline(patience, answers(*idle));
    if (good) co_return std::move(idle);
  }
  co_return co_await dialogue::open(*self.options_);
}

task<result<std::shared_ptr<held_connection>>> session_pool::take(std::shared_ptr<session_pool> self) {
  if (!self->room_.try_acquire()) {
    cancel_reason why = cancel_reason::none;
    try {
      co_await self->room_.acquire();
    } catch (const cancelled& told) {
      why = told.reason();
    }
    if (why != cancel_reason::none) co_return std::unexpected(error::of_io(to_io_error(why, holding), false));
  }
  // It has the permit from here on.
  std::shared_ptr<held_connection> held;
  try {
    held = std::make_shared<held_connection>(self, nullptr, self->options_->deadline);
  } catch (...) {
    self->room_.release();
    throw;
  }
  self->lock_.lock();
  const bool closed = self->closed_;
  self->lock_.unlock();
  if (closed) co_return std::unexpected(error::of_io({io_failure::closed, 0, holding}, false));
  result<std::unique_ptr<dialogue>> opened = co_await open(*self);
  if (!opened) co_return std::unexpected(opened.error());
  held->wire = std::move(*opened);
  co_return std::move(held);
}

void session_pool::give_back(std::unique_ptr<dialogue> wire) noexcept {
  if (wire != nullptr) {
    idle one{std::move(wire), clock::now()};
    lock_.lock();
    if (!closed_ && idle_.size() < idle_.capacity()) idle_.push_back(std::move(one));
    lock_.unlock();
    // One that was not taken is closed here, without the lock.
  }
  room_.release();
}

void session_pool::close() noexcept {
  std::vector<idle> closed;
  lock_.lock();
  closed_ = true;
  closed.swap(idle_);
  lock_.unlock();
}

void held_connection::let_go() noexcept {
  const std::shared_ptr<session_pool> to = std::exchange(home, nullptr);
  if (to == nullptr) return;
  const bool as_it_was = wire != nullptr && !busy && !watches && !in_transaction && !changed && wire->is_idle();
  if (!as_it_was) wire.reset();
  to->give_back(std::move(wire));
}

}  // namespace levity::redis::detail
