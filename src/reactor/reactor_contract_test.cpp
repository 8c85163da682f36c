// What every reactor backend promises (the contract in reactor.hpp), one fact a test, on the bare interface. A new backend
// is one more row in `backends`.

#include <gtest/gtest.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "levity/base/atomic.hpp"
#include "levity/base/rng.hpp"
#include "platform/fault_plan.hpp"
#include "reactor/epoll_reactor.hpp"
#include "reactor/ring/ring_reactor.hpp"
#include "reactor/sim/sim_reactor.hpp"

namespace levity::inline v0::detail {
namespace {

struct backend {
  const char* name;
  std::unique_ptr<reactor> (*make)();
  bool takes_descriptors;  // sockets of the kernel can be handed to it
};

std::unique_ptr<reactor> make_epoll() {
  auto made = epoll_reactor::create();
  EXPECT_TRUE(made);
  return std::move(*made);
}

template <bool hosted>
std::unique_ptr<reactor> make_ring() {
  auto shared = socket_ring::create({});
  EXPECT_TRUE(shared) << shared.error().message();
  if (!shared) return nullptr;
  auto made = ring_reactor::create(std::move(*shared), hosted);
  EXPECT_TRUE(made);
  return std::move(*made);
}

template <std::uint64_t seed>
std::unique_ptr<reactor> make_sim() {
  return make_sim_reactor(seed);
}

const backend backends[] = {
    {"epoll", &make_epoll, true},      {"ring", &make_ring<false>, true},
    {"ring_hosted", &make_ring<true>, true}, {"sim_1", &make_sim<1>, false},   {"sim_2", &make_sim<2>, false},
    {"sim_3", &make_sim<3>, false},    {"sim_42", &make_sim<42>, false}, {"sim_1981", &make_sim<1981>, false},
};

constexpr std::int64_t millisecond = 1'000'000;
constexpr std::int64_t patience_ns = 10'000 * millisecond;

struct pair {
  endpoint* client;
  endpoint* server;
};

class reactor_contract : public testing::TestWithParam<backend> {
protected:
  void SetUp() override {
    under_test = GetParam().make();
    ASSERT_NE(under_test, nullptr);
  }

  void TearDown() override {
    for (endpoint* each : open) under_test->close(*each, false);
    EXPECT_EQ(under_test->endpoints_approx(), 0u);
  }

  reactor& r() { return *under_test; }

  void poll(std::int64_t until_ns) {
    poll_lease lease(r().lease);
    ASSERT_TRUE(lease.held());
    r().poll(lease, until_ns, batch);
  }

  // Polls until it holds; false: it did not come to hold in time.
  bool poll_until(const std::function<bool()>& holds) {
    const std::int64_t end_ns = r().now_ns() + patience_ns;
    while (!holds()) {
      if (r().now_ns() > end_ns) return false;
      poll(r().now_ns() + millisecond);
    }
    return true;
  }

  void poll_for(std::int64_t span_ns) {
    const std::int64_t end_ns = r().now_ns() + span_ns;
    while (r().now_ns() < end_ns) poll(end_ns);
  }

  endpoint* keep(io_result<endpoint*> made) {
    EXPECT_TRUE(made) << made.error().message();
    if (!made) return nullptr;
    open.push_back(*made);
    return *made;
  }

  void close(endpoint* socket, bool abort = false) {
    open.erase(std::find(open.begin(), open.end(), socket));
    under_test->close(*socket, abort);
  }

  endpoint* listen() { return keep(r().listen({address::loopback(0), 128, false})); }

  endpoint* accept(endpoint* listener) {
    for (;;) {
      listener->reading.clear();
      const auto got = r().try_accept(*listener, r());
      if (got || got.error() != io_failure::would_block) return keep(got);
      if (!poll_until([&] { return !listener->reading.is_drained(); })) {
        ADD_FAILURE() << "no event for a connection";
        return nullptr;
      }
    }
  }

  io_result<void> finish(endpoint* socket) {
    for (;;) {
      socket->writing.clear();
      const auto got = r().finish_connect(*socket);
      if (got || got.error() != io_failure::would_block) return got;
      if (!poll_until([&] { return !socket->writing.is_drained(); })) {
        ADD_FAILURE() << "no event for a connection's end";
        return got;
      }
    }
  }

  pair connected() {
    endpoint* listener = listen();
    endpoint* client = keep(r().start_connect(r().local_address(*listener)));
    endpoint* server = accept(listener);
    EXPECT_TRUE(finish(client));
    close(listener);
    return {client, server};
  }

  // Reads once, waiting for the event that the contract promises.
  io_result<std::size_t> read(endpoint* socket, std::span<std::byte> into) {
    for (;;) {
      socket->reading.clear();
      const auto got = r().try_read(*socket, into);
      if (got || got.error() != io_failure::would_block) return got;
      if (!poll_until([&] { return !socket->reading.is_drained(); })) {
        ADD_FAILURE() << "no event after a read that would block";
        return got;
      }
    }
  }

  // Everything up to the end, and how it ended. Relies on events after short reads and on hung_up, as a stream does.
  std::pair<std::string, io_failure> read_to_end(endpoint* socket) {
    std::string all;
    std::byte chunk[1000];
    for (;;) {
      socket->reading.clear();
      const auto got = r().try_read(*socket, chunk);
      if (got) {
        all.append(reinterpret_cast<const char*>(chunk), *got);
        if (*got == sizeof chunk || socket->hung_up.load(std::memory_order_relaxed)) continue;
      } else if (got.error() != io_failure::would_block) {
        return {all, got.error().failure()};
      }
      if (!poll_until([&] { return !socket->reading.is_drained(); })) {
        ADD_FAILURE() << "no event after a short read or one that would block; got " << all.size() << " bytes";
        return {all, io_failure::other};
      }
    }
  }

  io_result<std::size_t> write_once(endpoint* socket, std::string_view text) {
    const iovec piece{const_cast<char*>(text.data()), text.size()};
    return r().try_write(*socket, {&piece, 1});
  }

  void write(endpoint* socket, std::string_view text) {
    while (!text.empty()) {
      socket->writing.clear();
      const auto sent = write_once(socket, text);
      if (sent) {
        text.remove_prefix(*sent);
        if (text.empty()) return;
      } else if (sent.error() != io_failure::would_block) {
        FAIL() << sent.error().message();
      }
      ASSERT_TRUE(poll_until([&] { return !socket->writing.is_drained(); })) << "no event after a short write";
    }
  }

  // Writes until the socket takes no more; how much that was.
  std::size_t fill(endpoint* socket, int refusals_wanted = 20) {
    const std::string block(8192, 'x');
    std::size_t total = 0;
    for (int refusals = 0; refusals < refusals_wanted;) {
      socket->writing.clear();
      const auto sent = write_once(socket, block);
      if (sent) {
        total += *sent;
      } else {
        EXPECT_EQ(sent.error(), io_failure::would_block);
        refusals++;
        poll_for(millisecond);
      }
    }
    return total;
  }

  std::unique_ptr<reactor> under_test;
  std::vector<endpoint*> open;
  ready_batch batch;
};

std::string pattern(std::size_t size) {
  std::string text(size, '\0');
  rng random(size);
  for (char& each : text) each = static_cast<char>(random());
  return text;
}

// ---- polling ---------------------------------------------------------------------------------------------------------

TEST_P(reactor_contract, a_poll_without_wait_returns_at_once) {
  const std::int64_t before_ns = kernel_now_ns();
  for (int i = 0; i < 100; i++) poll(0);
  EXPECT_LT(kernel_now_ns() - before_ns, 1000 * millisecond);
}

TEST_P(reactor_contract, a_wait_ends_at_its_limit) {
  for (const std::int64_t span_ns : {1 * millisecond, 7 * millisecond, 20 * millisecond}) {
    const std::int64_t until_ns = r().now_ns() + span_ns;
    poll(until_ns);
    EXPECT_GE(r().now_ns(), until_ns);
    EXPECT_LT(r().now_ns(), until_ns + patience_ns);
  }
}

TEST_P(reactor_contract, a_limit_in_the_past_is_no_wait) {
  const std::int64_t before_ns = r().now_ns();
  poll(1);
  EXPECT_LT(r().now_ns(), before_ns + 1000 * millisecond);
}

TEST_P(reactor_contract, time_never_goes_back) {
  std::int64_t last_ns = r().now_ns();
  for (int i = 0; i < 1000; i++) {
    poll(i % 2 == 0 ? 0 : last_ns + 1000);
    EXPECT_GE(r().now_ns(), last_ns);
    last_ns = r().now_ns();
  }
}

TEST_P(reactor_contract, a_ring_before_the_wait_ends_it) {
  const std::int64_t before_ns = r().now_ns();
  r().ring();
  poll(timer_wheel::never_ns);
  EXPECT_LT(r().now_ns(), before_ns + patience_ns);
}

TEST_P(reactor_contract, a_ring_is_heard_once) {
  r().ring();
  r().ring();
  poll(timer_wheel::never_ns);
  const std::int64_t until_ns = r().now_ns() + 2 * millisecond;
  poll(until_ns);
  EXPECT_GE(r().now_ns(), until_ns);
}

TEST_P(reactor_contract, a_ring_from_another_thread_is_heard_with_what_came_before_it) {
  for (int i = 0; i < 100; i++) {
    atomic<int> said{0};
    std::thread ringer([&] {
      said.store(1, std::memory_order_relaxed);
      r().ring();
    });
    const std::int64_t before_ns = r().now_ns();
    if (!GetParam().takes_descriptors) ringer.join();  // a simulated world does not wait for real threads
    do {
      poll(before_ns + patience_ns);  // a signal may end it early
    } while (said.load(std::memory_order_relaxed) == 0 && r().now_ns() < before_ns + patience_ns);
    EXPECT_LT(r().now_ns(), before_ns + patience_ns);
    EXPECT_EQ(said.load(std::memory_order_relaxed), 1);
    if (ringer.joinable()) ringer.join();
  }
}

// ---- events ----------------------------------------------------------------------------------------------------------

// Nobody sleeps in the other one: what comes there ends the wait here, and the news say where to look.
TEST_P(reactor_contract, what_comes_to_a_reactor_that_is_attended_to_ends_the_wait_of_who_attends) {
  const std::unique_ptr<reactor> rested = GetParam().make();
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
  const io_result<endpoint*> adopted = rested->adopt(ends[0]);
  const io_result<void> attends = r().attend(*rested, 255);
  EXPECT_EQ(attends.has_value(), GetParam().takes_descriptors);
  if (!attends) {
    ::close(ends[1]);
    return;
  }
  endpoint* const reader = *adopted;
  const auto poll_rested = [&] {
    const poll_lease lease(rested->lease);
    ASSERT_TRUE(lease.held());
    rested->poll(lease, 0, batch);
  };
  // Whether there is news of it before `until_ns`; then there may have been something to find.
  const auto is_told = [&](std::int64_t until_ns) {
    bool told = false;
    while (!told && r().now_ns() < until_ns) {
      poll(until_ns);
      r().news.take([&told](unsigned number) {
        EXPECT_EQ(number, 255U);
        told = true;
      });
    }
    if (told) poll_rested();
    return told;
  };
  while (is_told(r().now_ns() + 20 * millisecond)) {
  }
  for (int round = 0; round < 3; round++) {
    std::thread rings([&] { rested->ring(); });
    EXPECT_TRUE(is_told(r().now_ns() + patience_ns));
    rings.join();
    reader->reading.clear();
    std::thread writes([&] { EXPECT_EQ(::write(ends[1], "x", 1), 1); });
    while (reader->reading.is_drained()) ASSERT_TRUE(is_told(r().now_ns() + patience_ns));
    writes.join();
    while (is_told(r().now_ns() + 20 * millisecond)) {
    }
  }
  r().dismiss(*rested);
  rested->ring();
  EXPECT_FALSE(is_told(r().now_ns() + 20 * millisecond));
  rested->close(*reader, false);
  ::close(ends[1]);
}

TEST_P(reactor_contract, an_event_follows_a_read_that_would_block) {
  const pair p = connected();
  for (int round = 0; round < 50; round++) {
    std::byte byte;
    p.server->reading.clear();
    const auto nothing = r().try_read(*p.server, {&byte, 1});
    ASSERT_FALSE(nothing);
    EXPECT_EQ(nothing.error(), io_failure::would_block);
    write(p.client, "a");
    ASSERT_TRUE(poll_until([&] { return !p.server->reading.is_drained(); }));
    const auto got = read(p.server, {&byte, 1});
    ASSERT_TRUE(got);
    EXPECT_EQ(*got, 1u);
  }
}

TEST_P(reactor_contract, an_event_follows_a_short_read) {
  const pair p = connected();
  const std::string sent = pattern(20'000);
  std::string got;
  std::size_t written = 0;
  while (got.size() < sent.size()) {
    if (written < sent.size() && written <= got.size()) {
      const std::size_t part = std::min<std::size_t>(777, sent.size() - written);
      write(p.client, std::string_view(sent).substr(written, part));
      written += part;
    }
    std::byte chunk[1000];
    p.server->reading.clear();
    const auto moved = r().try_read(*p.server, chunk);
    if (moved) got.append(reinterpret_cast<const char*>(chunk), *moved);
    if (moved && *moved == sizeof chunk) continue;
    if (got.size() < written) {
      ASSERT_TRUE(poll_until([&] { return !p.server->reading.is_drained(); }));
    }
  }
  EXPECT_EQ(got, sent);
}

TEST_P(reactor_contract, an_event_follows_a_write_that_would_block_once_the_peer_reads) {
  const pair p = connected();
  const std::size_t sent = fill(p.client);
  ASSERT_GT(sent, 0u);
  std::size_t received = 0;
  std::vector<std::byte> chunk(65'536);
  bool again = false;
  for (int quiet = 0; received < sent || !again;) {
    ASSERT_LT(quiet, 10'000);
    quiet++;
    p.server->reading.clear();
    const auto got = r().try_read(*p.server, chunk);
    if (got) received += *got;
    poll_for(millisecond / 10);
    again = again || !p.client->writing.is_drained();
  }
  EXPECT_EQ(received, sent);
  EXPECT_TRUE(again);
}

TEST_P(reactor_contract, an_end_of_stream_behind_a_short_read_is_never_missed) {
  for (int round = 0; round < 50; round++) {
    const pair p = connected();
    write(p.client, "last words");
    ASSERT_TRUE(r().shutdown_write(*p.client));
    const auto [text, end] = read_to_end(p.server);
    EXPECT_EQ(text, "last words");
    EXPECT_EQ(end, io_failure::eof);
    close(p.client);
    close(p.server);
  }
}

TEST_P(reactor_contract, hung_up_is_set_before_the_event_of_the_end) {
  for (const bool abort : {false, true}) {
    const pair p = connected();
    std::byte byte;
    while (r().try_read(*p.server, {&byte, 1})) continue;
    poll_for(5 * millisecond);
    p.server->reading.clear();
    ASSERT_FALSE(r().try_read(*p.server, {&byte, 1}));
    EXPECT_FALSE(p.server->hung_up.load(std::memory_order_relaxed));
    close(p.client, abort);
    ASSERT_TRUE(poll_until([&] {
      if (p.server->reading.is_drained()) return false;
      p.server->reading.clear();
      const auto got = r().try_read(*p.server, {&byte, 1});
      EXPECT_FALSE(got);
      return !got && got.error() != io_failure::would_block;
    }));
    EXPECT_TRUE(p.server->hung_up.load(std::memory_order_relaxed));
  }
}

TEST_P(reactor_contract, an_event_hands_the_parked_task_to_the_poller_once) {
  const pair p = connected();
  task_record reader;
  std::byte byte;
  int woken = 0;
  for (int round = 0; round < 50; round++) {
    for (;;) {  // a late event may make the direction ready once more
      p.server->reading.clear();
      ASSERT_FALSE(r().try_read(*p.server, {&byte, 1}));
      reader.word.store(task_record::parked, std::memory_order_relaxed);
      if (p.server->reading.wait(reader)) break;
    }
    write(p.client, "a");
    batch.count = 0;
    bool arrived = false;
    while (!arrived) {
      ASSERT_TRUE(poll_until([&] { return batch.count > 0; }));
      ASSERT_EQ(batch.count, 1u);
      EXPECT_EQ(batch.records[0], &reader);
      EXPECT_FALSE(p.server->reading.has_waiter_approx());
      batch.count = 0;
      woken++;
      p.server->reading.clear();
      arrived = static_cast<bool>(r().try_read(*p.server, {&byte, 1}));
      if (!arrived) {  // woken for nothing
        reader.word.store(task_record::parked, std::memory_order_relaxed);
        arrived = !p.server->reading.wait(reader) && r().try_read(*p.server, {&byte, 1});
        if (!arrived && !p.server->reading.has_waiter_approx()) {
          ASSERT_TRUE(read(p.server, {&byte, 1}));
          arrived = true;
        }
      }
    }
  }
  EXPECT_GE(woken, 50);
}

TEST_P(reactor_contract, a_batch_without_room_loses_no_event) {
  constexpr int count = 100;
  endpoint* listener = listen();
  std::vector<endpoint*> servers;
  std::vector<endpoint*> clients;
  for (int i = 0; i < count; i++) {
    clients.push_back(keep(r().start_connect(r().local_address(*listener))));
    servers.push_back(accept(listener));
    ASSERT_TRUE(finish(clients.back()));
  }
  std::byte byte;
  for (endpoint* each : servers) {
    each->reading.clear();
    ASSERT_FALSE(r().try_read(*each, {&byte, 1}));
  }
  std::vector<std::unique_ptr<task_record>> readers;
  for (endpoint* each : servers) {
    readers.push_back(std::make_unique<task_record>());
    readers.back()->word.store(task_record::parked, std::memory_order_relaxed);
    // A late event would be a wake-up for nothing: then it is ready at once.
    if (!each->reading.wait(*readers.back())) {
      each->reading.clear();
      ASSERT_TRUE(each->reading.wait(*readers.back()));
    }
  }
  for (endpoint* each : clients) write(each, "a");
  std::size_t woken = batch.count;
  // All of them have come before the first one is delivered.
  for (const std::int64_t settled_ns = r().now_ns() + 10 * millisecond; r().now_ns() < settled_ns;) {
    batch.count = ready_batch::capacity;
    poll(0);
    ASSERT_EQ(batch.count, ready_batch::capacity);
  }
  const std::int64_t end_ns = r().now_ns() + patience_ns;
  while (woken < count && r().now_ns() < end_ns) {
    batch.count = ready_batch::capacity - 5;
    poll(r().now_ns() + millisecond);
    ASSERT_LE(batch.count, ready_batch::capacity);
    woken += batch.count - (ready_batch::capacity - 5);
  }
  EXPECT_EQ(woken, static_cast<std::size_t>(count));
}

// ---- connections -----------------------------------------------------------------------------------------------------

TEST_P(reactor_contract, port_zero_is_any_free_port) {
  endpoint* first = listen();
  endpoint* second = listen();
  EXPECT_NE(r().local_address(*first).port(), 0);
  EXPECT_NE(r().local_address(*first).port(), r().local_address(*second).port());
}

TEST_P(reactor_contract, an_address_has_one_listener) {
  endpoint* first = listen();
  const auto second = r().listen({r().local_address(*first), 16, false});
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error(), io_failure::address_in_use);
  const address at = r().local_address(*first);
  close(first);
  keep(r().listen({at, 16, false}));
}

TEST_P(reactor_contract, both_ends_agree_on_the_addresses) {
  endpoint* listener = listen();
  endpoint* client = keep(r().start_connect(r().local_address(*listener)));
  endpoint* server = accept(listener);
  ASSERT_TRUE(finish(client));
  EXPECT_EQ(r().peer_address(*client), r().local_address(*listener));
  EXPECT_EQ(r().peer_address(*server), r().local_address(*client));
  EXPECT_EQ(r().local_address(*server), r().peer_address(*client));
}

TEST_P(reactor_contract, nobody_listening_is_refused) {
  endpoint* listener = listen();
  const address at = r().local_address(*listener);
  close(listener);
  const auto started = r().start_connect(at);
  if (!started) {
    EXPECT_EQ(started.error(), io_failure::refused);
    return;
  }
  const auto end = finish(keep(started));
  ASSERT_FALSE(end);
  EXPECT_EQ(end.error(), io_failure::refused);
}

TEST_P(reactor_contract, an_empty_queue_would_block_and_an_event_follows) {
  endpoint* listener = listen();
  for (int round = 0; round < 20; round++) {
    listener->reading.clear();
    const auto nobody = r().try_accept(*listener, r());
    ASSERT_FALSE(nobody);
    EXPECT_EQ(nobody.error(), io_failure::would_block);
    endpoint* client = keep(r().start_connect(r().local_address(*listener)));
    ASSERT_TRUE(poll_until([&] { return !listener->reading.is_drained(); }));
    ASSERT_NE(accept(listener), nullptr);
    ASSERT_TRUE(finish(client));
  }
}

TEST_P(reactor_contract, closing_a_listener_resets_who_waits_in_its_queue) {
  endpoint* listener = listen();
  endpoint* client = keep(r().start_connect(r().local_address(*listener)));
  ASSERT_TRUE(finish(client));
  close(listener);
  std::byte byte;
  const auto got = read(client, {&byte, 1});
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error(), io_failure::reset);
}

TEST_P(reactor_contract, a_listening_socket_is_taken_over_also_when_that_fails) {
  const auto fd = open_listening_socket({address::loopback(0), 16, false});
  ASSERT_TRUE(fd);
  const auto adopted = r().adopt_listener(*fd);
  if (GetParam().takes_descriptors) {
    endpoint* listener = keep(adopted);
    endpoint* client = keep(r().start_connect(r().local_address(*listener)));
    EXPECT_NE(accept(listener), nullptr);
    EXPECT_TRUE(finish(client));
  } else {
    ASSERT_FALSE(adopted);
    EXPECT_EQ(adopted.error(), io_failure::unsupported);
    EXPECT_NE(adopted.error().message().find("inside"), std::string::npos) << adopted.error().message();
    EXPECT_EQ(::close(*fd), -1) << "the descriptor was left open";
  }
}

TEST_P(reactor_contract, a_descriptor_of_any_kind_is_watched_until_it_is_closed_whoever_else_holds_its_file) {
  const int counter = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  const std::uint64_t one = 1;
  for (int round = 0; round < 3; round++) {
    // A duplicate gets the same number each round, and its file outlives it.
    const auto adopted = r().adopt(::fcntl(counter, F_DUPFD_CLOEXEC, 3));
    if (!GetParam().takes_descriptors) {
      ASSERT_FALSE(adopted);
      EXPECT_EQ(adopted.error(), io_failure::unsupported);
      break;
    }
    ASSERT_TRUE(adopted) << adopted.error().message();
    endpoint* watched = keep(adopted);
    for (int edge = 0; edge < 3; edge++) {
      watched->reading.clear();
      ASSERT_EQ(::write(counter, &one, sizeof one), static_cast<ssize_t>(sizeof one));
      EXPECT_TRUE(poll_until([&] { return !watched->reading.is_drained(); }));
    }
    close(watched);
  }
  ::close(counter);
}

TEST_P(reactor_contract, a_file_cannot_be_watched_and_is_closed) {
  const int fd = ::open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  const auto adopted = r().adopt(fd);
  ASSERT_FALSE(adopted);
  EXPECT_EQ(adopted.error(), GetParam().takes_descriptors ? io_failure::permission : io_failure::unsupported);
  EXPECT_EQ(::close(fd), -1) << "the descriptor was left open";
}

// ---- ends ------------------------------------------------------------------------------------------------------------

TEST_P(reactor_contract, half_close_ends_one_direction) {
  const pair p = connected();
  write(p.client, "question");
  ASSERT_TRUE(r().shutdown_write(*p.client));
  EXPECT_EQ(read_to_end(p.server), (std::pair{std::string("question"), io_failure::eof}));
  const std::string answer = pattern(300'000);
  // The other direction goes on.
  std::string got;
  std::size_t sent = 0;
  std::byte chunk[4096];
  const std::int64_t end_ns = r().now_ns() + patience_ns;
  while (got.size() < answer.size() && r().now_ns() < end_ns) {
    if (sent < answer.size()) {
      const auto moved = write_once(p.server, std::string_view(answer).substr(sent));
      if (moved) sent += *moved;
    }
    const auto moved = r().try_read(*p.client, chunk);
    if (moved) got.append(reinterpret_cast<const char*>(chunk), *moved);
    poll(r().now_ns() + millisecond / 10);
  }
  EXPECT_EQ(got, answer);
  ASSERT_TRUE(r().shutdown_write(*p.server));
  EXPECT_EQ(read_to_end(p.client).second, io_failure::eof);
}

TEST_P(reactor_contract, writing_after_the_own_end_fails) {
  const pair p = connected();
  ASSERT_TRUE(r().shutdown_write(*p.client));
  const auto sent = write_once(p.client, "more");
  ASSERT_FALSE(sent);
  EXPECT_EQ(sent.error(), io_failure::reset);
}

TEST_P(reactor_contract, an_abort_is_a_reset_at_the_peer_and_stays_one) {
  for (int round = 0; round < 20; round++) {
    const pair p = connected();
    close(p.client, true);
    for (int again = 0; again < 3; again++) {
      std::byte byte;
      const auto got = read(p.server, {&byte, 1});
      ASSERT_FALSE(got);
      EXPECT_EQ(got.error(), io_failure::reset) << "attempt " << again;
    }
    close(p.server);
  }
}

// A service that writes and reads on one stream from two tasks: whoever comes second must not take a torn stream for a
// finished one.
TEST_P(reactor_contract, a_reset_that_a_write_met_is_no_end_of_stream_to_a_read) {
  for (int round = 0; round < 20; round++) {
    const pair p = connected();
    close(p.client, true);
    ASSERT_TRUE(poll_until([&] {
      const auto sent = write_once(p.server, "x");
      return !sent && sent.error() == io_failure::reset;
    }));
    std::byte byte;
    const auto got = read(p.server, {&byte, 1});
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error(), io_failure::reset);
    close(p.server);
  }
}

TEST_P(reactor_contract, an_end_of_stream_stays_one) {
  const pair p = connected();
  close(p.client);
  for (int again = 0; again < 3; again++) {
    std::byte byte;
    const auto got = read(p.server, {&byte, 1});
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error(), io_failure::eof);
  }
}

// A peer that says its last words, closes, and answers by a reset what comes too late. What a ring's thread has not read by then
// the reset takes away, and on a busy machine it may need longer: then the round is made again, with more time.
TEST_P(reactor_contract, an_end_of_stream_that_a_late_write_breaks_the_connection_behind_is_still_one) {
  for (const bool a_write_hears_of_it : {false, true}) {
    std::int64_t time_to_read = 5 * millisecond;
    for (int round = 0; round < 5;) {
      const pair p = connected();
      const std::string sent = pattern(400);
      write(p.client, sent);
      poll_for(2 * millisecond);
      close(p.client);
      poll_for(time_to_read);
      write(p.server, "x");  // a byte: the rest of more would already fail
      poll_for(20 * millisecond);
      if (a_write_hears_of_it) {
        ASSERT_TRUE(poll_until([&] {
          const auto late = write_once(p.server, "too late");
          return !late && late.error() == io_failure::reset;
        }));
      }
      const auto got = read_to_end(p.server);
      if (got.second == io_failure::reset && time_to_read < 500 * millisecond) {
        time_to_read *= 10;
        close(p.server);
        continue;
      }
      EXPECT_EQ(got, (std::pair{sent, io_failure::eof}));
      std::byte byte;
      const auto again = read(p.server, {&byte, 1});
      EXPECT_TRUE(!again && again.error() == io_failure::eof);
      EXPECT_TRUE(poll_until([&] {
        const auto write_again = write_once(p.server, "too late");
        return !write_again && write_again.error() == io_failure::reset;
      }));
      EXPECT_EQ(read_to_end(p.server).second, io_failure::eof);
      close(p.server);
      round++;
    }
  }
}

TEST_P(reactor_contract, an_end_of_stream_on_both_sides_is_no_reset) {
  const pair p = connected();
  ASSERT_TRUE(r().shutdown_write(*p.server));
  EXPECT_EQ(read_to_end(p.client).second, io_failure::eof);
  ASSERT_TRUE(r().shutdown_write(*p.client));
  EXPECT_EQ(read_to_end(p.server).second, io_failure::eof);
  EXPECT_EQ(read_to_end(p.client).second, io_failure::eof);
}

// A proxy reads a server's end in one task while another ends what it sends there: the kernel closes the connection in that call.
TEST_P(reactor_contract, an_own_end_that_a_reader_races_with_is_no_reset) {
  if (!GetParam().takes_descriptors) GTEST_SKIP() << "one thread moves a simulated world";
  for (int round = 0; round < 300; round++) {
    const pair p = connected();
    close(p.client);
    EXPECT_EQ(read_to_end(p.server).second, io_failure::eof);
    atomic<bool> reads{false};
    atomic<bool> ended{false};
    io_failure met = io_failure::eof;
    std::thread reader([&] {
      do {
        std::byte byte;
        const auto got = r().try_read(*p.server, {&byte, 1});
        if (!got && got.error() == io_failure::reset) met = io_failure::reset;
        reads = true;
      } while (!ended);
    });
    while (!reads) continue;
    EXPECT_TRUE(r().shutdown_write(*p.server));
    ended = true;
    reader.join();
    EXPECT_EQ(met, io_failure::eof);
    close(p.server);
  }
}

// The kernel tells a reset once. Here somebody has heard of it and does not say so: only the state of the connection is left.
void forget_the_error(endpoint* socket) {
  int error = 0;
  socklen_t size = sizeof error;
  ASSERT_EQ(::getsockopt(socket->fd, SOL_SOCKET, SO_ERROR, &error, &size), 0);
  ASSERT_EQ(error, ECONNRESET);
}

// A service ends its side of a connection that was reset: the kernel refuses, and a reader meanwhile must not take it for ended.
TEST_P(reactor_contract, an_own_end_that_the_kernel_refuses_makes_no_end_of_a_reset) {
  if (std::string(GetParam().name) != "epoll") GTEST_SKIP() << "elsewhere the reactor itself hears of the reset";
  for (int round = 0; round < 300; round++) {
    const pair p = connected();
    close(p.client, true);
    ASSERT_TRUE(poll_until([&] { return p.server->hung_up.load(std::memory_order_relaxed); }));
    forget_the_error(p.server);
    atomic<bool> reads{false};
    atomic<bool> ended{false};
    bool finished = false;
    std::thread reader([&] {
      do {
        p.server->was_reset.store(false, std::memory_order_relaxed);  // as if nobody had asked yet
        std::byte byte;
        const auto got = r().try_read(*p.server, {&byte, 1});
        finished = finished || got || (got.error() != io_failure::reset && got.error() != io_failure::would_block);
        reads.store(true, std::memory_order_relaxed);
      } while (!ended.load(std::memory_order_relaxed));
    });
    while (!reads.load(std::memory_order_relaxed)) continue;
    for (int i = 0; i < 50; i++) EXPECT_FALSE(r().shutdown_write(*p.server));
    ended.store(true, std::memory_order_relaxed);
    reader.join();
    EXPECT_FALSE(finished);
    close(p.server);
    if (HasFailure()) return;
  }
}

TEST_P(reactor_contract, a_reset_of_which_the_kernel_says_nothing_more_is_no_end_of_stream) {
  if (std::string(GetParam().name) != "epoll") GTEST_SKIP() << "elsewhere the reactor itself hears of the reset";
  if (std::getenv("LEVITY_FAULTS") != nullptr) GTEST_SKIP() << "a lane has its plan already";
  for (const std::uint64_t refused : {0, 1, 2}) {  // which question
    const pair p = connected();
    close(p.client, true);
    ASSERT_TRUE(poll_until([&] { return p.server->hung_up.load(std::memory_order_relaxed); }));
    forget_the_error(p.server);
    if (refused > 0) fault_plan::install_one(ENOMEM, refused, kernel::call::getsockopt);
    std::byte byte;
    const auto got = r().try_read(*p.server, {&byte, 1});
    fault_plan::remove();
    EXPECT_TRUE(!got && got.error() == io_failure::reset) << refused;
    close(p.server);
  }
}

TEST_P(reactor_contract, closing_with_unread_bytes_is_a_reset_at_the_peer) {
  const pair p = connected();
  write(p.client, "never read");
  poll_for(20 * millisecond);
  close(p.server);
  std::byte byte;
  const auto got = read(p.client, {&byte, 1});
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error(), io_failure::reset);
}

TEST_P(reactor_contract, what_was_written_before_a_close_arrives) {
  const pair p = connected();
  const std::string sent = pattern(400);
  write(p.client, sent);
  close(p.client);
  EXPECT_EQ(read_to_end(p.server), (std::pair{sent, io_failure::eof}));
}

TEST_P(reactor_contract, writing_to_a_closed_peer_ends_in_a_reset) {
  const pair p = connected();
  close(p.server);
  EXPECT_TRUE(poll_until([&] {
    const auto sent = write_once(p.client, "anybody there?");
    return !sent && sent.error() == io_failure::reset;
  }));
}

TEST_P(reactor_contract, a_writer_that_waits_hears_of_a_reset) {
  const pair p = connected();
  fill(p.client);
  p.client->writing.clear();
  while (write_once(p.client, "x")) continue;
  poll_for(5 * millisecond);
  p.client->writing.clear();
  close(p.server, true);
  ASSERT_TRUE(poll_until([&] { return !p.client->writing.is_drained(); }));
  EXPECT_TRUE(poll_until([&] {
    const auto sent = write_once(p.client, "x");
    return !sent && sent.error() == io_failure::reset;
  }));
}

// ---- closing ---------------------------------------------------------------------------------------------------------

TEST_P(reactor_contract, close_never_blocks) {
  const pair p = connected();
  fill(p.client, 3);
  const std::int64_t before_ns = kernel_now_ns();
  close(p.client);
  EXPECT_LT(kernel_now_ns() - before_ns, 1000 * millisecond);
}

TEST_P(reactor_contract, an_event_of_a_closed_socket_does_not_reach_the_next_user_of_its_memory) {
  for (int round = 0; round < 50; round++) {
    const pair old = connected();
    std::byte byte;
    old.server->reading.clear();
    ASSERT_FALSE(r().try_read(*old.server, {&byte, 1}));
    write(old.client, "stale");
    close(old.client, true);
    close(old.server);  // events of the bytes and of the reset may be on their way
    const pair fresh = connected();
    task_record reader;
    reader.word.store(task_record::parked, std::memory_order_relaxed);
    for (int i = 0; i < 10; i++) poll(0);
    EXPECT_FALSE(fresh.server->hung_up.load(std::memory_order_relaxed));
    EXPECT_FALSE(fresh.client->hung_up.load(std::memory_order_relaxed));
    write(fresh.client, "a");
    const auto got = read(fresh.server, {&byte, 1});
    ASSERT_TRUE(got);
    EXPECT_EQ(static_cast<char>(byte), 'a');
    close(fresh.client);
    close(fresh.server);
  }
}

TEST_P(reactor_contract, endpoints_are_counted) {
  EXPECT_EQ(r().endpoints_approx(), 0u);
  const pair p = connected();
  EXPECT_EQ(r().endpoints_approx(), 2u);
  close(p.client);
  EXPECT_EQ(r().endpoints_approx(), 1u);
}

TEST_P(reactor_contract, known_options_are_taken) {
  const pair p = connected();
  EXPECT_TRUE(r().set_option(*p.client, IPPROTO_TCP, TCP_NODELAY, 1));
  EXPECT_TRUE(r().set_option(*p.client, SOL_SOCKET, SO_KEEPALIVE, 1));
  EXPECT_TRUE(r().set_option(*p.client, SOL_SOCKET, SO_RCVBUF, 4096));
  EXPECT_TRUE(r().set_option(*p.client, SOL_SOCKET, SO_SNDBUF, 4096));
  write(p.client, "still there");
  ASSERT_TRUE(r().shutdown_write(*p.client));
  EXPECT_EQ(read_to_end(p.server).first, "still there");
}

TEST_P(reactor_contract, a_second_reader_is_refused_rather_than_the_first_one_lost) {
  testing::FLAGS_gtest_death_test_style = "fast";
  const pair p = connected();
  std::byte byte;
  task_record first;
  do {
    p.server->reading.clear();
    ASSERT_FALSE(r().try_read(*p.server, {&byte, 1}));
  } while (!p.server->reading.wait(first));
  EXPECT_DEATH(p.server->reading.clear(), "one task at a time");
  EXPECT_TRUE(p.server->reading.take_back(first));
}

// ---- bytes -----------------------------------------------------------------------------------------------------------

TEST_P(reactor_contract, bytes_arrive_whole_and_in_order_in_both_directions) {
  const pair p = connected();
  const std::string there = pattern(1'000'000);
  const std::string back = pattern(1'000'001);
  struct way {
    endpoint* from;
    endpoint* to;
    const std::string& text;
    std::size_t sent;
    std::string got;
  } ways[] = {{p.client, p.server, there, 0, {}}, {p.server, p.client, back, 0, {}}};
  rng random(7);
  std::vector<std::byte> chunk(30'000);
  const std::int64_t end_ns = r().now_ns() + 6 * patience_ns;
  while ((ways[0].got.size() < there.size() || ways[1].got.size() < back.size()) && r().now_ns() < end_ns) {
    bool moved = false;
    for (way& each : ways) {
      const std::size_t part = std::min<std::size_t>(each.text.size() - each.sent, 1 + random.below(40'000));
      if (part > 0) {
        const iovec pieces[] = {{const_cast<char*>(each.text.data()) + each.sent, part / 2},
                                {const_cast<char*>(each.text.data()) + each.sent + part / 2, part - part / 2}};
        if (const auto sent = r().try_write(*each.from, pieces)) {
          each.sent += *sent;
          moved = true;
        }
      }
      if (const auto got = r().try_read(*each.to, {chunk.data(), 1 + random.below(chunk.size())})) {
        each.got.append(reinterpret_cast<const char*>(chunk.data()), *got);
        moved = true;
      }
    }
    poll(moved ? 0 : r().now_ns() + millisecond / 10);
  }
  EXPECT_TRUE(ways[0].got == there);
  EXPECT_TRUE(ways[1].got == back);
}

INSTANTIATE_TEST_SUITE_P(backends, reactor_contract, testing::ValuesIn(backends),
                         [](const auto& row) { return std::string(row.param.name); });

}  // namespace
}  // namespace levity::detail
