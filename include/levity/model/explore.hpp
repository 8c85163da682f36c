#pragma once

// explore: runs a piece of lock-free code under every order of its steps, and with the values that C++20 lets its loads see. What
// it leaves out of that it says: by the bounds of `options` here, and for the rest in src/model/memory.hpp.
//
//   #include <levity/model/explore.hpp>
//   namespace lv = levity;
//
//   lv::model::result seen = lv::model::explore({}, [] {
//     lv::model::atomic<bool> ready{false};
//     lv::model::cell<int> data{0};
//     lv::model::together([&] { data.set(42); ready.store(true, std::memory_order_release); },
//                         [&] { if (ready.load(std::memory_order_acquire)) lv::model::require(data.get() == 42, "published"); });
//   });
//   if (seen.failure) std::puts(seen.failure->interleaving.c_str());
//
// The body is run again and again, so it makes what it uses anew each time, and must do the same whenever it is given the same
// answers: no clock, no random numbers, no input. Its threads are virtual; all of them run on the calling thread.
//
// What is found: a broken requirement; a data race on cells; a word touched before it has begun or after its end; a deadlock, of
// which a lost wake-up is one; threads that spin for ever. What the machine does, and does not do, with memory is written down in
// src/model/memory.hpp.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <source_location>
#include <string>
#include <type_traits>
#include <utility>

#include "levity/model/atomic.hpp"

namespace levity::inline v0::model {

/// How an exploration goes about it, and when it gives up.
struct options {
  /// In which order executions come: all of them, or some by chance.
  enum class mode : std::uint8_t { exhaustive, random };
  /// What is left out because it cannot make a difference: nothing; what sleep sets show; and what no race asks for. The first two
  /// are for checking the third.
  enum class reduction : std::uint8_t { none, sleep, races };
  /// Load buffering: which writes may come before an operation that stands before them. Those that do not depend on it, as on ARM;
  /// or any that the thread has made in some execution, which C++20 does not forbid: it knows no dependencies.
  enum class buffering : std::uint8_t { none, independent, any };
  /// No bound.
  static constexpr unsigned unlimited = ~0U;

  /// All executions, or some by chance.
  mode how = mode::exhaustive;
  /// It stops after so many executions, redundant ones included, be it at the end or not.
  std::uint64_t executions_max = 10'000'000;
  /// Exhaustive: only executions in which no more than so many threads are interrupted while they could go on. Bounded, nothing is
  /// reduced: a bound pays where it is small.
  unsigned preemptions_max = unlimited;
  /// What is left out.
  reduction reduce = reduction::races;
  /// Random: the seed from which all executions follow.
  std::uint64_t seed = 1;
  /// Random: so many times, less one, another thread takes precedence in an execution.
  unsigned depth = 3;
  /// How often in a row a thread may read the same message of a word while there is a newer one: a store is seen some day.
  unsigned stale_reads_max = 3;
  /// How often in a row spin_hint() may return although nobody has stored anything since: 0 for loops that only another thread's
  /// store ends, as many as the rounds of one that gives up.
  unsigned hints_max = 0;
  /// An execution with more steps than this has no end. At most 60,000.
  unsigned steps_max = 5'000;
  /// Whether a store may come before one that was made earlier, in the modification order of its word, where that is allowed.
  bool reorder_stores = true;
  /// Random: whether one relaxed operation of an execution comes after the next write of its thread, which is no release.
  /// Executions are run twice, without it and with it, and count so; one that turns out not to be is redundant, and left in the
  /// middle: no destructors run, so the body holds no descriptors, no locks of the system and nothing global. A failure comes again
  /// by its seed, not by a replay.
  buffering load_buffering = buffering::none;
  /// Whether a wait that has a time limit may reach it, as it does at the latest when nobody else can go on. Where it may not, a
  /// wake-up that is lost is a deadlock.
  bool timeouts = false;
  /// The body keeps something from one execution to the next: a failure comes again behind all of those, not by a replay.
  bool remembers = false;
  /// The one execution with these answers, which a failure has printed. An empty line, or what cannot be read, ends the program.
  std::optional<std::string> replay = {};
};

/// What went wrong in an execution.
struct failure {
  std::string what;          ///< in one sentence
  std::string interleaving;  ///< step by step, one a line
  std::string replay;        ///< options::replay for this execution
};

/// Which bounds have left something out. Those that are no option of the explorer keep loops from having no end.
struct bounds {
  bool stale_reads = false;  ///< options::stale_reads_max: the same old message once more
  bool hints = false;        ///< options::hints_max: a hint that waited for a store, and might have returned before
  bool looks = false;        ///< who looks in vain, 49 times in a row and without a hint, waited for a store as well
  bool exchanges = false;    ///< a weak exchange that fails for no reason twice in a row
  bool waits = false;        ///< a wait that ends for no reason, or by time, twice in a row
  bool preemptions = false;  ///< options::preemptions_max

  /// Whether any has.
  explicit operator bool() const noexcept { return stale_reads || hints || looks || exchanges || waits || preemptions; }
  /// Their names, "hints, waits"; empty if none has.
  [[nodiscard]] std::string text() const;
};

/// What an exploration has seen.
struct result {
  std::uint64_t executions = 0;  ///< that differ
  std::uint64_t redundant = 0;   ///< that were one of the others in another order, or turned out not to be any
  std::uint64_t steps = 0;       ///< of all of them
  double seconds = 0;            ///< wall time
  bool complete = false;         ///< there are no others, within the bounds
  bounds bounded;                ///< what has been left out by them
  bool astray = false;           ///< options::replay is of another program, or of other options: its answers did not fit
  std::optional<model::failure> failure;  ///< of the last execution, if it failed
};

namespace detail {

result explore(const options& wanted, void (*body)(void*), void* data);
unsigned start(void (*body)(void*), void* data, void (*drop)(void*), std::source_location where);
void join(unsigned thread, std::source_location where);
void plain(const void* address, bool writes, std::source_location where) noexcept;
void begins(const void* address, std::source_location where) noexcept;
void per_thread(void* word, std::size_t size);
[[noreturn]] void fails_outside(const char* what, std::source_location where) noexcept;

/// What a thread is to do, and whose line asks for it.
struct work {
  template <class Does>
  work(Does does, std::source_location where = std::source_location::current())
      : run([](void* it) { (*static_cast<Does*>(it))(); }),
        kept(new Does(std::move(does)), [](void* it) { delete static_cast<Does*>(it); }), asked_at(where) {}

  void (*run)(void*);
  std::unique_ptr<void, void (*)(void*)> kept;
  std::source_location asked_at;
};

}  // namespace detail

/// Runs `body` until all of its executions have been seen, one has failed, or options say that it is enough. On the calling thread,
/// which must not be inside an exploration. A step takes some tens of nanoseconds.
template <class Body>
result explore(const options& wanted, Body&& body) {
  return detail::explore(wanted, [](void* data) { (*static_cast<std::remove_reference_t<Body>*>(data))(); },
                         const_cast<void*>(static_cast<const void*>(std::addressof(body))));
}

/// A virtual thread of an exploration; only inside one, up to 8 with the body itself. Joined by its end at the latest.
class thread {
public:
  /// Starts it. What the body writes before happens before what `work` does.
  template <class Work>
  explicit thread(Work work, std::source_location where = std::source_location::current())
      : thread(detail::work(std::move(work), where)) {}
  /// The same, for together().
  explicit thread(detail::work work)
      : where_(work.asked_at), number_(detail::start(work.run, work.kept.get(), work.kept.get_deleter(), where_)) {
    static_cast<void>(work.kept.release());
  }
  thread(const thread&) = delete;
  thread& operator=(const thread&) = delete;
  ~thread() { join(where_); }

  /// Waits until it has ended; what it did happens before the return.
  void join(std::source_location where = std::source_location::current()) {
    if (!std::exchange(joined_, true)) detail::join(number_, where);
  }

private:
  const std::source_location where_;
  const unsigned number_;
  bool joined_ = false;
};

/// Runs `first`, and each of `others`, on a thread of its own and waits for all of them.
template <class... Works>
void together(detail::work first, Works... others) {
  [[maybe_unused]] const std::source_location where = first.asked_at;  // the line of the caller, for behind a pack is no room
  const thread all[] = {thread(std::move(first)), thread(std::move(others), where)...};
}

/// Ends the exploration with a failure unless `holds`; outside of one, the program.
inline void require(bool holds, const char* what, std::source_location where = std::source_location::current()) {
  if (holds) return;
  if (levity::detail::this_explorer == nullptr) detail::fails_outside(what, where);
  levity::detail::this_explorer->fails(what, where);
}

/// A number below `count`, each of which is tried.
unsigned choose(unsigned count);

/// Tells that plain data is read, or written, here: two threads of which one writes need happens-before between them.
template <class T>
void read(const T& data, std::source_location where = std::source_location::current()) noexcept {
  detail::plain(&data, false, where);
}
/// The same for a write.
template <class T>
void write(T& data, std::source_location where = std::source_location::current()) noexcept {
  detail::plain(&data, true, where);
}

/// Says that memory has been given back: who touches a word or a cell in it from here on, in this execution, fails. The memory
/// itself should stay until the end of the body, lest something new begins there.
void retire(const void* memory, std::size_t size, std::source_location where = std::source_location::current());

/// Plain data under watch: every get and set is a read(), or a write().
template <class T>
class cell {
public:
  /// Begins with `value`; nobody has touched it yet but this thread.
  explicit cell(T value = T{}, std::source_location where = std::source_location::current()) noexcept : value_(std::move(value)) {
    detail::begins(&value_, where);
  }
  cell(const cell&) = delete;
  cell& operator=(const cell&) = delete;

  /// A copy of the value; a read().
  [[nodiscard]] T get(std::source_location where = std::source_location::current()) const noexcept {
    detail::plain(&value_, false, where);
    return value_;
  }
  /// A write().
  void set(T value, std::source_location where = std::source_location::current()) noexcept {
    detail::plain(&value_, true, where);
    value_ = std::move(value);
  }

private:
  T value_;
};

/// Before an exploration: each of its threads has a `word` of its own, a thread_local variable of the calling thread, which starts
/// with the value that it has when the exploration begins. For the explorations that this thread makes from here on.
template <class T>
void per_thread(T& word) {
  static_assert(std::is_trivially_copyable_v<T>, "it is copied byte by byte at each change of threads");
  detail::per_thread(&word, sizeof(T));
}

}  // namespace levity::model
