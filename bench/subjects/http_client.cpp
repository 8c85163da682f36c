// http_client PORT REQUESTS PATH - asks for a small answer over one kept connection, again and again, no option set.
// http_client PORT REQUESTS PATH CONNECTIONS - opens so many connections, then asks so often over each of them at the same time.
#include <fcntl.h>
#include <levity/http/client.hpp>
#include <levity/levity.hpp>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "cpu_time.hpp"
#include "rss.hpp"

namespace lv = levity;

namespace {

// As malloc_counter.so counts them; -1 without it.
std::int64_t allocations() {
  const char* const path = std::getenv("ALLOCATION_COUNT_FILE");
  const int fd = path == nullptr ? -1 : ::open(path, O_RDONLY | O_CLOEXEC);
  std::int64_t count = -1;
  if (fd >= 0 && ::pread(fd, &count, sizeof count, 0) != static_cast<ssize_t>(sizeof count)) count = -1;
  if (fd >= 0) ::close(fd);
  return count;
}

struct totals {
  long right = 0;
  long wrong = 0;
};

lv::task<> ask(lv::http::client* client, const lv::http::outgoing* asked, long requests, totals* counted) {
  lv::http::answer got;
  totals own;
  for (long i = 0; i < requests; i++) {
    const auto ended = co_await client->send(*asked, got);
    (ended && got.ok() && !got.body().empty() ? own.right : own.wrong)++;
  }
  *counted = own;
}

lv::task<int> one_connection(std::string url, long requests) {
  lv::http::client client;
  const lv::http::outgoing asked{lv::http::method::get, url};
  totals warm;
  totals seen;
  co_await ask(&client, &asked, requests / 10 + 1, &warm);
  const std::int64_t made = allocations();
  const std::int64_t began = cpu_ns();
  co_await ask(&client, &asked, requests, &seen);
  const std::int64_t took = cpu_ns() - began;
  std::printf("{\"requests\":%ld,\"cpu_ns\":%lld,\"errors\":%ld,\"allocations\":%lld,\"connects\":%llu}\n", requests,
              static_cast<long long>(took), warm.wrong + seen.wrong, static_cast<long long>(allocations() - made),
              static_cast<unsigned long long>(client.look().hosts.front().connects));
  co_return 0;
}

lv::task<int> many_connections(std::string url, long requests, long connections) {
  const auto wanted = static_cast<std::size_t>(connections);
  lv::http::client_options options;
  options.pool.per_host = options.pool.idle_max = options.pool.idle_per_host = wanted;
  options.pool.idle_timeout = std::chrono::minutes(5);
  options.timeout = options.connect_timeout = std::chrono::seconds(60);
  lv::http::client client{options};
  const lv::http::outgoing asked{lv::http::method::get, url};
  totals one;
  co_await ask(&client, &asked, 100, &one);
  const std::int64_t before = rss_bytes();
  const auto open = co_await client.warm_up(url, wanted);
  if (!open) std::fprintf(stderr, "http_client: %s\n", open.error().message().c_str());
  const std::int64_t after = rss_bytes();
  std::vector<totals> counted(wanted);
  {
    lv::scope asking;
    for (auto& each : counted) asking.spawn(ask, &client, &asked, requests, &each);
    co_await asking.join();
  }
  const std::int64_t used = rss_bytes();
  totals all = one;
  for (const auto& each : counted) {
    all.right += each.right;
    all.wrong += each.wrong;
  }
  const lv::http::host_figures seen = client.look().hosts.front();
  std::printf("{\"open\":%zu,\"idle\":%zu,\"requests\":%ld,\"errors\":%ld,\"connects\":%llu,\"rss_before\":%lld,\"rss_open\":%lld,"
              "\"rss_used\":%lld}\n",
              seen.open, seen.idle, all.right, all.wrong, static_cast<unsigned long long>(seen.connects),
              static_cast<long long>(before), static_cast<long long>(after), static_cast<long long>(used));
  co_return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) {
    std::fputs("usage: http_client PORT REQUESTS PATH [CONNECTIONS]\n", stderr);
    return 2;
  }
  const std::string url = std::string("http://127.0.0.1:") + argv[1] + argv[3];
  if (argc > 4) return lv::run(many_connections, url, std::atol(argv[2]), std::atol(argv[4]));
  return lv::run(one_connection, url, std::atol(argv[2]));
}
