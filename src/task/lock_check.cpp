#include "task/lock_check.hpp"

#if defined(LEVITY_CHECK_LOCKS)

#include <cstddef>
#include <cstdio>
#include <utility>

#include "base/held_locks.hpp"
#include "base/source_file.hpp"
#include "levity/base/assert.hpp"
#include "levity/task/detail/promise.hpp"
#include "levity/task/detail/record.hpp"

namespace levity::inline v0::detail {
namespace {

constexpr std::size_t chain_max = 8;

// Of the run that goes on in this thread.
struct run_notes {
  int before = 0;  // locks when it began
  const char* file = "a task that has ended";
  unsigned line = 0;
  char text[768] = "";
};

constinit thread_local run_notes notes [[gnu::tls_model("initial-exec")]];

template <class... Args>
void append(std::size_t& size, const char* format, Args... args) noexcept {
  if (size >= sizeof notes.text) return;
  const int more = std::snprintf(notes.text + size, sizeof notes.text - size, format, args...);
  size += more > 0 ? static_cast<std::size_t>(more) : 0;
}

}  // namespace

void note_wait(const task_record& record, std::coroutine_handle<> leaf, const char* waits_for) noexcept {
  if (held_locks <= notes.before) [[likely]] return;
  std::size_t size = 0;
  append(size, "task %u", record.id);
  if (record.name != nullptr) append(size, " \"%s\"", record.name);
  if (record.site.line() != 0) append(size, " spawned at %s:%u", file_of(record.site), record.site.line());
  append(size, " waits (%s) at", waits_for);
  std::size_t depth = 0;
  for (std::coroutine_handle<> frame = leaf; frame && depth < chain_max; depth++) {
    const promise_base& promise = promise_of(frame);
    const std::source_location at = promise.location();
    if (depth == 0) {
      notes.file = at.file_name();
      notes.line = at.line();
    }
    append(size, "%s %s:%u", depth == 0 ? "" : ", called at", file_of(at), at.line());
    frame = promise.continuation();
  }
  append(size, "%s",
         " and holds a lock (a std::mutex or the like) that it took before: use lv::mutex, or end the lock's scope "
         "before the co_await");
}

watched_run::watched_run() noexcept : outer_(std::exchange(notes.before, held_locks)) { notes.text[0] = '\0'; }

watched_run::~watched_run() {
  if (held_locks > notes.before) [[unlikely]] {
    assertion_failed("no lock is held across a co_await",
                     notes.text[0] != '\0' ? notes.text : "a task has ended and left a lock (a std::mutex or the like) behind",
                     notes.file, static_cast<int>(notes.line));
  }
  notes.before = outer_;
}

}  // namespace levity::detail

#endif
