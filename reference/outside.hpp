// outside: a service at which orders are booked, as this one calls it: how long a customer waits for it, what keeps calls away from
// it while it does not answer, and what is counted.
//
//   who asks                  the way of a call
//   a customer   book_now     breaker closed?  a place among concurrent_max, within place_wait_max  call_time_max, for all attempts
//   settlement   book_later   breaker, which may make it a probe  budget, if it was asked before    a time of its own
//
// Why two ways. A customer waits, so a call is made only where it will most likely go well, and given up after some tens of
// milliseconds: what is not booked then is settled later. While the breaker is not closed nobody with a customer behind it probes:
// there is always a booking that nobody waits for, because that is what opened the breaker.
//
// The bulkhead is what keeps a fault small. A service that turns slow holds up as many customers as it has places, not as many as
// come in the time of a call; those are the calls that fail, and their verdicts open the breaker.
//
// The settlement may wait for longer than a customer, and an answer that comes too late for a customer settles the booking all the
// same. For the breaker it is a failure: closed by it, it would send customers to a service that is too slow for them.
//
// Every call bears a key made of the order's number and moment, so that a second one books nothing.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

#include <levity/http/client.hpp>
#include <levity/levity.hpp>
#include <levity/resilience/breaker.hpp>
#include <levity/resilience/bulkhead.hpp>
#include <levity/resilience/pipeline.hpp>
#include <levity/service/log.hpp>
#include <levity/service/trace_context.hpp>

#include "reference/order.hpp"

namespace orders {

/// How a service is called.
struct outside_options {
  levity::duration call_time_max = std::chrono::milliseconds(100);  ///< that a customer waits for a call, all its attempts together
  std::uint32_t concurrent_max = 6;                                 ///< calls at once that customers wait for
  levity::duration place_wait_max = std::chrono::milliseconds(5);   ///< how long one waits to be among them
  levity::duration open_min = std::chrono::milliseconds(200);       ///< how long its breaker is open at first
  levity::duration open_max = std::chrono::seconds(1);              ///< and at most
};

/// What became of a booking.
enum class booked : std::uint8_t {
  done,       ///< the other side has it, by this call or one before
  refused,    ///< it was understood and not made, for want of goods or for a defect of ours: to repeat it at once is no use
  failed,     ///< no good answer: the other side may have it or not
  not_asked,  ///< kept back on this side
};

/// Why there was no good answer.
struct outside_error {
  bool ours = false;              ///< the cause lies on this side: says nothing about the other one
  levity::duration retry_after{};  ///< how long it asked to be left alone

  [[nodiscard]] levity::judgement judge() const noexcept {
    return ours ? levity::judgement{levity::verdict::neutral, false, {}}
                : levity::judgement{levity::verdict::failure, true, retry_after};
  }
};

/// One service. Any task; outlives the calls.
class outside {
public:
  /// What it is asked to make of an order: writes the body of a POST.
  using body_of = void (*)(std::string& out, const order_view& order);

  /// `name` in stats and headers; `url` is where bookings are posted; `notes`, if any, hears of the breaker.
  outside(std::string name, const levity::http::url& url, body_of body, const outside_options& options,
          levity::http::client& client, levity::service::id_source& ids, levity::service::log* notes);
  outside(const outside&) = delete;
  outside& operator=(const outside&) = delete;

  /// While a customer waits. Ends within place_wait_max and call_time_max. A cancellation passes through; whether it was booked is
  /// then unknown.
  levity::task<booked> book_now(order_view order);

  /// What the settlement learns of a call.
  struct later {
    booked became = booked::not_asked;
    levity::duration wait{};  ///< if not asked: how long it makes no sense to ask again, as far as that is known
  };
  /// While nobody waits. `again`: it was asked before, so this is load that no order has brought, and the budget decides.
  levity::task<later> book_later(order_view order, levity::duration time_max, bool again);

  /// Whether customers' calls go through.
  [[nodiscard]] bool is_well() const noexcept { return breaker_.look().state == levity::breaker_state::closed; }
  [[nodiscard]] const std::string& name() const noexcept { return name_; }

  struct figures {
    std::uint64_t calls = 0;           ///< attempts that a customer waited for
    std::uint64_t failures = 0;        ///< of these, without a good answer in time
    std::uint64_t later_calls = 0;     ///< attempts of the settlement
    std::uint64_t later_failures = 0;  ///< of these, without a good answer
    std::uint64_t kept_back = 0;       ///< bookings that no call was made for while a customer waited
    levity::breaker_look breaker;
  };
  [[nodiscard]] figures look() const noexcept;

private:
  struct answer {
    bool refused = false;
    levity::duration took{};
  };
  using outcome = std::expected<answer, outside_error>;
  using calls = decltype(levity::pipeline(std::declval<levity::total_timeout>(), std::declval<levity::retrying>(),
                                          std::declval<levity::breaker&>()));
  // Counted as a failure unless it is told otherwise, however its coroutine ends.
  class counted;

  levity::task<outcome> ask(const order_view* order, levity::duration time_max, levity::atomic<std::uint64_t>* made,
                            levity::atomic<std::uint64_t>* failed);

  const std::string name_;
  const levity::http::url url_;
  const body_of body_;
  const outside_options options_;
  levity::http::client& client_;
  levity::service::id_source& ids_;

  levity::breaker breaker_;
  levity::bulkhead places_;
  levity::retry_policy policy_;
  levity::retry_budget budget_;
  calls calls_of_customers_;

  // Relaxed: numbers, and nothing behind them.
  levity::atomic<std::uint64_t> calls_{0};
  levity::atomic<std::uint64_t> failures_{0};
  levity::atomic<std::uint64_t> later_calls_{0};
  levity::atomic<std::uint64_t> later_failures_{0};
  levity::atomic<std::uint64_t> kept_back_{0};
};

/// The key under which an order is booked, everywhere: its id and the moment it was made, so that the orders of a data directory
/// that was begun anew are not taken for those of the old one.
std::string booking_key(const order_view& order);

/// `{"order":"ord_...","amount":1200}`: a hundred cents for each piece.
void write_charge_request(std::string& out, const order_view& order);
/// `{"order":"ord_...","items":[{"sku":"tea","quantity":2}]}`.
void write_reservation_request(std::string& out, const order_view& order);

}  // namespace orders
