// Goal: under one key money is taken once; without keys each request takes it again; and the journal tells all of it.
#include "reference/payment/charges.hpp"

#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <random>

using namespace orders;

namespace {

// Decides and applies, as the service does; the line goes to the journal.
std::optional<charge> take(charge_book& book, std::vector<std::string>& journal, const charge_request& wanted,
                           std::string_view key) {
  auto decided = book.decide(wanted, key);
  if (!decided) return std::nullopt;
  if (!decided->repeated) {
    journal.push_back(charge_book::line_of(decided->made));
    book.apply(decided->made);
  }
  return decided->made;
}

}  // namespace

TEST(charges, a_repeat_under_the_same_key_takes_nothing) {
  charge_book book;
  std::vector<std::string> journal;
  const auto first = take(book, journal, {"ord_1", 500}, "key-1");
  const auto again = take(book, journal, {"ord_1", 500}, "key-1");
  ASSERT_TRUE(first && again);
  EXPECT_EQ(*first, *again);
  EXPECT_EQ(book.of_order("ord_1").size(), 1U);
  EXPECT_EQ(journal.size(), 1U);
}

TEST(charges, without_a_key_every_request_takes_the_money_again) {
  charge_book book;
  std::vector<std::string> journal;
  EXPECT_TRUE(take(book, journal, {"ord_1", 500}, ""));
  EXPECT_TRUE(take(book, journal, {"ord_1", 500}, ""));
  EXPECT_EQ(book.of_order("ord_1").size(), 2U);
}

TEST(charges, a_key_belongs_to_one_charge) {
  charge_book book;
  std::vector<std::string> journal;
  EXPECT_TRUE(take(book, journal, {"ord_1", 500}, "key-1"));
  EXPECT_EQ(book.decide({"ord_1", 501}, "key-1").error().status, 422);
  EXPECT_EQ(book.decide({"ord_2", 500}, "key-1").error().status, 422);
  EXPECT_EQ(book.decide({"ord_1", 500}, "a key with blanks").error().status, 400);
}

TEST(charges, a_book_from_its_journal_is_the_book_that_wrote_it) {
  const std::uint64_t seed = std::random_device{}();
  std::mt19937_64 random(seed);
  for (int round = 0; round < 20; ++round) {
    charge_book book;
    std::vector<std::string> journal;
    std::map<std::string, std::size_t> due;
    for (int i = 0; i < 200; ++i) {
      const std::string order = "ord_" + std::to_string(random() % 20);
      const std::uint64_t amount = 1 + random() % 3;
      const std::string key = random() % 3 == 0 ? "" : "\"key\\" + std::to_string(random() % 60);
      const std::size_t before = journal.size();
      if (take(book, journal, {order, amount}, key) && journal.size() > before) ++due[order];
    }
    charge_book again;
    for (const std::string& line : journal) {
      auto made = charge_book::read_line(line);
      ASSERT_TRUE(made) << line << ' ' << made.error();
      again.apply(std::move(*made));
    }
    EXPECT_EQ(again.size(), book.size()) << "seed " << seed;
    for (const auto& [order, count] : due) {
      EXPECT_EQ(book.of_order(order).size(), count) << "seed " << seed;
      EXPECT_EQ(again.of_order(order), book.of_order(order)) << "seed " << seed;
    }
    // What a key has made is known after a restart, too.
    for (const std::string& line : journal) {
      const auto made = charge_book::read_line(line);
      if (made->key.empty()) continue;
      const auto repeated = again.decide({made->order, made->amount}, made->key);
      ASSERT_TRUE(repeated) << "seed " << seed;
      EXPECT_TRUE(repeated->repeated) << "seed " << seed;
    }
  }
}

TEST(charges, malformed_requests_are_refused_with_a_sentence) {
  EXPECT_EQ(parse_charge_request(R"({"order":"ord_1","amount":500})")->amount, 500U);
  EXPECT_EQ(parse_charge_request("nonsense").error().status, 400);
  for (const char* text : {"{}", R"({"order":"ord_1"})", R"({"amount":5})", R"({"order":"","amount":5})",
                           R"({"order":"a b","amount":5})", R"({"order":"ord_1","amount":0})", R"({"order":"ord_1","amount":-5})",
                           R"({"order":"ord_1","amount":1.5})", R"({"order":"ord_1","amount":5,"note":"x"})"}) {
    const auto read = parse_charge_request(text);
    ASSERT_FALSE(read) << text;
    EXPECT_EQ(read.error().status, 422) << text;
  }
}
