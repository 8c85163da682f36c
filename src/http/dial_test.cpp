// Two attempts at one address, on the kernel's sockets: a simulated network loses no SYN.

#include "http/dial.hpp"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <vector>

#include "levity/levity.hpp"
#include "tests/support/run_tasks.hpp"

namespace {

namespace lv = levity;
using namespace std::chrono_literals;
using levity::http::detail::dial;
using levity::test::run_tasks;

// A listener whose queue is full, so that the kernel drops what comes; let_in() empties it.
class full_listener {
public:
  full_listener() {
    fds_.push_back(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof at;
    EXPECT_EQ(::bind(fds_[0], reinterpret_cast<sockaddr*>(&at), size), 0);
    EXPECT_EQ(::listen(fds_[0], 0), 0);
    EXPECT_EQ(::getsockname(fds_[0], reinterpret_cast<sockaddr*>(&at), &size), 0);
    port_ = ntohs(at.sin_port);
    for (bool full = false; !full && fds_.size() < 16;) {
      fds_.push_back(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
      (void)::connect(fds_.back(), reinterpret_cast<sockaddr*>(&at), size);
      pollfd on{fds_.back(), POLLOUT, 0};
      full = ::poll(&on, 1, 100) == 0;
    }
  }
  full_listener(const full_listener&) = delete;
  full_listener& operator=(const full_listener&) = delete;
  ~full_listener() {
    for (const int fd : fds_) ::close(fd);
  }
  void let_in() {
    for (int accepted = ::accept(fds_[0], nullptr, nullptr); accepted >= 0; accepted = ::accept(fds_[0], nullptr, nullptr)) {
      fds_.push_back(accepted);
    }
  }
  [[nodiscard]] std::vector<lv::address> address() const {
    return {lv::address::parse("127.0.0.1:" + std::to_string(port_)).value()};
  }

private:
  std::vector<int> fds_;
  std::uint16_t port_ = 0;
};

}  // namespace

TEST(http_dial, a_lost_syn_costs_a_quarter_of_a_second_and_not_a_whole_one) {
  run_tasks(1, []() -> lv::task<> {
    // The kernel sends a SYN again after a second, so without the second attempt no round is shorter. A busy machine may make one
    // longer.
    lv::duration shortest = lv::duration::max();
    for (int round = 0; round < 5 && shortest > 990ms; round++) {
      full_listener narrow;
      lv::scope later;
      later.spawn([](full_listener* of) -> lv::task<> {
        co_await lv::sleep(100ms);
        of->let_in();
      }, &narrow);
      const lv::time_point began = lv::clock::now();
      const auto made = co_await dial(narrow.address(), 250ms);
      const lv::duration took = lv::clock::now() - began;
      EXPECT_TRUE(made.has_value());
      EXPECT_GE(took, 250ms) << "the first SYN was dropped, or this says nothing";
      shortest = std::min(shortest, took);
      co_await later.join();
    }
    EXPECT_LT(shortest, 990ms);
  });
}

TEST(http_dial, who_is_refused_learns_it) {
  run_tasks(1, []() -> lv::task<> {
    const std::vector<lv::address> nobody(1, lv::address::parse("127.0.0.1:9").value());
    const auto made = co_await dial(nobody, 250ms);
    EXPECT_FALSE(made.has_value());
    if (!made) {
      EXPECT_EQ(made.error(), lv::io_failure::refused);
    }
  });
}

TEST(http_dial, a_deadline_and_a_cancellation_end_both_attempts) {
  run_tasks(2, []() -> lv::task<> {
    full_listener narrow;
    const auto late = co_await lv::with_deadline(400ms, dial(narrow.address(), 50ms));
    EXPECT_FALSE(late.has_value());
    if (!late) {
      EXPECT_EQ(late.error(), lv::io_failure::timed_out);
    }
    lv::scope given_up;
    given_up.spawn([](const full_listener* of) -> lv::task<> {
      const auto made = co_await dial(of->address(), 50ms);
      EXPECT_FALSE(made.has_value());
      if (!made) {
        EXPECT_EQ(made.error(), lv::io_failure::cancelled);
      }
    }, &narrow);
    co_await lv::sleep(100ms);
    given_up.cancel();
    co_await given_up.join();
  });
}
