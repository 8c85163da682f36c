#include "levity/service/canary.hpp"

#include <re2/re2.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <cmath>
#include <tuple>
#include <utility>

#include "base/spin_guard.hpp"
#include "levity/time/sleep.hpp"

namespace levity::inline v0::service {
namespace detail {

// Counters of one destination, a set for each slot.
struct canary_target {
  struct outcomes {
    atomic<std::uint64_t> requests{0};
    atomic<std::uint64_t> errors{0};
    std::array<atomic<std::uint64_t>, latency_bins::size> latency{};

    void add_to(canary_counts& sum) const noexcept {
      // Errors first: so that there are never more of them than requests.
      sum.errors += errors.load(std::memory_order_relaxed);
      sum.requests += requests.load(std::memory_order_relaxed);
      for (std::size_t bin = 0; bin < latency_bins::size; bin++) {
        sum.latency.counts[bin] += latency[bin].load(std::memory_order_relaxed);
      }
    }
  };
  struct alignas(cache_line_bytes) counters {
    atomic<std::uint64_t> routed{0};
    outcomes drawn, others;  // apart, so that an outcome is two additions all the same
  };

  destination to;
  bool canary = false;
  std::array<counters, 8> by_slot;
};

struct compiled_match {
  text_match what;
  std::unique_ptr<re2::RE2> regex;  // where it is one
};

struct compiled_header {
  std::string name;
  compiled_match value;
  bool absent = false;
};

struct compiled_request {
  std::vector<compiled_header> headers;
  std::optional<compiled_match> uri, method;
  bool ignore_uri_case = false;
};

// Destinations of one rule among which is drawn by weight.
struct drawn {
  struct entry {
    canary_target* target;
    std::uint64_t end;  // of its part: the sum of the weights up to it
  };
  std::vector<entry> entries;
  std::uint64_t sum = 0;

  // `point` is uniform in [0, 2^32).
  [[nodiscard]] canary_target* at(std::uint64_t point) const noexcept {
    const std::uint64_t where = (point * sum) >> 32;
    for (const entry& each : entries) {
      if (where < each.end) return each.target;
    }
    return entries.back().target;
  }
};

struct compiled_rule {
  const http_rule* said = nullptr;
  std::vector<compiled_request> any_of;
  drawn canaries, others;
  std::uint64_t share = 0;  // of the canaries, of 2^32
  std::uint64_t mirrored = 0, delayed = 0, aborted = 0;  // of 2^32
};

struct canary_table {
  virtual_service rules;
  std::vector<compiled_rule> compiled;
  std::vector<std::shared_ptr<canary_target>> targets;
};

namespace {

// Which set of counters this thread uses. A call: its address must not be kept over a co_await.
[[gnu::noinline]] std::size_t this_slot() noexcept {
  static atomic<std::uint32_t> next{0};
  static thread_local const std::uint32_t mine = next.fetch_add(1, std::memory_order_relaxed);
  return mine % 8;
}

void add(canary_counts& sum, const canary_counts& more) noexcept {
  sum.requests += more.requests;
  sum.errors += more.errors;
  for (std::size_t bin = 0; bin < latency_bins::size; bin++) sum.latency.counts[bin] += more.latency.counts[bin];
}

constexpr std::uint64_t whole = std::uint64_t{1} << 32;

std::uint64_t part_of(double percent) noexcept {
  return static_cast<std::uint64_t>(std::llround(std::clamp(percent, 0.0, 100.0) / 100 * static_cast<double>(whole)));
}

// The last steps of splitmix64: bits that look independent of those they are made of.
std::uint64_t other_bits(std::uint64_t h, std::uint64_t which) noexcept {
  h += 0x9e3779b97f4a7c15 * which;
  h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9;
  h = (h ^ (h >> 27)) * 0x94d049bb133111eb;
  return (h ^ (h >> 31)) >> 32;
}

compiled_match compile(const text_match& what) {
  compiled_match made{what, nullptr};
  if (what.how == text_match::kind::regex) made.regex = std::make_unique<re2::RE2>(what.text, re2::RE2::Quiet);
  return made;
}

bool same_start(std::string_view text, std::string_view start) noexcept {
  return text.size() >= start.size() && http::same_word(text.substr(0, start.size()), start);
}

bool holds(const compiled_match& wanted, std::string_view text, bool ignore_case) noexcept {
  const std::string_view like = wanted.what.text;
  switch (wanted.what.how) {
    case text_match::kind::present: return true;
    case text_match::kind::exact: return ignore_case ? http::same_word(text, like) : text == like;
    case text_match::kind::prefix: return ignore_case ? same_start(text, like) : text.starts_with(like);
    case text_match::kind::regex:
      return re2::RE2::FullMatch(re2::StringPiece(text.data(), text.size()), *wanted.regex);
  }
  return false;
}

void lay_out(drawn& group, std::vector<std::pair<canary_target*, std::uint32_t>> members) {
  // By name, so that the order in the file has no say in where a key goes.
  std::ranges::sort(members, {}, [](const auto& each) {
    const destination& to = each.first->to;
    return std::tuple<std::string_view, std::string_view, std::uint16_t>(to.host, to.subset, to.port.value_or(0));
  });
  const bool weighted = std::ranges::any_of(members, [](const auto& each) { return each.second != 0; });
  for (const auto& [target, weight] : members) {
    group.sum += weighted ? weight : 1;  // where all others have been taken out they are alike
    group.entries.push_back({target, group.sum});
  }
}

std::shared_ptr<const canary_table> make_table(virtual_service rules, std::string_view canary_subset, const canary_table* before) {
  auto table = std::make_shared<canary_table>();
  table->rules = std::move(rules);
  const auto target_of = [&](const destination& to) -> canary_target* {
    const auto in = [&](const std::vector<std::shared_ptr<canary_target>>& list) {
      return std::ranges::find_if(list, [&](const auto& each) { return each->to == to; });
    };
    if (const auto found = in(table->targets); found != table->targets.end()) return found->get();
    if (before != nullptr) {
      if (const auto found = in(before->targets); found != before->targets.end()) {
        table->targets.push_back(*found);
        return found->get();
      }
    }
    auto made = std::make_shared<canary_target>();
    made->to = to;
    made->canary = !canary_subset.empty() && to.subset == canary_subset;
    table->targets.push_back(made);
    return made.get();
  };
  for (const http_rule& said : table->rules.rules) {
    compiled_rule rule;
    rule.said = &said;
    for (const request_match& match : said.any_of) {
      compiled_request made;
      for (const header_match& header : match.headers) made.headers.push_back({header.name, compile(header.value), header.absent});
      if (match.uri) made.uri = compile(*match.uri);
      if (match.method) made.method = compile(*match.method);
      made.ignore_uri_case = match.ignore_uri_case;
      rule.any_of.push_back(std::move(made));
    }
    std::vector<std::pair<canary_target*, std::uint32_t>> canaries, others;
    std::uint64_t of_canaries = 0, sum = 0;
    for (const weighted_destination& each : said.destinations) {
      canary_target* const target = target_of(each.to);
      (target->canary ? canaries : others).emplace_back(target, each.weight);
      sum += each.weight;
      if (target->canary) of_canaries += each.weight;
    }
    lay_out(rule.canaries, std::move(canaries));
    lay_out(rule.others, std::move(others));
    rule.share = sum == 0 ? 0 : of_canaries * whole / sum;
    if (said.mirror) rule.mirrored = part_of(said.mirror->percent);
    if (said.fault) {
      rule.delayed = said.fault->delay > duration::zero() ? part_of(said.fault->delay_percent) : 0;
      rule.aborted = said.fault->abort_status ? part_of(said.fault->abort_percent) : 0;
    }
    table->compiled.push_back(std::move(rule));
  }
  return table;
}

// The value of one cookie of a Cookie field.
std::string_view cookie_in(std::string_view field, std::string_view name) noexcept {
  while (!field.empty()) {
    const std::size_t end = std::min(field.find(';'), field.size());
    std::string_view pair = field.substr(0, end);
    field.remove_prefix(std::min(end + 1, field.size()));
    while (pair.starts_with(' ')) pair.remove_prefix(1);
    if (pair.size() > name.size() && pair[name.size()] == '=' && pair.starts_with(name)) return pair.substr(name.size() + 1);
  }
  return {};
}

}  // namespace
}  // namespace detail

using detail::canary_holder;
using detail::canary_table;
using detail::canary_target;
using detail::compiled_rule;

struct canary::header_source {
  std::string_view method, path, key;
  const void* from;
  std::optional<std::string_view> (*find)(const void* from, std::string_view name) noexcept;

  [[nodiscard]] std::optional<std::string_view> field(std::string_view name) const noexcept { return find(from, name); }

  [[nodiscard]] bool matches(const detail::compiled_request& wanted) const noexcept {
    if (wanted.method && !detail::holds(*wanted.method, method, false)) return false;
    if (wanted.uri && !detail::holds(*wanted.uri, path, wanted.ignore_uri_case)) return false;
    for (const detail::compiled_header& each : wanted.headers) {
      const auto value = field(each.name);
      const bool as_said = value && detail::holds(each.value, *value, false);
      if (as_said == each.absent) return false;
    }
    return true;
  }

  [[nodiscard]] const compiled_rule* first_of(const canary_table& table) const noexcept {
    for (const compiled_rule& rule : table.compiled) {
      if (rule.any_of.empty()) return &rule;
      for (const detail::compiled_request& each : rule.any_of) {
        if (matches(each)) return &rule;
      }
    }
    return nullptr;
  }
};

std::string_view to_string(route_cause why) noexcept {
  switch (why) {
    case route_cause::no_rule: return "no_rule";
    case route_cause::only_one: return "only_one";
    case route_cause::split: return "split";
    case route_cause::forced: return "forced";
    case route_cause::opted_out: return "opted_out";
  }
  return "unknown";
}

const destination& canary_route::to() const noexcept { return target_->to; }

std::string_view canary_route::value_to_send() const noexcept {
  if (wish_ == canary_wish::never) return "never";
  return canary_ || wish_ == canary_wish::forced ? "true" : "";
}

void canary_route::record(verdict said, duration took) noexcept {
  if (said == verdict::neutral || target_ == nullptr) return;
  canary_target::counters& mine = target_->by_slot[detail::this_slot()];
  canary_target::outcomes& counts = drawn_ ? mine.drawn : mine.others;
  counts.requests.fetch_add(1, std::memory_order_relaxed);
  if (said == verdict::failure) {
    counts.errors.fetch_add(1, std::memory_order_relaxed);
  } else {
    counts.latency[latency_bins::index_of(took)].fetch_add(1, std::memory_order_relaxed);
  }
}

canary::canary(virtual_service rules, canary_options options)
    : options_(std::move(options)),
      seed_(XXH3_64bits(options_.salt.data(), options_.salt.size())),
      share_(by_file),
      judge_(options_.judge, clock::now()) {
  follow(judge_.percent());
  reload(std::move(rules));
}

canary::~canary() = default;

std::shared_ptr<const canary_holder> canary::take(std::uint64_t* keyless) const noexcept {
  const std::size_t at = detail::this_slot();
  const slot& mine = slots_[at];
  const levity::detail::spin_guard held(mine.lock);
  if (keyless != nullptr) *keyless = (mine.keyless++ << 3) | at;
  return mine.now;
}

canary_route canary::route(const http::request& asked) const noexcept {
  return route_by({http::to_string(asked.method()), asked.path(), {}, &asked, [](const void* from, std::string_view name) noexcept {
                     return static_cast<const http::request*>(from)->find(name);
                   }});
}

canary_route canary::route(const canary_call& asked) const noexcept {
  return route_by({asked.method, asked.path, asked.key, &asked,
                   [](const void* from, std::string_view name) noexcept -> std::optional<std::string_view> {
                     const auto& call = *static_cast<const canary_call*>(from);
                     for (std::size_t at = 0; at < call.field_count; at++) {
                       if (http::same_word(call.fields[at].name, name)) return call.fields[at].value;
                     }
                     return std::nullopt;
                   }});
}

canary_route canary::route_by(const header_source& asked) const noexcept {
  std::string_view key = asked.key;
  if (key.empty() && !options_.key_cookie.empty()) {
    if (const auto cookies = asked.field("Cookie")) key = detail::cookie_in(*cookies, options_.key_cookie);
  }
  if (key.empty() && !options_.key_header.empty()) key = asked.field(options_.key_header).value_or(std::string_view());
  std::uint64_t keyless = 0;
  canary_route way;
  way.holder_ = take(key.empty() ? &keyless : nullptr);
  const compiled_rule* const rule = asked.first_of(*way.holder_->table);
  if (rule == nullptr) return way;
  way.rule_ = rule->said;
  const std::uint64_t h = key.empty() ? XXH3_64bits_withSeed(&keyless, sizeof keyless, seed_)
                                      : XXH3_64bits_withSeed(key.data(), key.size(), seed_);
  if (const auto wish = asked.field(options_.header)) {
    if (http::same_word(*wish, "true")) way.wish_ = canary_wish::forced;
    if (http::same_word(*wish, "never")) way.wish_ = canary_wish::never;
  }
  if (rule->canaries.entries.empty() || rule->others.entries.empty()) {
    way.canary_ = rule->others.entries.empty();
    const detail::drawn& all = way.canary_ ? rule->canaries : rule->others;
    way.cause_ = all.entries.size() == 1 ? route_cause::only_one : route_cause::split;
  } else if (way.wish_ != canary_wish::none) {
    way.canary_ = way.wish_ == canary_wish::forced;
    way.cause_ = way.canary_ ? route_cause::forced : route_cause::opted_out;
  } else {
    const std::int64_t said = share_.load(std::memory_order_relaxed);
    // A rule that gives the canary nothing is none of those that a ramp is about.
    const std::uint64_t share = said == by_file || rule->share == 0 ? rule->share : static_cast<std::uint64_t>(said);
    way.canary_ = (h >> 32) < share;
    way.cause_ = route_cause::split;
    way.drawn_ = share != 0 && share < detail::whole;
  }
  way.target_ = (way.canary_ ? rule->canaries : rule->others).at(detail::other_bits(h, 1));
  way.mirrored_ = rule->mirrored != 0 && detail::other_bits(h, 2) < rule->mirrored;
  way.delays_ = rule->delayed != 0 && detail::other_bits(h, 3) < rule->delayed;
  way.aborts_ = rule->aborted != 0 && detail::other_bits(h, 4) < rule->aborted;
  way.target_->by_slot[detail::this_slot()].routed.fetch_add(1, std::memory_order_relaxed);
  return way;
}

void canary::reload(virtual_service rules) {
  std::shared_ptr<const canary_holder> before;
  {
    const levity::detail::spin_guard held(slots_[0].lock);
    before = slots_[0].now;
  }
  const auto table = detail::make_table(std::move(rules), options_.subset, before ? before->table.get() : nullptr);
  for (slot& each : slots_) {
    std::shared_ptr<const canary_holder> fresh = std::make_shared<const canary_holder>(table);
    {
      const levity::detail::spin_guard held(each.lock);
      each.now.swap(fresh);
    }
    // The old one goes here, when nobody is held up by it.
  }
}

std::vector<destination_figures> canary::look() const {
  const std::shared_ptr<const canary_holder> held = take(nullptr);
  std::vector<destination_figures> figures;
  for (const auto& target : held->table->targets) {
    destination_figures sum{target->to, target->canary, 0, {}, {}};
    for (const canary_target::counters& each : target->by_slot) {
      sum.routed += each.routed.load(std::memory_order_relaxed);
      each.drawn.add_to(sum.drawn);
      each.others.add_to(sum.done);
    }
    detail::add(sum.done, sum.drawn);
    figures.push_back(std::move(sum));
  }
  return figures;
}

void canary::follow(double percent) noexcept {
  share_.store(percent < 0 ? by_file : static_cast<std::int64_t>(detail::part_of(percent)), std::memory_order_relaxed);
}

canary_ruling canary::judge(time_point now) {
  canary_counts mine, others;
  for (const destination_figures& each : look()) {
    detail::add(each.canary ? mine : others, each.drawn);
  }
  canary_ruling ruling = judge_.look(mine, others, now);
  follow(judge_.percent());
  return ruling;
}

task<canary_ruling> canary::watch(duration every, void (*told)(const canary_ruling&)) {
  for (;;) {
    canary_ruling ruling = judge(clock::now());
    const bool changes = ruling.what != judged::too_few && ruling.what != judged::healthy;
    if (changes && told != nullptr) told(ruling);
    if (changes && ruling.what != judged::advanced) co_return ruling;
    co_await sleep(every);
  }
}

void canary::restart(time_point now) noexcept {
  judge_.restart(now);
  follow(judge_.percent());
}

std::optional<double> canary::share_percent() const noexcept {
  const std::int64_t said = share_.load(std::memory_order_relaxed);
  if (said == by_file) return std::nullopt;
  return static_cast<double>(said) / static_cast<double>(detail::whole) * 100;
}

const task_local<canary_field> current_canary_field{"canary"};

task_local<canary_field>::binding bind_canary(const canary& from, const canary_route& route) {
  return current_canary_field.bind({from.options().header, route.value_to_send()});
}

std::optional<http::field> canary_field_to_send() noexcept {
  const canary_field* const bound = current_canary_field.get();
  if (bound == nullptr || bound->value.empty()) return std::nullopt;
  return http::field{bound->name, bound->value};
}

}  // namespace levity::service
