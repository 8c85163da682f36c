// The client against nginx: another reading of the protocol than our own. Skipped where nginx is not installed.

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "levity/http/client.hpp"
#include "levity/levity.hpp"
#include "tests/support/run_tasks.hpp"
#include "tests/support/temporary_folder.hpp"

namespace {

namespace lv = levity;
namespace http = levity::http;
using namespace std::chrono_literals;
using http::method;
using http::outgoing;
using levity::test::run_tasks;
using levity::test::slow_build_factor;

std::uint16_t free_port() {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof at;
  EXPECT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&at), size), 0);
  EXPECT_EQ(::getsockname(fd, reinterpret_cast<sockaddr*>(&at), &size), 0);
  ::close(fd);
  return ntohs(at.sin_port);
}

bool listens(std::uint16_t port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  at.sin_port = htons(port);
  const bool there = ::connect(fd, reinterpret_cast<sockaddr*>(&at), sizeof at) == 0;
  ::close(fd);
  return there;
}

const char* nginx_program() {
  for (const char* const place : {"/usr/sbin/nginx", "/usr/local/sbin/nginx", "/usr/bin/nginx"}) {
    if (::access(place, X_OK) == 0) return place;
  }
  return nullptr;
}

// One nginx in the foreground with a folder of its own.
class nginx {
public:
  nginx() : port_(free_port()) {
    std::filesystem::permissions(folder_.path(), std::filesystem::perms::all);
    std::filesystem::create_directory(folder_.file("www"));
    std::ofstream(folder_.file("www/small")) << "small";
    std::ofstream(folder_.file("www/empty"));
    std::ofstream large(folder_.file("www/large"));
    for (int i = 0; i < 100'000; i++) large << i << '\n';
    large.close();
    std::ofstream(folder_.file("conf"))
        << "daemon off; master_process off; worker_processes 1; pid " << folder_.file("pid") << "; error_log stderr crit;\n"
        << "events { worker_connections 512; }\n"
        << "http { access_log off; client_body_temp_path " << folder_.file("body") << "; proxy_temp_path " << folder_.file("proxy")
        << "; fastcgi_temp_path " << folder_.file("fcgi") << "; uwsgi_temp_path " << folder_.file("uwsgi") << "; scgi_temp_path "
        << folder_.file("scgi") << ";\n"
        << "client_max_body_size 100k; large_client_header_buffers 4 16k; root " << folder_.file("www") << ";\n"
        << "gzip_types text/plain; default_type text/plain;\n"
        << "server { listen 127.0.0.1:" << port_ << " backlog=2048; keepalive_requests 100000; keepalive_timeout 75s;\n"
        << "  location /nothing { return 204; }\n"
        << "  location /moved { return 301 /small; }\n"
        << "  location /elsewhere { return 307 http://127.0.0.1:" << port_ << "/small; }\n"
        << "  location /echo { return 200 \"$request_method $arg_id\"; }\n"
        << "  location /gzip/ { alias " << folder_.file("www") << "/; gzip on; gzip_min_length 1; }\n"
        << "  location /few/ { alias " << folder_.file("www") << "/; keepalive_requests 3; }\n"
        << "  location /brief/ { alias " << folder_.file("www") << "/; keepalive_timeout 50ms; }\n"
        << "  location /hung/ { return 444; }\n"
        << "} }\n";
    const std::string conf = folder_.file("conf");
    const std::string prefix = folder_.path() + "/";
    char* arguments[] = {const_cast<char*>("nginx"), const_cast<char*>("-p"), const_cast<char*>(prefix.c_str()),
                         const_cast<char*>("-c"), const_cast<char*>(conf.c_str()), nullptr};
    char* environment[] = {nullptr};  // no faults for nginx
    EXPECT_EQ(::posix_spawn(&pid_, nginx_program(), nullptr, nullptr, arguments, environment), 0);
    for (int i = 0; i < 1000 && !listens(port_); i++) std::this_thread::sleep_for(10ms);
  }
  nginx(const nginx&) = delete;
  nginx& operator=(const nginx&) = delete;
  ~nginx() {
    ::kill(pid_, SIGTERM);
    ::waitpid(pid_, nullptr, 0);
  }
  [[nodiscard]] std::string at(std::string_view path) const {
    return "http://127.0.0.1:" + std::to_string(port_) + std::string(path);
  }

private:
  lv::test::temporary_folder folder_;
  std::uint16_t port_;
  pid_t pid_ = -1;
};

class http_client_and_nginx : public testing::Test {
protected:
  void SetUp() override {
    if (nginx_program() == nullptr) GTEST_SKIP() << "nginx is not installed; apt-get install nginx-light";
    nginx_ = std::make_unique<nginx>();
  }

  void with_nginx(lv::task<> (*talks)(const nginx*)) { EXPECT_EQ(run_tasks(2, talks, static_cast<const nginx*>(nginx_.get())), 0); }

private:
  std::unique_ptr<nginx> nginx_;
};

std::string body_of(const std::expected<http::answer, http::client_error>& got) {
  return got ? std::string(got->body()) : "failed: " + got.error().message();
}

lv::task<> ask_and_check(const nginx* of, http::client* client, int worker, int count, int* right) {
  http::answer got;
  outgoing asked;
  for (int i = 0; i < count; i++) {
    const std::string id = std::to_string(worker) + "-" + std::to_string(i);
    asked.set_url(of->at("/echo?id=" + id));
    asked.set_timeout(60s);
    const auto ended = co_await client->send(asked, got);
    EXPECT_TRUE(ended.has_value()) << ended.error().message();
    if (ended && got.body() == "GET " + id) ++*right;
  }
}

}  // namespace

TEST_F(http_client_and_nginx, understand_each_other) {
  with_nginx([](const nginx* of) -> lv::task<> {
    http::client client;
    EXPECT_EQ(body_of(co_await client.get(of->at("/small"))), "small");
    EXPECT_EQ(body_of(co_await client.get(of->at("/empty"))), "");
    const auto large = co_await client.get(of->at("/large"));
    EXPECT_EQ(body_of(large).size(), 588'890U);
    EXPECT_TRUE(body_of(large).ends_with("99998\n99999\n"));
    outgoing zipped{method::get, of->at("/gzip/large")};
    zipped.set("Accept-Encoding", "gzip");
    const auto chunked = co_await client.send(std::move(zipped));
    EXPECT_TRUE(chunked.has_value());
    if (chunked) {
      EXPECT_EQ(chunked->find("Transfer-Encoding"), "chunked");
      EXPECT_TRUE(chunked->body().starts_with("\x1f\x8b"));
    }
    const auto nothing = co_await client.get(of->at("/nothing"));
    EXPECT_TRUE(nothing.has_value());
    if (nothing) {
      EXPECT_EQ(nothing->status(), http::status::no_content);
    }
    const auto head = co_await client.send(outgoing{method::head, of->at("/large")});
    EXPECT_TRUE(head.has_value());
    if (head) {
      EXPECT_EQ(head->content_length(), 588'890U);
    }
    const auto missing = co_await client.get(of->at("/no/such/file"));
    EXPECT_TRUE(missing.has_value());
    if (missing) {
      EXPECT_EQ(missing->status(), http::status::not_found);
    }
    EXPECT_EQ(client.look().hosts.front().connects, 1U);
    EXPECT_EQ(client.look().hosts.front().reused, 6U);
  });
}

TEST_F(http_client_and_nginx, redirects_are_followed) {
  with_nginx([](const nginx* of) -> lv::task<> {
    http::client_options options;
    options.redirects = 2;
    http::client client{options};
    EXPECT_EQ(body_of(co_await client.get(of->at("/moved"))), "small");
    EXPECT_EQ(body_of(co_await client.get(of->at("/elsewhere"))), "small");
  });
}

TEST_F(http_client_and_nginx, a_body_that_is_refused_early_is_answered) {
  with_nginx([](const nginx* of) -> lv::task<> {
    http::client client;
    const std::string body(4'000'000, 'x');
    outgoing asked{method::post, of->at("/small")};
    asked.set_body_view(body);
    const auto got = co_await client.send(std::move(asked));
    // nginx answers at once and resets the connection a little later: whichever is seen first.
    if (got) {
      EXPECT_EQ(got->status(), http::status::content_too_large);
    } else {
      EXPECT_EQ(got.error(), http::client_failure::connection_lost) << got.error().message();
    }
    EXPECT_EQ(client.look().hosts.front().open, 0U);
  });
}

TEST_F(http_client_and_nginx, connections_that_nginx_closes_cost_no_request) {
  with_nginx([](const nginx* of) -> lv::task<> {
    http::client client;
    for (int i = 0; i < 30; i++) EXPECT_EQ(body_of(co_await client.get(of->at("/few/small"))), "small");
    EXPECT_EQ(client.look().hosts.front().connects, 10U);
    for (int i = 0; i < 5; i++) {
      EXPECT_EQ(body_of(co_await client.get(of->at("/brief/small"))), "small");
      co_await lv::sleep(80ms);  // nginx has closed it, or is about to
    }
    EXPECT_EQ(client.look().hosts.front().failures, 0U);
    const auto lost = co_await client.get(of->at("/hung/"));
    EXPECT_FALSE(lost.has_value());
    if (!lost) {
      EXPECT_EQ(lost.error(), http::client_failure::connection_lost) << lost.error().message();
    }
  });
}

TEST_F(http_client_and_nginx, ten_thousand_requests_over_a_hundred_connections) {
  with_nginx([](const nginx* of) -> lv::task<> {
    constexpr int tasks = 200;
    constexpr int each = 50 / slow_build_factor;
    http::client_options options;
    options.timeout = 60s;
    options.connect_timeout = 30s;
    http::client client{options};
    const auto warm = co_await client.warm_up(of->at("/"), 100);
    EXPECT_TRUE(warm.has_value()) << warm.error().message();
    int right = 0;
    std::vector<int> counts(tasks);
    lv::scope asking;
    for (int i = 0; i < tasks; i++) {
      asking.spawn(ask_and_check, of, &client, i, each, &counts[static_cast<std::size_t>(i)]);
    }
    co_await asking.join();
    for (const int count : counts) right += count;
    EXPECT_EQ(right, tasks * each);
    const http::host_figures seen = client.look().hosts.front();
    EXPECT_EQ(seen.open, 100U);
    EXPECT_EQ(seen.failures, 0U);
  });
}
