#pragma once

// log: lines about what a service does, that nobody who serves ever waits for.
//
// Why: standard error is often a pipe, and whoever reads it stops at times. A program that writes its lines itself then stops,
// too, in the middle of a request. Here a line is laid into memory, and a task of its own writes; when the memory is full the
// line is dropped, counted, and the number is told as soon as there is room.
//
//   worker   level, rate of the site, formatting on its own stack, copying under a short lock
//   writer   exchanges the buffers under the lock, writes the full one, with the house's I/O
//
//   buffer     moved by
//   filling    who logs, under the lock; the first line wakes the writer
//   -> away    the writer, under the lock, with the number of lines that found no room since the last exchange
//   -> filling when it has been written
//
//   logged = written + dropped + lost + what is in the two buffers; suppressed lines count for none of them
//
// A site (file and line of the call) that says more than so many lines a second is silent for the rest of it; its first line of a
// later second says how many were suppressed. Sites are looked up in a table of fixed size by relaxed words: a number each, and
// nothing behind it. Where there are more sites than places, some share one, and its limit.
//
// Rejected: a ring of lines of fixed size (most of it empty, long lines cut); a channel (a block of memory for each line); a ring
// for each worker (lines of one request out of order); writing with O_NONBLOCK from the worker (that flag is everybody's who has
// the description, see standard_stream.hpp).

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <source_location>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include "levity/base/atomic.hpp"
#include "levity/base/clock.hpp"
#include "levity/base/error.hpp"
#include "levity/base/spin_lock.hpp"
#include "levity/io/byte_stream.hpp"
#include "levity/io/byte_view.hpp"
#include "levity/service/quantity.hpp"
#include "levity/sync/semaphore.hpp"
#include "levity/sync/watch.hpp"
#include "levity/task/cancel.hpp"
#include "levity/task/shield.hpp"
#include "levity/task/task.hpp"
#include "levity/time/sleep.hpp"
#include "levity/time/timeout.hpp"

namespace levity::inline v0::service {

/// How much a line matters.
enum class log_level : std::uint8_t {
  debug,  ///< for who looks for a fault
  info,   ///< what happened
  warn,   ///< it went well, but somebody should look
  error,  ///< it did not go well
};

/// The enumerator's name.
[[nodiscard]] std::string_view to_string(log_level of) noexcept;

/// How a line looks.
enum class log_format : std::uint8_t {
  json,    ///< {"ts":"2026-11-30T06:17:05.123456Z","level":"info","msg":"placed","order":7}
  logfmt,  ///< ts=2026-11-30T06:17:05.123456Z level=info msg=placed order=7
};

/// How a log is set up.
struct log_options {
  log_format format = log_format::json;    ///< how lines look
  log_level level = log_level::info;       ///< lines below it cost one comparison
  byte_size buffer{1 << 20};               ///< of each of the two buffers; at least one line
  std::uint32_t per_site_per_second = 100; ///< lines that one place in the code may write; 0: any number
  duration linger = std::chrono::milliseconds(2);  ///< for so long lines are gathered before they are written
  bool with_place = false;                 ///< file and line of the call in each line
  std::int64_t (*wall_ns)() noexcept = nullptr;  ///< the time since 1970; null: lv::wall_clock's
};

/// A value in a line. A view, for the call alone.
class log_value {
public:
  /// From an integer, a floating-point number, true or false, a text; a duration is a number of milliseconds.
  template <class T>
    requires std::integral<T>
  constexpr log_value(T value) noexcept {
    if constexpr (std::same_as<T, bool>) {
      kind_ = kind::boolean;
      unsigned_ = value ? 1 : 0;
    } else if constexpr (std::is_signed_v<T>) {
      kind_ = kind::integer;
      signed_ = value;
    } else {
      kind_ = kind::natural;
      unsigned_ = value;
    }
  }
  constexpr log_value(double value) noexcept : kind_(kind::real), real_(value) {}
  template <class Rep, class Period>
  constexpr log_value(std::chrono::duration<Rep, Period> value) noexcept
      : kind_(kind::span), signed_(std::chrono::duration_cast<duration>(value).count()) {}
  template <class T>
    requires std::convertible_to<const T&, std::string_view>
  constexpr log_value(const T& value) noexcept : kind_(kind::text), text_(value) {}

private:
  friend class log_line;
  enum class kind : std::uint8_t { integer, natural, real, boolean, text, span };

  kind kind_ = kind::text;
  union {
    std::int64_t signed_;
    std::uint64_t unsigned_;
    double real_;
    std::string_view text_;
  };
};

/// A name with a value: {"order", 7}.
struct log_field {
  std::string_view name;  ///< a word
  log_value value;        ///< what of it
};

/// What a line says, and where. Made of a text, by the call.
struct log_message {
  /// From a text; the place is that of the call.
  template <class Text>
    requires std::convertible_to<const Text&, std::string_view>
  constexpr log_message(const Text& said, std::source_location place = std::source_location::current()) noexcept
      : text(said), at(place) {}

  std::string_view text;    ///< the same for all lines of this place: what differs belongs into fields
  std::source_location at;  ///< of the call
};

/// What became of lines so far. Racy by nature.
struct log_figures {
  std::uint64_t logged = 0;      ///< that were of a level that counts, and not suppressed
  std::uint64_t dropped = 0;     ///< of these, that found no room
  std::uint64_t lost = 0;        ///< of these, that could not be written
  std::uint64_t suppressed = 0;  ///< beside these, for their place had said too much
};

/// Lines of one service.
///
///     lv::service::log log;
///     background.spawn([](lv::service::log* of) { return of->write_to_stderr(); }, &log);
///     log.info("order placed", {{"order", id}, {"took", took}});
///
/// Lines carry the request id and the trace that are bound for the running task. Logging: any thread, inside tasks and outside;
/// never waits, allocates or throws. A line is at most 4 KiB long, and says so when something was cut off.
class log {
public:
  /// The longest line.
  static constexpr std::size_t line_bytes_max = 4096;

  /// Throws std::bad_alloc: the buffers are allocated here, and nothing later.
  explicit log(log_options options = {});
  log(const log&) = delete;
  log& operator=(const log&) = delete;
  /// No writer runs. What is in the buffers is gone: see take_rest().
  ~log();

  /// For who looks for a fault.
  void debug(log_message said, std::initializer_list<log_field> fields = {}) noexcept { write(log_level::debug, said, fields); }
  /// What is as it should be.
  void info(log_message said, std::initializer_list<log_field> fields = {}) noexcept { write(log_level::info, said, fields); }
  /// What somebody should look at.
  void warn(log_message said, std::initializer_list<log_field> fields = {}) noexcept { write(log_level::warn, said, fields); }
  /// What failed.
  void error(log_message said, std::initializer_list<log_field> fields = {}) noexcept { write(log_level::error, said, fields); }
  /// A line of that level.
  void write(log_level level, log_message said, std::initializer_list<log_field> fields = {}) noexcept {
    if (level >= level_.load(std::memory_order_relaxed)) write_line(level, said, fields);
  }

  /// Whether lines of that level are written; for who computes something only for a line.
  [[nodiscard]] bool is_on(log_level level) const noexcept { return level >= level_.load(std::memory_order_relaxed); }
  /// From now on lines from this level on. Any thread.
  void set_level(log_level level) noexcept { level_.store(level, std::memory_order_relaxed); }

  /// Writes lines to `sink`, which outlives it, until the task is cancelled; then what is left, for a second at most. One writer at
  /// a time. A sink that fails loses what it was given, and gets the next lines all the same.
  template <byte_sink Sink>
  task<> write_to(Sink* sink) {
    bool goes_on = true;
    while (goes_on) {
      try {
        co_await wake_.acquire();
        if (options_.linger > duration::zero()) co_await sleep(options_.linger);
      } catch (const cancelled&) {
        goes_on = false;
      }
      const std::string_view full = exchange();
      if (full.empty()) continue;
      if (goes_on) {
        const auto done = co_await sink->write_all(bytes_of(full));
        goes_on = done || done.error() != io_failure::cancelled;
        written(full, done.has_value());
        if (goes_on) continue;
      } else {
        co_await shield(write_last(sink, full));
        continue;
      }
      // Cancelled in the middle: what came meanwhile is the last.
      const std::string_view last = exchange();
      if (!last.empty()) co_await shield(write_last(sink, last));
    }
  }

  /// The same to standard error, which other programs may share: it is never made non-blocking.
  task<> write_to_stderr();

  /// Waits until all that was logged before has been written, dropped or lost. Throws `cancelled` on cancellation: put a deadline
  /// around it. Waits for ever without a writer.
  task<> flush();

  /// What is in the buffer now, for who has no writer any more: to be printed at the very end. Not beside a writer.
  [[nodiscard]] std::string take_rest();

  /// The figures now. Any thread.
  [[nodiscard]] log_figures look() const noexcept;

private:
  struct site {
    atomic<std::uint64_t> key{0};    // which place in the code; 0: free
    atomic<std::uint64_t> state{0};  // the second, and how many lines in it
  };
  static constexpr std::size_t sites = 1024;
  static constexpr std::size_t told_bytes_max = 256;  // what the writer adds to a buffer

  static byte_view bytes_of(std::string_view text) noexcept { return std::as_bytes(std::span(text)); }
  template <class Sink>
  task<> write_last(Sink* sink, std::string_view text) {
    const auto done = co_await with_timeout(std::chrono::seconds(1), give(sink, text));
    written(text, done && *done);
  }
  template <class Sink>
  static task<bool> give(Sink* sink, std::string_view text) {
    const auto done = co_await sink->write_all(bytes_of(text));
    co_return done.has_value();
  }

  void write_line(log_level level, const log_message& said, std::initializer_list<log_field> fields) noexcept;
  bool is_silent(const std::source_location& at, std::uint64_t second, std::uint32_t& suppressed) noexcept;
  std::string_view exchange() noexcept;
  void written(std::string_view text, bool well);
  std::int64_t wall_ns() const noexcept;

  const log_options options_;
  const std::size_t capacity_;
  atomic<log_level> level_;              // relaxed: a number and nothing behind it
  atomic<std::uint64_t> suppressed_{0};  // relaxed, as the next
  atomic<std::uint64_t> lost_{0};
  std::unique_ptr<std::array<site, sites>> sites_;

  mutable levity::detail::spin_lock lock_;
  std::unique_ptr<char[]> filling_;   // guarded by lock_, as are the next five
  std::size_t filled_ = 0;            // bytes
  bool awake_ = false;                // the writer has been woken for what is in it
  std::uint64_t logged_ = 0;
  std::uint64_t dropped_ = 0;
  std::uint64_t dropped_told_ = 0;

  std::unique_ptr<char[]> away_;  // the writer's, as are the next two
  std::uint64_t logged_away_ = 0;
  bool told_away_ = false;        // its last line tells of dropped ones, and is none of those logged
  semaphore wake_{0};
  watch<std::uint64_t> written_{0};  // lines that were logged up to the end of what was written
};

}  // namespace levity::service
