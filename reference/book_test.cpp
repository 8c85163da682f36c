// Goal: the book answers as a plain model would, and the same records always make the same book.
#include "reference/book.hpp"

#include <algorithm>
#include <map>

#include <gtest/gtest.h>

#include "reference/snapshot.hpp"
#include "reference/test_support.hpp"

namespace orders {
namespace {

new_order one_item(std::string_view customer, std::string_view sku = "s") {
  const order_item item{sku, 1};
  return *pack_contents(customer, std::span(&item, 1));
}

std::uint64_t create(book& book, std::string_view customer, std::string_view key = {}) {
  const new_order wanted = one_item(customer);
  const auto placed = book.place(wanted, key, 5);
  EXPECT_TRUE(placed);
  const auto record = std::get<create_record>(*placed);
  EXPECT_TRUE(book.apply(book.last_sequence() + 1, record));
  return record.id;
}

TEST(book, a_key_makes_one_order_however_often_it_comes) {
  book book;
  const std::uint64_t id = create(book, "c", "k");
  const auto again = book.place(one_item("c"), "k", 99);
  ASSERT_TRUE(again);
  EXPECT_EQ(std::get<order_view>(*again).id, id);
  const auto other = book.place(one_item("c", "t"), "k", 99);
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().status, 422);
  EXPECT_EQ(book.place(one_item("c"), "k k", 99).error().status, 400);
  EXPECT_EQ(book.size(), 1U);
}

TEST(book, without_a_key_equal_orders_are_two_orders) {
  book book;
  EXPECT_NE(create(book, "c"), create(book, "c"));
}

TEST(book, illegal_changes_answer_409_and_unknown_orders_404) {
  book book;
  const std::uint64_t id = create(book, "c");
  EXPECT_EQ(book.change(id + 1, {order_status::paid, {}}, 6).error().status, 404);
  EXPECT_EQ(book.change(0, {order_status::paid, {}}, 6).error().status, 404);
  EXPECT_EQ(book.change(id, {order_status::shipped, {}}, 6).error().detail,
            "The order is created and can become paid or cancelled, not shipped.");
  EXPECT_EQ(book.change(id, {order_status::paid, 2U}, 6).error().status, 409);
  const auto paid = book.change(id, {order_status::paid, 1U}, 6);
  ASSERT_TRUE(paid);
  ASSERT_TRUE(book.apply(7, *paid));
  EXPECT_EQ(book.find(id)->status, order_status::paid);
  EXPECT_EQ(book.find(id)->version, 2U);
  EXPECT_EQ(book.find(id)->updated_at_ns, 6);
  EXPECT_EQ(book.find(id)->sequence, 7U);
  EXPECT_EQ(book.change(id, {order_status::paid, {}}, 8).error().detail, "The order is paid already.");
  EXPECT_FALSE(book.apply(8, *paid)) << "the same change twice is not a replay here";
}

TEST(book, pages_list_every_order_of_a_customer_once_and_in_order) {
  book book;
  std::map<std::string, std::vector<std::uint64_t>> model;
  test::random_orders random{4};
  for (int i = 0; i < 3000; ++i) {
    const std::string customer = "c-" + std::to_string(random.below(9));
    model[customer].push_back(create(book, customer));
  }
  for (const auto& [customer, ids] : model) {
    for (const std::size_t limit : {1UL, 7UL, 100UL, 1000UL}) {
      std::vector<std::uint64_t> listed;
      std::uint64_t after = 0;
      do {
        const auto page = book.list(customer, after, limit);
        ASSERT_TRUE(page);
        EXPECT_LE(page->orders.size(), std::min(limit, page_orders_max));
        for (const order_view& order : page->orders) listed.push_back(order.id);
        after = page->next;
      } while (after != 0);
      EXPECT_EQ(listed, ids);
    }
  }
  EXPECT_TRUE(book.list("nobody", 0, 10)->orders.empty());
  EXPECT_EQ(book.list("c-0", model["c-1"].front(), 10).error().status, 400);
  EXPECT_EQ(book.list("c-0", 999'999, 10).error().status, 400);
}

TEST(book, the_last_page_that_is_exactly_full_has_no_next) {
  book book;
  for (int i = 0; i < 4; ++i) create(book, "c");
  const auto first = book.list("c", 0, 2);
  ASSERT_NE(first->next, 0U);
  EXPECT_EQ(book.list("c", first->next, 2)->next, 0U);
}

TEST(book, views_stay_valid_while_the_book_grows) {
  book book;
  const std::uint64_t id = create(book, "first", "key");
  const order_view early = *book.find(id);
  for (int i = 0; i < 50'000; ++i) create(book, "later");
  EXPECT_EQ(early.contents.customer(), "first");
  EXPECT_FALSE(book.check_invariants()) << *book.check_invariants();
}

TEST(book, records_that_do_not_fit_are_refused_and_change_nothing) {
  book book;
  create(book, "c", "k");
  const std::uint64_t before = book.digest();
  const new_order wanted = one_item("d");
  EXPECT_FALSE(book.apply(2, create_record{3, 0, {}, wanted.contents()}));
  EXPECT_FALSE(book.apply(2, create_record{1, 0, {}, wanted.contents()}));
  EXPECT_FALSE(book.apply(2, create_record{2, 0, "k", wanted.contents()}));
  EXPECT_FALSE(book.apply(2, change_record{2, 0, 2, order_status::paid}));
  EXPECT_FALSE(book.apply(2, change_record{1, 0, 3, order_status::paid}));
  EXPECT_FALSE(book.apply(2, change_record{1, 0, 2, order_status::delivered}));
  EXPECT_FALSE(book.apply(2, snapshot_end_record{}));
  EXPECT_EQ(book.digest(), before);
  EXPECT_EQ(book.last_sequence(), 1U);
  EXPECT_FALSE(book.check_invariants());
}

TEST(book, the_same_records_make_the_same_book) {
  book original, replayed;
  group_commit log{1, 1};
  test::random_orders random{5};
  for (int i = 0; i < 20'000; ++i) random.step(original, log);
  while (const commit_batch* batch = log.take_batch()) {
    scanner scan{batch->bytes, 1, batch->first_sequence};
    while (auto raw = scan.next()) ASSERT_TRUE(replayed.apply(raw->sequence, *decode(*raw)));
    EXPECT_EQ(scan.end(), scan_end::complete);
    log.committed();
  }
  EXPECT_EQ(original.digest(), replayed.digest());
  EXPECT_EQ(original.last_sequence(), replayed.last_sequence());
  EXPECT_FALSE(replayed.check_invariants()) << *replayed.check_invariants();
}

TEST(book, digests_of_different_books_differ) {
  book a, b;
  create(a, "c");
  create(b, "c");
  EXPECT_EQ(a.digest(), b.digest());
  ASSERT_TRUE(a.apply(2, change_record{1, 6, 2, order_status::paid}));
  EXPECT_NE(a.digest(), b.digest());
}

}  // namespace
}  // namespace orders
