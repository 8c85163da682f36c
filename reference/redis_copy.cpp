#include "reference/redis_copy.hpp"

#include <algorithm>
#include <charconv>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "reference/wall_time.hpp"

namespace orders {
namespace {

constexpr std::size_t queue_max = 4'096;
constexpr levity::duration kept_for = std::chrono::minutes(60);
constexpr levity::duration command_time_max = std::chrono::milliseconds(200);

std::string key_of(std::uint64_t id) { return "order:" + order_id_text(id); }

// Two processes may look at one copy, so its moment is by the wall clock.
std::int64_t wall_ms() { return wall_ns() / 1'000'000; }

}  // namespace

redis_copy::redis_copy(levity::redis::options server) : client_(std::move(server)), lately_(queue_max), queue_(queue_max) {}

void redis_copy::keep(const order_view& order) {
  const copy made{wall_ms(), order};
  const std::lock_guard guard{lock_};
  version& known = lately_[order.id % lately_.size()];
  if (known.id == order.id && known.number > order.version) return;
  known = {order.id, order.version};
  if (!queue_.try_send(made)) dropped_.fetch_add(1, std::memory_order_relaxed);
}

levity::task<std::optional<levity::aged<std::string>>> redis_copy::find(std::uint64_t id) {
  auto found = co_await client_.get(key_of(id), levity::redis::within(command_time_max));
  if (!found || !*found) co_return std::nullopt;
  const std::string& text = **found;
  std::int64_t made_ms = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), made_ms);
  if (read.ec != std::errc{} || read.ptr == text.data() + text.size()) co_return std::nullopt;
  const auto age = std::chrono::milliseconds(std::max<std::int64_t>(0, wall_ms() - made_ms));
  co_return levity::aged<std::string>{std::string(read.ptr + 1, text.data() + text.size()), age};
}

levity::task<> redis_copy::run() {
  while (const auto next = co_await queue_.receive()) {
    std::string text = fmt::format("{} ", next->made_ms);
    write_order(text, next->order);
    const auto kept = co_await client_.set(key_of(next->order.id), text, kept_for, levity::redis::within(command_time_max));
    (kept ? copied_ : dropped_).fetch_add(1, std::memory_order_relaxed);
  }
  client_.close();
}

redis_copy::figures redis_copy::look() const noexcept {
  return {copied_.load(std::memory_order_relaxed), dropped_.load(std::memory_order_relaxed)};
}

}  // namespace orders
