#pragma once

// layout: what a debugger must know to list the tasks of a process, or of its core file, with nothing but reads of memory.
//
// Two symbols, which survive `strip -g`:
//
//   levity_layout     pairs of a name and a number, ended by a null name: where things are, in bytes. Names are added; what an old
//                     name means never changes but together with "version"
//   levity_runtimes   the first listed_runtime, null when none lives; the others follow by `next`
//
// tools/gdb/levity_gdb.py reads them. So the script needs no debug information and fits every version of the library, and what it
// relies on stands in one file that the compiler checks.
//
// Rejected: asking the debug information (-g1 has no types, and users strip); calling the dump in the process (a core file cannot,
// and a stopped process may hold the locks that the dump takes).

#include <cstdint>

namespace levity::inline v0::detail {

class scheduler;

/// A runtime that debuggers find. Lives as long as it.
struct listed_runtime {
  listed_runtime(scheduler& runs, bool is_simulated) noexcept;
  ~listed_runtime();
  listed_runtime(const listed_runtime&) = delete;
  listed_runtime& operator=(const listed_runtime&) = delete;

  listed_runtime* next = nullptr;    // guarded by the list's lock
  // Constant.
  const void* registries = nullptr;  // of scopes: so many, one behind the other
  std::uint64_t registries_count = 0;
  const void* workers = nullptr;     // an array of pointers; how many of them are there yet:
  const void* workers_count = nullptr;
  std::uint64_t simulated = 0;       // its clock is virtual
  // One moment on the two clocks: a core file knows only the time of day.
  std::int64_t monotonic_ns = 0;
  std::int64_t realtime_ns = 0;
};

}  // namespace levity::detail
