// Goal: goods are put aside once for each key, given back once, never more than there are; and the journal tells all of it.
#include "reference/inventory/stock.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

using namespace orders;

namespace {

bool take(stock_book& book, std::vector<std::string>& journal, const reservation_request& wanted, std::string_view key) {
  auto decided = book.decide(wanted, key);
  if (!decided) return false;
  if (!decided->repeated) {
    journal.push_back(stock_book::line_of(decided->made));
    book.apply(std::move(decided->made));
  }
  return true;
}

}  // namespace

TEST(stock, a_repeat_under_the_same_key_puts_nothing_aside) {
  stock_book book(10);
  std::vector<std::string> journal;
  EXPECT_TRUE(take(book, journal, {"ord_1", {{"tea", 2}}}, "key-1"));
  EXPECT_TRUE(take(book, journal, {"ord_1", {{"tea", 2}}}, "key-1"));
  EXPECT_EQ(book.free("tea"), 8U);
  EXPECT_EQ(book.of_order("ord_1").size(), 1U);
  EXPECT_EQ(book.decide({"ord_1", {{"tea", 3}}}, "key-1").error().status, 422);
}

TEST(stock, without_a_key_every_request_puts_goods_aside_again) {
  stock_book book(10);
  std::vector<std::string> journal;
  EXPECT_TRUE(take(book, journal, {"ord_1", {{"tea", 2}}}, ""));
  EXPECT_TRUE(take(book, journal, {"ord_1", {{"tea", 2}}}, ""));
  EXPECT_EQ(book.free("tea"), 6U);
  EXPECT_EQ(book.of_order("ord_1").size(), 2U);
}

TEST(stock, more_than_there_is_is_refused_and_nothing_of_it_taken) {
  stock_book book(10);
  std::vector<std::string> journal;
  EXPECT_EQ(book.decide({"ord_1", {{"tea", 11}}}, "").error().status, 409);
  EXPECT_EQ(book.decide({"ord_1", {{"tea", 6}, {"cup", 1}, {"tea", 6}}}, "").error().status, 409) << "a sku that is named twice";
  EXPECT_TRUE(take(book, journal, {"ord_1", {{"tea", 10}}}, ""));
  EXPECT_EQ(book.decide({"ord_2", {{"tea", 1}}}, "").error().status, 409);
  EXPECT_EQ(book.free("cup"), 10U);
}

TEST(stock, what_is_given_back_is_given_back_once) {
  stock_book book(10);
  std::vector<std::string> journal;
  EXPECT_TRUE(take(book, journal, {"ord_1", {{"tea", 2}}}, "a"));
  EXPECT_TRUE(take(book, journal, {"ord_1", {{"tea", 3}}}, "b"));
  EXPECT_EQ(book.release("ord_1"), 2U);
  EXPECT_EQ(book.free("tea"), 10U);
  EXPECT_EQ(book.release("ord_1"), 0U);
  EXPECT_EQ(book.free("tea"), 10U);
  EXPECT_EQ(book.release("ord_9"), 0U);
}

TEST(stock, a_book_from_its_journal_is_the_book_that_wrote_it) {
  const std::uint64_t seed = std::random_device{}();
  std::mt19937_64 random(seed);
  for (int round = 0; round < 20; ++round) {
    stock_book book(40);
    std::vector<std::string> journal;
    for (int i = 0; i < 200; ++i) {
      const std::string order = "ord_" + std::to_string(random() % 20);
      if (random() % 4 == 0) {
        if (book.release(order) > 0) journal.push_back(stock_book::line_of_release(order));
        continue;
      }
      reservation_request wanted{order, {}};
      for (std::uint64_t item = random() % 3; item < 3; ++item)
        wanted.items.push_back({"sku-" + std::to_string(random() % 5), 1 + random() % 4});
      take(book, journal, wanted, random() % 2 == 0 ? "" : "key-" + std::to_string(random() % 50));
    }
    stock_book again(40);
    for (const std::string& line : journal) ASSERT_TRUE(again.replay(line)) << line;
    EXPECT_EQ(again.size(), book.size());
    std::map<std::string, std::uint64_t> held;
    for (int order = 0; order < 20; ++order) {
      const auto& made = book.of_order("ord_" + std::to_string(order));
      EXPECT_EQ(again.of_order("ord_" + std::to_string(order)), made) << "seed " << seed;
      for (const reservation& one : made)
        for (const reserved_item& item : one.items) held[item.sku] += one.released ? 0 : item.quantity;
    }
    for (int sku = 0; sku < 5; ++sku) {
      const std::string name = "sku-" + std::to_string(sku);
      EXPECT_LE(held[name], 40U);
      EXPECT_EQ(book.held(name), held[name]) << "seed " << seed;
      EXPECT_EQ(again.held(name), held[name]) << "seed " << seed;
    }
  }
}

TEST(stock, malformed_requests_are_refused_with_a_sentence) {
  EXPECT_EQ(parse_reservation_request(R"({"order":"ord_1","items":[{"sku":"tea","quantity":2}]})")->items.size(), 1U);
  EXPECT_EQ(parse_reservation_request("nonsense").error().status, 400);
  for (const char* text :
       {"{}", R"({"order":"ord_1","items":[]})", R"({"items":[{"sku":"tea","quantity":2}]})",
        R"({"order":"ord_1","items":[{"sku":"tea"}]})", R"({"order":"ord_1","items":[{"sku":"tea","quantity":0}]})",
        R"({"order":"ord_1","items":["tea"]})", R"({"order":"ord_1","items":[{"sku":"tea","quantity":2}],"x":1})"}) {
    const auto read = parse_reservation_request(text);
    ASSERT_FALSE(read) << text;
    EXPECT_EQ(read.error().status, 422) << text;
  }
}
