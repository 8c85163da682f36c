#include "sim/strategy.hpp"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "levity/base/assert.hpp"
#include "levity/base/rng.hpp"
#include "sim/choice_path.hpp"

namespace levity::inline v0::sim {
namespace {

constexpr std::uint64_t schedule_salt = 0xd1b54a32d192ed03;  // what a strategy draws is nothing to what the network draws
constexpr std::uint64_t aside_once_in = 8;

// The host behind the one that had the last turn, and so round.
class host_ring {
public:
  std::size_t pick(std::span<const unsigned> sites, std::size_t further) {
    const auto behind = std::ranges::upper_bound(sites, last_);
    const std::size_t picked = (static_cast<std::size_t>(behind - sites.begin()) + further) % sites.size();
    last_ = sites[picked];
    return picked;
  }

private:
  unsigned last_ = ~0U;  // behind it is the first one
};

class random_strategy final : public strategy {
public:
  explicit random_strategy(std::uint64_t seed) : strategy(true), random_(seed ^ schedule_salt) {}

  std::size_t pick_host(std::span<const unsigned> sites) override { return draw(sites.size()); }
  std::size_t pick(std::uint32_t, std::span<const detail::ready_choice> ready) override { return draw(ready.size()); }
  bool sets_aside(std::uint32_t, std::uint32_t) override { return draw(aside_once_in) == 0; }

private:
  std::size_t draw(std::size_t bound) {
    steps_++;
    return static_cast<std::size_t>(random_.below(bound));
  }

  rng random_;
};

class fifo_strategy final : public strategy {
public:
  fifo_strategy() : strategy(false) {}

  std::size_t pick_host(std::span<const unsigned> sites) override {
    steps_++;
    return hosts_.pick(sites, 0);
  }
  std::size_t pick(std::uint32_t, std::span<const detail::ready_choice>) override {
    steps_++;
    return 0;
  }
  bool sets_aside(std::uint32_t, std::uint32_t) override { return false; }

private:
  host_ring hosts_;
};

class exhaustive_strategy final : public strategy {
public:
  exhaustive_strategy(bool detaches, choice_path& path) : strategy(detaches), path_(path) {}

  std::size_t pick_host(std::span<const unsigned> sites) override { return hosts_.pick(sites, choose(sites.size())); }
  std::size_t pick(std::uint32_t, std::span<const detail::ready_choice> ready) override { return choose(ready.size()); }
  bool sets_aside(std::uint32_t, std::uint32_t) override { return choose(2) == 1; }

private:
  std::size_t choose(std::size_t count) {
    steps_++;
    return count == 1 ? 0 : path_.choose(static_cast<unsigned>(count));
  }

  choice_path& path_;
  host_ring hosts_;
};

class pct_strategy final : public strategy {
public:
  pct_strategy(std::uint64_t seed, const schedule& how)
      : strategy(how.detaching), seed_(seed ^ schedule_salt), lowest_(-std::int64_t{how.depth}) {
    if (how.steps == 0) return;
    rng random(~seed_);  // of seed_ comes the priority of site 0
    for (unsigned i = 1; i < how.depth; i++) changes_.push_back({1 + random.below(how.steps), std::int64_t{i} - how.depth});
    std::ranges::sort(changes_);
  }

  std::size_t pick_host(std::span<const unsigned> sites) override {
    const bool is_choice = sites.size() > 1;  // else it is no step: the turn of a host that is alone is that of its tasks
    const std::size_t picked = is_choice ? step(sites.size(), [sites](std::size_t i) { return host_entity(sites[i]); }) : 0;
    turns_ = is_choice && sites[picked] == last_turn_ ? turns_ + 1 : 0;
    last_turn_ = sites[picked];
    if (turns_ + 1 == turns_max) put_behind(host_entity(last_turn_), --lowest_);
    return picked;
  }

  std::size_t pick(std::uint32_t life, std::span<const detail::ready_choice> ready) override {
    const std::size_t picked = step(ready.size(), [&](std::size_t i) { return task_entity(life, ready[i].id); });
    return ++picks_ % fair_period == 0 ? 0 : picked;
  }

  bool sets_aside(std::uint32_t life, std::uint32_t task) override {
    steps_++;
    bool is_change = false;
    for (; is_change_due(); next_change_++) {
      change(task_entity(life, task));
      is_change = true;
    }
    if (is_change) aside_.insert(task_entity(life, task));
    return is_change;
  }

  // Who was set aside comes by here, too, and has its priority.
  void gives_way(std::uint32_t life, std::uint32_t task) override {
    if (aside_.erase(task_entity(life, task)) == 0) put_behind(task_entity(life, task), --lowest_);
  }

private:
  static constexpr std::uint64_t fair_period = 1009;
  static constexpr unsigned turns_max = 16;  // of a host in a row, while others are due

  struct change_point {
    std::uint64_t step;
    std::int64_t priority;
    auto operator<=>(const change_point&) const = default;
  };

  // A life has a number from 1 on.
  static std::uint64_t task_entity(std::uint32_t life, std::uint32_t task) { return std::uint64_t{life} << 32 | task; }
  static std::uint64_t host_entity(unsigned site) { return site; }

  [[nodiscard]] bool is_change_due() const { return next_change_ < changes_.size() && changes_[next_change_].step <= steps_; }

  void put_behind(std::uint64_t entity, std::int64_t priority) { behind_[entity] = priority; }

  // The next change point is its.
  void change(std::uint64_t entity) {
    const std::int64_t priority = changes_[next_change_].priority;
    put_behind(entity, priority < priority_of(entity) ? priority : --lowest_);
  }

  [[nodiscard]] std::int64_t priority_of(std::uint64_t entity) const {
    const auto found = behind_.find(entity);
    if (found != behind_.end()) return found->second;
    return static_cast<std::int64_t>(rng(seed_ ^ entity * 0x9e3779b97f4a7c15)() >> 1);
  }

  template <class Entity>
  [[nodiscard]] std::size_t highest(std::size_t count, const Entity& entity) const {
    std::size_t best = 0;
    std::int64_t best_priority = priority_of(entity(0));
    for (std::size_t i = 1; i < count; i++) {
      const std::int64_t other = priority_of(entity(i));
      if (other <= best_priority) continue;
      best = i;
      best_priority = other;
    }
    return best;
  }

  template <class Entity>
  std::size_t step(std::size_t count, const Entity& entity) {
    steps_++;
    std::size_t best = highest(count, entity);
    for (; is_change_due(); next_change_++) {
      change(entity(best));
      best = highest(count, entity);
    }
    return best;
  }

  const std::uint64_t seed_;
  std::vector<change_point> changes_;
  std::size_t next_change_ = 0;
  std::int64_t lowest_;
  unsigned last_turn_ = ~0U;  // the site
  unsigned turns_ = 0;        // in a row, behind the first one
  std::uint64_t picks_ = 0;
  std::unordered_map<std::uint64_t, std::int64_t> behind_;  // never iterated, nor is the next
  std::unordered_set<std::uint64_t> aside_;                 // and not queued again since
};

}  // namespace

std::unique_ptr<strategy> make_strategy(const schedule& how, std::uint64_t seed, choice_path& path) {
  switch (how.what) {
    case schedule_kind::random: return how.detaching ? std::make_unique<random_strategy>(seed) : nullptr;
    case schedule_kind::fifo: return std::make_unique<fifo_strategy>();
    case schedule_kind::pct:
      LEVITY_ASSERT(how.depth > 0, "the depth of a schedule is 1 at least");
      return std::make_unique<pct_strategy>(seed, how);
    case schedule_kind::exhaustive: return std::make_unique<exhaustive_strategy>(how.detaching, path);
  }
  std::unreachable();
}

}  // namespace levity::sim
