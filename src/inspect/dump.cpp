#include "inspect/dump.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <string>
#include <string_view>

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

std::string_view file_of(const std::source_location& at) {
  const std::string_view path = at.file_name();
  const std::size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

// The function's own name out of what the compiler calls it.
std::string_view function_of(const std::source_location& at) {
  std::string_view name = at.function_name();
  // Not the parenthesis of "(anonymous namespace)".
  constexpr std::string_view nameless = "(anonymous namespace)::";
  const std::size_t inside = name.find(nameless);
  if (inside != std::string_view::npos) name.remove_prefix(inside + nameless.size());
  name = name.substr(0, name.find('('));
  const std::size_t space = name.rfind(' ');
  return space == std::string_view::npos ? name : name.substr(space + 1);
}

constexpr int chain_max = 32;

// The values that are bound in a task, innermost first; of those of one name all but the first are hidden.
void append_locals(std::string& text, const task_record& record) {
  const char* gap = "      with ";
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
  if (innermost != nullptr) text += '\n';
}

// The task is held: its frames stand still.
void append_wait(std::string& text, task_record& record, std::uint32_t now_ms) {
  char what[160] = "";
  const wait_reason& reason = *record.waits_on->reason;
  if (reason.describe != nullptr) reason.describe(*record.waits_on, what, sizeof what);
  fmt::format_to(std::back_inserter(text), "waits: {}{}{}{}, for {:.3f} s\n", reason.name, *what != '\0' ? " (" : "", what,
                 *what != '\0' ? ")" : "", ((now_ms - record.since_ms) & 0x7fff'ffffu) / 1e3);
  append_locals(text, record);
  int depth = 0;
  for (std::coroutine_handle<> frame = record.leaf; frame && depth < chain_max; depth++) {
    const promise_base& promise = promise_of(frame);
    fmt::format_to(std::back_inserter(text), "      {} {}:{}\n", function_of(promise.location()), file_of(promise.location()),
                   promise.location().line());
    frame = promise.continuation();
  }
  if (depth == chain_max) text += "      ...\n";
}

void append_task(std::string& text, scheduler& runs, task_record& record, std::uint32_t now_ms) {
  fmt::format_to(std::back_inserter(text), "  task {}{}{}{} spawned at {}:{} ", record.id, record.name != nullptr ? " \"" : "",
                 record.name != nullptr ? record.name : "", record.name != nullptr ? "\"" : "", file_of(record.site),
                 record.site.line());
  if (try_hold(record)) {
    append_wait(text, record, now_ms);
    release_hold(record);
    return;
  }
  const char* state = "ready\n";
  runs.each_worker([&record, &state](const worker& each) {
    if (each.current_approx() == &record) state = each.in_call_approx() ? "in a blocking call\n" : "running\n";
  });
  text += state;
}

}  // namespace

void print_tasks(scheduler& runs, int fd) {
  bounded_writer to(fd, patience_ms);
  // Not from a worker: one that has just been given a slot has no reactor yet.
  const auto now_ms = static_cast<std::uint32_t>(runs.reactor_at(0).now_ns() / 1'000'000);
  const frame_pool_stats frames = frame_statistics();
  to.write(fmt::format("levity: tasks of process {}; {} workers, {} bytes in {} frames and records\n", ::getpid(),
                            runs.size(), frames.bytes_in_use, frames.blocks_in_use));
  std::uint64_t tasks = 0;
  runs.each_scope([&](scope_state& scope) {
    std::string text;
    std::uint64_t entered = 0;
    constexpr int slice = 16;  // the scope's lock is held for so many
    scope.walk(
        1, slice,
        [&](task_record& record) {
          entered++;
          append_task(text, runs, record, now_ms);
        },
        [&] {
          to.write(text);
          text.clear();
        });
    const std::uint64_t live = std::max(scope.size_approx(), entered);
    tasks += live;
    if (live > entered) {
      to.write(fmt::format("  {} of scope {}{}{} ready for the first time, or running and never waited yet\n", live - entered,
                                scope.name != nullptr ? "\"" : "", scope.name != nullptr ? scope.name : "without a name",
                                scope.name != nullptr ? "\"" : ""));
    }
  });
  std::string text;
  unsigned number = 0;
  runs.each_worker([&](const worker& each) {
    const unsigned thread = number++;
    const auto running = each.runs_unentered_approx();
    if (!running) return;
    fmt::format_to(std::back_inserter(text), "  worker {} runs task {}{}{}{} spawned at {}:{}, which has not waited yet{}\n",
                   thread, running->id, running->name != nullptr ? " \"" : "", running->name != nullptr ? running->name : "",
                   running->name != nullptr ? "\"" : "", file_of(running->site), running->site.line(),
                   each.in_call_approx() ? " and is in a blocking call" : "");
  });
  to.write(text);
  to.write(fmt::format("levity: {} tasks\n", tasks));
  if (to.gave_up()) to.write_last("\nlevity: the dump is not whole: nobody read it for a second\n");
}

}  // namespace levity::detail
