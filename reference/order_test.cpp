// Goal: an order comes out of JSON and goes into it unharmed, and everything else is refused with a sentence that helps.
// Method: examples at each limit, and the library nlohmann-json as the second opinion on what we write.
#include "reference/order.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "reference/test_support.hpp"

namespace orders {
namespace {

order_view view_of(const new_order& made) { return {1, made.contents(), order_status::created, 1, 0, 0, 0}; }

TEST(order, only_the_five_legal_transitions_are_legal) {
  int legal = 0;
  for (std::uint8_t from = 0; from < order_status_count; ++from) {
    for (std::uint8_t to = 0; to < order_status_count; ++to) {
      legal += may_become(static_cast<order_status>(from), static_cast<order_status>(to)) ? 1 : 0;
    }
  }
  EXPECT_EQ(legal, 5);
  EXPECT_TRUE(may_become(order_status::created, order_status::paid));
  EXPECT_TRUE(may_become(order_status::paid, order_status::shipped));
  EXPECT_TRUE(may_become(order_status::shipped, order_status::delivered));
  EXPECT_TRUE(may_become(order_status::created, order_status::cancelled));
  EXPECT_TRUE(may_become(order_status::paid, order_status::cancelled));
}

TEST(order, json_has_exactly_the_documented_shape) {
  const auto made = parse_new_order(R"({"customer":"c-17","items":[{"sku":"sku-3","quantity":2}]})");
  ASSERT_TRUE(made) << made.error().detail;
  order_view view = view_of(*made);
  view.created_at_ns = 1'795'439'451'000'000'001;
  view.updated_at_ns = view.created_at_ns + 999;
  std::string json;
  write_order(json, view);
  EXPECT_EQ(json, R"({"id":"ord_0000000000000001","customer":"c-17","items":[{"sku":"sku-3","quantity":2}],)"
                  R"("status":"created","version":1,"created_at":"2026-11-23T13:10:51.000000001Z",)"
                  R"("updated_at":"2026-11-23T13:10:51.000001000Z"})");
}

TEST(order, written_json_reads_back_equal_with_us_and_with_the_library) {
  test::random_orders random{1};
  for (int i = 0; i < 2000; ++i) {
    const new_order made = random.wanted();
    order_view view = view_of(made);
    view.id = 1 + random.below(1'000'000);
    view.status = static_cast<order_status>(random.below(order_status_count));
    view.version = static_cast<std::uint32_t>(1 + random.below(5));
    view.created_at_ns = static_cast<std::int64_t>(random.below(std::uint64_t{1} << 62));
    view.updated_at_ns = static_cast<std::int64_t>(random.below(std::uint64_t{1} << 62));
    std::string json;
    write_order(json, view);

    const auto theirs = nlohmann::json::parse(json);
    EXPECT_EQ(theirs["customer"], std::string(view.contents.customer()));
    EXPECT_EQ(theirs["items"].size(), view.contents.item_count());
    std::size_t at = 0;
    for (const order_item item : view.contents) {
      EXPECT_EQ(theirs["items"][at]["sku"], std::string(item.sku));
      EXPECT_EQ(theirs["items"][at]["quantity"], item.quantity);
      ++at;
    }
    EXPECT_EQ(theirs["status"], std::string(name_of(view.status)));
    EXPECT_EQ(theirs["version"], view.version);

    const auto ours = parse_order(json);
    ASSERT_TRUE(ours) << ours.error();
    EXPECT_EQ(ours->id, view.id);
    EXPECT_EQ(ours->created_at_ns, view.created_at_ns);
    EXPECT_EQ(ours->updated_at_ns, view.updated_at_ns);
    EXPECT_EQ(ours->items.size(), view.contents.item_count());

    // What a client would send to get this order makes the same packed bytes.
    const nlohmann::json request{{"customer", theirs["customer"]}, {"items", theirs["items"]}};
    const auto again = parse_new_order(request.dump(2));
    ASSERT_TRUE(again) << again.error().detail;
    EXPECT_EQ(again->packed, made.packed);
    EXPECT_TRUE(contents_view::checked(made.packed));
  }
}

TEST(order, any_text_is_escaped_as_the_library_does) {
  test::random_orders random{2};
  static const std::vector<std::string> pieces{"\"", "\\", "\n", "\x01", "\x1f", "a", "\xc3\xa9", "\xf0\x9f\x98\x80", "/",
                                               "\x7f", "\b", "\f", "\t", "\r", std::string(1, '\0')};
  for (int i = 0; i < 5000; ++i) {
    std::string text;
    for (std::uint64_t n = random.below(12); n > 0; --n) text += pieces[random.below(pieces.size())];
    std::string ours;
    write_string(ours, text);
    EXPECT_EQ(ours, nlohmann::json(text).dump());
  }
}

TEST(order, bytes_that_are_not_utf8_are_replaced) {
  std::string json;
  write_string(json, "a\xff\"\xc3");
  EXPECT_EQ(nlohmann::json::parse(json).get<std::string>(), "a\xef\xbf\xbd\"\xef\xbf\xbd");
}

struct refusal {
  const char* body;
  int status;
  const char* pointer;
  const char* says;
};

TEST(order, what_is_no_order_is_refused_with_the_field_and_the_rule) {
  const refusal refusals[] = {
      {"", 400, "", "empty"},
      {"[]", 400, "", "another kind"},
      {"{", 400, "", "JSON"},
      {"{} x", 400, "", "JSON"},
      {"{\"customer\":\"\xff\"}", 400, "", "UTF-8"},
      {R"({"customer":"c","items":[{"sku":"s","quantity":1}],"customer":"d"})", 422, "/customer", "twice"},
      {R"({"items":[{"sku":"s","quantity":1}]})", 422, "/customer", "no 'customer'"},
      {R"({"customer":"c"})", 422, "/items", "no 'items'"},
      {R"({"customer":"c","items":[]})", 422, "/items", "empty"},
      {R"({"customer":"c","items":{}})", 422, "/items", "array"},
      {R"({"customer":"","items":[{"sku":"s","quantity":1}]})", 422, "/customer", "1 to 64"},
      {R"({"customer":"a b","items":[{"sku":"s","quantity":1}]})", 422, "/customer", "1 to 64"},
      {R"({"customer":7,"items":[{"sku":"s","quantity":1}]})", 422, "/customer", "string"},
      {R"({"custmer":"c"})", 422, "", "did you mean 'customer'?"},
      {R"({"color":"c"})", 422, "", "known are 'customer' and 'items'"},
      {R"({"customer":"c","items":[7]})", 422, "/items/0", "object"},
      {R"({"customer":"c","items":[{"sku":"s","quantity":1},{"sku":"s"}]})", 422, "/items/1/quantity", "no 'quantity'"},
      {R"({"customer":"c","items":[{"quantity":1}]})", 422, "/items/0/sku", "no 'sku'"},
      {R"({"customer":"c","items":[{"sku":"s","quantity":0}]})", 422, "/items/0/quantity", "1 to 1000000"},
      {R"({"customer":"c","items":[{"sku":"s","quantity":1000001}]})", 422, "/items/0/quantity", "1 to 1000000"},
      {R"({"customer":"c","items":[{"sku":"s","quantity":1.5}]})", 422, "/items/0/quantity", "whole"},
      {R"({"customer":"c","items":[{"sku":"s","quantity":-1}]})", 422, "/items/0/quantity", "whole"},
      {R"({"customer":"c","items":[{"sku":"s","quantity":1,"quantity":1}]})", 422, "/items/0/quantity", "twice"},
      {R"({"customer":"c","items":[{"sku":"s","qty":1}]})", 422, "/items/0", "Unknown field 'qty'"},
  };
  for (const refusal& each : refusals) {
    const auto made = parse_new_order(each.body);
    ASSERT_FALSE(made) << each.body;
    EXPECT_EQ(made.error().status, each.status) << each.body;
    EXPECT_EQ(made.error().pointer, each.pointer) << each.body;
    EXPECT_NE(made.error().detail.find(each.says), std::string::npos) << each.body << " -> " << made.error().detail;
  }
}

TEST(order, limits_are_inclusive) {
  const auto body = [](std::size_t customer, std::size_t items) {
    nlohmann::json json{{"customer", std::string(customer, 'x')}, {"items", nlohmann::json::array()}};
    for (std::size_t i = 0; i < items; ++i) json["items"].push_back({{"sku", std::string(64, 's')}, {"quantity", 1000000}});
    return json.dump();
  };
  const auto largest = parse_new_order(body(64, 100));
  ASSERT_TRUE(largest);
  EXPECT_EQ(largest->packed.size(), contents_size_max);
  EXPECT_FALSE(parse_new_order(body(65, 1)));
  const auto too_many = parse_new_order(body(64, 101));
  ASSERT_FALSE(too_many);
  EXPECT_NE(too_many.error().detail.find("more than 100"), std::string::npos);
  EXPECT_EQ(parse_new_order(std::string(body_size_max + 1, ' ')).error().status, 413);
  EXPECT_TRUE(is_key(std::string(128, '~')));
  EXPECT_FALSE(is_key(std::string(129, '~')));
  EXPECT_FALSE(is_key("a b"));
  EXPECT_FALSE(is_key("\xc3\xa9"));
}

TEST(order, a_strangers_long_text_is_not_echoed_whole) {
  const auto made = parse_new_order("{\"" + std::string(5000, 'z') + "\":1}");
  ASSERT_FALSE(made);
  EXPECT_LT(made.error().detail.size(), 200U);
}

TEST(order, changes_name_a_status_and_perhaps_a_version) {
  const auto plain = parse_change(R"({"status":"paid"})");
  ASSERT_TRUE(plain);
  EXPECT_EQ(plain->to, order_status::paid);
  EXPECT_FALSE(plain->version);
  const auto conditional = parse_change(R"({"status":"shipped","version":2})");
  ASSERT_TRUE(conditional);
  EXPECT_EQ(conditional->version, 2U);
  for (const char* body : {R"({})", R"({"status":"gone"})", R"({"status":1})", R"({"status":"paid","version":0})",
                           R"({"status":"paid","version":"2"})", R"({"status":"paid","status":"paid"})",
                           R"({"status":"paid","customer":"c"})"}) {
    const auto refused = parse_change(body);
    ASSERT_FALSE(refused) << body;
    EXPECT_EQ(refused.error().status, 422) << body;
  }
}

TEST(order, ids_have_one_spelling) {
  EXPECT_EQ(order_id_text(0x2a), "ord_000000000000002a");
  EXPECT_EQ(parse_order_id("ord_000000000000002a"), 0x2aU);
  EXPECT_EQ(parse_order_id("ord_ffffffffffffffff"), UINT64_MAX);
  for (const char* text : {"", "ord_", "ord_000000000000002A", "ord_2a", "xrd_000000000000002a", "ord_0000000000000000",
                           "ord_00000000000000002a"}) {
    EXPECT_FALSE(parse_order_id(text)) << text;
  }
}

TEST(order, every_time_reads_back_and_no_impossible_one_does) {
  for (const std::int64_t time : {std::int64_t{0}, std::int64_t{1}, std::int64_t{-1}, std::int64_t{951'782'400'000'000'000},
                                  INT64_MAX, INT64_MIN + 1'000'000'000}) {
    std::string text;
    write_time(text, time);
    EXPECT_EQ(parse_time(text), time) << text;
  }
  std::string smallest;
  write_time(smallest, INT64_MIN);
  EXPECT_EQ(smallest, "1677-09-21T00:12:43.145224192Z");
  for (const char* text : {"", "2026-02-30T00:00:00.000000000Z", "2026-01-01T24:00:00.000000000Z",
                           "2026-01-01 00:00:00.000000000Z", "9999-01-01T00:00:00.000000000Z", "2026-01-01T00:00:00Z"}) {
    EXPECT_FALSE(parse_time(text)) << text;
  }
}

TEST(order, problems_are_json) {
  std::string json;
  write_problem(json, {422, "No", "field '\"'", "/items/0"});
  const auto read = nlohmann::json::parse(json);
  EXPECT_EQ(read["status"], 422);
  EXPECT_EQ(read["detail"], "field '\"'");
  EXPECT_EQ(read["pointer"], "/items/0");
  EXPECT_EQ(read["type"], "about:blank");
}

TEST(order, packed_contents_with_any_changed_length_or_limit_are_refused) {
  test::random_orders random{3};
  for (int i = 0; i < 500; ++i) {
    const std::string packed = random.wanted().packed;
    for (std::size_t cut = 0; cut < packed.size(); ++cut) EXPECT_FALSE(contents_view::checked(packed.substr(0, cut)));
    EXPECT_FALSE(contents_view::checked(packed + '\0'));
  }
}

}  // namespace
}  // namespace orders
