#include "orders/traffic.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <iterator>
#include <utility>

namespace levity::orders {

using load::failure;
using load::request_id;
using load::request_out;
using load::response_view;

namespace {

std::string header_tail(const std::string& authority) {
  return fmt::format("Host: {}\r\nUser-Agent: levity-drive-orders\r\n", authority);
}

void write_body(std::string& out, std::string_view body) {
  fmt::format_to(std::back_inserter(out), "Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{}", body.size(), body);
}

void write_post(std::string& out, const order_maker& maker, std::uint64_t number, const std::string& tail) {
  fmt::format_to(std::back_inserter(out), "POST /orders HTTP/1.1\r\nIdempotency-Key: {}\r\n{}", maker.key(number), tail);
  write_body(out, maker.body(number));
}

// The front of an answer, fit for one line of a terminal.
std::string quote(std::string_view body) {
  std::string text(body.substr(0, 160));
  std::replace_if(text.begin(), text.end(), [](unsigned char c) { return c < ' ' || c == 127; }, ' ');
  return text;
}

}  // namespace

mixed_traffic::mixed_traffic(const order_maker& maker, std::string authority, double writes, std::uint64_t shard,
                             std::uint64_t shards)
    : maker_(maker),
      tail_(header_tail(authority)),
      writes_(writes),
      next_number_(shard),
      shards_(shards),
      state_((maker.seed() ^ (shard * 0x9E3779B97F4A7C15ULL)) | 1) {}

std::uint64_t mixed_traffic::dice() {  // xorshift64* (Sebastiano Vigna, 2014)
  state_ ^= state_ >> 12;
  state_ ^= state_ << 25;
  state_ ^= state_ >> 27;
  return state_ * 0x2545F4914F6CDD1DULL >> 16;
}

// Half of the interest goes to the latest thousand orders.
std::size_t mixed_traffic::pick() {
  const std::size_t size = ledger_.entries().size();
  const std::size_t among = (dice() & 1) == 0 ? std::min<std::size_t>(size, 1'000) : size;
  return size - 1 - static_cast<std::size_t>(dice() % among);
}

bool mixed_traffic::next(request_id id, request_out& out) {
  pending sent;
  const bool known = !ledger_.entries().empty();
  const bool write = static_cast<double>(dice() % 1'000'000) < writes_ * 1e6;
  const std::uint64_t roll = dice() % 100;
  if (write && known && roll < 17 && write_change(sent, out)) {
    ++(sent.what == kind::change ? counts_.changed : counts_.refused_changes);
  } else if (write && known && roll >= 17 && roll < 20) {
    sent.what = kind::repeat;
    sent.number = pick();
    sent.version = ledger_.entries()[sent.number].version;
    write_post(out.bytes, maker_, ledger_.entries()[sent.number].number, tail_);
    ++counts_.repeated;
  } else if (write || (!known && writes_ > 0)) {
    sent.what = kind::create;
    sent.number = next_number_;
    next_number_ += shards_;
    write_post(out.bytes, maker_, sent.number, tail_);
    ++counts_.created;
  } else if (!known || roll < 5) {
    sent.what = kind::list;
    // A page begins after an order of the same customer, or it is no page.
    const entry* from = known ? &ledger_.entries()[pick()] : nullptr;
    sent.number = from != nullptr ? from->number : dice() % 1'000;
    const std::string customer = maker_.make(sent.number).customer;
    const std::string after = from != nullptr && (roll & 1) == 1 ? "&after=" + from->id : std::string{};
    write_get(fmt::format("/orders?customer={}{}", customer, after), out);
    ++counts_.listed;
  } else {
    sent.what = kind::read;
    sent.number = pick();
    sent.version = ledger_.entries()[sent.number].version;
    write_get("/orders/" + ledger_.entries()[sent.number].id, out);
    ++counts_.read;
  }
  pending_.emplace(id, std::move(sent));
  return true;
}

bool mixed_traffic::write_change(pending& sent, request_out& out) {
  for (int attempt = 0; attempt < 8; ++attempt) {
    sent.number = pick();
    entry& one = ledger_.entries()[sent.number];
    // One change at a time: with two under way nobody could say which state was promised.
    if (one.changing || !one.maybe_status.empty()) continue;
    const auto legal = next_statuses(one.status);
    const bool refused = dice() % 20 == 0;
    if (refused) {
      sent.what = kind::refused_change;
      sent.status = "created";  // no order ever goes back
    } else if (legal.empty()) {
      continue;
    } else {
      sent.what = kind::change;
      sent.status = legal[dice() % 8 == 0 ? legal.size() - 1 : 0];  // seldom cancelled
    }
    one.changing = true;
    sent.version = one.version;
    fmt::format_to(std::back_inserter(out.bytes), "PATCH /orders/{} HTTP/1.1\r\n{}", one.id, tail_);
    write_body(out.bytes, fmt::format(R"({{"status":"{}"}})", sent.status));
    return true;
  }
  return false;
}

void mixed_traffic::write_get(const std::string& path, request_out& out) {
  fmt::format_to(std::back_inserter(out.bytes), "GET {} HTTP/1.1\r\n{}\r\n", path, tail_);
}

failure mixed_traffic::fail(std::string sentence) {
  wrong_.add(std::move(sentence));
  return failure::mismatch;
}

failure mixed_traffic::answered(request_id id, const response_view& answer) {
  const auto at = pending_.find(id);
  const pending sent = std::move(at->second);
  pending_.erase(at);
  const bool change = sent.what == kind::change || sent.what == kind::refused_change;
  if (answer.outcome != failure::none) {
    if (sent.what == kind::change) ledger_.entries()[sent.number].maybe_status = sent.status;
    if (change) ledger_.entries()[sent.number].changing = false;
    return answer.outcome;
  }
  failure judged = failure::none;
  switch (sent.what) {
    case kind::create:
      judged = check_created(sent, answer);
      break;
    case kind::change:
    case kind::refused_change:
      judged = check_changed(sent, answer);
      break;
    case kind::repeat:
    case kind::read:
      judged = check_read(sent, answer);
      break;
    case kind::list:
      judged = check_list(sent, answer);
      break;
  }
  return judged;
}

failure mixed_traffic::check_created(const pending& sent, const response_view& answer) {
  if (answer.status() != 201) {
    wrong_.add(fmt::format("POST /orders: 201 was due, {} came: {}", answer.status(), quote(answer.body())));
    const failure by = load::by_status(answer.status());
    return by == failure::none ? failure::mismatch : by;
  }
  auto seen = read_order(answer.body());
  if (!seen) return fail(fmt::format("POST /orders: the answer is no order: {}", quote(answer.body())));
  if (answer.header("location") != "/orders/" + seen->id)
    return fail(fmt::format("{}: Location is '{}'", seen->id, answer.header("location").value_or("")));
  if (seen->asked != maker_.make(sent.number))
    return fail(fmt::format("{}: the order made is not the order asked for", seen->id));
  if (seen->status != "created" || seen->version != 1)
    return fail(fmt::format("{}: a new order is {} version {}", seen->id, seen->status, seen->version));
  const std::string name = seen->id;
  entry made;
  made.number = sent.number;
  made.id = std::move(seen->id);
  made.status = std::move(seen->status);
  made.created_at = std::move(seen->created_at);
  made.last_body = answer.body();
  if (!ledger_.add(std::move(made))) return fail(fmt::format("{}: two orders have this id", name));
  return failure::none;
}

failure mixed_traffic::check_changed(const pending& sent, const response_view& answer) {
  entry& one = ledger_.entries()[sent.number];
  one.changing = false;
  if (sent.what == kind::refused_change) {
    if (answer.status() == 409) return failure::none;
    if (answer.status() < 400) one.maybe_status = sent.status;
    return fail(fmt::format("PATCH {} from {} to {}: 409 was due, {} came", one.id, one.status, sent.status, answer.status()));
  }
  if (answer.status() != 200) {
    if (answer.status() >= 500) one.maybe_status = sent.status;
    wrong_.add(fmt::format("PATCH {} from {} to {}: 200 was due, {} came: {}", one.id, one.status, sent.status,
                           answer.status(), quote(answer.body())));
    const failure by = load::by_status(answer.status());
    return by == failure::none ? failure::mismatch : by;
  }
  one.status = sent.status;
  one.version = sent.version + 1;
  one.last_body = answer.body();
  const auto seen = read_order(answer.body());
  if (!seen) return fail(fmt::format("PATCH {}: the answer is no order: {}", one.id, quote(answer.body())));
  if (auto why = contradiction(*seen, one, maker_, one.version)) return fail("PATCH " + *why);
  return failure::none;
}

failure mixed_traffic::check_read(const pending& sent, const response_view& answer) {
  const entry& one = ledger_.entries()[sent.number];
  const char* method = sent.what == kind::repeat ? "repeated POST" : "GET";
  if (answer.status() != 200) {
    wrong_.add(fmt::format("{} {}: 200 was due, {} came", method, one.id, answer.status()));
    const failure by = load::by_status(answer.status());
    return by == failure::none ? failure::mismatch : by;
  }
  if (answer.body() == one.last_body) return failure::none;  // the usual case, without parsing
  const auto seen = read_order(answer.body());
  if (!seen) return fail(fmt::format("{} {}: the answer is no order: {}", method, one.id, quote(answer.body())));
  // An answer to a repeat may show the order as it was made: that is what an idempotency key promises.
  const std::uint64_t version_min = sent.what == kind::repeat ? 1 : sent.version;
  if (auto why = contradiction(*seen, one, maker_, version_min)) return fail(fmt::format("{} {}", method, *why));
  return failure::none;
}

failure mixed_traffic::check_list(const pending& sent, const response_view& answer) {
  const std::string customer = maker_.make(sent.number).customer;
  if (answer.status() != 200) {
    wrong_.add(fmt::format("GET /orders?customer={}: 200 was due, {} came: {}", customer, answer.status(), quote(answer.body())));
    const failure by = load::by_status(answer.status());
    return by == failure::none ? failure::mismatch : by;
  }
  const auto page = nlohmann::json::parse(answer.body(), nullptr, false);
  if (!page.is_object() || !page.contains("orders") || !page["orders"].is_array())
    return fail(fmt::format("GET /orders?customer={}: the answer is no list: {}", customer, quote(answer.body())));
  for (const auto& one : page["orders"]) {
    if (!one.is_object() || one.value("customer", "") != customer)
      return fail(fmt::format("GET /orders?customer={}: it lists an order of somebody else", customer));
    const entry* promised = ledger_.find(one.value("id", ""));
    if (promised != nullptr && maker_.make(promised->number).customer != customer)
      return fail(fmt::format("GET /orders?customer={}: it lists {} as theirs", customer, promised->id));
  }
  return failure::none;
}

read_back::read_back(const order_maker& maker, std::string authority, const ledger& orders, std::uint64_t repeats)
    : maker_(maker),
      tail_(header_tail(authority)),
      ledger_(orders),
      repeats_(std::min<std::uint64_t>(repeats, orders.entries().size())) {}

const entry& read_back::entry_of(request_id id) const {
  const std::size_t size = ledger_.entries().size();
  return id < size ? ledger_.entries()[id] : ledger_.entries()[(id - size) * size / repeats_];
}

bool read_back::next(request_id id, request_out& out) {
  const std::size_t size = ledger_.entries().size();
  if (id >= size + repeats_) return false;
  const entry& one = entry_of(id);
  if (id < size) fmt::format_to(std::back_inserter(out.bytes), "GET /orders/{} HTTP/1.1\r\n{}\r\n", one.id, tail_);
  else write_post(out.bytes, maker_, one.number, tail_);
  return true;
}

failure read_back::answered(request_id id, const response_view& answer) {
  const entry& one = entry_of(id);
  const bool repeat = id >= ledger_.entries().size();
  const char* method = repeat ? "repeated POST" : "GET";
  if (answer.outcome != failure::none) {
    unread_.add(fmt::format("{} {}: {}", method, one.id, load::failure_names[static_cast<std::size_t>(answer.outcome)]));
    return answer.outcome;
  }
  if (!repeat && answer.status() == 404) {
    missing_.add(fmt::format("GET {}: acknowledged and gone", one.id));
    return failure::mismatch;
  }
  if (answer.status() != 200) {
    (repeat ? differing_ : unread_).add(fmt::format("{} {}: 200 was due, {} came", method, one.id, answer.status()));
    return failure::mismatch;
  }
  ++(repeat ? repeated_ : compared_);
  const auto seen = read_order(answer.body());
  auto why = seen ? contradiction(*seen, one, maker_, repeat ? 1 : one.version)
                  : fmt::format("{}: the answer is no order: {}", one.id, quote(answer.body()));
  if (!why) return failure::none;
  differing_.add(fmt::format("{} {}", method, *why));
  return failure::mismatch;
}

}  // namespace levity::orders
