#pragma once

// What the tests of the cache measure it by: the same policies once more, as plainly as they can be written, and sequences of keys.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <list>
#include <unordered_map>
#include <vector>

#include "levity/base/rng.hpp"

namespace levity::inline v0::cache_test {

/// S3-FIFO as in the paper: lists of keys, and counts beside them.
class reference_s3_fifo {
public:
  explicit reference_s3_fifo(std::size_t capacity)
      : capacity_(capacity), small_max_(std::max<std::size_t>(capacity / 10, 1)), main_max_(capacity - small_max_) {}

  /// Whether it was there; it is now.
  bool request(std::uint64_t key) {
    if (const auto found = hits_.find(key); found != hits_.end()) {
      found->second = std::min(found->second + 1, 3);
      return true;
    }
    while (small_.size() + main_.size() >= capacity_) evict();
    if (const auto ghost = ghosts_.find(key); ghost != ghosts_.end()) {
      ghost_.erase(ghost->second);
      ghosts_.erase(ghost);
      main_.push_front(key);
    } else {
      small_.push_front(key);
    }
    hits_[key] = 0;
    return false;
  }

private:
  static constexpr int examined_max = 256;  // of one eviction, as s3_fifo.hpp has it

  void evict() {
    examined_ = 0;
    if (small_.size() >= small_max_ || main_.empty()) {
      evict_small();
    } else {
      evict_main();
    }
  }
  void evict_small() {
    bool evicted = false;
    while (!evicted && !small_.empty()) {
      const std::uint64_t oldest = small_.back();
      small_.pop_back();
      if (hits_[oldest] > 1 && examined_ < examined_max) {
        hits_[oldest] = 0;
        main_.push_front(oldest);
        if (main_.size() > main_max_) evict_main();
        examined_++;
      } else {
        hits_.erase(oldest);
        while (!ghost_.empty() && ghost_.size() >= main_max_) {
          ghosts_.erase(ghost_.back());
          ghost_.pop_back();
        }
        if (main_max_ > 0) ghosts_[oldest] = ghost_.insert(ghost_.begin(), oldest);
        evicted = true;
      }
    }
  }
  void evict_main() {
    while (!main_.empty()) {
      const std::uint64_t oldest = main_.back();
      main_.pop_back();
      if (hits_[oldest] == 0 || examined_ >= examined_max) {
        hits_.erase(oldest);
        return;
      }
      hits_[oldest]--;
      main_.push_front(oldest);
      examined_++;
    }
  }

  int examined_ = 0;
  const std::size_t capacity_;
  const std::size_t small_max_;
  const std::size_t main_max_;
  std::list<std::uint64_t> small_;
  std::list<std::uint64_t> main_;
  std::list<std::uint64_t> ghost_;
  std::unordered_map<std::uint64_t, std::list<std::uint64_t>::iterator> ghosts_;
  std::unordered_map<std::uint64_t, int> hits_;
};

class reference_lru {
public:
  explicit reference_lru(std::size_t capacity) : capacity_(capacity) {}

  bool request(std::uint64_t key) {
    if (const auto found = places_.find(key); found != places_.end()) {
      order_.splice(order_.begin(), order_, found->second);
      return true;
    }
    if (order_.size() == capacity_) {
      places_.erase(order_.back());
      order_.pop_back();
    }
    order_.push_front(key);
    places_[key] = order_.begin();
    return false;
  }

private:
  const std::size_t capacity_;
  std::list<std::uint64_t> order_;
  std::unordered_map<std::uint64_t, std::list<std::uint64_t>::iterator> places_;
};

class reference_sieve {
public:
  explicit reference_sieve(std::size_t capacity) : capacity_(capacity), hand_(queue_.end()) {}

  bool request(std::uint64_t key) {
    if (const auto found = places_.find(key); found != places_.end()) {
      found->second->visited = true;
      return true;
    }
    if (queue_.size() == capacity_) evict();
    queue_.push_front({key, false});
    places_[key] = queue_.begin();
    return false;
  }

private:
  struct node {
    std::uint64_t key;
    bool visited;
  };

  void evict() {
    auto at = hand_ == queue_.end() ? std::prev(queue_.end()) : hand_;
    while (at->visited) {
      at->visited = false;
      at = at == queue_.begin() ? std::prev(queue_.end()) : std::prev(at);
    }
    hand_ = at == queue_.begin() ? queue_.end() : std::prev(at);
    places_.erase(at->key);
    queue_.erase(at);
  }

  const std::size_t capacity_;
  std::list<node> queue_;
  std::list<node>::iterator hand_;
  std::unordered_map<std::uint64_t, std::list<node>::iterator> places_;
};

/// Keys 0 .. count - 1, the k-th as often as 1 / (k + 1)^alpha.
class zipf {
public:
  zipf(std::size_t count, double alpha) : upto_(count) {
    double sum = 0;
    for (std::size_t i = 0; i < count; i++) upto_[i] = sum += std::pow(static_cast<double>(i + 1), -alpha);
  }
  std::uint64_t operator()(rng& chance) const {
    const double at = static_cast<double>(chance() >> 11) * 0x1p-53 * upto_.back();
    return static_cast<std::uint64_t>(std::upper_bound(upto_.begin(), upto_.end(), at) - upto_.begin());
  }

private:
  std::vector<double> upto_;
};

/// What is asked for, one after the other.
struct workload {
  const char* name;
  std::vector<std::uint64_t> keys;
};

/// Zipf 0.7 to 1.1, Zipf 0.9 with a tenth of keys that come once, Zipf 0.9 with scans in one piece, a loop half again as long as
/// the capacity, and one that fits.
inline std::vector<workload> published_workloads(std::size_t capacity, std::size_t requests, std::uint64_t seed) {
  std::vector<workload> all;
  const std::size_t universe = capacity * 10;
  const char* const names[] = {"zipf 0.7", "zipf 0.8", "zipf 0.9", "zipf 1.0", "zipf 1.1"};
  for (int i = 0; i < 5; i++) {
    rng chance(seed + static_cast<std::uint64_t>(i));
    const zipf keys(universe, 0.7 + 0.1 * i);
    workload one{names[i], {}};
    for (std::size_t n = 0; n < requests; n++) one.keys.push_back(keys(chance));
    all.push_back(std::move(one));
  }
  rng chance(seed + 17);
  const zipf keys(universe, 0.9);
  workload once{"zipf 0.9, a tenth once", {}};
  workload scans{"zipf 0.9, scans", {}};
  std::uint64_t fresh = universe;
  for (std::size_t n = 0; n < requests; n++) once.keys.push_back(chance.below(10) == 0 ? fresh++ : keys(chance));
  for (std::size_t n = 0; n < requests; n++) {
    scans.keys.push_back(n / capacity % 4 == 3 ? fresh++ : keys(chance));
  }
  workload loop{"a loop of 1.5 capacities", {}};
  workload small_loop{"a loop of 0.8 capacities", {}};
  for (std::size_t n = 0; n < requests; n++) loop.keys.push_back(n % (capacity * 3 / 2));
  for (std::size_t n = 0; n < requests; n++) small_loop.keys.push_back(n % std::max<std::size_t>(capacity * 4 / 5, 1));
  all.push_back(std::move(once));
  all.push_back(std::move(scans));
  all.push_back(std::move(loop));
  all.push_back(std::move(small_loop));
  return all;
}

}  // namespace levity::cache_test
