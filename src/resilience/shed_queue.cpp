#include "levity/resilience/detail/shed_queue.hpp"

#include <algorithm>
#include <bit>
#include <cstddef>

#include "levity/base/assert.hpp"
#include "levity/resilience/keyed_rate_limiter.hpp"

namespace levity::inline v0 {

std::uint8_t cohort_of(std::uint64_t user, std::uint64_t epoch) noexcept {
  return static_cast<std::uint8_t>(detail::fingerprint_of(user, detail::fingerprint_of(epoch, 1)) % call_class::cohorts);
}

std::uint8_t cohort_of(std::string_view user, std::uint64_t epoch) noexcept {
  return static_cast<std::uint8_t>(detail::fingerprint_of(user, detail::fingerprint_of(epoch, 1)) % call_class::cohorts);
}

namespace detail {
namespace {

load_shedder_options clamped(load_shedder_options given) noexcept {
  given.concurrent_max = std::max(given.concurrent_max, 1U);
  given.target = std::max(given.target, duration{1});
  given.interval = std::max(given.interval, given.target);
  return given;
}

duration of_ns(double ns) noexcept { return duration{static_cast<std::int64_t>(ns)}; }

}  // namespace

void running_median::add(double value) noexcept {
  if (count_ == 0) value_ = value;
  double step = 1.0 / 64;
  if (count_ < 64) step = 1.0 / ++count_;  // long steps at first: the first value weighs no more than the next ones
  value_ = value > value_ ? std::min(value, value_ * (1 + step)) : std::max(value, value_ * (1 - step));
}

void running_median::doubt() noexcept {
  value_ /= 2;
  count_ = std::min(count_, 8U);
}

shed_entry& shed_entry::from_age(list_link& link) noexcept {
  return *reinterpret_cast<shed_entry*>(reinterpret_cast<char*>(&link) - offsetof(shed_entry, by_age));
}

shed_entry& shed_entry::from_rank(list_link& link) noexcept {
  return *reinterpret_cast<shed_entry*>(reinterpret_cast<char*>(&link) - offsetof(shed_entry, by_rank));
}

shed_queue::shed_queue(load_shedder_options options) noexcept : options_(clamped(options)) {}

void shed_queue::describe(shed_entry& entry, const call_class& call, time_point now) noexcept {
  entry.arrived = now;
  entry.deadline = call.deadline;
  entry.priority = static_cast<std::uint8_t>(std::min<unsigned>(call.priority, call_class::priorities - 1));
  entry.cohort = static_cast<std::uint8_t>(std::min<unsigned>(call.cohort, call_class::cohorts - 1));
  entry.what = shed_entry::fate::asks;
}

duration shed_queue::target() const noexcept { return std::max(options_.target, of_ns(service_.value() / 2)); }
duration shed_queue::interval() const noexcept { return std::max(options_.interval, 8 * target()); }

duration shed_queue::strained_patience(unsigned priority) const noexcept {
  return static_cast<int>(call_class::priorities + 1 - priority) * target();
}

duration shed_queue::patience(unsigned priority) const noexcept {
  return overloaded_ ? strained_patience(priority) : interval();
}

bool shed_queue::too_late(const shed_entry& entry, time_point now) const noexcept {
  return entry.deadline != time_point::max() && entry.deadline < now + std::max(of_ns(service_.value()), duration{1});
}

// `service` is learnt from those alone who are let in. Were it to keep everybody out, nobody could ever show that it has become
// wrong: so it keeps nobody from a place that would stay empty, and where no success bears it out, it is believed less and less.
bool shed_queue::comes_too_late(const shed_entry& entry, time_point now) noexcept {
  if (!too_late(entry, now)) return false;
  if (entry.deadline <= now) return true;
  if (waiting_ == 0 && inside_ < options_.concurrent_max) return false;
  if (now - learnt_at_ < doubt_after * interval()) return true;
  service_.doubt();
  learnt_at_ = now;
  return too_late(entry, now);
}

void shed_queue::note_time(time_point now) noexcept { last_now_ = std::max(last_now_, now); }

void shed_queue::admit(shed_entry& entry) noexcept {
  inside_++;
  admitted_by_[entry.priority]++;
  entry.what = shed_entry::fate::admitted;
}

void shed_queue::refuse(shed_entry& entry, rejection_cause why) noexcept {
  (why == rejection_cause::too_late ? refused_too_late_ : refused_waited_)++;
  refused_by_[entry.priority]++;
  entry.what = shed_entry::fate::refused;
  entry.why = why;
}

void shed_queue::ask(shed_entry& entry, time_point now, link_list& settled) noexcept {
  note_time(now);
  if (options_.mode == policy_mode::observe) {
    const double turns = inside_ >= options_.concurrent_max ? inside_ + 1.0 - options_.concurrent_max : 0.0;
    const bool waits_too_long =
        turns * service_.value() / options_.concurrent_max > static_cast<double>(strained_patience(entry.priority).count());
    if (waits_too_long || comes_too_late(entry, now)) would_have_refused_++;
    return admit(entry);
  }
  if (comes_too_late(entry, now)) return refuse(entry, rejection_cause::too_late);
  if (waiting_ == 0) {
    watch(now, settled);
    if (inside_ < options_.concurrent_max) return admit(entry);
    if (options_.waiting_max == 0) {
      refuse(entry, rejection_cause::overloaded);
      refused_waited_--;
      refused_full_++;
    }
    return;
  }
  watch(now, settled);
  if (!overloaded_) return;
  std::uint64_t before_it = 0;
  for (unsigned i = 0; i < entry.priority; i++) before_it += bands_[i].waiting;
  const double wait = static_cast<double>(before_it) * service_.value() / options_.concurrent_max;
  if (wait > static_cast<double>(patience(entry.priority).count())) refuse(entry, rejection_cause::overloaded);
}

void shed_queue::wait(shed_entry& entry, time_point now, link_list& settled) noexcept {
  note_time(now);
  if (waiting_ >= options_.waiting_max) {
    shed_entry& least = *least_important();
    const bool is_less = least.priority > entry.priority || (least.priority == entry.priority && least.cohort > entry.cohort);
    shed_entry& out = is_less ? least : entry;
    if (is_less) remove(out);
    refused_full_++;
    refused_by_[out.priority]++;
    out.what = shed_entry::fate::refused;
    out.why = rejection_cause::overloaded;
    if (!is_less) return;
    settled.push_back(out.by_age);
  }
  band& of = bands_[entry.priority];
  of.by_age.push_back(entry.by_age);
  of.by_rank[entry.cohort].push_back(entry.by_rank);
  of.occupied[entry.cohort / 64] |= std::uint64_t{1} << (entry.cohort % 64);
  of.waiting++;
  waiting_++;
  entry.what = shed_entry::fate::waits;
}

void shed_queue::remove(shed_entry& entry) noexcept {
  band& of = bands_[entry.priority];
  entry.by_age.unlink();
  entry.by_rank.unlink();
  if (of.by_rank[entry.cohort].empty()) of.occupied[entry.cohort / 64] &= ~(std::uint64_t{1} << (entry.cohort % 64));
  of.waiting--;
  waiting_--;
}

void shed_queue::give_up(shed_entry& entry) noexcept {
  const bool late = too_late(entry, std::max(last_now_, until(entry) + duration{1}));
  refuse(entry, late ? rejection_cause::too_late : rejection_cause::overloaded);
}

void shed_queue::end(time_point began, verdict said, time_point now, link_list& settled) noexcept {
  note_time(now);
  LEVITY_DEBUG_ASSERT(inside_ > 0, "what ends has begun");
  inside_--;
  if (said == verdict::success) {
    service_.add(static_cast<double>(std::max<std::int64_t>((now - began).count(), 1)));
    learnt_at_ = now;
  }
  watch(now, settled);
  serve(now, settled);
}

void shed_queue::set_concurrent_max(std::uint32_t most, time_point now, link_list& settled) noexcept {
  note_time(now);
  options_.concurrent_max = std::max(most, 1U);
  serve(now, settled);
}

// Whether the queue stands, and who has waited for too long in it.
void shed_queue::watch(time_point now, link_list& settled) noexcept {
  if (waiting_ == 0 && !overloaded_) [[likely]] {
    turning_ = false;
    return;
  }
  bool late = false;
  if (waiting_ > 0) {
    const duration limit = target();
    for (band& each : bands_) {
      list_link* const oldest = each.by_age.front();
      late |= oldest != nullptr && now - shed_entry::from_age(*oldest).arrived > limit;
    }
  }
  if (late == overloaded_) {
    turning_ = false;
  } else if (!turning_) {
    turning_ = true;
    turning_since_ = now;
  } else if (now - turning_since_ >= interval()) {
    turning_ = false;
    overloaded_ = late;
  }
  if (!late) return;
  int sheds = 0;
  for (unsigned i = call_class::priorities; i-- > 0;) {
    const duration limit = patience(i);
    while (list_link* const oldest = bands_[i].by_age.front()) {
      shed_entry& entry = shed_entry::from_age(*oldest);
      if (now - entry.arrived <= limit || ++sheds > sheds_max) break;
      remove(entry);
      refuse(entry, rejection_cause::overloaded);
      settled.push_back(entry.by_age);
    }
  }
}

void shed_queue::serve(time_point now, link_list& settled) noexcept {
  int sheds = 0;
  while (inside_ < options_.concurrent_max && waiting_ > 0) {
    shed_entry& entry = *next(now);
    remove(entry);
    if (sheds < sheds_max && too_late(entry, now)) {
      sheds++;
      refuse(entry, rejection_cause::too_late);
    } else {
      admit(entry);
    }
    settled.push_back(entry.by_age);
  }
}

shed_entry* shed_queue::next(time_point now) noexcept {
  for (band& each : bands_) {
    if (each.waiting == 0) continue;
    shed_entry& oldest = shed_entry::from_age(*each.by_age.front());
    if (!overloaded_ || now - oldest.arrived <= patience(oldest.priority) / 2) return &oldest;
    const unsigned word = each.occupied[0] != 0 ? 0 : 1;
    const unsigned cohort = 64 * word + static_cast<unsigned>(std::countr_zero(each.occupied[word]));
    return &shed_entry::from_rank(*each.by_rank[cohort].end()->prev);
  }
  return nullptr;
}

shed_entry* shed_queue::least_important() noexcept {
  for (std::size_t i = bands_.size(); i-- > 0;) {
    band& each = bands_[i];
    if (each.waiting == 0) continue;
    const unsigned word = each.occupied[1] != 0 ? 1 : 0;
    const unsigned cohort = 64 * word + 63 - static_cast<unsigned>(std::countl_zero(each.occupied[word]));
    return &shed_entry::from_rank(*each.by_rank[cohort].front());
  }
  return nullptr;
}

// A deadline ends it sooner by what the work takes.
time_point shed_queue::until(const shed_entry& entry) const noexcept {
  const time_point tired = entry.arrived + interval();
  if (entry.deadline == time_point::max()) return tired;
  return std::min(tired, entry.deadline - of_ns(service_.value()));
}

rejection shed_queue::refusal(const shed_entry& entry) const noexcept {
  if (entry.why == rejection_cause::too_late) return {entry.why};
  return {entry.why, interval()};
}

shed_queue::figures shed_queue::look() const noexcept {
  figures all{.admitted = 0,
              .refused_waited = refused_waited_,
              .refused_full = refused_full_,
              .refused_too_late = refused_too_late_,
              .left = left_,
              .would_have_refused = would_have_refused_,
              .admitted_by_priority = admitted_by_,
              .refused_by_priority = refused_by_,
              .inside = inside_,
              .concurrent_max = options_.concurrent_max,
              .waiting = waiting_,
              .service = of_ns(service_.value()),
              .overloaded = overloaded_};
  for (const std::uint64_t each : admitted_by_) all.admitted += each;
  return all;
}

void shed_queue::check_invariants() noexcept {
  LEVITY_ASSERT(options_.mode == policy_mode::observe || waiting_ == 0 || inside_ >= options_.concurrent_max,
                "a free place is never kept from who waits");
  std::uint32_t waiting = 0;
  for (band& each : bands_) {
    std::uint32_t by_age = 0;
    std::uint32_t by_rank = 0;
    time_point last{};
    for (list_link* link = each.by_age.front(); link != nullptr && link != each.by_age.end(); link = link->next, by_age++) {
      LEVITY_ASSERT(shed_entry::from_age(*link).arrived >= last, "the oldest stands first");
      last = shed_entry::from_age(*link).arrived;
    }
    for (unsigned i = 0; i < call_class::cohorts; i++) {
      link_list& list = each.by_rank[i];
      const bool occupied = ((each.occupied[i / 64] >> (i % 64)) & 1) != 0;
      LEVITY_ASSERT(occupied == !list.empty(), "the bit says whether anybody is there");
      for (list_link* link = list.front(); link != nullptr && link != list.end(); link = link->next) by_rank++;
    }
    LEVITY_ASSERT(by_age == by_rank && by_age == each.waiting, "who waits is in both lists");
    waiting += by_age;
  }
  LEVITY_ASSERT(waiting == waiting_ && waiting <= options_.waiting_max, "as many wait as may");
}

}  // namespace detail
}  // namespace levity
