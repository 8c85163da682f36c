#include "reference/outside.hpp"

#include <charconv>
#include <iterator>
#include <utility>

#include <fmt/format.h>

#include <levity/service/canary.hpp>

namespace orders {
namespace {

levity::breaker_settings breaker_of(const std::string& name, const outside_options& options, levity::service::log* notes) {
  auto settings = levity::breaker_settings::article();
  settings.name = name;
  // Three failures of ten. Earlier than the article's five: what is kept back here is only settled later, and until the breaker is
  // open each failure gives its place to another customer who will wait for nothing.
  settings.rule = levity::breaker_settings::last_calls{10, 10, 0.25};
  settings.open_min = options.open_min;
  settings.open_max = options.open_max;
  // Probes are the settlement's, which calls an answer that is too late for a customer a failure. So one good answer says enough.
  settings.successes_needed = 1;
  if (notes != nullptr) {
    settings.on_transition = [notes](const levity::breaker_transition& change) {
      notes->warn("breaker", {{"of", change.name}, {"from", to_string(change.from)}, {"to", to_string(change.to)},
                              {"cause", to_string(change.cause)}});
    };
  }
  return settings;
}

// One repetition, soon: the service beside may just have been started anew, and a customer waits.
levity::retry_policy::options soon_and_once() {
  levity::retry_policy::options wanted;
  wanted.repetitions_max = 1;
  wanted.base = wanted.cap = std::chrono::milliseconds(5);
  return wanted;
}

levity::duration retry_after_of(const levity::http::answer& answer) {
  const std::string_view text = answer.find("Retry-After").value_or("");
  unsigned seconds = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), seconds);
  return read.ec == std::errc{} && read.ptr == text.data() + text.size() ? std::chrono::seconds(seconds) : levity::duration{};
}

bool is_ours(levity::http::client_failure what) noexcept {
  using enum levity::http::client_failure;
  return what == invalid_request || what == closed || what == pool_exhausted || what == cancelled;
}

}  // namespace

class outside::counted {
public:
  counted(levity::atomic<std::uint64_t>& calls, levity::atomic<std::uint64_t>& failures) noexcept : failures_(&failures) {
    calls.fetch_add(1, std::memory_order_relaxed);
  }
  counted(const counted&) = delete;
  counted& operator=(const counted&) = delete;
  ~counted() {
    if (failures_ != nullptr) failures_->fetch_add(1, std::memory_order_relaxed);
  }
  void went_well() noexcept { failures_ = nullptr; }

private:
  levity::atomic<std::uint64_t>* failures_;
};

outside::outside(std::string name, const levity::http::url& url, body_of body, const outside_options& options,
                 levity::http::client& client, levity::service::id_source& ids, levity::service::log* notes)
    : name_(std::move(name)),
      url_(url),
      body_(body),
      options_(options),
      client_(client),
      ids_(ids),
      breaker_(breaker_of(name_, options, notes)),
      places_({.concurrent_max = options.concurrent_max, .waiting_max = 8 * options.concurrent_max,
               .wait_max = options.place_wait_max}),
      policy_(soon_and_once()),
      calls_of_customers_(levity::total_timeout{options.call_time_max}, levity::retrying{policy_, budget_}, breaker_) {}

levity::task<outside::outcome> outside::ask(const order_view* order, levity::duration time_max,
                                            levity::atomic<std::uint64_t>* made, levity::atomic<std::uint64_t>* failed) {
  counted count(*made, *failed);
  levity::http::outgoing asked;
  asked.set_method(levity::http::method::post);
  asked.set_url(url_);
  asked.set_timeout(time_max);
  asked.set("Content-Type", "application/json");
  asked.set("Idempotency-Key", booking_key(*order));
  if (const auto* id = levity::service::current_request_id.get()) asked.set("X-Request-Id", *id);
  if (const auto* trace = levity::service::current_trace.get())
    asked.set("traceparent", ids_.follow(trace->traceparent()).traceparent());
  if (const auto colour = levity::service::canary_field_to_send()) asked.set(colour->name, colour->value);
  std::string body;
  body_(body, *order);
  asked.set_body_view(body);

  levity::http::answer said;
  const auto sent = co_await client_.send(asked, said);
  if (!sent) co_return std::unexpected(outside_error{is_ours(sent.error().failure()), {}});
  const auto status = static_cast<unsigned>(said.status());
  if (status >= 500 || status == 408 || status == 425 || status == 429)
    co_return std::unexpected(outside_error{false, retry_after_of(said)});
  count.went_well();
  co_return answer{!said.ok(), said.timings().total};
}

levity::task<booked> outside::book_now(order_view order) {
  if (!is_well()) {
    kept_back_.fetch_add(1, std::memory_order_relaxed);
    co_return booked::not_asked;
  }
  const auto place = co_await places_.admit();
  if (!place) {
    kept_back_.fetch_add(1, std::memory_order_relaxed);
    co_return booked::not_asked;
  }
  const auto came = co_await calls_of_customers_.run(levity::repeatable::yes, [this, &order] {
    return ask(&order, options_.call_time_max, &calls_, &failures_);
  });
  if (came) co_return came->refused ? booked::refused : booked::done;
  if (came.error().rejected() == nullptr) co_return booked::failed;
  kept_back_.fetch_add(1, std::memory_order_relaxed);
  co_return booked::not_asked;
}

levity::task<outside::later> outside::book_later(order_view order, levity::duration time_max, bool again) {
  const levity::time_point asked_at = levity::clock::now();
  auto permit = breaker_.try_admit(asked_at);
  if (!permit) co_return later{booked::not_asked, permit.error().retry_after};
  if (again && !budget_.try_spend(asked_at)) co_return later{booked::not_asked, {}};
  if (!again) budget_.count_request(asked_at);

  const auto came = co_await ask(&order, time_max, &later_calls_, &later_failures_);
  const levity::time_point now = levity::clock::now();
  if (!came) {
    permit->record(came.error().judge().said, now);
    co_return later{booked::failed, came.error().retry_after};
  }
  permit->record(came->took > options_.call_time_max ? levity::verdict::failure : levity::verdict::success, now);
  co_return later{came->refused ? booked::refused : booked::done, {}};
}

outside::figures outside::look() const noexcept {
  figures now;
  now.calls = calls_.load(std::memory_order_relaxed);
  now.failures = failures_.load(std::memory_order_relaxed);
  now.later_calls = later_calls_.load(std::memory_order_relaxed);
  now.later_failures = later_failures_.load(std::memory_order_relaxed);
  now.kept_back = kept_back_.load(std::memory_order_relaxed);
  now.breaker = breaker_.look();
  return now;
}

std::string booking_key(const order_view& order) {
  return fmt::format("{}-{:x}", order_id_text(order.id), static_cast<std::uint64_t>(order.created_at_ns));
}

void write_charge_request(std::string& out, const order_view& order) {
  std::uint64_t pieces = 0;
  for (const order_item& item : order.contents) pieces += item.quantity;
  fmt::format_to(std::back_inserter(out), R"({{"order":"{}","amount":{}}})", order_id_text(order.id), pieces * 100);
}

void write_reservation_request(std::string& out, const order_view& order) {
  fmt::format_to(std::back_inserter(out), R"({{"order":"{}","items":[)", order_id_text(order.id));
  bool first = true;
  for (const order_item& item : order.contents) {
    fmt::format_to(std::back_inserter(out), R"({}{{"sku":"{}","quantity":{}}})", first ? "" : ",", item.sku, item.quantity);
    first = false;
  }
  out += "]}";
}

}  // namespace orders
