// What the store costs on one core: JSON, the book, the log's bytes, and a restart. Small by default.
//   store_bench [orders, default 100000] [directory]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include <unistd.h>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "reference/group_commit.hpp"
#include "reference/recovery.hpp"
#include "reference/result_of.hpp"
#include "reference/snapshot.hpp"

namespace {

using namespace orders;
using steady = std::chrono::steady_clock;

double seconds_since(steady::time_point start) { return std::chrono::duration<double>(steady::now() - start).count(); }

std::size_t rss_bytes() {
  std::ifstream file("/proc/self/statm");
  std::size_t size = 0, resident = 0;
  file >> size >> resident;
  return resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

void row(std::string_view name, double value, std::string_view unit) { fmt::print("{:<44}{:>12.1f} {}\n", name, value, unit); }

// Best of five: what the code costs, not what the machine was doing meanwhile.
void measure(std::string_view name, std::size_t count, const std::function<void()>& once) {
  double best = 1e9;
  for (int round = 0; round < 5; ++round) {
    const auto start = steady::now();
    for (std::size_t i = 0; i < count; ++i) once();
    best = std::min(best, seconds_since(start) / static_cast<double>(count));
  }
  row(name, best * 1e9, "ns");
}

template <class Value>
void keep(const Value& value) {
  asm volatile("" : : "g"(&value) : "memory");
}

void json_rows() {
  const std::string body = R"({"customer":"c-17","items":[{"sku":"sku-3","quantity":2},{"sku":"sku-44","quantity":15}]})";
  const auto made = parse_new_order(body);
  order_view view{77, made->contents(), order_status::paid, 2, 1'795'439'451'123'456'789, 1'795'439'451'223'456'789, 0};
  std::string out;
  measure("json/parse order of 2 items", 20'000, [&] { keep(parse_new_order(body)); });
  measure("json/parse order of 2 items, nlohmann", 5'000, [&] { keep(nlohmann::json::parse(body)); });
  measure("json/parse change", 20'000, [&] { keep(parse_change(R"({"status":"paid"})")); });
  measure("json/write order of 2 items", 20'000, [&] { out.clear(), write_order(out, view), keep(out); });
  const auto tree = nlohmann::json::parse(out);
  measure("json/write order of 2 items, nlohmann", 5'000, [&] { keep(tree.dump()); });
}

levity::task<bool> write_compacted(std::string directory, std::uint64_t generation, const recovered& from) {
  const auto created = co_await create_log(directory, generation, from.next_sequence, 0);
  if (!created) co_return false;
  const auto written = co_await write_temporary_snapshot(directory, from.orders, generation, from.next_sequence, 0);
  if (!written) co_return false;
  const auto published = co_await publish_snapshot(directory, generation);
  if (!published) co_return false;
  co_return (co_await remove_older(directory, generation)).has_value();
}

}  // namespace

int main(int argc, char** argv) {
  const std::size_t count = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 100'000;
  std::string directory = argc > 2 ? argv[2] : "/tmp/orders_bench_XXXXXX";
  if (argc <= 2 && !::mkdtemp(directory.data())) return 1;

  json_rows();

  std::mt19937_64 random{1};
  const std::size_t rss_before = rss_bytes();
  {
    auto opened = result_of(recover(directory));
    if (!opened) return fmt::print(stderr, "{}\n", opened.error()), 1;
    book& book = opened->orders;
    group_commit log{opened->generation, opened->next_sequence};
    double place_s = 0, apply_s = 0, change_s = 0, append_s = 0;
    std::vector<float> apply_us;
    apply_us.reserve(count);
    std::size_t changes = 0;
    std::string key;
    for (std::size_t i = 0; i < count; ++i) {
      const std::string skus[2] = {"sku-" + std::to_string(random() % 1000), "sku-" + std::to_string(random() % 1000)};
      const order_item items[2] = {{skus[0], 1 + static_cast<std::uint32_t>(random() % 9)}, {skus[1], 1}};
      const auto wanted = pack_contents("c-" + std::to_string(random() % (count / 10 + 1)), items);
      key = fmt::format("{:08x}-{:04x}-4000-8000-{:012x}", random() >> 32, i & 0xffff, i);
      const auto t0 = steady::now();
      const auto placed = book.place(*wanted, key, static_cast<std::int64_t>(i));
      const auto t1 = steady::now();
      const auto& create = std::get<create_record>(*placed);
      const auto sequence = log.append(create);
      const auto t2 = steady::now();
      if (!book.apply(sequence, create)) return 1;
      const auto t3 = steady::now();
      place_s += std::chrono::duration<double>(t1 - t0).count();
      append_s += std::chrono::duration<double>(t2 - t1).count();
      apply_s += std::chrono::duration<double>(t3 - t2).count();
      apply_us.push_back(std::chrono::duration<float, std::micro>(t3 - t2).count());
      if (i % 3 == 0) {
        const auto change = book.change(1 + random() % book.size(), {order_status::paid, {}}, 5);
        if (change) {
          const auto changed = log.append(*change);
          const auto start = steady::now();
          if (!book.apply(changed, *change)) return 1;
          change_s += seconds_since(start);
          ++changes;
        }
      }
      while (const commit_batch* batch = i % 64 == 63 || i + 1 == count ? log.take_batch() : nullptr) {
        if (!result_of(opened->log.write_at(opened->log_offset, batch->bytes))) return 1;
        opened->log_offset += batch->bytes.size();
        log.committed();
      }
    }
    const auto n = static_cast<double>(count);
    row("book/place (with key, not known)", place_s / n * 1e9, "ns");
    row("log/append", append_s / n * 1e9, "ns");
    row("book/apply create", apply_s / n * 1e9, "ns");
    row("book/memory per order", static_cast<double>(rss_bytes() - rss_before) / n - sizeof(float), "B");
    std::sort(apply_us.begin(), apply_us.end());
    row("book/apply create, p50", apply_us[count / 2] * 1e3, "ns");
    row("book/apply create, p99.99", apply_us[count - 1 - count / 10'000], "us");
    row("book/apply change", change_s / static_cast<double>(changes) * 1e9, "ns");
    row("log/bytes per order with 1/3 change", static_cast<double>(opened->log_offset) / n, "B");

    double find_s = 0, slice_max_s = 0;
    std::string out;
    for (std::size_t i = 0; i < count; ++i) {
      out.clear();
      const auto start = steady::now();
      write_order(out, *book.find(1 + random() % book.size()));
      find_s += seconds_since(start);
    }
    row("book/find and write, random order", find_s / n * 1e9, "ns");

    snapshot_writer slices{2, log.next_sequence(), 0};
    for (bool more = true; more;) {
      out.clear();
      const auto start = steady::now();
      more = slices.fill(book, 1024, out);
      slice_max_s = std::max(slice_max_s, seconds_since(start));
    }
    row("snapshot/slice of 1024 orders, slowest", slice_max_s * 1e6, "us");
  }

  const auto restart = [&](std::string_view name, bool compact) {
    const auto start = steady::now();
    const std::clock_t cpu_start = std::clock();
    auto opened = result_of(recover(directory), {});
    const double took = seconds_since(start);
    const double cpu_s = static_cast<double>(std::clock() - cpu_start) / CLOCKS_PER_SEC;
    if (!opened) fmt::print(stderr, "{}\n", opened.error()), std::exit(1);
    if (opened->orders.size() != count) fmt::print(stderr, "orders are missing\n"), std::exit(1);
    row(name, took * 1e3, "ms");
    row(fmt::format("{}, CPU", name), cpu_s * 1e3, "ms");
    if (!compact) return;
    const std::uint64_t generation = opened->generation + 1;
    const auto written = steady::now();
    if (!result_of(write_compacted(directory, generation, *opened), {})) {
      fmt::print(stderr, "compaction failed\n"), std::exit(1);
    }
    row("snapshot/write", seconds_since(written) * 1e3, "ms");
    row("snapshot/bytes per order",
        static_cast<double>(std::filesystem::file_size(snapshot_path(directory, generation))) / static_cast<double>(count), "B");
  };
  restart("restart/from the log alone", true);
  restart("restart/from a snapshot", false);
  if (argc <= 2) std::filesystem::remove_all(directory);
  return 0;
}
