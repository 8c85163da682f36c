#include "reference/order_cache.hpp"

#include <algorithm>
#include <utility>

namespace orders {

order_cache::order_cache(store& orders, redis_copy* copy, const order_cache_options& options)
    : store_(orders),
      copy_(copy),
      get_time_max_(options.get_time_max),
      cache_({.capacity = options.capacity, .ttl = options.ttl, .stale_if_error = options.stale_max}),
      rungs_(is_unknown{}, levity::rung{"store", from_store{this}}, levity::rung{"redis", from_redis{this}},
             levity::rung{"stale", from_stale{this}}) {}

levity::task<std::expected<order_cache::reading, problem>> order_cache::get(std::uint64_t id) {
  const levity::time_point asked = levity::clock::now();
  std::expected<reading, problem> answer;
  if (const auto held = cache_.get(id, asked)) {
    answer->json = held->json;
  } else {
    answer = co_await ask_rungs(id);
  }
  took(levity::clock::now() - asked);
  co_return answer;
}

levity::task<std::expected<order_cache::reading, problem>> order_cache::ask_rungs(std::uint64_t id) {
  auto answered = co_await levity::with_timeout(get_time_max_, rungs_.run(id));
  if (answered && *answered) {
    std::string degraded = (*answered)->degraded_text();
    co_return reading{std::move((*answered)->value), std::move(degraded)};
  }
  if (answered && answered->error().failed() != nullptr) co_return std::unexpected(std::move(*answered->error().failed()));
  co_return std::unexpected(
      problem{503, "Service Unavailable", "The order could not be read in time; repeat the request later.", {}});
}

levity::task<std::expected<order_cache::rung_answer, problem>> order_cache::ask_store(std::uint64_t id) {
  auto held = co_await cache_.get_or_load(id, [this, id] { return load(id); });
  if (!held) co_return std::unexpected(std::move(held.error()));
  const levity::time_point now = levity::clock::now();
  // Past its time it stands in for a load that failed: that is the last rung's to say.
  if ((*held).is_stale(now)) co_return std::unexpected(problem{503, "Service Unavailable", "The store does not answer.", {}});
  const auto current = store_.peek(id);
  if (current && current->version > (*held)->version) {
    auto fresh = co_await load(id);
    if (!fresh) co_return std::unexpected(std::move(fresh.error()));
    co_return rung_answer{std::move(fresh->json), {}};
  }
  co_return rung_answer{(*held)->json, {}};
}

levity::task<std::expected<order_cache::kept, problem>> order_cache::load(std::uint64_t id) {
  const auto found = co_await store_.find(id);
  if (!found) co_return std::unexpected(found.error());
  kept made{found->version, {}};
  write_order(made.json, *found);
  co_return made;
}

levity::task<std::optional<order_cache::rung_answer>> order_cache::ask_redis(std::uint64_t id) {
  if (copy_ == nullptr) co_return std::nullopt;
  co_return co_await copy_->find(id);
}

std::optional<order_cache::rung_answer> order_cache::look_at_stale(std::uint64_t id) {
  const auto held = cache_.get_stale(id);
  if (!held) return std::nullopt;
  return rung_answer{held->json, held.age()};
}

void order_cache::changed(const order_view& order, const std::string& json) {
  const kept mine{order.version, json};
  const auto now = cache_.update(order.id, [&mine](const kept& there) { return there.version > mine.version ? there : mine; });
  // Nothing there: a load that is under way may have read what was before.
  if (!now) cache_.erase(order.id);
  if (copy_ != nullptr) copy_->keep(order);
}

void order_cache::created(const order_view& order) {
  if (copy_ != nullptr) copy_->keep(order);
}

void order_cache::took(levity::duration time) {
  const std::lock_guard guard{figures_lock_};
  get_ns_.record(static_cast<std::uint64_t>(std::max<std::int64_t>(0, time.count())));
}

order_cache::figures order_cache::look() {
  figures now;
  now.hit_ratio = cache_.statistics().hit_ratio();
  const auto rungs = rungs_.counted();
  now.from_redis = rungs[1].answered;
  now.stale = rungs[2].answered;
  const std::lock_guard guard{figures_lock_};
  now.gets = get_ns_.count();
  now.get_p99_us = get_ns_.value_at(0.99) / 1'000;
  return now;
}

}  // namespace orders
