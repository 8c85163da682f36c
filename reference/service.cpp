#include "reference/service.hpp"

#include <fmt/format.h>

#include <charconv>
#include <iterator>
#include <optional>

namespace orders {
namespace {

// The value of `name` in a query string, decoded; nothing if it is not there. Malformed escapes stay as they are.
std::optional<std::string> query_value(std::string_view query, std::string_view name) {
  while (!query.empty()) {
    const std::size_t end = query.find('&');
    const std::string_view pair = query.substr(0, end);
    query = end == std::string_view::npos ? std::string_view{} : query.substr(end + 1);
    const std::size_t equals = pair.find('=');
    if (pair.substr(0, equals) != name) continue;
    std::string decoded;
    const std::string_view value = equals == std::string_view::npos ? std::string_view{} : pair.substr(equals + 1);
    for (std::size_t i = 0; i < value.size(); i++) {
      unsigned byte = 0;
      if (value[i] == '+') {
        decoded.push_back(' ');
      } else if (value[i] == '%' && i + 2 < value.size() &&
                 std::from_chars(value.data() + i + 1, value.data() + i + 3, byte, 16).ptr == value.data() + i + 3) {
        decoded.push_back(static_cast<char>(byte));
        i += 2;
      } else {
        decoded.push_back(value[i]);
      }
    }
    return decoded;
  }
  return std::nullopt;
}

}  // namespace

void tell(answer& out, const problem& what) {
  out.clear();
  out.status = what.status;
  out.is_problem = true;
  out.retry_later = what.status == 503;
  write_problem(out.body, what);
}

levity::task<> service::place(std::string_view body, std::string_view key, answer& out) {
  out.clear();
  const auto wanted = parse_new_order(body);
  if (!wanted) {
    tell(out, wanted.error());
    co_return;
  }
  std::optional<bookings::opened> owed_for;
  if (around_.books != nullptr) owed_for = around_.books->open();
  const auto placed = co_await store_.place(*wanted, key, owed_for ? around_.books->of_new_orders() : owed{0},
                                            owed_for ? &*owed_for : nullptr);
  if (!placed) {
    tell(out, placed.error());
    co_return;
  }
  out.status = placed->repeated ? 200 : 201;
  out.location = "/orders/" + order_id_text(placed->order.id);
  write_order(out.body, placed->order);
  if (placed->repeated) {
    if (around_.books != nullptr) out.degraded = around_.books->names_of(placed->order.owes);
    co_return;
  }
  if (around_.cache != nullptr) around_.cache->created(placed->order);
  if (owed_for) out.degraded = co_await around_.books->book(std::move(*owed_for), placed->order);
}

levity::task<> service::change(std::string_view id, std::string_view body, answer& out) {
  out.clear();
  const auto number = parse_order_id(id);
  if (!number) {
    tell(out, unknown_order(id));
    co_return;
  }
  const auto wanted = parse_change(body);
  if (!wanted) {
    tell(out, wanted.error());
    co_return;
  }
  const auto changed = co_await store_.change(*number, *wanted);
  if (!changed) {
    tell(out, changed.error());
    co_return;
  }
  write_order(out.body, *changed);
  if (around_.cache != nullptr) around_.cache->changed(*changed, out.body);
}

levity::task<> service::find(std::string_view id, answer& out, rendering shown) {
  out.clear();
  const auto number = parse_order_id(id);
  if (!number) {
    tell(out, unknown_order(id));
    co_return;
  }
  if (around_.cache != nullptr) {
    auto read = co_await around_.cache->get(*number);
    if (!read) {
      tell(out, read.error());
      co_return;
    }
    out.body = std::move(read->json);
    out.degraded = std::move(read->degraded);
  } else {
    const auto found = co_await store_.find(*number);
    if (!found) {
      tell(out, found.error());
      co_return;
    }
    write_order(out.body, *found);
  }
  if (shown == rendering::with_pieces) add_pieces(out.body, *number);
}

// What was ordered never changes, so it does not matter which rung the rest came from.
void service::add_pieces(std::string& json, std::uint64_t id) {
  const auto order = store_.peek(id);
  if (!order || !json.ends_with('}')) return;
  std::uint64_t pieces = 0;
  for (const order_item& item : order->contents) pieces += item.quantity;
  json.pop_back();
  fmt::format_to(std::back_inserter(json), R"(,"pieces":{}}})", pieces);
}

levity::task<> service::list(std::string_view query, answer& out) {
  out.clear();
  const auto customer = query_value(query, "customer");
  if (!customer) {
    tell(out, {400, "Bad Request", "A list needs a customer: GET /orders?customer=NAME.", {}});
    co_return;
  }
  std::uint64_t after = 0;
  if (const auto text = query_value(query, "after"); text && !text->empty()) {
    const auto number = parse_order_id(*text);
    if (!number) {
      tell(out,
           {400, "Bad Request", "`after` must be the id of an order of this customer, as `next` of the page before gives it.", {}});
      co_return;
    }
    after = *number;
  }
  const auto page = co_await store_.list(*customer, after, page_orders_max);
  if (!page) {
    tell(out, page.error());
    co_return;
  }
  write_orders(out.body, page->orders, page->next);
}

void service::health(answer& out) {
  out.clear();
  const store::figures now = store_.look();
  const levity::frame_pool_stats frames = levity::frame_statistics();
  const auto up = std::chrono::duration<double>(levity::clock::now() - started_).count();
  out.status = now.failure.empty() ? 200 : 503;
  fmt::format_to(std::back_inserter(out.body),
                 R"({{"status":"{}","orders":{},"durable_sequence":{},"commits":{},"compactions":{},"log_bytes":{},)"
                 R"("waiting_for_disk":{},"tasks":{},"connections":{},"frame_bytes":{},"uptime_s":{:.3f})",
                 now.failure.empty() ? "ok" : "failing", now.orders, now.durable_sequence, now.commits, now.compactions,
                 now.log_bytes, now.waiting, levity::live_tasks(), connections.load(std::memory_order_relaxed),
                 frames.bytes_in_use, up);
  if (!now.failure.empty()) {
    out.body += ",\"failure\":";
    write_string(out.body, now.failure);
  }
  out.body += '}';
}

}  // namespace orders
