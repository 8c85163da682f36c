#include "inspect/dump.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <iterator>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/source_file.hpp"
#include "inspect/function_name.hpp"
#include "levity/base/clock.hpp"
#include "levity/memory/frame_pool.hpp"
#include "levity/task/detail/promise.hpp"
#include "levity/task/detail/scope_state.hpp"
#include "levity/task/task_local.hpp"
#include "platform/bounded_writer.hpp"
#include "sched/scheduler.hpp"

namespace levity::inline v0::detail {
namespace {

// A dump that makes no headway for so long is broken off: who asked for it must still be able to ask for the end.
constexpr int patience_ms = 1000;

constexpr int chain_max = 32;
constexpr std::size_t shown_max = 3;  // tasks that wait at the same place and are told one by one

// Behind "task": its name, if it has one, and where it was spawned, if not from outside or as the main task.
std::string kind_of(const char* name, const std::source_location& site) {
  std::string text;
  if (name != nullptr) fmt::format_to(std::back_inserter(text), " \"{}\"", name);
  if (site.line() != 0) fmt::format_to(std::back_inserter(text), " spawned at {}:{}", file_of(site), site.line());
  return text;
}

std::string seconds(std::uint32_t ms) { return fmt::format("{:.3f} s", ms / 1e3); }

/// What tells a task from the others that wait at the same place.
struct single_task {
  std::uint32_t id;
  std::uint32_t waited_ms;
  std::string what;    // which socket, which scope; may be empty
  std::string locals;  // "with name value, ..."; may be empty
};

/// Tasks of one name and spawn site that do the same: they wait for the same reason with the same await chain, or are ready.
struct task_group {
  const char* name;
  std::source_location site;
  const char* state = nullptr;            // of those that do not wait
  const wait_reason* reason = nullptr;    // of those that do
  std::vector<const void*> chain{};       // where their frames stand, innermost first; a null behind them: there are more
  std::uint64_t count = 0;
  std::vector<single_task> shown{};       // those that have waited longest, longest first
};

// The values that are bound in a task, innermost first; of those of one name all but the first are hidden.
std::string locals_of(const task_record& record) {
  std::string text;
  const char* gap = "with ";
  const local_binding* const innermost = bound_in(record);
  for (const local_binding* each = innermost; each != nullptr; each = each->outer) {
    const local_binding* first = innermost;
    while (first->key != each->key) first = first->outer;
    if (first != each) continue;
    char value[80] = "";
    each->describe(*each, value, sizeof value);
    fmt::format_to(std::back_inserter(text), "{}{} {}", gap, each->name, value);
    gap = ", ";
  }
  return text;
}

std::string what_for(const task_record& record) {
  char what[160] = "";
  if (const wait_reason& reason = *record.waits_on->reason; reason.describe != nullptr) {
    reason.describe(*record.waits_on, what, sizeof what);
  }
  return what;
}

/// The tasks of a dump, by what they do.
class census {
public:
  census(scheduler& runs, std::uint32_t now_ms) : runs_(runs), now_ms_(now_ms) {}

  /// A task that its scope keeps from ending meanwhile.
  void add(task_record& record) {
    if (try_hold(record)) {
      add_waiting(record);
      release_hold(record);
      return;
    }
    const char* state = "ready";
    runs_.each_worker([&record, &state](const worker& each) {
      if (each.current_approx() == &record) state = each.in_call_approx() ? "in a blocking call" : "running";
    });
    task_group& alike = group_of(record, state, nullptr);
    alike.count++;
    if (alike.shown.size() < shown_max) alike.shown.push_back({record.id, 0, {}, {}});
  }

  void write(bounded_writer& to) const {
    for (const task_group& each : groups_) to.write(text_of(each));
  }

private:
  // The task is held: its frames stand still.
  void add_waiting(task_record& record) {
    chain_.clear();
    std::coroutine_handle<> frame = record.leaf;
    for (int depth = 0; frame && depth < chain_max; depth++) {
      chain_.push_back(promise_of(frame).here);
      frame = promise_of(frame).continuation();
    }
    if (frame) chain_.push_back(nullptr);
    task_group& alike = group_of(record, nullptr, record.waits_on->reason);
    alike.count++;
    const std::uint32_t waited_ms = (now_ms_ - record.since_ms) & 0x7fff'ffffu;
    auto place = alike.shown.begin();
    while (place != alike.shown.end() && place->waited_ms >= waited_ms) ++place;
    if (static_cast<std::size_t>(place - alike.shown.begin()) == shown_max) return;
    if (alike.shown.size() == shown_max) alike.shown.pop_back();
    alike.shown.insert(place, {record.id, waited_ms, what_for(record), locals_of(record)});
  }

  task_group& group_of(const task_record& record, const char* state, const wait_reason* reason) {
    if (reason == nullptr) chain_.clear();
    key_.assign({record.name, std::bit_cast<const void*>(record.site), state, reason});
    key_.insert(key_.end(), chain_.begin(), chain_.end());
    const auto [at, is_new] = places_.try_emplace(
        std::string(reinterpret_cast<const char*>(key_.data()), key_.size() * sizeof(const void*)), groups_.size());
    if (is_new) groups_.push_back({.name = record.name, .site = record.site, .state = state, .reason = reason, .chain = chain_});
    return groups_[at->second];
  }

  static void append_chain(std::string& text, const task_group& of) {
    for (const void* here : of.chain) {
      if (here == nullptr) {
        text += "      ...\n";
        break;
      }
      const auto at = std::bit_cast<std::source_location>(here);
      fmt::format_to(std::back_inserter(text), "      {} {}:{}\n", function_name(at.function_name()), file_of(at), at.line());
    }
  }

  static std::string text_of(const task_group& group) {
    std::string text;
    const auto out = std::back_inserter(text);
    const std::string kind = kind_of(group.name, group.site);
    if (group.count <= group.shown.size()) {
      for (const single_task& each : group.shown) {
        if (group.reason == nullptr) {
          fmt::format_to(out, "  task {}{} {}\n", each.id, kind, group.state);
          continue;
        }
        fmt::format_to(out, "  task {}{} waits: {}{}, for {}\n", each.id, kind, group.reason->name,
                       each.what.empty() ? "" : " (" + each.what + ")", seconds(each.waited_ms));
        if (!each.locals.empty()) fmt::format_to(out, "      {}\n", each.locals);
        append_chain(text, group);
      }
      return text;
    }
    if (group.reason == nullptr) {
      fmt::format_to(out, "  {} tasks{} {}\n     ", group.count, kind, group.state);
      for (const single_task& each : group.shown) fmt::format_to(out, " task {},", each.id);
      return text + " ...\n";
    }
    fmt::format_to(out, "  {} tasks{} wait: {}, the longest for {}\n", group.count, kind, group.reason->name,
                   seconds(group.shown.front().waited_ms));
    append_chain(text, group);
    for (const single_task& each : group.shown) {
      fmt::format_to(out, "      task {}{}, for {}{}{}\n", each.id, each.what.empty() ? "" : " (" + each.what + ")",
                     seconds(each.waited_ms), each.locals.empty() ? "" : ", ", each.locals);
    }
    return text + "      ...\n";
  }

  scheduler& runs_;
  const std::uint32_t now_ms_;
  std::vector<task_group> groups_;  // as they were met
  std::unordered_map<std::string, std::size_t> places_;
  std::vector<const void*> chain_;  // of the task that is being added
  std::vector<const void*> key_;
};

/// The tasks of alike scopes that have never waited.
struct unentered {
  std::uint64_t tasks = 0;
  std::uint64_t scopes = 0;
};

}  // namespace

void print_tasks(scheduler& runs, int fd) {
  bounded_writer to(fd, patience_ms);
  // Not from a worker: one that has just been given a slot has no reactor yet.
  const auto now_ms = static_cast<std::uint32_t>(runs.reactor_at(0).now_ns() / 1'000'000);
  const frame_pool_stats frames = frame_statistics();
  to.write(fmt::format("levity: tasks of process {}; {} workers, {} bytes in {} frames and records\n", ::getpid(),
                            runs.serving_approx(), frames.bytes_in_use, frames.blocks_in_use));
  if (const auto nodes = runs.nodes_approx(); nodes.nodes > 1) {
    to.write(fmt::format("levity: {} nodes; {} tasks were taken from another one, {} of them while the own one had some\n",
                         nodes.nodes, nodes.taken, nodes.taken_early));
  }
  std::uint64_t tasks = 0;
  census all(runs, now_ms);
  std::map<std::string, unentered> never_waited;  // by the scope's name, or where one without it was opened
  runs.each_scope([&](scope_state& scope) {
    std::uint64_t entered = 0;
    constexpr int slice = 16;  // the scope's lock is held for so many
    scope.walk(
        1, slice,
        [&](task_record& record) {
          entered++;
          all.add(record);
        },
        [] {});
    const std::uint64_t live = std::max(scope.size_approx(), entered);
    tasks += live;
    if (live == entered) return;
    const std::source_location& at = scope.opened_at;
    unentered& alike = never_waited[scope.name != nullptr ? fmt::format("\"{}\"", scope.name)
                                                          : fmt::format("opened at {}:{}", file_of(at), at.line())];
    alike.tasks += live - entered;
    alike.scopes++;
  });
  all.write(to);
  for (const auto& [which, alike] : never_waited) {
    to.write(fmt::format("  {} of {} {} ready for the first time, or running and never waited yet\n", alike.tasks,
                         alike.scopes == 1 ? "scope" : fmt::format("{} scopes", alike.scopes), which));
  }
  std::string text;
  unsigned number = 0;
  runs.each_worker([&](const worker& each) {
    const unsigned thread = number++;
    const auto running = each.runs_approx();
    if (!running || running->has_waited) return;
    fmt::format_to(std::back_inserter(text), "  worker {} runs task {}{}, which has not waited yet{}\n", thread, running->id,
                   kind_of(running->name, running->site), each.in_call_approx() ? " and is in a blocking call" : "");
  });
  to.write(text);
  to.write(fmt::format("levity: {} task{}\n", tasks, tasks == 1 ? "" : "s"));
  if (to.gave_up()) to.write_last("\nlevity: the dump is not whole: nobody read it for a second\n");
}

}  // namespace levity::detail
