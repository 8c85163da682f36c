#include "inspect/stall_report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/source_file.hpp"
#include "platform/system_call_name.hpp"

namespace levity::inline v0::detail {
namespace {

// Appends what fits.
class bounded_text {
public:
  explicit bounded_text(std::span<char> to) noexcept : to_(to) {}
  template <class... T>
  void add(fmt::format_string<T...> form, T&&... values) {
    const std::size_t room = to_.size() - used_;
    const auto made = fmt::format_to_n(to_.data() + used_, room, form, std::forward<T>(values)...);
    used_ += std::min(room, made.size);
  }
  // What did not fit is missing from the end, a line is not: others write to the same place.
  [[nodiscard]] std::string_view text() const noexcept {
    if (used_ > 0 && used_ == to_.size()) to_.back() = '\n';
    return {to_.data(), used_};
  }

private:
  std::span<char> to_;
  std::size_t used_ = 0;
};

double ms_of(std::int64_t ns) { return static_cast<double>(ns) / 1e6; }

void add_call(bounded_text& to, int call) {
  const std::string_view name = system_call_name(call);
  if (name.empty()) {
    to.add("number {}", call);
  } else {
    to.add("{}", name);
  }
}

void add_off_cpu(bounded_text& to, const stall_verdict& why) {
  switch (why.reason) {
    case off_cpu_reason::crowded:
      return to.add("it is ready to run and gets no CPU, others have them; give the process more CPUs, or run less beside it");
    case off_cpu_reason::throttled:
      return to.add("it is ready to run and its control group has used up its quota; raise it (cpu.max, cpu.cfs_quota_us), or use "
                    "fewer workers");
    case off_cpu_reason::stopped:
      return to.add("the process stood still as a whole (SIGSTOP, a frozen control group, a virtual machine that was paused)");
    case off_cpu_reason::stolen:
      return to.add("the hypervisor gave its CPU to others; look for a quieter machine");
  }
}

void add_cause(bounded_text& to, const stall_verdict& why) {
  switch (why.cause) {
    case stall_cause::off_cpu: return add_off_cpu(to, why);
    case stall_cause::on_cpu:
      if (why.kernel_ticks > why.user_ticks + 1) return to.add("it computes inside the kernel; do less in one call");
      return to.add("it computes; let it co_await lv::yield() now and then");
    case stall_cause::fault:
      return to.add("it touches memory that has to be read first; read the file by lv::file, or give the process more memory");
    case stall_cause::lock:
      to.add("it waits for a lock (");
      add_call(to, why.call);
      return to.add("); hold it for less, or use lv::mutex, whose wait lets the worker go");
    case stall_cause::in_call:
      if (why.call == thread_state::no_call) {
        return to.add("it waits in system calls, each over before it could be seen; make them by lv::blocking()");
      }
      to.add("it waits in the system call ");
      add_call(to, why.call);
      return to.add("; make it by lv::blocking(), or await what it waits for");
    case stall_cause::unknown:
      if (why.shares.hidden_ns > why.shares.unseen_ns) {
        return to.add("it sleeps or gets no CPU, and which of them is hidden: /proc/self/task/*/stat cannot be read; mount /proc, "
                      "or allow more descriptors (ulimit -n)");
      }
      return to.add("it sleeps, and the kernel hides in what: /proc/self/task/*/syscall cannot be read");
  }
}

void add_shares(bounded_text& to, const stall_verdict& why) {
  struct share {
    const char* name;
    std::int64_t ns;
  };
  share all[] = {{"on a CPU", why.shares.on_cpu_ns}, {"waiting for a CPU", why.shares.waiting_ns},
                 {"stopped", why.shares.stopped_ns}, {"stolen", why.shares.stolen_ns},
                 {"in faults", why.shares.fault_ns}, {"waiting for locks", why.shares.lock_ns},
                 {"in system calls", why.shares.in_call_ns}, {"asleep unseen", why.shares.unseen_ns},
                 {"hidden", why.shares.hidden_ns}};
  std::sort(std::begin(all), std::end(all), [](const share& a, const share& b) { return a.ns > b.ns; });
  to.add("    of {:.1f} ms seen", ms_of(why.shares.total_ns()));
  for (const share& each : all) {
    if (each.ns >= 50'000) to.add(", {:.1f} ms {}", ms_of(each.ns), each.name);
  }
  if (why.throttled_ns > 0) to.add(", {:.1f} ms throttled", ms_of(why.throttled_ns));
  if (why.major_faults > 0) to.add(", {} page faults that read", why.major_faults);
  to.add("\n");
}

// Below it stands what started the thread, which is the same for all.
constexpr std::string_view bottom = "_ZN6levity2v06detail6worker3runEv";

void add_stack(bounded_text& to, const stack_trace& stack, code_names& names) {
  for (const stack_frame& each : stack.all()) {
    // A call may be the last instruction of its function.
    const bool is_innermost = &each == stack.all().data();
    const code_names::place at = names.find(each.code_at - (is_innermost ? 0 : 1));
    to.add("    {} ", each.is_guess ? '?' : ' ');
    char readable[256];
    if (at.file.empty()) {
      to.add("{:#x}\n", each.code_at);
    } else if (at.function.empty()) {
      to.add("{}+{:#x}\n", at.file, at.into + (is_innermost ? 0 : 1));
    } else {
      to.add("{}+{:#x} in {}\n", code_names::readable(at.function, readable), at.into + (is_innermost ? 0 : 1), at.file);
    }
    if (at.function == bottom) return;
  }
}

}  // namespace

std::string_view stall_reporter::report(const stalled_task& what, std::int64_t now_ns, std::span<char> text) noexcept {
  const std::uint64_t* const left_out = admit(what, now_ns);
  if (left_out == nullptr) return {};
  bounded_text to(text);
  to.add("levity: task {}", what.id);
  if (what.name != nullptr) to.add(" \"{}\"", what.name);
  if (what.spawned_at.line() != 0) to.add(" spawned at {}:{}", file_of(what.spawned_at), what.spawned_at.line());
  to.add(" has kept worker {} for {:.1f} ms: ", what.worker, ms_of(what.lasted_ns));
  add_cause(to, what.why);
  to.add("\n");
  add_shares(to, what.why);
  add_stack(to, what.stack, names_);
  if (*left_out > 0) to.add("    and {} like it since the last report\n", *left_out);
  return to.text();
}

const std::uint64_t* stall_reporter::admit(const stalled_task& what, std::int64_t now_ns) noexcept {
  kind* place = kinds_.data();
  for (std::size_t i = 0; i < known_; i++) {
    kind& each = kinds_[i];
    if (each.file == what.spawned_at.file_name() && each.line == what.spawned_at.line() && each.cause == what.why.cause) {
      const bool is_same_stall = each.task == what.id && each.since_ns == what.since_ns;
      if (!is_same_stall && now_ns - each.told_at_ns < pause_ns) {
        each.left_out++;
        left_out_++;
        return nullptr;
      }
      each.task = what.id;
      each.since_ns = what.since_ns;
      each.told_at_ns = now_ns;
      left_out_before_ = std::exchange(each.left_out, 0);
      return &left_out_before_;
    }
    if (each.told_at_ns < place->told_at_ns) place = &each;
  }
  if (known_ < kinds_.size()) place = &kinds_[known_++];
  *place = {what.spawned_at.file_name(), what.spawned_at.line(), what.why.cause, what.id, what.since_ns, now_ns, 0};
  left_out_before_ = 0;
  return &left_out_before_;
}

}  // namespace levity::detail
