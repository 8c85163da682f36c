// test_server.hpp -- a server of a few lines for the tests of the tools: one thread, poll(), misbehaves on demand.
#pragma once

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <functional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace levity::tools {

/// What becomes of a connection after its bytes were answered.
enum class action { keep, close, reset };

/// Serves all connections from one thread; calls `answer` for every piece of bytes it gets.
class test_server {
public:
  using answer_function = std::function<action(int fd, std::string_view bytes)>;

  explicit test_server(answer_function answer, int receive_buffer = 0) : answer_(std::move(answer)) {
    listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (receive_buffer > 0) setsockopt(listener_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(bind(listener_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(listen(listener_, 128), 0);
    getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    quit_ = eventfd(0, EFD_CLOEXEC);
    thread_ = std::thread([this] { serve(); });
  }
  ~test_server() { stop(); }

  void stop() {
    if (!thread_.joinable()) return;
    const std::uint64_t one = 1;
    EXPECT_EQ(write(quit_, &one, sizeof one), 8);
    thread_.join();
    ::close(listener_);
    ::close(quit_);
  }
  [[nodiscard]] std::string url(const char* scheme) const {
    return std::string(scheme) + "://127.0.0.1:" + std::to_string(port_);
  }

private:
  void serve() {
    std::vector<pollfd> watched{{quit_, POLLIN, 0}, {listener_, POLLIN, 0}};
    std::vector<char> buffer(65'536);
    for (;;) {
      poll(watched.data(), watched.size(), -1);
      if (watched[0].revents != 0) break;
      const std::size_t before = watched.size();
      if (watched[1].revents != 0) {
        const int fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
        const int one = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        watched.push_back({fd, POLLIN, 0});
      }
      for (std::size_t i = 2; i < before; ++i) {
        if (watched[i].revents == 0) continue;
        const ssize_t got = recv(watched[i].fd, buffer.data(), buffer.size(), 0);
        const action next = got <= 0 ? action::close : answer_(watched[i].fd, {buffer.data(), static_cast<std::size_t>(got)});
        if (next == action::keep) continue;
        const linger hard{1, 0};
        if (next == action::reset) setsockopt(watched[i].fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
        ::close(watched[i].fd);
        watched[i].fd = -1;
      }
      std::erase_if(watched, [](const pollfd& entry) { return entry.fd < 0; });
    }
    for (std::size_t i = 2; i < watched.size(); ++i) ::close(watched[i].fd);
  }

  answer_function answer_;
  int listener_ = -1;
  int quit_ = -1;
  int port_ = 0;
  std::thread thread_;
};

}  // namespace levity::tools
