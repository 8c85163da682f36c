#pragma once

// A name server of the tests' own on 127.0.0.1, and a few sockets with manners of their own.

#include <gtest/gtest.h>
#include <levity/base/address.hpp>
#include <levity/base/atomic.hpp>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace levity::inline v0::test {

/// Answers queries for A and AAAA by its table, in a thread. Names it does not know do not exist.
class name_server {
public:
  enum class manner { answers, silent, fails, held };
  struct entry {
    std::vector<std::string> v4;  // "127.0.0.1"
    std::vector<std::string> v6;
    manner of_v4 = manner::answers;
    manner of_v6 = manner::answers;
  };

  explicit name_server(std::map<std::string, entry> table) : table_(std::move(table)) {
    fd_ = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof at;
    EXPECT_EQ(::bind(fd_, reinterpret_cast<sockaddr*>(&at), size), 0);
    EXPECT_EQ(::getsockname(fd_, reinterpret_cast<sockaddr*>(&at), &size), 0);
    port_ = ntohs(at.sin_port);
    bell_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    thread_ = std::thread([this] { serve(); });
  }
  ~name_server() {
    stop_.store(true, std::memory_order_relaxed);
    ring();
    thread_.join();
    ::close(fd_);
    ::close(bell_);
  }

  [[nodiscard]] std::string at() const { return "127.0.0.1:" + std::to_string(port_); }
  [[nodiscard]] int queries() {
    const std::lock_guard guard{lock_};
    return queries_;
  }
  /// Waits until so many queries came in all.
  void await_queries(int count) {
    std::unique_lock guard{lock_};
    for (int i = 0; i < 10'000 && queries_ < count; i++) {
      guard.unlock();
      ::poll(nullptr, 0, 1);
      guard.lock();
    }
    EXPECT_GE(queries_, count);
  }
  /// What was held is answered now, and held no more.
  void release() {
    {
      const std::lock_guard guard{lock_};
      released_ = true;
    }
    ring();
  }

private:
  struct asker {
    sockaddr_in from;
    std::string packet;
  };

  void ring() {
    const std::uint64_t one = 1;
    EXPECT_EQ(::write(bell_, &one, sizeof one), static_cast<ssize_t>(sizeof one));
  }

  void serve() {
    std::vector<asker> held;
    for (;;) {
      pollfd on[2] = {{fd_, POLLIN, 0}, {bell_, POLLIN, 0}};
      ::poll(on, 2, -1);
      std::uint64_t rung;
      [[maybe_unused]] const auto read = ::read(bell_, &rung, sizeof rung);
      if (stop_.load(std::memory_order_relaxed)) return;
      bool released;
      {
        const std::lock_guard guard{lock_};
        released = released_;
      }
      if (released) {
        for (const asker& each : held) reply(each, manner::answers);
        held.clear();
      }
      if ((on[0].revents & POLLIN) == 0) continue;
      char packet[512];
      asker who{};
      socklen_t size = sizeof who.from;
      const ssize_t got = ::recvfrom(fd_, packet, sizeof packet, 0, reinterpret_cast<sockaddr*>(&who.from), &size);
      if (got < 17) continue;
      who.packet.assign(packet, static_cast<std::size_t>(got));
      std::string name;
      bool v6 = false;
      parse(who.packet, name, v6);
      manner how = manner::answers;
      if (const auto found = table_.find(name); found != table_.end()) how = v6 ? found->second.of_v6 : found->second.of_v4;
      if (how == manner::held && !released) {
        held.push_back(who);
      } else if (how != manner::silent) {
        reply(who, how);
      }
      const std::lock_guard guard{lock_};
      queries_++;
    }
  }

  // Returns where the question ends.
  static std::size_t parse(const std::string& packet, std::string& name, bool& v6) {
    std::size_t at = 12;
    while (at < packet.size() && packet[at] != 0) {
      const auto label = static_cast<unsigned char>(packet[at]);
      if (!name.empty()) name += '.';
      name += packet.substr(at + 1, label);
      at += label + 1u;
    }
    at++;
    v6 = at + 1 < packet.size() && packet[at + 1] == 28;
    return at + 4;
  }

  void reply(const asker& who, manner how) {
    std::string name;
    bool v6 = false;
    const std::size_t end = parse(who.packet, name, v6);
    const auto found = table_.find(name);
    std::string out = who.packet.substr(0, end);
    const std::vector<std::string> none;
    const auto& all = found == table_.end() ? none : v6 ? found->second.v6 : found->second.v4;
    const char code = how == manner::fails ? 2 : found == table_.end() ? 3 : 0;
    out[2] = static_cast<char>(0x81);
    out[3] = static_cast<char>(0x80 | code);
    out[6] = 0;
    out[7] = static_cast<char>(code == 0 ? all.size() : 0);
    for (int i = 8; i < 12; i++) out[static_cast<std::size_t>(i)] = 0;
    if (code == 0) {
      for (const std::string& each : all) {
        const address parsed = *address::parse(v6 ? "[" + each + "]:0" : each + ":0");
        const char head[] = {static_cast<char>(0xc0), 12, 0, static_cast<char>(v6 ? 28 : 1), 0, 1, 0, 0, 0, 60, 0,
                             static_cast<char>(v6 ? 16 : 4)};
        out.append(head, sizeof head);
        out.append(reinterpret_cast<const char*>(parsed.bytes()), v6 ? 16 : 4);
      }
    }
    ::sendto(fd_, out.data(), out.size(), 0, reinterpret_cast<const sockaddr*>(&who.from), sizeof who.from);
  }

  const std::map<std::string, entry> table_;
  int fd_;
  int bell_;
  std::uint16_t port_;
  std::thread thread_;
  atomic<bool> stop_{false};
  std::mutex lock_;
  int queries_ = 0;
  bool released_ = false;
};

}  // namespace levity::test
