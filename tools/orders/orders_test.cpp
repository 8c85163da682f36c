// Goal: the drive passes a service that keeps its promises and fails every one that breaks a single promise once.
// Method: an order service of a few lines in a thread of the test, with one fault switched on at a time.
#include "common/test_server.hpp"
#include "orders/drive.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <map>
#include <string>

using namespace levity::orders;
using levity::tools::action;
using levity::tools::test_server;
using nlohmann::json;

namespace {

enum class fault {
  none,
  loses_an_order,
  changes_a_quantity,
  forgets_a_change,
  duplicates_on_repeat,
  wrong_location,
  same_id_twice,
  accepts_illegal_change,
  lists_strangers,
  version_stands_still,
  answers_500,
  stale_read,
};

class fake_service {
public:
  explicit fake_service(fault broken) : broken_(broken) {}

  action serve(int fd, std::string_view bytes) {
    std::string& buffer = input_[fd];
    buffer += bytes;
    for (;;) {
      const auto head_end = buffer.find("\r\n\r\n");
      if (head_end == std::string::npos) return action::keep;
      const std::string head = buffer.substr(0, head_end);
      const std::string length = header(head, "Content-Length: ");
      const std::size_t size = head_end + 4 + (length.empty() ? 0 : std::stoul(length));
      if (buffer.size() < size) return action::keep;
      const std::string answer = handle(head, buffer.substr(head_end + 4, size - head_end - 4));
      buffer.erase(0, size);
      EXPECT_EQ(send(fd, answer.data(), answer.size(), MSG_NOSIGNAL), static_cast<ssize_t>(answer.size()));
    }
  }

private:
  static std::string header(const std::string& head, const std::string& name) {
    const auto at = head.find("\r\n" + name);
    if (at == std::string::npos) return "";
    const auto begin = at + 2 + name.size();
    return head.substr(begin, head.find("\r\n", begin) - begin);
  }
  static std::string answer(int status, const json& body, const std::string& extra = "") {
    const std::string text = body.dump();
    return fmt::format("HTTP/1.1 {} x\r\n{}Content-Length: {}\r\n\r\n{}", status, extra, text.size(), text);
  }
  bool strikes() { return ++chances_ == 20; }

  std::string handle(const std::string& head, const std::string& body) {
    if (head.starts_with("GET /healthz")) return answer(200, {{"status", "ok"}, {"tasks", 7}});
    if (broken_ == fault::answers_500 && strikes()) return answer(500, {{"title", "oops"}});
    if (head.starts_with("POST /orders ")) return create(head, json::parse(body));
    if (head.starts_with("PATCH /orders/")) return change(head.substr(14, head.find(' ', 14) - 14), json::parse(body));
    if (head.starts_with("GET /orders/")) return read(head.substr(12, head.find(' ', 12) - 12));
    if (head.starts_with("GET /orders?customer=")) {
      const std::string customer = head.substr(21, head.find_first_of(" &", 21) - 21);
      json page{{"orders", json::array()}, {"next", nullptr}};
      for (const auto& [id, order] : orders_)
        if (order["customer"] == customer || broken_ == fault::lists_strangers) page["orders"].push_back(order);
      return answer(200, page);
    }
    return answer(404, {{"title", "no such place"}});
  }

  std::string create(const std::string& head, const json& asked) {
    const std::string key = header(head, "Idempotency-Key: ");
    if (const auto known = keys_.find(key); known != keys_.end() && broken_ != fault::duplicates_on_repeat)
      return read(known->second);
    std::string id = fmt::format("ord_{:016x}", orders_.size() + 1);
    if (broken_ == fault::same_id_twice && strikes()) id = orders_.begin()->first;
    json order{{"id", id},          {"customer", asked["customer"]},          {"items", asked["items"]},
               {"status", "created"}, {"version", 1}, {"created_at", fmt::format("t{}", orders_.size())}, {"updated_at", "t"}};
    const bool again = keys_.contains(key);
    keys_[key] = id;
    orders_[id] = order;
    if (broken_ == fault::loses_an_order && strikes()) orders_.erase(id);
    if (broken_ == fault::changes_a_quantity && strikes()) orders_[id]["items"][0]["quantity"] = 99;
    const std::string location = broken_ == fault::wrong_location && strikes() ? "/orders/other" : "/orders/" + id;
    return answer(again ? 200 : 201, order, "Location: " + location + "\r\n");
  }

  std::string change(const std::string& id, const json& asked) {
    if (!orders_.contains(id)) return answer(404, {{"title", "none"}});
    json& order = orders_.at(id);
    const auto legal = next_statuses(order["status"].get<std::string>());
    const std::string to = asked["status"];
    if (std::find(legal.begin(), legal.end(), to) == legal.end() && broken_ != fault::accepts_illegal_change)
      return answer(409, {{"title", "conflict"}});
    before_[id] = order;
    json changed = order;
    changed["status"] = to;
    if (broken_ != fault::version_stands_still) changed["version"] = order["version"].get<int>() + 1;
    if (!(broken_ == fault::forgets_a_change && strikes())) order = changed;
    return answer(200, changed);
  }

  std::string read(const std::string& id) {
    if (!orders_.contains(id)) return answer(404, {{"title", "none"}});
    if (broken_ == fault::stale_read && before_.contains(id)) return answer(200, before_[id]);
    return answer(200, orders_[id]);
  }

  fault broken_;
  int chances_ = 0;
  std::map<int, std::string> input_;
  std::map<std::string, json> orders_;
  std::map<std::string, json> before_;
  std::map<std::string, std::string> keys_;
};

drive_options options_for(const test_server& server) {
  drive_options options;
  options.load.where = *levity::load::parse_target(server.url("http"));
  EXPECT_TRUE(levity::load::resolve(options.load.where).has_value());
  options.load.rate = 1'000;
  options.load.duration_ns = 1'000'000'000;
  options.load.connections = 8;
  options.load.timeout_ns = 5'000'000'000;
  options.customers = 50;
  options.repeats = 50;
  options.p99_limit_ns = 5'000'000'000;  // speed is not what is tested here
  options.rate_share_min = 0.5;
  return options;
}

std::vector<std::string> drive_against(fault broken, drive_result* keep = nullptr) {
  fake_service service(broken);
  test_server server([&service](int fd, std::string_view bytes) { return service.serve(fd, bytes); });
  const auto options = options_for(server);
  auto result = drive(options);
  EXPECT_TRUE(result.has_value()) << result.error();
  if (!result) return {};
  auto sentences = broken_promises(options, *result);
  for (const auto& sentence : result->wrong.kept()) sentences.push_back(sentence);
  if (keep != nullptr) *keep = std::move(*result);
  return sentences;
}

}  // namespace

TEST(drive_orders, service_that_keeps_its_promises_passes) {
  drive_result result;
  EXPECT_EQ(drive_against(fault::none, &result), std::vector<std::string>{});
  EXPECT_GT(result.counts.created, 150U);
  EXPECT_GT(result.counts.changed, 10U);
  EXPECT_GT(result.counts.repeated, 1U);
  EXPECT_GT(result.counts.read, 300U);
  EXPECT_GT(result.counts.listed, 5U);
  EXPECT_EQ(result.orders.entries().size(), result.counts.created);
  EXPECT_EQ(result.checked.compared, result.counts.created);
  EXPECT_EQ(result.checked.repeated, 50U);
  EXPECT_EQ(result.watch->tasks(), 7U);
}

class drive_orders_fault : public testing::TestWithParam<fault> {};

TEST_P(drive_orders_fault, one_broken_promise_fails_the_drive) { EXPECT_FALSE(drive_against(GetParam()).empty()); }

INSTANTIATE_TEST_SUITE_P(every, drive_orders_fault,
                         testing::Values(fault::loses_an_order, fault::changes_a_quantity, fault::forgets_a_change,
                                         fault::duplicates_on_repeat, fault::wrong_location, fault::same_id_twice,
                                         fault::accepts_illegal_change, fault::lists_strangers,
                                         fault::version_stands_still, fault::answers_500, fault::stale_read));

TEST(drive_orders, slow_answers_and_a_low_rate_fail_by_their_own_sentence) {
  drive_options options;
  options.load.rate = 1'000;
  drive_result result;
  result.run.begin_ns = 0;
  result.run.finish_ns = 1'000'000'000;
  result.run.ended[0] = 980;
  for (int i = 0; i < 980; ++i) result.run.corrected_ns.record(i < 960 ? 1'000'000 : 30'000'000);
  const auto broken = broken_promises(options, result);
  ASSERT_EQ(broken.size(), 3U);
  EXPECT_NE(broken[0].find("980.0/s"), std::string::npos) << broken[0];
  EXPECT_NE(broken[1].find("p99 was 30.0 ms"), std::string::npos) << broken[1];
  EXPECT_EQ(broken[2], "not one order was acknowledged");
  EXPECT_EQ(broken_promises(options, result, false), std::vector<std::string>{"not one order was acknowledged"});
}

TEST(drive_orders, of_a_generator_that_was_late_itself_unsent_and_timed_out_requests_say_nothing_and_others_do) {
  using levity::load::failure;
  drive_options options;
  options.writes = 0;
  drive_result result;
  result.run.begin_ns = 0;
  result.run.finish_ns = 1'000'000'000;
  result.run.ended[static_cast<std::size_t>(failure::timeout)] = 3;
  result.run.ended[static_cast<std::size_t>(failure::unsent)] = 2;
  EXPECT_EQ(broken_promises(options, result, false), std::vector<std::string>{});
  EXPECT_EQ(broken_promises(options, result).front(), "5 requests failed: timeout 3, unsent 2");
  result.run.ended[static_cast<std::size_t>(failure::reset)] = 1;
  EXPECT_EQ(broken_promises(options, result, false), std::vector<std::string>{"1 requests failed: reset 1"});
}

TEST(drive_orders, ledger_survives_the_file_and_finds_a_lost_order) {
  const std::string path = testing::TempDir() + "levity_ledger_" + std::to_string(getpid());
  fake_service service(fault::none);
  test_server server([&service](int fd, std::string_view bytes) { return service.serve(fd, bytes); });
  const auto options = options_for(server);
  const auto result = drive(options);
  ASSERT_TRUE(result.has_value());
  const order_maker maker(options.seed, options.customers);
  ASSERT_TRUE(result->orders.write(path, maker).has_value());
  auto kept = ledger::read(path);
  ASSERT_TRUE(kept.has_value()) << kept.error();
  ASSERT_EQ(kept->orders.entries().size(), result->orders.entries().size());

  auto checked = check_orders(options.load, kept->maker, kept->orders, 50);
  ASSERT_TRUE(checked.has_value());
  EXPECT_EQ(broken_promises(*checked), std::vector<std::string>{});

  entry never_made;
  never_made.id = "ord_00000000deadbeef";
  never_made.status = "created";
  kept->orders.add(never_made);
  kept->orders.entries()[3].version += 1;
  checked = check_orders(options.load, kept->maker, kept->orders, 0);
  ASSERT_TRUE(checked.has_value());
  EXPECT_EQ(checked->missing.count(), 1U);
  EXPECT_EQ(checked->differing.count(), 1U);

  std::filesystem::resize_file(path, std::filesystem::file_size(path) / 2);
  EXPECT_FALSE(ledger::read(path).has_value());
  std::remove(path.c_str());
}

TEST(ledger, change_without_an_answer_may_have_happened_or_not) {
  const order_maker maker(1, 10);
  entry promised;
  promised.id = "ord_1";
  promised.status = "created";
  promised.created_at = "t";
  order_facts seen{"ord_1", maker.make(0), "created", 1, "t", "t"};
  EXPECT_EQ(contradiction(seen, promised, maker, 1), std::nullopt);
  seen.status = "paid";
  seen.version = 2;
  EXPECT_NE(contradiction(seen, promised, maker, 1), std::nullopt);
  promised.maybe_status = "paid";
  EXPECT_EQ(contradiction(seen, promised, maker, 1), std::nullopt);
  seen.status = "cancelled";
  EXPECT_NE(contradiction(seen, promised, maker, 1), std::nullopt);
  seen.status = "paid";
  seen.version = 3;
  EXPECT_NE(contradiction(seen, promised, maker, 1), std::nullopt);
}

TEST(ledger, orders_of_a_seed_are_always_the_same_and_differ_from_each_other) {
  const order_maker maker(42, 1'000);
  const order_maker again(42, 1'000);
  const order_maker other(43, 1'000);
  std::size_t equal_to_other = 0;
  for (std::uint64_t number = 0; number < 200; ++number) {
    EXPECT_EQ(maker.body(number), again.body(number));
    EXPECT_NE(maker.body(number), maker.body(number + 1));
    EXPECT_NE(maker.key(number), other.key(number));
    if (maker.body(number) == other.body(number)) ++equal_to_other;
    const auto read = read_order(fmt::format(
        R"({{"id":"x","status":"created","version":1,"created_at":"","updated_at":"",{})", maker.body(number).substr(1)));
    ASSERT_TRUE(read.has_value());
    EXPECT_EQ(read->asked, maker.make(number));
  }
  EXPECT_EQ(equal_to_other, 0U);
}

TEST(ledger, what_is_no_order_is_not_read) {
  for (const char* text : {"", "[]", "{}", "null", R"({"id":1})",
                           R"({"id":"x","customer":"c","items":[{"sku":"s"}],"status":"created","version":1})"})
    EXPECT_FALSE(read_order(text).has_value()) << text;
}

TEST(service_watch, own_process_has_figures_and_a_missing_one_has_none) {
  const auto own = read_process(getpid());
  ASSERT_TRUE(own.has_value());
  EXPECT_GT(own->rss_bytes, 100'000U);
  EXPECT_GE(own->threads, 1U);
  EXPECT_FALSE(read_process(0x7ffffff0).has_value());
}

TEST(service_watch, tasks_are_found_in_the_health_answer) {
  EXPECT_EQ(number_in(R"({"status":"ok","tasks":12})", "tasks"), 12U);
  EXPECT_EQ(number_in(R"({"status":"ok"})", "tasks"), std::nullopt);
  EXPECT_EQ(number_in(R"({"tasks":"12"})", "tasks"), std::nullopt);
  EXPECT_EQ(number_in("ok", "tasks"), std::nullopt);
}
