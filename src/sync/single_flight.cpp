#include "levity/sync/single_flight.hpp"

#include <cstdio>

#include "sync/attempt.hpp"

namespace levity::inline v0::detail {

const wait_reason flight_core::board_awaiter::reason_{"single flight", &queued_wait::take_back, &board_awaiter::settle,
                                                      &board_awaiter::describe};

void flight_core::pass_on() noexcept {
  list_.lock.lock();
  task_record* next = list_.hand_to_first();
  flying_ = next != nullptr;
  list_.lock.unlock();
  if (next != nullptr) wake(*next);
}

void flight_core::land() noexcept {
  list_.lock.lock();
  landed_ = true;
  leaving_.splice_back(list_.waiting);
  list_.hand_to_all(leaving_);
}

bool flight_core::board_awaiter::suspend(std::coroutine_handle<> frame, task_record& record) noexcept {
  return begin_attempt(*this, frame, record);
}

bool flight_core::board_awaiter::attempt(task_record& record) noexcept {
  if (refused(record)) return true;
  list_.lock.lock();
  if (!flight_.landed_ && std::exchange(flight_.flying_, true)) return park(record);
  list_.lock.unlock();
  stage_ = stage::handed;
  return true;
}

bool flight_core::board_awaiter::settle(waiter& self, task_record& record) noexcept {
  auto& board = static_cast<board_awaiter&>(self);
  return board.stage_ != stage::fresh || board.attempt(record);
}

void flight_core::board_awaiter::describe(const waiter& self, char* text, std::size_t size) noexcept {
  std::snprintf(text, size, "flight %p, led by another task",
                static_cast<const void*>(&static_cast<const board_awaiter&>(self).flight_));
}

}  // namespace levity::detail
