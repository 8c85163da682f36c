#include "levity/sim/fault_plan.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>

#include "levity/base/assert.hpp"
#include "levity/base/rng.hpp"
#include "levity/sim/world.hpp"
#include "sim/plan_text.hpp"

namespace levity::inline v0::sim {
namespace {

enum class amount_unit : std::uint8_t { none, time, share, rate, gain, count };

struct kind_row {
  fault_kind what;
  std::string_view name;
  bool of_two;
  amount_unit unit;
  unsigned plan_options::*weight;
  std::string_view example;
};

// A new kind is a row here, an amount in draw_amount(), and what it does in follow.cpp.
constexpr std::array kinds = {
    kind_row{fault_kind::kill, "kill", false, amount_unit::none, &plan_options::kill, "2.5s kill orders 300ms"},
    kind_row{fault_kind::power, "power", false, amount_unit::none, &plan_options::power, "2.5s power orders 300ms"},
    kind_row{fault_kind::pause, "pause", false, amount_unit::none, &plan_options::pause, "2.5s pause orders 300ms"},
    kind_row{fault_kind::part, "part", true, amount_unit::none, &plan_options::part, "4s part orders payment 2s"},
    kind_row{fault_kind::cut, "cut", true, amount_unit::none, &plan_options::cut, "4s cut orders payment 2s"},
    kind_row{fault_kind::slow, "slow", true, amount_unit::time, &plan_options::slow, "4s slow orders payment 2s 50ms"},
    kind_row{fault_kind::lose, "lose", true, amount_unit::share, &plan_options::lose, "4s lose orders payment 2s 12.5%"},
    kind_row{fault_kind::narrow, "narrow", true, amount_unit::rate, &plan_options::narrow, "4s narrow orders payment 2s 10000B/s"},
    kind_row{fault_kind::jump, "jump", false, amount_unit::time, &plan_options::jump, "4s jump orders 2s -300ms"},
    kind_row{fault_kind::drift, "drift", false, amount_unit::gain, &plan_options::drift, "4s drift orders 2s 200ppm"},
    kind_row{fault_kind::full, "full", false, amount_unit::none, &plan_options::full, "4s full orders 2s"},
    kind_row{fault_kind::badsync, "badsync", false, amount_unit::count, &plan_options::badsync, "4s badsync orders 2s 3"},
    kind_row{fault_kind::slowdisk, "slowdisk", false, amount_unit::time, &plan_options::slowdisk, "4s slowdisk orders 2s 50ms"},
    kind_row{fault_kind::duplicate, "duplicate", true, amount_unit::share, &plan_options::duplicate,
             "4s duplicate orders payment 2s 12.5%"},
    kind_row{fault_kind::reorder, "reorder", true, amount_unit::share, &plan_options::reorder,
             "4s reorder orders payment 2s 12.5%"},
};

constexpr std::string_view scenario_host = "scenario";  // the name of world::here()
constexpr std::int64_t gain_ppb_max = 100'000'000;  // as host::set_clock() has it
constexpr std::int64_t syncs_max = 1'000'000'000;
// Ends of a fault are sums, which must not overflow.
constexpr std::int64_t time_ns_max = std::int64_t{1} << 61;

const kind_row& row_of(fault_kind what) noexcept {
  const auto* found = std::ranges::find(kinds, what, &kind_row::what);
  LEVITY_ASSERT(found != kinds.end(), "a fault is of a kind that there is");
  return *found;
}

// ---- drawing ---------------------------------------------------------------------------------------------------------

std::int64_t below(rng& from, std::int64_t bound) {
  return static_cast<std::int64_t>(from.below(static_cast<std::uint64_t>(bound)));
}

// From least to most, in round numbers: a plan is read by people.
duration draw_time(rng& from, duration least, duration most) {
  const std::int64_t unit_ns = least >= duration(1ms) ? 1'000'000 : least >= duration(1us) ? 1'000 : 1;
  const std::int64_t first = (least.count() + unit_ns - 1) / unit_ns;
  const std::int64_t last = std::max(most.count() / unit_ns, first);
  return std::min(duration((first + below(from, last - first + 1)) * unit_ns), most);
}

// In parts of a million, a whole number of thousandths.
std::int64_t draw_share(rng& from, double most) {
  return (1 + below(from, std::max<std::int64_t>(std::llround(most * 1000), 1))) * 1000;
}

std::int64_t either_way(rng& from, std::int64_t amount) { return from.below(2) == 0 ? amount : -amount; }

std::int64_t draw_amount(rng& from, fault_kind what, const plan_options& how) {
  switch (what) {
    case fault_kind::slow: return draw_time(from, std::min<duration>(1ms, how.latency_max), how.latency_max).count();
    case fault_kind::lose: return draw_share(from, how.loss_max);
    case fault_kind::duplicate: return draw_share(from, how.duplicated_max);
    case fault_kind::reorder: return draw_share(from, how.reordered_max);
    case fault_kind::narrow: {
      const std::uint64_t times = 1 + from.below(100);
      const auto most = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
      return static_cast<std::int64_t>(how.bytes_per_second_min > most / times ? most : how.bytes_per_second_min * times);
    }
    case fault_kind::jump: return either_way(from, draw_time(from, std::min<duration>(1ms, how.jump_max), how.jump_max).count());
    case fault_kind::drift:
      return either_way(from, (1 + below(from, std::max<std::int64_t>(std::llround(how.drift_ppm_max), 1))) * 1000);
    case fault_kind::badsync: return 1 + below(from, std::min<std::int64_t>(how.bad_syncs_max, syncs_max));
    case fault_kind::slowdisk:
      return draw_time(from, std::min<duration>(1ms, how.disk_latency_max), how.disk_latency_max).count();
    default: return 0;
  }
}

// A kind whose bound is 0 would be drawn as nothing, or as something that its text cannot say.
bool is_bounded_to_nothing(fault_kind what, const plan_options& how) noexcept {
  switch (what) {
    case fault_kind::slow: return how.latency_max == duration::zero();
    case fault_kind::lose: return how.loss_max * 1000 < 0.5;
    case fault_kind::duplicate: return how.duplicated_max * 1000 < 0.5;
    case fault_kind::reorder: return how.reordered_max * 1000 < 0.5;
    case fault_kind::narrow: return how.bytes_per_second_min == 0;
    case fault_kind::jump: return how.jump_max == duration::zero();
    case fault_kind::drift: return how.drift_ppm_max < 0.5;
    case fault_kind::badsync: return how.bad_syncs_max == 0;
    case fault_kind::slowdisk: return how.disk_latency_max == duration::zero();
    default: return false;
  }
}

bool hurts_at(const fault& one, duration at) noexcept { return one.at <= at && at <= one.at + one.lasts; }

bool is_between(const fault& one, const std::string& a, const std::string& b) noexcept {
  return (one.host == a && one.other == b) || (one.host == b && one.other == a);
}

template <class T>
const T& pick(rng& from, const std::vector<T>& of) {
  return of[static_cast<std::size_t>(from.below(of.size()))];
}

// ---- the text --------------------------------------------------------------------------------------------------------

std::string amount_text(amount_unit unit, std::int64_t amount) {
  switch (unit) {
    case amount_unit::none: return {};
    case amount_unit::time: return " " + time_text(amount);
    case amount_unit::share: return fmt::format(" {}%", decimal_text(amount, 4));
    case amount_unit::rate: return fmt::format(" {}B/s", amount);
    case amount_unit::gain: return fmt::format(" {}ppm", decimal_text(amount, 3));
    case amount_unit::count: return fmt::format(" {}", amount);
  }
  return {};
}

std::optional<std::int64_t> read_amount(amount_unit unit, std::string_view text) {
  const auto number = [&](std::string_view suffix, unsigned decimals) -> std::optional<std::int64_t> {
    if (!text.ends_with(suffix)) return std::nullopt;
    return read_decimal(text.substr(0, text.size() - suffix.size()), decimals);
  };
  std::optional<std::int64_t> read;
  switch (unit) {
    case amount_unit::none: return std::nullopt;
    case amount_unit::time: return read_time(text);
    case amount_unit::share:
      read = number("%", 4);
      return read && *read >= 0 && *read <= 1'000'000 ? read : std::nullopt;
    case amount_unit::rate:
      read = number("B/s", 0);
      return read && *read > 0 ? read : std::nullopt;
    case amount_unit::gain:
      read = number("ppm", 3);
      return read && *read >= -gain_ppb_max && *read <= gain_ppb_max ? read : std::nullopt;
    case amount_unit::count:
      read = number("", 0);
      return read && *read > 0 && *read <= syncs_max ? read : std::nullopt;
  }
  return std::nullopt;
}

std::optional<duration> read_span(std::string_view text) {
  const auto read = read_time(text);
  if (!read || *read < 0 || *read > time_ns_max) return std::nullopt;
  return duration(*read);
}

// "a, b and c"
std::string all_kinds() {
  std::string all;
  for (std::size_t i = 0; i < kinds.size(); i++) {
    all += i == 0 ? "" : i + 1 == kinds.size() ? " and " : ", ";
    all += kinds[i].name;
  }
  return all;
}

std::expected<fault, std::string> read_fault(const std::vector<std::string>& words, std::string_view text) {
  const auto wrong = [&](const std::string& what) {
    return std::unexpected(fmt::format("the fault plan cannot be read: in \"{}\" {}", text, what));
  };
  const auto at = read_span(words[0]);
  if (!at) return wrong(fmt::format("\"{}\" is no time at which something begins; write one like 2.5s, 300ms or 10us", words[0]));
  if (words.size() < 2) return wrong("nothing is said to happen; the kinds are " + all_kinds());
  const auto* row = std::ranges::find(kinds, words[1], &kind_row::name);
  if (row == kinds.end()) return wrong(fmt::format("\"{}\" is no kind of fault; the kinds are {}", words[1], all_kinds()));
  const std::size_t wanted = 4U + (row->of_two ? 1U : 0U) + (row->unit != amount_unit::none ? 1U : 0U);
  if (words.size() != wanted) {
    return wrong(
        fmt::format("there are {} words and {} takes {}; write it like \"{}\"", words.size(), row->name, wanted, row->example));
  }
  fault made{.at = *at, .what = row->what, .host = words[2]};
  std::size_t next = 3;
  if (row->of_two) made.other = words[next++];
  if (row->of_two && made.other == made.host) return wrong("a host is to be cut off from itself; name two");
  const auto lasts = read_span(words[next]);
  if (!lasts) return wrong(fmt::format("\"{}\" is no length of time; write it like \"{}\"", words[next], row->example));
  made.lasts = *lasts;
  if (row->unit == amount_unit::none) return made;
  const auto amount = read_amount(row->unit, words[next + 1]);
  if (!amount) {
    return wrong(fmt::format("\"{}\" is not what {} takes; write it like \"{}\"", words[next + 1], row->name, row->example));
  }
  made.amount = *amount;
  return made;
}

}  // namespace

std::string_view fault_text(fault_kind what) noexcept { return row_of(what).name; }

fault_plan fault_plan::draw(std::uint64_t seed, std::span<const std::string> hosts, const plan_options& how) {
  LEVITY_ASSERT(how.from >= duration::zero() && how.mean_gap >= duration::zero() && how.shortest >= duration::zero() &&
                    how.longest >= how.shortest && how.latency_max >= duration::zero() && how.jump_max >= duration::zero() &&
                    how.loss_max >= 0 && how.loss_max <= 1 && how.duplicated_max >= 0 && how.duplicated_max <= 1 &&
                    how.reordered_max >= 0 && how.reordered_max <= 1 && how.drift_ppm_max >= 0 &&
                    how.drift_ppm_max * 1000 <= static_cast<double>(gain_ppb_max) && how.disk_latency_max >= duration::zero() &&
                    how.from <= duration(time_ns_max) && how.horizon <= duration(time_ns_max),
                "no option of a fault plan is negative, a share lies between 0 and 1, a clock gains a tenth at most, longest is no "
                "less than shortest, and the horizon lies within 70 years");
  fault_plan made;
  unsigned weights = 0;
  const auto weight_of = [&](const kind_row& row) {
    return (row.of_two && hosts.size() < 2 && !how.scenario_links) || is_bounded_to_nothing(row.what, how) ? 0U : how.*row.weight;
  };
  for (const kind_row& row : kinds) weights += weight_of(row);
  if (weights == 0 || how.mean_gap == duration::zero()) return made;
  rng random(seed ^ 0x706c616e);  // so that it is not the sequence of the world
  const duration twice_mean_gap = how.mean_gap > duration(time_ns_max / 2) ? duration(time_ns_max) : 2 * how.mean_gap;
  duration at = how.from;
  for (;;) {
    at += draw_time(random, std::min<duration>(1ms, how.mean_gap), twice_mean_gap);
    if (at > how.horizon || how.horizon - at < how.shortest) return made;
    fault next{.at = at};
    next.lasts = draw_time(random, how.shortest, std::min(how.longest, how.horizon - at));
    std::uint64_t weight = random.below(weights);
    const kind_row* row = kinds.data();
    for (; weight >= weight_of(*row); row++) weight -= weight_of(*row);
    next.what = row->what;
    next.amount = draw_amount(random, next.what, how);

    std::vector<std::string> unhurt;
    unsigned hurt = 0;
    for (const std::string& each : hosts) {
      const auto hurts_it = [&](const fault& one) { return one.host == each && hurts_at(one, at); };
      const bool is_hurt = std::ranges::any_of(made.faults, hurts_it);
      hurt += is_hurt ? 1U : 0U;
      const bool may_be = how.hosts.empty() || std::ranges::find(how.hosts, each) != how.hosts.end();
      if (!is_hurt && may_be) unhurt.push_back(each);
    }
    if (unhurt.empty() || hurt >= how.at_once_max) continue;
    next.host = pick(random, unhurt);
    if (row->of_two) {
      std::vector<std::string> may_be_other(hosts.begin(), hosts.end());
      if (how.scenario_links) may_be_other.emplace_back(scenario_host);
      std::vector<std::string> others;
      for (const std::string& each : may_be_other) {
        const auto in_use = [&](const fault& one) { return is_between(one, next.host, each) && hurts_at(one, at); };
        if (each != next.host && std::ranges::none_of(made.faults, in_use)) others.push_back(each);
      }
      if (others.empty()) continue;
      next.other = pick(random, others);
    }
    made.faults.push_back(std::move(next));
  }
}

fault_plan fault_plan::draw(const world& of, const plan_options& how) {
  std::vector<std::string> names;
  for (const host* each : of.hosts()) names.push_back(each->name());
  return draw(of.seed(), names, how);
}

std::expected<fault_plan, std::string> fault_plan::parse(std::string_view text) {
  const auto parts = read_parts(text);
  if (!parts) return std::unexpected(parts.error());
  fault_plan made;
  for (const plan_part& each : *parts) {
    auto read = read_fault(each.words, each.text);
    if (!read) return std::unexpected(std::move(read).error());
    made.faults.push_back(*std::move(read));
  }
  return made;
}

std::string fault_plan::to_string() const {
  std::string text;
  for (const fault& each : faults) {
    const kind_row& row = row_of(each.what);
    if (!text.empty()) text += "; ";
    text += fmt::format("{} {} {}", time_text(each.at.count()), row.name, name_text(each.host));
    if (row.of_two) text += " " + name_text(each.other);
    text += " " + time_text(each.lasts.count()) + amount_text(row.unit, each.amount);
  }
  return text;
}

duration fault_plan::end() const noexcept {
  duration end{};
  for (const fault& each : faults) end = std::max(end, each.at + each.lasts);
  return end;
}

}  // namespace levity::sim
