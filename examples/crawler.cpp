// crawler: follows links, page after page, with a limit on how much it does at a time. Shows fan-out, permits and deadlines.
//
//   crawler [PAGES]                300 if none is given
//
// There is no need for a network: it serves the pages itself, on a free port of the loopback. Page n links to 2n+1, 2n+2 and
// back to n/2; every 100th never answers, and the last one is missing.

#include <levity/http/server.hpp>
#include <levity/levity.hpp>

#include <charconv>
#include <cstdio>
#include <mutex>
#include <set>
#include <string>
#include <string_view>

namespace lv = levity;
using namespace std::chrono_literals;

// The site.
lv::task<> serve_page(unsigned pages, std::string_view number, lv::http::response* reply) {
  unsigned n = 0;
  std::from_chars(number.data(), number.data() + number.size(), n);
  if (n % 100 == 99) co_await lv::sleep(1h);  // until the server's request_timeout ends this
  if (n + 1 == pages) reply->set_status(lv::http::status::not_found);
  std::string links;
  for (const unsigned next : {2 * n + 1, 2 * n + 2, n / 2}) {
    if (next < pages) links += "/page/" + std::to_string(next) + "\n";
  }
  reply->set_body(links);
}

// One page by hand. Every way in which it can fail is a value.
lv::task<lv::io_result<std::string>> fetch(lv::address server, std::string path) {
  auto peer = co_await lv::tcp_stream::connect(server);
  if (!peer) co_return std::unexpected(peer.error());
  const std::string request = "GET " + path + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
  const auto sent = co_await peer->write_all(request);
  if (!sent) co_return std::unexpected(sent.error());
  lv::buffered_reader in{*peer};
  const auto status = co_await in.read_line(1024);
  if (!status) co_return std::unexpected(status.error());
  if (!status->starts_with("HTTP/1.1 200 ")) co_return std::unexpected(lv::io_error(lv::io_failure::not_found));
  std::size_t size = 0;
  for (;;) {
    const auto line = co_await in.read_line(8192);
    if (!line) co_return std::unexpected(line.error());
    if (line->empty()) break;
    if (constexpr std::string_view name = "Content-Length: "; line->starts_with(name)) {
      std::from_chars(line->data() + name.size(), line->data() + line->size(), size);
    }
  }
  const auto body = co_await in.read_exactly(size);
  if (!body) co_return std::unexpected(body.error());
  co_return std::string(reinterpret_cast<const char*>(body->data()), body->size());  // a copy: the view ends with the reader
}

// What all visits share.
struct crawl {
  const lv::address from;
  lv::scope* const visits;
  lv::semaphore fetches{8};  // tasks are cheap, connections are not: any number of visits, eight fetches at a time

  std::mutex lock;  // for a few instructions, never over a co_await
  std::set<std::string> seen;
  unsigned fetched = 0, timed_out = 0, missing = 0, now = 0, most = 0;

  crawl(lv::address server, lv::scope* tasks) : from(server), visits(tasks) {}

  bool is_new(const std::string& path) {
    const std::lock_guard held(lock);
    return seen.insert(path).second;
  }
  void begin() {
    const std::lock_guard held(lock);
    if (++now > most) most = now;
  }
  void end(const lv::io_result<std::string>& page) {
    const std::lock_guard held(lock);
    now--;
    (page ? fetched : page.error() == lv::io_failure::timed_out ? timed_out : missing)++;
  }
};

lv::task<> visit(crawl* all, std::string path) {
  co_await all->fetches.acquire();
  all->begin();
  const auto page = co_await lv::with_deadline(1s, fetch(all->from, path));
  all->end(page);
  all->fetches.release();
  if (!page) co_return;
  for (std::size_t at = 0, end; (end = page->find('\n', at)) != std::string::npos; at = end + 1) {
    std::string link = page->substr(at, end - at);
    if (all->is_new(link)) all->visits->spawn("visit", visit, all, std::move(link));  // children may bear siblings
  }
}

lv::task<> host(lv::http::server* pages, lv::tcp_listener at) { co_await pages->serve(std::move(at)); }

lv::task<int> run(unsigned pages) {
  auto listener = lv::tcp_listener::bind("127.0.0.1:0");
  if (!listener) co_return std::fprintf(stderr, "crawler: %s\n", listener.error().message().c_str()), 1;
  lv::http::server_options options;
  options.request_timeout = 2s;
  lv::http::server server(options);
  server.route(lv::http::method::get, "/page/{n}",  // no coroutine itself, so it may capture; it calls one
               [pages](const auto&, const auto& match, auto& reply) { return serve_page(pages, match.parameter("n"), &reply); });
  lv::scope serving, visits;
  crawl all(listener->local_address(), &visits);
  serving.spawn("server", host, &server, std::move(*listener));
  if (all.is_new("/page/0")) visits.spawn("visit", visit, &all, std::string("/page/0"));
  co_await visits.join();  // when the last page has been seen, and whatever it led to
  std::printf("%u pages, %u timed out, %u missing, at most %u at a time\n", all.fetched, all.timed_out, all.missing, all.most);
  serving.cancel();
  co_await serving.join();
  co_return 0;
}

int main(int count, char** arguments) { return lv::run(run, count > 1 ? unsigned(std::stoul(arguments[1])) : 300u); }
