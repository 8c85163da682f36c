// What one request costs without sockets: parse, find the route, write the answer, in CPU time. Allocations are counted; one per
// request in steady state is a failure. Rows: http/<what>, ns of the median round and the spread of all rounds.
//
//   request_bench [--rounds N] [--only NAME]
//   For a count of instructions: valgrind --tool=callgrind request_bench --rounds 1 --only small_get

#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <string>
#include <string_view>
#include <vector>

#include "http/date_text.hpp"
#include "http/request_parser.hpp"
#include "http/response_writer.hpp"
#include "levity/http/router.hpp"

namespace {
std::size_t allocations = 0;
}

void* operator new(std::size_t size) {
  ++allocations;
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace {

using namespace levity::http;

constexpr int requests_per_round = 20'000;

// Of this thread: what others do on the machine counts less.
double cpu_ns() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

struct connection {
  detail::request_parser parser;
  detail::response_writer writer;
  detail::date_text date;
  response answer;
  router routes;

  connection() {
    (void)routes.add(method::get, "/orders/{id}", 0);
    (void)routes.add(method::post, "/orders", 1);
    (void)routes.add(method::get, "/healthz", 2);
  }

  // Bytes of all answers.
  std::size_t serve(std::string_view bytes) {
    std::span<const std::byte> rest = std::as_bytes(std::span(bytes));
    std::size_t written = 0;
    while (!rest.empty()) {
      const auto said = parser.feed(rest);
      rest = rest.subspan(said.consumed);
      if (said.what == detail::verdict::kind::refused) std::abort();
      if (said.what != detail::verdict::kind::complete) continue;
      const request& got = parser.current();
      const route_match found = routes.match(got.method(), got.path());
      if (!found) std::abort();
      answer.clear();
      answer.set("Content-Type", "application/json");
      answer.set_body(R"({"id":"42","status":"paid","customer":"7"})");
      for (const iovec& piece : writer.whole(answer, {got.method(), got.version(), got.keep_alive(), date.at(784111777)})) {
        written += piece.iov_len;
      }
      parser.next();
    }
    return written;
  }
};

// False when it allocates in steady state.
bool row(const char* name, const std::vector<std::string_view>& reads, int rounds) {
  connection peer;
  std::size_t written = 0;
  for (int i = 0; i < 100; ++i) {
    for (const auto bytes : reads) written += peer.serve(bytes);
  }
  std::vector<double> rounds_ns;
  rounds_ns.reserve(static_cast<std::size_t>(rounds));
  const std::size_t before = allocations;
  for (int round = 0; round < rounds; ++round) {
    const double begin = cpu_ns();
    for (int i = 0; i < requests_per_round; ++i) {
      for (const auto bytes : reads) written += peer.serve(bytes);
    }
    rounds_ns.push_back((cpu_ns() - begin) / requests_per_round);
  }
  const std::size_t allocated = allocations - before;
  std::sort(rounds_ns.begin(), rounds_ns.end());
  std::printf("http/%-22s %8.1f ns  (%.1f .. %.1f, %d rounds of %d), %zu allocations, %zu bytes written\n", name,
              rounds_ns[rounds_ns.size() / 2], rounds_ns.front(), rounds_ns.back(), rounds, requests_per_round, allocated,
              written);
  return allocated == 0;
}

}  // namespace

int main(int argc, char** argv) {
  int rounds = 15;
  std::string_view only;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (std::string_view(argv[i]) == "--rounds") rounds = std::max(1, std::atoi(argv[i + 1]));
    if (std::string_view(argv[i]) == "--only") only = argv[i + 1];
  }
  bool steady = true;
  const auto measure = [&](const char* name, const std::vector<std::string_view>& reads) {
    if (only.empty() || only == name) steady &= row(name, reads, rounds);
  };
  constexpr std::string_view small =
      "GET /orders/42 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: load\r\nAccept: */*\r\n\r\n";
  constexpr std::string_view browser =
      "GET /orders/42?fields=id,status&after=7 HTTP/1.1\r\nHost: orders.example.org\r\nConnection: keep-alive\r\n"
      "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36\r\n"
      "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n"
      "Accept-Language: en-US,en;q=0.9,de;q=0.8\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n"
      "Cookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\nCache-Control: no-cache\r\n"
      "Sec-Fetch-Site: none\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n\r\n";
  constexpr std::string_view post =
      "POST /orders HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nContent-Type: application/json\r\nContent-Length: 42\r\n\r\n"
      R"({"customer":"7","sku":"abcdefgh","qty":12})";
  constexpr std::string_view chunked =
      "POST /orders HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nTransfer-Encoding: chunked\r\n\r\n"
      "15\r\n{\"customer\":\"7\",\"sku\"\r\n15\r\n:\"abcdefgh\",\"qty\":12}\r\n0\r\n\r\n";
  measure("small_get", {small});
  measure("browser_get", {browser});
  measure("small_post", {post});
  measure("chunked_post", {chunked});
  measure("post_in_three_reads", {post.substr(0, 30), post.substr(30, 90), post.substr(120)});
  if (!steady) std::printf("FAILED: a request allocates in steady state\n");
  return steady ? 0 : 1;
}
