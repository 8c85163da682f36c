#include "reference/before/order_cache.hpp"

#include <algorithm>
#include <utility>

namespace orders::before {

levity::task<std::expected<std::string, problem>> order_cache::get(std::string id) {
  const levity::time_point asked = levity::clock::now();
  std::expected<std::string, problem> answer;
  {
    const auto held = co_await lock_.lock();
    const auto found = orders_.find(id);
    if (found != orders_.end()) {
      found->second.used = levity::clock::now();
      answer = found->second.json;
    } else if (const auto number = parse_order_id(id)) {
      auto fetched = co_await store_.find(*number);
      if (fetched) {
        answer->clear();
        write_order(*answer, *fetched);
        insert(id, *answer);
      } else {
        answer = std::unexpected(std::move(fetched.error()));
      }
    } else {
      answer = std::unexpected(unknown_order(id));
    }
  }
  const auto took = std::chrono::duration_cast<std::chrono::nanoseconds>(levity::clock::now() - asked).count();
  const std::lock_guard guard{figures_lock_};
  get_ns_.record(static_cast<std::uint64_t>(std::max<std::int64_t>(0, took)));
  co_return answer;
}

levity::task<> order_cache::put(std::string id, std::string json) {
  const auto held = co_await lock_.lock();
  insert(std::move(id), std::move(json));
}

void order_cache::insert(std::string id, std::string json) {
  if (orders_.size() >= orders_max && !orders_.contains(id)) {
    const auto oldest = std::min_element(orders_.begin(), orders_.end(),
                                         [](const auto& a, const auto& b) { return a.second.used < b.second.used; });
    orders_.erase(oldest);
  }
  orders_[std::move(id)] = {std::move(json), levity::clock::now()};
}

order_cache::figures order_cache::look() {
  const std::lock_guard guard{figures_lock_};
  return {get_ns_.count(), get_ns_.value_at(0.99) / 1'000};
}

}  // namespace orders::before
