#include "reference/stats.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <iterator>
#include <span>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <levity/levity.hpp>

namespace orders {
namespace {

// 0 where nobody says.
levity::task<std::uint64_t> resident_bytes() {
  auto file = co_await levity::file::open("/proc/self/statm", {.read = true});
  if (!file) co_return 0;
  std::array<char, 128> text;
  const auto got = co_await file->read_at(0, std::as_writable_bytes(std::span(text)));
  // In pages: all that is mapped, of it resident, and more.
  const std::string_view line(text.data(), static_cast<std::size_t>(got.value_or(0)));
  const std::size_t blank = std::min(line.find(' '), line.size());
  std::uint64_t resident = 0;
  std::from_chars(std::min(line.data() + blank + 1, line.data() + line.size()), line.data() + line.size(), resident);
  co_return resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

void write_services(std::string& out, const std::vector<bookings::figures>& all) {
  out += R"(,"breakers":{)";
  const char* before = "";
  for (const auto& one : all) {
    const levity::breaker_look& seen = one.calls.breaker;
    fmt::format_to(std::back_inserter(out), R"({}"{}":{{"state":"{}","refused":{},"transitions":{}}})", before, one.name,
                   to_string(seen.state), seen.refused, seen.transitions);
    before = ",";
  }
  out += R"(},"bookings":{)";
  before = "";
  for (const auto& one : all) {
    fmt::format_to(std::back_inserter(out),
                   R"({}"{}":{{"settled":{},"outstanding":{},"refused":{},"kept_back":{},"calls":{},"failures":{},)"
                   R"("later_calls":{},"later_failures":{}}})",
                   before, one.name, one.bookings.settled, one.bookings.outstanding, one.bookings.refused, one.calls.kept_back,
                   one.calls.calls, one.calls.failures, one.calls.later_calls, one.calls.later_failures);
    before = ",";
  }
  out += '}';
}

void write_versions(std::string& out, const levity::service::canary& versions) {
  out += R"(,"versions":[)";
  const char* before = "";
  for (const auto& one : versions.look()) {
    fmt::format_to(std::back_inserter(out), R"({}{{"subset":)", before);
    write_string(out, one.to.subset);
    fmt::format_to(std::back_inserter(out), R"(,"canary":{},"routed":{}}})", one.canary, one.routed);
    before = ",";
  }
  out += ']';
}

}  // namespace

levity::task<> write_stats(std::string& out, const stats_sources& from) {
  const std::uint64_t rss_bytes = co_await resident_bytes();
  const order_cache::figures cache = from.cache->look();
  const std::vector<bookings::figures> services = from.books != nullptr ? from.books->look() : std::vector<bookings::figures>{};
  std::uint64_t calls = 0;
  std::uint64_t failures = 0;
  for (const auto& one : services) {
    calls += one.calls.calls;
    failures += one.calls.failures;
  }
  fmt::format_to(std::back_inserter(out),
                 R"({{"tasks":{},"cache_gets":{},"cache_get_p99_us":{},"outside_calls":{},"outside_failures":{},"rss_bytes":{})",
                 levity::live_tasks(), cache.gets, cache.get_p99_us, calls, failures, rss_bytes);
  write_services(out, services);
  fmt::format_to(std::back_inserter(out), R"(,"cache":{{"hit_ratio":{:.4f},"from_redis":{},"stale":{}}})", cache.hit_ratio,
                 cache.from_redis, cache.stale);
  if (from.copy != nullptr) {
    const redis_copy::figures copy = from.copy->look();
    fmt::format_to(std::back_inserter(out), R"(,"redis":{{"copied":{},"dropped":{}}})", copy.copied, copy.dropped);
  }
  if (from.versions != nullptr) write_versions(out, *from.versions);
  out += '}';
}

}  // namespace orders
