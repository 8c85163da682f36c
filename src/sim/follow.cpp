#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <tuple>
#include <utility>
#include <vector>

#include "levity/sim/fault_plan.hpp"
#include "levity/sim/world.hpp"
#include "levity/time/sleep.hpp"
#include "sim/world_observer.hpp"

namespace levity::inline v0::sim {
namespace {

constexpr double gain_ppm_most = 100'000;  // as host::set_clock() has it

using host_pair = std::pair<const host*, const host*>;  // from, to

// What a plan has broken in a world. Whatever overlaps is worked out anew when a fault begins or ends; what is left is healed in
// the end.
class damage {
public:
  damage(world& in, const fault_plan& plan) : in_(in), plan_(plan), is_on_(plan.faults.size()), was_ended_(plan.faults.size()) {}
  damage(const damage&) = delete;
  damage& operator=(const damage&) = delete;
  ~damage() {
    for (std::size_t i = 0; i < is_on_.size(); i++) {
      if (is_on_[i]) end(i);
    }
  }

  void begin(std::size_t index) {
    const fault& what = plan_.faults[index];
    is_on_[index] = true;
    detail::tell(happened::plan, fault_plan{{what}}.to_string(), what.lasts);
    if (detail::world_observer* const by = detail::this_place().by; by != nullptr) by->met(what.what);
    host& hurt = in_.at(what.host);
    switch (what.what) {
      case fault_kind::kill:
      case fault_kind::power:
        was_ended_[index] = hurt.is_running();
        // A machine loses its power whatever runs on it: its disk has not forgotten yet what a kill has left unsynced.
        return what.what == fault_kind::kill ? hurt.kill() : hurt.cut_power();
      case fault_kind::pause: return hurt.pause();
      case fault_kind::badsync: {
        settle(what);
        disk_faults more = hurt.disk();
        more.syncs_fail_next = sum_of(more.syncs_fail_next, what.amount);
        return hurt.set_disk(more);
      }
      default: return settle(what);
    }
  }

  void end(std::size_t index) {
    const fault& what = plan_.faults[index];
    is_on_[index] = false;
    host& hurt = in_.at(what.host);
    switch (what.what) {
      case fault_kind::kill:
      case fault_kind::power:
        if (was_ended_[index] && !hurt.is_running()) hurt.restart();
        return;
      case fault_kind::pause:
        if (!is_hurt(hurt, fault_kind::pause)) hurt.resume();
        return;
      default: return settle(what);
    }
  }

private:
  template <class F>
  void for_all_on(F each) const {
    for (std::size_t i = 0; i < is_on_.size(); i++) {
      if (is_on_[i]) each(plan_.faults[i]);
    }
  }

  [[nodiscard]] bool is_hurt(const host& by_name, fault_kind by) const {
    bool found = false;
    for_all_on([&](const fault& one) { found = found || (one.what == by && one.host == by_name.name()); });
    return found;
  }

  // What holds now for whom this fault is about.
  void settle(const fault& about) {
    if (about.what == fault_kind::jump || about.what == fault_kind::drift) return settle_clock(in_.at(about.host));
    if (about.other.empty()) return settle_disk(in_.at(about.host));
    const host& a = in_.at(about.host);
    const host& b = in_.at(about.other);
    if (about.what == fault_kind::part || about.what == fault_kind::cut) return settle_cuts(a, b);
    settle_link(a, b);
    settle_link(b, a);
  }

  struct cuts {
    bool there;
    bool back;
  };

  // What was cut before stays so: by the scenario, for reasons of its own.
  void settle_cuts(const host& a, const host& b) {
    if (a.name() > b.name()) return settle_cuts(b, a);  // of each pair one entry
    const cuts before = cut_.try_emplace(host_pair(&a, &b), cuts{in_.is_cut(a, b), in_.is_cut(b, a)}).first->second;
    cuts now = before;
    bool is_whole = true;
    for_all_on([&](const fault& one) {
      if (one.what != fault_kind::part && one.what != fault_kind::cut) return;
      const bool is_there = one.host == a.name() && one.other == b.name();
      const bool is_back = one.host == b.name() && one.other == a.name();
      if (!is_there && !is_back) return;
      is_whole = false;
      now.there = now.there || is_there || one.what == fault_kind::part;
      now.back = now.back || is_back || one.what == fault_kind::part;
    });
    in_.heal(a, b);
    if (now.there) in_.cut(a, b);
    if (now.back) in_.cut(b, a);
    if (is_whole) cut_.erase(host_pair(&a, &b));
  }

  [[nodiscard]] static bool is_of_link(fault_kind what) noexcept {
    switch (what) {
      case fault_kind::slow:
      case fault_kind::lose:
      case fault_kind::narrow:
      case fault_kind::duplicate:
      case fault_kind::reorder: return true;
      default: return false;
    }
  }

  void settle_link(const host& from, const host& to) {
    const link_options whole = whole_.try_emplace(host_pair(&from, &to), in_.link(from, to)).first->second;
    link_options now = whole;
    bool is_whole = true;
    for_all_on([&](const fault& one) {
      const bool is_this_way = one.host == from.name() && one.other == to.name();
      if (!is_this_way && (one.host != to.name() || one.other != from.name())) return;
      if (one.what == fault_kind::slow) now.latency += duration(one.amount);
      const double share = static_cast<double>(one.amount) / 1e6;
      if (one.what == fault_kind::lose) now.loss = std::max(now.loss, share);
      if (one.what == fault_kind::duplicate) now.duplicated = std::max(now.duplicated, share);
      if (one.what == fault_kind::reorder) now.reordered = std::max(now.reordered, share);
      if (one.what == fault_kind::narrow) {
        const auto most = static_cast<std::uint64_t>(one.amount);
        now.bytes_per_second = now.bytes_per_second == 0 ? most : std::min(now.bytes_per_second, most);
      }
      is_whole = is_whole && !is_of_link(one.what);
    });
    in_.set_link(from, to, now);
    if (is_whole) whole_.erase(host_pair(&from, &to));
  }

  struct clock_setting {
    duration ahead;
    double gain_ppm;
  };

  void settle_clock(host& of) {
    const clock_setting before = clock_.try_emplace(&of, clock_setting{of.clock_ahead(), of.clock_gain_ppm()}).first->second;
    clock_setting now = before;
    bool is_right = true;
    for_all_on([&](const fault& one) {
      if (one.host != of.name()) return;
      if (one.what == fault_kind::jump) now.ahead += duration(one.amount);
      if (one.what == fault_kind::drift) now.gain_ppm += static_cast<double>(one.amount) / 1000;
      is_right = is_right && one.what != fault_kind::jump && one.what != fault_kind::drift;
    });
    of.set_clock(now.ahead, std::clamp(now.gain_ppm, -gain_ppm_most, gain_ppm_most));  // two may be too much together
    if (is_right) clock_.erase(&of);
  }

  void settle_disk(host& of) {
    const disk_faults before = disk_.try_emplace(&of, of.disk()).first->second;
    disk_faults now = of.disk();
    now.capacity_bytes = before.capacity_bytes;
    now.latency = before.latency;
    now.sync_latency = before.sync_latency;
    bool is_whole = true;
    bool fails_syncs = false;
    for_all_on([&](const fault& one) {
      if (one.host != of.name()) return;
      if (one.what == fault_kind::full) now.capacity_bytes = 0;
      if (one.what == fault_kind::slowdisk) {
        now.latency += duration(one.amount);
        now.sync_latency += duration(one.amount);
      }
      fails_syncs = fails_syncs || one.what == fault_kind::badsync;
      is_whole = is_whole && one.what != fault_kind::full && one.what != fault_kind::slowdisk && one.what != fault_kind::badsync;
    });
    if (!fails_syncs) now.syncs_fail_next = std::min(now.syncs_fail_next, before.syncs_fail_next);
    of.set_disk(now);
    if (is_whole) disk_.erase(&of);
  }

  static std::uint32_t sum_of(std::uint32_t count, std::int64_t more) noexcept {
    constexpr std::int64_t most = std::numeric_limits<std::uint32_t>::max();
    return static_cast<std::uint32_t>(more > most - count ? most : count + more);
  }

  world& in_;
  const fault_plan& plan_;
  std::vector<bool> is_on_;
  std::vector<bool> was_ended_;             // of a kill: the host ran, so it is started again
  // Of what is hurt: as it was. Looked up, never walked through.
  std::map<host_pair, link_options> whole_;
  std::map<host_pair, cuts> cut_;
  std::map<const host*, clock_setting> clock_;
  std::map<const host*, disk_faults> disk_;
};

struct step {
  duration at;
  unsigned rank;  // what ends makes room for what begins, and ends after its own beginning
  std::size_t index;
};

}  // namespace

task<> follow(world& in, fault_plan plan) {
  std::vector<step> steps;
  for (std::size_t i = 0; i < plan.faults.size(); i++) {
    const fault& each = plan.faults[i];
    steps.push_back({each.at, 1, i});
    steps.push_back({each.at + each.lasts, each.lasts > duration::zero() ? 0U : 2U, i});
  }
  std::ranges::sort(steps, {}, [](const step& each) { return std::tuple(each.at, each.rank, each.index); });
  damage done(in, plan);
  const time_point start = clock::now();
  for (const step& next : steps) {
    if (start + next.at > clock::now()) co_await sleep_until(start + next.at);
    if (next.rank == 1) {
      done.begin(next.index);
    } else {
      done.end(next.index);
    }
  }
}

}  // namespace levity::sim
