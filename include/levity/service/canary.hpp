#pragma once

// canary: which version of a service a call goes to, by an Istio VirtualService; what each version does with it; and the end
// of a new version that does worse.
//
// A call's way
//   rule          the first of spec.http whose match holds. None: nowhere, as in Istio (404)
//   asked for     X-Canary: true goes to the rule's canary if it has one; never goes to none of the canary's subset, unless it is
//                 all that the rule has; any other value says nothing
//   split         h = XXH3 of the key, with the salt in front. Of a rule with a canary and others the canary takes the call iff
//
//                     h < share * 2^32,    share = weight of the canary / sum of weights, or what the ramp says
//
//                 and which of the others takes it is drawn from other bits of h, by their weights. So a call moves only to the
//                 canary when its share goes up and only from it when it goes down, whatever the order in the file, and a key
//                 is on the same side at every rule, on every machine, and after every restart.
//   no key        spread evenly, by a counter: nothing sticks
//
// Compared is only what was split between both: who asks by name chooses himself, from outside maybe, and a rule whose calls all
// go to one side has others than the rest. Neither says how the two versions differ.
//
// Who reads what
//   tables        immutable. Readers take a share in the one of their slot: one short lock that nobody else wants, and a count that
//                 no other slot's readers touch; reload() replaces them slot by slot. So two calls that are routed at the same time
//                 may be by the old and by the new file.
//   counters      relaxed, one set a slot: nothing is published through them.
//   the share     one relaxed word, as the counters.
//   the judge     used by one caller of judge() at a time; nobody else looks.
//
// Rejected: one std::atomic<std::shared_ptr> (a lock, and a count that all threads fight for); never freeing old tables (a file
// that is reloaded for years); a weighted rendezvous hash (a logarithm a destination, and still moves keys between others when
// weights are normalised).

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "levity/base/atomic.hpp"
#include "levity/base/cache_line.hpp"
#include "levity/base/clock.hpp"
#include "levity/base/spin_lock.hpp"
#include "levity/http/field.hpp"
#include "levity/http/request.hpp"
#include "levity/resilience/verdict.hpp"
#include "levity/service/canary_judge.hpp"
#include "levity/service/virtual_service.hpp"
#include "levity/task/task.hpp"
#include "levity/task/task_local.hpp"

namespace levity::inline v0::service {
namespace detail {

struct canary_table;
struct canary_target;

// What a slot holds: a count of its own beside the shared table.
struct canary_holder {
  std::shared_ptr<const canary_table> table;
};

}  // namespace detail

/// How calls are told apart, and what becomes of the canary.
struct canary_options {
  std::string subset = "canary";           ///< destinations with this subset are the canary
  std::string header = "X-Canary";         ///< `true` asks for the canary, `never` for none
  std::string key_cookie{};                ///< the cookie that a call is known by again; empty: none
  std::string key_header = "X-Request-Id";  ///< the field, where there is no such cookie; empty: none
  std::string salt{};                      ///< other keys than with another salt are the first to meet the canary
  judge_options judge{};                   ///< when it is rolled back
};

/// What somebody who sent X-Canary wants.
enum class canary_wish : std::uint8_t {
  none,    ///< nothing was said
  forced,  ///< true: the canary
  never,   ///< no canary
};

/// Why a call goes where it goes.
enum class route_cause : std::uint8_t {
  no_rule,    ///< no rule holds; there is no destination
  only_one,   ///< the rule has one destination
  split,      ///< drawn by weight
  forced,     ///< the call asked for the canary
  opted_out,  ///< the call asked for no canary
};

/// The enumerator's name, for metrics and logs.
[[nodiscard]] std::string_view to_string(route_cause why) noexcept;

/// A call to route, for who has no http::request: views that live as long as the call of route().
struct canary_call {
  std::string_view method = "GET";       ///< GET and so on
  std::string_view path = "/";           ///< without the query
  const http::field* fields = nullptr;   ///< the header fields
  std::size_t field_count = 0;           ///< how many
  std::string_view key{};                ///< what to split by; empty: by cookie or field, as the options say
};

/// Where a call goes. Move-only; keeps the rules that it was made by alive. Empty where no rule held.
class canary_route {
public:
  canary_route() = default;
  canary_route(canary_route&&) noexcept = default;
  canary_route& operator=(canary_route&&) noexcept = default;

  /// Whether there is a destination.
  explicit operator bool() const noexcept { return target_ != nullptr; }
  /// The destination; only where there is one. Valid while this lives.
  [[nodiscard]] const destination& to() const noexcept;
  /// The rule that held; only where there is a destination. Its timeout and retries are for the caller to carry out.
  [[nodiscard]] const http_rule& rule() const noexcept { return *rule_; }
  /// Whether it is the canary.
  [[nodiscard]] bool is_canary() const noexcept { return canary_; }
  /// Why it goes there.
  [[nodiscard]] route_cause cause() const noexcept { return cause_; }
  /// Whether the rule's mirror gets a copy of this one.
  [[nodiscard]] bool is_mirrored() const noexcept { return mirrored_; }
  /// By how long this one is to be held up, on purpose; zero: not.
  [[nodiscard]] duration injected_delay() const noexcept { return delays_ ? rule_->fault->delay : duration::zero(); }
  /// The status that this one is to be answered with instead, on purpose.
  [[nodiscard]] std::optional<std::uint16_t> injected_status() const noexcept {
    return aborts_ ? rule_->fault->abort_status : std::nullopt;
  }

  /// What this call sends on to whom it calls in turn, so that the whole tree of calls is of one colour: `true` from the canary,
  /// `never` if it was asked for; empty: nothing.
  [[nodiscard]] std::string_view value_to_send() const noexcept;

  /// Counts what became of the call, once; neutral counts as if it had never been. Any thread. Two relaxed additions, a few ns.
  void record(verdict said, duration took) noexcept;

private:
  friend class canary;

  std::shared_ptr<const detail::canary_holder> holder_;
  detail::canary_target* target_ = nullptr;
  const http_rule* rule_ = nullptr;
  route_cause cause_ = route_cause::no_rule;
  canary_wish wish_ = canary_wish::none;
  bool canary_ = false;
  bool drawn_ = false;  // by chance between the canary and others, either of which it could have been
  bool mirrored_ = false;
  bool delays_ = false;
  bool aborts_ = false;
};

/// What one destination has done. Racy by nature.
struct destination_figures {
  destination to;          ///< which
  bool canary = false;     ///< whether it is the canary
  std::uint64_t routed = 0;  ///< calls that were sent there
  canary_counts done;      ///< what became of those that were recorded
  canary_counts drawn;     ///< of these, those that chance gave to the canary or to others: what the judge compares
};

/// Routes calls between versions of a service and keeps count of them.
///
///     lv::service::canary versions(lv::service::virtual_service::parse(text, "orders.yaml").value(), {.subset = "v2"});
///     ...
///     auto route = versions.route(request);
///     const auto began = lv::clock::now();
///     const bool good = co_await call(route.to(), request);
///     route.record(good ? lv::verdict::success : lv::verdict::failure, lv::clock::now() - began);
///
/// route(), reload(), look() from any thread. About 70 ns a route, with two rules and six fields; a regular expression is some
/// hundreds more.
class canary {
public:
  /// Throws std::bad_alloc.
  explicit canary(virtual_service rules, canary_options options = {});
  canary(const canary&) = delete;
  canary& operator=(const canary&) = delete;
  ~canary();

  /// Where a request goes. Any thread. Allocates nothing.
  [[nodiscard]] canary_route route(const http::request& asked) const noexcept;
  /// The same for what is no http::request.
  [[nodiscard]] canary_route route(const canary_call& asked) const noexcept;

  /// From now on by these rules. Counts of destinations that stay go on; a canary that was rolled back stays rolled back until
  /// restart(). Any thread, one at a time with itself.
  void reload(virtual_service rules);

  /// What each destination of the rules in force has done. Any thread. Allocates.
  [[nodiscard]] std::vector<destination_figures> look() const;

  /// Compares the canary with all others together, by the calls that were drawn between both, and carries the outcome out: the next
  /// share of the ramp, or none any more. Who asks for a canary that was rolled back by name still gets it, and so do rules that
  /// have nothing else. One caller at a time.
  canary_ruling judge(time_point now);

  /// judge() at this pace until the task is cancelled, or there is nothing left to decide; `told`, if any, hears of each ruling
  /// that changes something. Returns the last one.
  task<canary_ruling> watch(duration every, void (*told)(const canary_ruling&) = nullptr);

  /// Lets a canary that was rolled back, or all of a ramp that is over, begin anew. Not beside judge().
  void restart(time_point now) noexcept;

  /// The canary's share where it is not the file's: percent of the ramp, 0 after a rollback. Any thread.
  [[nodiscard]] std::optional<double> share_percent() const noexcept;

  /// The options in force.
  [[nodiscard]] const canary_options& options() const noexcept { return options_; }

private:
  struct header_source;

  struct alignas(cache_line_bytes) slot {
    mutable levity::detail::spin_lock lock;
    mutable std::uint64_t keyless = 0;  // guarded by lock
    std::shared_ptr<const detail::canary_holder> now;  // guarded by lock
  };
  static constexpr std::size_t slots = 8;
  static constexpr std::int64_t by_file = -1;

  [[nodiscard]] canary_route route_by(const header_source& asked) const noexcept;
  [[nodiscard]] std::shared_ptr<const detail::canary_holder> take(std::uint64_t* keyless) const noexcept;
  void follow(double percent) noexcept;

  canary_options options_;
  std::uint64_t seed_;                // of the salt
  atomic<std::int64_t> share_;        // by_file, or of 2^32; relaxed: a number and nothing behind it
  canary_judge judge_;                // for judge() and restart() alone
  std::array<slot, slots> slots_;
};

/// A field that calls made on behalf of a request take along.
struct canary_field {
  std::string name;        ///< X-Canary, or what the options say
  std::string_view value;  ///< a literal
};

/// The field of the request that the running task is at, bound with bind_canary(); inherited by what it spawns.
extern const task_local<canary_field> current_canary_field;

/// Binds what `route` sends on for the running task until what is returned goes; an empty field where that is nothing.
[[nodiscard]] task_local<canary_field>::binding bind_canary(const canary& from, const canary_route& route);

/// The field that a call of the running task takes along; none where nothing is bound, or nothing is to be sent. Valid while the
/// binding lives. A client adds it to each request.
[[nodiscard]] std::optional<http::field> canary_field_to_send() noexcept;

}  // namespace levity::service
