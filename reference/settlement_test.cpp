// Goal: a booking that its customer did not wait for is made later, once, whatever happens in between: to the other side, to the
// customer, to this process.
// Method: a real runtime and real files; another side in the same process that counts keys; "restarts" by recovery.
#include "reference/bookings.hpp"

#include <array>
#include <map>
#include <mutex>
#include <new>
#include <string>
#include <utility>

#include <gtest/gtest.h>
#include <levity/http/server.hpp>

#include "reference/recovery.hpp"
#include "reference/test_support.hpp"
#include "tests/support/run_tasks.hpp"

using namespace std::chrono_literals;

namespace orders {
namespace {

namespace http = levity::http;
using test::temporary_directory;

// Payment and inventory in one: keys that it has carried out, and how often it was asked for each.
struct other_side {
  levity::atomic<bool> hangs{false};  // takes requests, carries them out, and answers none
  std::mutex lock;
  std::map<std::string, int> asked;  // guarded by lock
  levity::event well;

  std::size_t booked() {
    const std::lock_guard guard{lock};
    return asked.size();
  }
};

levity::task<> answer(other_side* who, const http::request* came, http::response* to) {
  {
    const std::lock_guard guard{who->lock};
    who->asked[std::string(came->path()) + std::string(came->find("Idempotency-Key").value_or(""))]++;
  }
  if (who->hangs.load(std::memory_order_relaxed)) co_await who->well.wait();
  to->set_status(http::status::created);
}

void add_routes(http::server& server, other_side* as) {
  for (const char* path : {"/charges", "/reservations"}) {
    server.route(http::method::post, path, [as](const http::request& came, const http::route_match&, http::response& out) {
      return answer(as, &came, &out);
    });
  }
}

new_order one_tea() { return *pack_contents("me", std::array{order_item{"tea", 1}}); }

// One life of a service: its store, its bookings, and what is done with them.
struct life {
  store* kept;
  bookings* books;
  other_side* other;
};

// Waits for what must come; a minute is too long for any machine.
template <class Condition>
levity::task<> until(Condition holds) {
  for (int i = 0; i < 6'000 && !holds(); i++) co_await levity::sleep(10ms);
  EXPECT_TRUE(holds());
}

levity::task<> run_life(const std::string* directory, other_side* other, booking_options options, bool settles,
                        levity::task<> (*does)(life)) {
  auto listener = levity::tcp_listener::bind("127.0.0.1:0").value();
  const std::string root = "http://" + listener.local_address().to_string();
  http::server server;
  add_routes(server, other);
  levity::scope outer{levity::on_failure::report};
  outer.spawn([](http::server* serves, levity::tcp_listener* from) { return serves->serve(std::move(*from)); }, &server, &listener);

  auto found = co_await recover(*directory);
  store kept(std::move(found.value()), *directory);
  levity::scope writers;
  writers.spawn([](store* runs) { return runs->run(); }, &kept);
  options.payment = http::url::parse(root).value();
  options.inventory = options.payment;
  levity::service::id_source ids(7);
  bookings books(kept, options, ids, nullptr);
  levity::scope background;
  if (settles) background.spawn([](bookings* runs) { return runs->run(); }, &books);
  co_await does({&kept, &books, other});
  background.cancel();
  co_await background.join();
  kept.stop();
  co_await writers.join();
  other->well.set();
  outer.cancel();
  co_await outer.join();
}

void live(const temporary_directory& in, other_side& other, bool settles, levity::task<> (*does)(life),
          levity::duration call_time_max = 40ms) {
  booking_options options;
  options.outside.call_time_max = call_time_max;
  levity::test::run_tasks(2, run_life, &in.path(), &other, options, settles, does);
}

std::uint64_t outstanding(const bookings& of) {
  std::uint64_t sum = 0;
  for (const auto& each : of.look()) sum += each.bookings.outstanding;
  return sum;
}

levity::task<std::string> order_once(life in) {
  const new_order wanted = one_tea();
  auto open = in.books->open();
  const auto made = co_await in.kept->place(wanted, {}, in.books->of_new_orders(), &open);
  co_return co_await in.books->book(std::move(open), made->order);
}

TEST(settlement, a_good_day_leaves_nothing_to_settle) {
  const temporary_directory directory;
  other_side other;
  live(directory, other, true, [](life in) -> levity::task<> {
    for (int i = 0; i < 20; i++) EXPECT_EQ(co_await order_once(in), "");
    EXPECT_EQ(outstanding(*in.books), 0u);
    for (const auto& each : in.books->look()) {
      EXPECT_EQ(each.bookings.settled, 20u);
      EXPECT_EQ(each.calls.later_calls, 0u);
    }
    std::uint64_t after = 0;
    EXPECT_TRUE(in.kept->owing(after, 1'000).empty());
  }, 10s);
  EXPECT_EQ(other.booked(), 40u);
}

TEST(settlement, what_a_hanging_service_did_not_answer_is_settled_when_it_is_well_again) {
  const temporary_directory directory;
  other_side other;
  live(directory, other, true, [](life in) -> levity::task<> {
    in.other->hangs.store(true, std::memory_order_relaxed);
    for (int i = 0; i < 30; i++) EXPECT_EQ(co_await order_once(in), "payment, inventory");
    EXPECT_EQ(outstanding(*in.books), 60u);
    in.other->hangs.store(false, std::memory_order_relaxed);
    in.other->well.set();
    co_await until([&in] { return outstanding(*in.books) == 0; });
    std::uint64_t after = 0;
    EXPECT_TRUE(in.kept->owing(after, 1'000).empty());
  });
  EXPECT_EQ(other.booked(), 60u) << "a repeat has the key of the first";
}

TEST(settlement, what_was_owed_is_found_and_made_after_a_restart) {
  const temporary_directory directory;
  other_side other;
  live(directory, other, false, [](life in) -> levity::task<> {
    in.other->hangs.store(true, std::memory_order_relaxed);
    for (int i = 0; i < 25; i++) EXPECT_EQ(co_await order_once(in), "payment, inventory");
  });
  other.hangs.store(false, std::memory_order_relaxed);
  live(directory, other, true, [](life in) -> levity::task<> {
    co_await until([&in] {
      std::uint64_t settled = 0;
      for (const auto& each : in.books->look()) settled += each.bookings.settled;
      return settled == 50 && outstanding(*in.books) == 0;
    });
  });
  live(directory, other, true, [](life in) -> levity::task<> {
    std::uint64_t after = 0;
    EXPECT_TRUE(in.kept->owing(after, 1'000).empty()) << "the marks were kept";
    co_return;
  });
  EXPECT_EQ(other.booked(), 50u);
}

TEST(settlement, the_booking_of_a_customer_who_was_broken_off_is_settled) {
  const temporary_directory directory;
  other_side other;
  live(directory, other, true, [](life in) -> levity::task<> {
    in.other->hangs.store(true, std::memory_order_relaxed);
    const auto left = co_await levity::with_timeout(20ms, order_once(in));
    EXPECT_FALSE(left);
    in.other->hangs.store(false, std::memory_order_relaxed);
    in.other->well.set();
    co_await until([&in] {
      std::uint64_t after = 0;
      return in.kept->owing(after, 1'000).empty();
    });
    EXPECT_EQ(in.other->booked(), 2u);
    EXPECT_EQ(outstanding(*in.books), 0u);
  }, 10s);
}

TEST(settlement, the_bookings_of_a_request_that_failed_behind_its_order_are_settled) {
  const temporary_directory directory;
  other_side other;
  live(directory, other, true, [](life in) -> levity::task<> {
    {
      auto refused = in.books->open();  // for an order that was not made
      auto open = in.books->open();
      const new_order wanted = one_tea();
      EXPECT_TRUE(co_await in.kept->place(wanted, {}, in.books->of_new_orders(), &open));
    }
    co_await until([&in] { return outstanding(*in.books) == 0; });
    std::uint64_t after = 0;
    EXPECT_TRUE(in.kept->owing(after, 1'000).empty());
  }, 10s);
  EXPECT_EQ(other.booked(), 2u);
}

// What throws while it is asked: memory that is not there.
levity::atomic<int> bodies_that_fail{0};

void write_body_or_fail(std::string& out, const order_view& order) {
  if (bodies_that_fail.fetch_sub(1, std::memory_order_relaxed) > 0) throw std::bad_alloc{};
  write_charge_request(out, order);
}

TEST(settlement, a_failure_that_nobody_expects_loses_no_booking) {
  const temporary_directory directory;
  other_side other;
  bodies_that_fail.store(6, std::memory_order_relaxed);
  levity::test::run_tasks(2, [](const std::string* path, other_side* at) -> levity::task<> {
    auto listener = levity::tcp_listener::bind("127.0.0.1:0").value();
    const auto root = http::url::parse("http://" + listener.local_address().to_string() + "/charges").value();
    http::server server;
    add_routes(server, at);
    levity::scope outer{levity::on_failure::report};
    outer.spawn([](http::server* serves, levity::tcp_listener* from) { return serves->serve(std::move(*from)); }, &server,
                &listener);
    auto found = co_await recover(*path);
    store kept(std::move(found.value()), *path);
    levity::scope writers;
    writers.spawn([](store* runs) { return runs->run(); }, &kept);
    http::client client;
    levity::service::id_source ids(7);
    outside calls("payment", root, write_body_or_fail, {}, client, ids, nullptr);
    settlement_options options;
    options.pause_max = 20ms;
    settlement settles(kept, calls, owes_charge, options);
    levity::scope background{levity::on_failure::report};
    background.spawn([](settlement* runs) { return runs->run(); }, &settles);
    for (int i = 0; i < 4; i++) {
      const new_order wanted = one_tea();
      auto open = settles.open();
      const auto made = co_await kept.place(wanted, {}, owes_charge);
      open.owe(made->order.id);
      try {
        (void)co_await settles.book(std::move(open), made->order);
      } catch (const std::bad_alloc&) {
      }
    }
    co_await until([&settles] { return settles.look().outstanding == 0; });
    EXPECT_EQ(settles.look().settled, 4u);
    std::uint64_t after = 0;
    EXPECT_TRUE(kept.owing(after, 1'000).empty());
    background.cancel();
    co_await background.join();
    kept.stop();
    co_await writers.join();
    outer.cancel();
    co_await outer.join();
  }, &directory.path(), &other);
  EXPECT_LE(bodies_that_fail.load(std::memory_order_relaxed), 0) << "some failed while a customer waited, some behind it";
  EXPECT_EQ(other.booked(), 4u);
}

}  // namespace
}  // namespace orders
