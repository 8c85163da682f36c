// stall_cause_bench [STALLS [NAME...]] - a looker tells why a thread stands still: so many stalls of 5 to 40 ms, at random, of each
// kind, one line of JSON. The thread is looked at every millisecond, as a watchdog would; beside it the same stalls are judged by
// their first and last look alone.
//
// What is true: of a thread that sleeps, or faults on one page, what it was told to do. One that computes notes when time has
// passed without it, and says how much of what was looked at it had no CPU; one that faults on page after page of a file says how
// much of that it slept, too. A stall is `even` when its two largest shares are less than a twentieth of it apart.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "levity/base/rng.hpp"
#include "tests/support/temporary_folder.hpp"
#include "tests/support/watched_stall.hpp"

namespace {

using namespace levity;
using namespace levity::test;
using detail::stall_cause;

constexpr std::int64_t ms = 1'000'000;
constexpr unsigned causes = 6;
constexpr const char* cause_names[causes] = {"off_cpu", "on_cpu", "fault", "lock", "in_call", "unknown"};

struct counts {
  unsigned said[causes] = {};
  unsigned right = 0;
  unsigned wrong = 0;
  unsigned ready_called_blocked = 0;

  void add(stall_cause said_cause, stall_cause truth) {
    said[static_cast<unsigned>(said_cause)]++;
    (said_cause == truth ? right : wrong)++;
    const bool blocked = said_cause == stall_cause::lock || said_cause == stall_cause::in_call || said_cause == stall_cause::fault;
    ready_called_blocked += static_cast<unsigned>(blocked && truth == stall_cause::off_cpu);
  }
  void print(const char* name) const {
    std::printf("\"%s\": {\"right\": %u, \"wrong\": %u, \"ready_called_blocked\": %u", name, right, wrong, ready_called_blocked);
    for (unsigned i = 0; i < causes; i++) std::printf(", \"%s\": %u", cause_names[i], said[i]);
    std::printf("}");
  }
};

struct kind {
  const char* name;
  stall_cause truth;
  std::function<std::unique_ptr<stall>()> make;
};

// What the looker says; the planted defect, for `bench/run --selftest`, blames whoever has no processor for waiting.
stall_cause said_by(const detail::stall_account& account) {
  const stall_cause said = account.judge().cause;
#ifdef PLANTED_BLAMING
  if (said == stall_cause::off_cpu) return stall_cause::in_call;
#endif
  return said;
}

void measure(const kind& each, unsigned stalls, rng& random, bool is_first) {
  const std::unique_ptr<stall> in = each.make();
  std::printf("%s{\"name\": \"%s\"", is_first ? "" : ", ", each.name);
  if (!in->obstacle().empty()) {
    std::printf(", \"skipped\": \"%s\"}", in->obstacle().c_str());
    return;
  }
  counts often;
  counts twice;
  unsigned even = 0;
  unsigned over = 0;
  unsigned on_cpu = 0;
  unsigned off_cpu = 0;
  {
    staller one(*in);
    for (unsigned done = 0; done < stalls && over < stalls;) {
      const std::int64_t wanted_ns = 5 * ms + static_cast<std::int64_t>(random.below(35 * ms));
      const timespec phase{.tv_sec = 0, .tv_nsec = static_cast<long>(random.below(ms))};
      ::nanosleep(&phase, nullptr);
      if (auto* sleeps = dynamic_cast<sleeping*>(in.get())) sleeps->wanted_ns = wanted_ns + 8 * ms;
      watched by(one);
      by.begin(*in);
      auto* const stops = dynamic_cast<being_stopped*>(in.get());
      if (stops != nullptr) stops->stop_for(static_cast<int>(wanted_ns * 3 / 4 / ms));
      const bool lasted = by.look_for(wanted_ns);
      if (stops != nullptr) stops->wait_for_stop();
      in->let_go();
      one.wait_for_end();
      if (!lasted) {
        over++;
        continue;
      }
      done++;
      const std::int64_t total_ns = by.last_ns() - by.account.began_ns();
      const std::int64_t off_ns = in->off_cpu_ns(by.account.began_ns(), by.last_ns());
      stall_cause truth = each.truth;
      if (off_ns >= 0) {
        const std::int64_t asleep_ns = in->asleep_ns(by.account.began_ns(), by.last_ns());
        std::pair<std::int64_t, stall_cause> shares[] = {{total_ns - off_ns, stall_cause::on_cpu},
                                                         {off_ns - asleep_ns, stall_cause::off_cpu},
                                                         {asleep_ns, each.truth}};
        std::sort(std::begin(shares), std::end(shares), std::greater{});
        if ((shares[0].first - shares[1].first) * 20 < total_ns) {
          even++;
          continue;
        }
        truth = shares[0].second;
      }
      on_cpu += static_cast<unsigned>(truth == stall_cause::on_cpu);
      off_cpu += static_cast<unsigned>(truth == stall_cause::off_cpu);
      often.add(said_by(by.account), truth);
      twice.add(said_by(by.two_looks), truth);
    }
  }
  std::printf(", \"even\": %u, \"over_too_soon\": %u, \"truly_off_cpu\": %u, \"truly_on_cpu\": %u, ", even, over, off_cpu, on_cpu);
  often.print("every_ms");
  std::printf(", ");
  twice.print("two_looks");
  std::printf("}");
  std::fflush(stdout);
}

// Microseconds of a look; the median of many.
double look_us(stall& in) {
  staller one(in);
  detail::thread_reader at(one.sign());
  in.prepare();
  one.begin();
  while (one.number() == 0) ::sched_yield();
  std::vector<std::int64_t> all;
  for (int i = 0; i < 2001; i++) {
    const std::int64_t from_ns = detail::kernel_now_ns();
    static_cast<void>(at.look());
#ifdef PLANTED_BLAMING
    for (const std::int64_t until = from_ns + 30'000; detail::kernel_now_ns() < until;) {
    }
#endif
    all.push_back(detail::kernel_now_ns() - from_ns);
  }
  in.let_go();
  one.wait_for_end();
  std::nth_element(all.begin(), all.begin() + 1000, all.end());
  return static_cast<double>(all[1000]) / 1e3;
}

}  // namespace

int main(int argc, char** argv) {
  const auto stalls = static_cast<unsigned>(argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 200);
  const temporary_folder folder;
  const auto a = []<class T>(std::type_identity<T>) { return [] { return std::make_unique<T>(); }; };
  const kind kinds[] = {
      {"computes", stall_cause::on_cpu, a(std::type_identity<spinning>{})},
      {"computes_in_kernel", stall_cause::on_cpu, a(std::type_identity<reading_zeros>{})},
      {"pipe", stall_cause::in_call, a(std::type_identity<reading_a_pipe>{})},
      {"socket", stall_cause::in_call, a(std::type_identity<receiving>{})},
      {"nanosleep", stall_cause::in_call, a(std::type_identity<sleeping>{})},
      {"vfork", stall_cause::in_call, a(std::type_identity<having_a_child>{})},
      {"mutex", stall_cause::lock, a(std::type_identity<wanting_a_mutex>{})},
      {"condition", stall_cause::lock, a(std::type_identity<wanting_a_condition>{})},
      {"flock", stall_cause::lock,
       [&] { return std::make_unique<wanting_a_file>(wanting_a_file::kind::flock, folder.file("flock")); }},
      {"fcntl", stall_cause::lock,
       [&] { return std::make_unique<wanting_a_file>(wanting_a_file::kind::fcntl, folder.file("fcntl")); }},
      {"page", stall_cause::fault, a(std::type_identity<touching_a_page>{})},
      {"cold_file", stall_cause::fault, [&] { return std::make_unique<touching_a_file>(folder.file("cold")); }},
      {"stopped", stall_cause::off_cpu, a(std::type_identity<being_stopped>{})},
      {"crowded", stall_cause::off_cpu,
       [] { return std::make_unique<being_crowded>(4 * std::thread::hardware_concurrency() - 1); }},
      {"throttled", stall_cause::off_cpu, a(std::type_identity<being_throttled>{})},
  };
  spinning computes;
  reading_a_pipe reads;
  std::printf("{\"look_us\": {\"computes\": %.2f, \"pipe\": %.2f}, \"kinds\": [", look_us(computes), look_us(reads));
  rng random{20261128};
  bool is_first = true;
  for (const kind& each : kinds) {
    const bool is_wanted = argc < 3 || std::any_of(argv + 2, argv + argc, [&](const char* name) {
                             return std::string_view{name} == each.name;
                           });
    if (!is_wanted) continue;
    measure(each, stalls, random, is_first);
    is_first = false;
  }
  std::printf("]}\n");
}
