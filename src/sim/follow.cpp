#include <algorithm>
#include <cstddef>
#include <cstdint>
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
    host& hurt = in_.at(what.host);
    switch (what.what) {
      case fault_kind::kill:
      case fault_kind::power:
        was_ended_[index] = hurt.is_running();
        if (!was_ended_[index]) return;
        return what.what == fault_kind::kill ? hurt.kill() : hurt.cut_power();
      case fault_kind::pause: return hurt.pause();
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
    if (about.other.empty()) return settle_clock(in_.at(about.host));
    const host& a = in_.at(about.host);
    const host& b = in_.at(about.other);
    if (about.what == fault_kind::part || about.what == fault_kind::cut) return settle_cuts(a, b);
    settle_link(a, b);
    settle_link(b, a);
  }

  void settle_cuts(const host& a, const host& b) const {
    in_.heal(a, b);
    for_all_on([&](const fault& one) {
      const bool is_this_way = one.host == a.name() && one.other == b.name();
      const bool is_back = one.host == b.name() && one.other == a.name();
      if (one.what == fault_kind::part && (is_this_way || is_back)) in_.part(a, b);
      if (one.what == fault_kind::cut && is_this_way) in_.cut(a, b);
      if (one.what == fault_kind::cut && is_back) in_.cut(b, a);
    });
  }

  void settle_link(const host& from, const host& to) {
    const link_options whole = whole_.try_emplace(host_pair(&from, &to), in_.link(from, to)).first->second;
    link_options now = whole;
    bool is_whole = true;
    for_all_on([&](const fault& one) {
      const bool is_this_way = one.host == from.name() && one.other == to.name();
      if (!is_this_way && (one.host != to.name() || one.other != from.name())) return;
      if (one.what == fault_kind::slow) now.latency += duration(one.amount);
      if (one.what == fault_kind::lose) now.loss = std::max(now.loss, static_cast<double>(one.amount) / 1e6);
      if (one.what == fault_kind::narrow) {
        const auto most = static_cast<std::uint64_t>(one.amount);
        now.bytes_per_second = now.bytes_per_second == 0 ? most : std::min(now.bytes_per_second, most);
      }
      is_whole = is_whole && one.what != fault_kind::slow && one.what != fault_kind::lose && one.what != fault_kind::narrow;
    });
    in_.set_link(from, to, now);
    if (is_whole) whole_.erase(host_pair(&from, &to));
  }

  void settle_clock(host& of) const {
    std::int64_t ahead_ns = 0;
    std::int64_t gain_ppb = 0;
    for_all_on([&](const fault& one) {
      if (one.host != of.name()) return;
      if (one.what == fault_kind::jump) ahead_ns += one.amount;
      if (one.what == fault_kind::drift) gain_ppb += one.amount;
    });
    of.set_clock(duration(ahead_ns), static_cast<double>(gain_ppb) / 1000);
  }

  world& in_;
  const fault_plan& plan_;
  std::vector<bool> is_on_;
  std::vector<bool> was_ended_;             // of a kill: the host ran, so it is started again
  std::map<host_pair, link_options> whole_;  // of links that are hurt: as they were
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
