// cache_reads hit THREADS OPERATIONS [ENTRIES]   CPU time of gets that hit, keys by Zipf 1.0; of rounds in which all threads ran
// at once cache_reads timed|loaded|hot THREADS OPERATIONS   the same where entries end by time; by get_or_load; of one key by all
// threads cache_reads storm cache|array|locked OPERATIONS   how long each get took while another thread sets without a pause
// cache_reads memory ENTRIES                   resident bytes for each entry
// cache_reads ratio POLICY CAPACITY SHARDS FILE   hits of a get-or-set for each key in FILE, 32 bits each
#include <levity/cache/cache.hpp>
#include <levity/levity.hpp>
#include <time.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "levity/base/atomic.hpp"
#include "levity/base/rng.hpp"
#include "rss.hpp"

namespace lv = levity;
using namespace std::chrono_literals;

namespace {

using numbers = lv::cache<std::uint64_t, std::uint64_t>;

constexpr unsigned threads_max = 8;
constexpr unsigned rounds = 200;

std::int64_t now_ns(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return now.tv_sec * 1'000'000'000 + now.tv_nsec;
}

// Keys below `count`, by Zipf 1.0, in an order that is not that of their frequency.
std::vector<std::uint32_t> zipf_keys(std::size_t count, std::size_t length, std::uint64_t seed) {
  std::vector<double> upto(count);
  double sum = 0;
  for (std::size_t i = 0; i < count; i++) upto[i] = sum += 1.0 / static_cast<double>(i + 1);
  lv::rng chance(seed);
  std::vector<std::uint32_t> keys(length);
  for (std::uint32_t& key : keys) {
    const double at = static_cast<double>(chance() >> 11) * 0x1p-53 * sum;
    const auto rank = static_cast<std::uint64_t>(std::upper_bound(upto.begin(), upto.end(), at) - upto.begin());
    key = static_cast<std::uint32_t>(rank * 0x9e37'79b1 % count);
  }
  return keys;
}

struct span {
  std::int64_t from_ns = 0;
  std::int64_t to_ns = 0;
  std::int64_t cpu_ns = 0;
};

struct crew {
  unsigned threads;
  std::uint64_t each;  // operations of a thread in a round
  lv::atomic<unsigned> ready{0};
  std::vector<span> spans{};
};

template <class Get>
void reads(crew* at, unsigned number, const std::vector<std::uint32_t>* keys, Get get) {
  std::size_t next = number * 7919;
  std::uint64_t sum = 0;
  const auto some = [&](std::uint64_t count) {
    for (std::uint64_t i = 0; i < count; i++) sum += get((*keys)[next++ & (keys->size() - 1)]);
  };
  some(at->each);
  for (unsigned round = 0; round < rounds; round++) {
    at->ready.fetch_add(1, std::memory_order_relaxed);
    while (at->ready.load(std::memory_order_relaxed) < at->threads * (round + 1)) {
    }
    span took{now_ns(CLOCK_MONOTONIC), 0, -now_ns(CLOCK_THREAD_CPUTIME_ID)};
    some(at->each);
    took.cpu_ns += now_ns(CLOCK_THREAD_CPUTIME_ID);
    took.to_ns = now_ns(CLOCK_MONOTONIC);
    at->spans[round * at->threads + number] = took;
  }
  if (sum == 0) std::abort();
}

template <class Get>
void measure(unsigned threads, std::uint64_t operations, std::size_t entries, Get get) {
  crew at{threads, operations / rounds};
  at.spans.resize(rounds * threads);
  std::vector<std::vector<std::uint32_t>> keys;
  for (unsigned i = 0; i < threads; i++) keys.push_back(zipf_keys(entries, std::size_t{1} << 18, i + 1));
  std::vector<std::thread> others;
  for (unsigned i = 1; i < threads; i++) others.emplace_back(reads<Get>, &at, i, &keys[i], get);
  reads(&at, 0, &keys[0], get);
  for (std::thread& each : others) each.join();
  std::int64_t cpu_ns = 0;
  unsigned at_once = 0;
  for (unsigned round = 0; round < rounds; round++) {
    const span* const of = &at.spans[round * threads];
    std::int64_t from_ns = of[0].from_ns;
    std::int64_t sum = 0;
    bool all = true;
    for (unsigned i = 0; i < threads; i++) from_ns = std::min(from_ns, of[i].from_ns);
    for (unsigned i = 0; i < threads; i++) {
      all = all && of[i].cpu_ns * 10 >= (of[i].to_ns - from_ns) * 9;
      sum += of[i].cpu_ns;
    }
    if (!all) continue;
    cpu_ns += sum;
    at_once++;
  }
  std::printf("{\"threads\": %u, \"rounds\": %u, \"rounds_at_once\": %u, \"operations\": %llu, \"cpu_ns\": %lld}\n", threads,
              rounds, at_once, static_cast<unsigned long long>(at.each * at_once * threads), static_cast<long long>(cpu_ns));
}

std::unique_ptr<numbers> filled(std::size_t entries, lv::duration ttl) {
  auto made = std::make_unique<numbers>(lv::cache_options<std::uint64_t, std::uint64_t>{.capacity = 2 * entries, .ttl = ttl});
  for (std::uint64_t key = 0; key < entries; key++) static_cast<void>(made->set(key, key + 1));
  return made;
}

lv::task<std::uint64_t> loads_one() { co_return 1; }

// On the one worker, without a wait.
lv::task<> load_all(std::uint64_t operations, std::size_t entries) {
  const auto of = filled(entries, lv::duration::max());
  const std::vector<std::uint32_t> keys = zipf_keys(entries, std::size_t{1} << 18, 1);
  std::uint64_t sum = 0;
  const std::int64_t began = now_ns(CLOCK_THREAD_CPUTIME_ID);
  for (std::uint64_t i = 0; i < operations; i++) {
    const lv::cached<std::uint64_t> got = co_await of->get_or_load(keys[i & (keys.size() - 1)], loads_one);
    sum += *got;
  }
  const std::int64_t took = now_ns(CLOCK_THREAD_CPUTIME_ID) - began;
  if (sum == 0) std::abort();
  std::printf("{\"operations\": %llu, \"cpu_ns\": %lld}\n", static_cast<unsigned long long>(operations),
              static_cast<long long>(took));
}

// --- A storm of writes ---

class locked_map {
public:
  std::uint64_t get(std::uint64_t key) {
    const std::shared_lock guard(lock_);
    return map_.find(key)->second;
  }
  void set(std::uint64_t key, std::uint64_t value) {
    const std::unique_lock guard(lock_);
    map_.insert_or_assign(key, value);
  }

private:
  std::shared_mutex lock_;
  std::unordered_map<std::uint64_t, std::uint64_t> map_;
};

template <class Get, class Set>
void storm(std::uint64_t operations, std::size_t entries, Get get, Set set) {
  const std::vector<std::uint32_t> keys = zipf_keys(entries, std::size_t{1} << 18, 1);
  lv::atomic<bool> over{false};
  lv::atomic<std::uint64_t> written{0};
  std::thread writer([&] {
    lv::rng chance(3);
    std::uint64_t count = 0;
    while (!over.load(std::memory_order_relaxed)) {
      set(chance.below(entries), count | 1);
      written.store(++count, std::memory_order_relaxed);
    }
  });
  while (written.load(std::memory_order_relaxed) == 0) std::this_thread::yield();
  lv::histogram took;
  std::uint64_t sum = 0;
  const std::uint64_t written_before = written.load(std::memory_order_relaxed);
  for (std::uint64_t i = 0; i < operations; i++) {
    const std::int64_t began = now_ns(CLOCK_MONOTONIC);
    sum += get(keys[i & (keys.size() - 1)]);
    took.record(static_cast<std::uint64_t>(now_ns(CLOCK_MONOTONIC) - began));
  }
  const std::uint64_t written_after = written.load(std::memory_order_relaxed);
  over.store(true, std::memory_order_relaxed);
  writer.join();
  if (sum == 0) std::abort();
  std::printf("{\"operations\": %llu, \"written\": %llu, \"p50_ns\": %llu, \"p99_ns\": %llu, \"p999_ns\": %llu, "
              "\"max_ns\": %llu}\n",
              static_cast<unsigned long long>(operations), static_cast<unsigned long long>(written_after - written_before),
              static_cast<unsigned long long>(took.value_at(0.5)), static_cast<unsigned long long>(took.value_at(0.99)),
              static_cast<unsigned long long>(took.value_at(0.999)), static_cast<unsigned long long>(took.max()));
}

int storms(const std::string& over, std::uint64_t operations) {
  constexpr std::size_t entries = 10'000;
  if (over == "cache") {
    const auto of = filled(entries, lv::duration::max());
    storm(operations, entries, [&of](std::uint64_t key) { return *of->get(key); },
          [&of](std::uint64_t key, std::uint64_t value) { static_cast<void>(of->set(key, value)); });
  } else if (over == "array") {
    std::vector<lv::atomic<std::uint64_t>> of(entries);
    for (auto& each : of) each.store(1, std::memory_order_relaxed);
    storm(operations, entries, [&of](std::uint64_t key) { return of[key].load(std::memory_order_relaxed); },
          [&of](std::uint64_t key, std::uint64_t value) { of[key].store(value, std::memory_order_relaxed); });
  } else if (over == "locked") {
    locked_map of;
    for (std::uint64_t key = 0; key < entries; key++) of.set(key, 1);
    storm(operations, entries, [&of](std::uint64_t key) { return of.get(key); },
          [&of](std::uint64_t key, std::uint64_t value) { of.set(key, value); });
  } else {
    return 2;
  }
  return 0;
}

// --- What is kept ---

template <class Policy>
void ratio(std::uint64_t capacity, unsigned shards, const char* path) {
  std::FILE* const file = std::fopen(path, "rb");
  if (file == nullptr) std::exit(2);
  lv::cache<std::uint32_t, std::uint32_t, Policy> of({.capacity = capacity, .shards = shards});
  std::vector<std::uint32_t> keys(1 << 16);
  while (const std::size_t count = std::fread(keys.data(), sizeof(keys[0]), keys.size(), file)) {
    for (std::size_t i = 0; i < count; i++) {
      if (!of.get(keys[i])) static_cast<void>(of.set(keys[i], keys[i]));
    }
  }
  std::fclose(file);
  const lv::cache_statistics seen = of.statistics();
  std::printf("{\"hits\": %llu, \"requests\": %llu, \"shards\": %u}\n", static_cast<unsigned long long>(seen.hits),
              static_cast<unsigned long long>(seen.hits + seen.misses), of.shard_count());
}

void memory(std::size_t entries) {
  const std::int64_t before = rss_bytes();
  numbers of({.capacity = entries});
  for (std::uint64_t key = 0; key < 2 * entries; key++) static_cast<void>(of.set(key, key));
  const std::int64_t after = rss_bytes();
  const lv::cache_statistics seen = of.statistics();
  std::printf("{\"entries\": %llu, \"rss_before\": %lld, \"rss_after\": %lld, \"told\": %llu}\n",
              static_cast<unsigned long long>(seen.entries), static_cast<long long>(before), static_cast<long long>(after),
              static_cast<unsigned long long>(seen.memory_bytes));
}

}  // namespace

int main(int argc, char** argv) {
  const std::string mode = argc > 1 ? argv[1] : "";
  const auto number = [&](int at, std::uint64_t otherwise) {
    return argc > at ? std::strtoull(argv[at], nullptr, 10) : otherwise;
  };
  if (mode == "storm") return storms(argc > 2 ? argv[2] : "", number(3, 1'000'000));
  if (mode == "memory") {
    memory(number(2, 1'000'000));
    return 0;
  }
  if (mode == "ratio" && argc == 6) {
    const std::string policy = argv[2];
    const std::uint64_t capacity = number(3, 0);
    const auto shards = static_cast<unsigned>(number(4, 0));
    if (policy == "s3_fifo") ratio<lv::s3_fifo>(capacity, shards, argv[5]);
    if (policy == "sieve") ratio<lv::sieve>(capacity, shards, argv[5]);
    if (policy == "lru") ratio<lv::lru>(capacity, shards, argv[5]);
    return 0;
  }
  const auto threads = static_cast<unsigned>(number(2, 1));
  const std::uint64_t operations = number(3, 20'000'000);
  const std::size_t entries = number(4, 10'000);
  if (threads == 0 || threads > threads_max) return 2;
  if (mode == "loaded") return lv::run_with({.workers = 1}, load_all, operations, entries);
  const auto of = filled(entries, mode == "timed" ? lv::duration(1h) : lv::duration::max());
  if (mode == "hit" || mode == "timed") {
    measure(threads, operations, entries, [&of](std::uint64_t key) { return *of->get(key); });
  } else if (mode == "hot") {
    measure(threads, operations, entries, [&of](std::uint64_t) { return *of->get(1); });
  } else {
    return 2;
  }
  return 0;
}
