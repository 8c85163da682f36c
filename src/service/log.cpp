#include "levity/service/log.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <utility>

#include "base/spin_guard.hpp"
#include "levity/base/wall_clock.hpp"
#include "levity/io/standard_stream.hpp"
#include "levity/service/trace_context.hpp"

namespace levity::inline v0::service {
namespace {

constexpr char in_the_program = 0;

// Days since 1970 as a date of the Gregorian calendar: Howard Hinnant's days algorithm (2014), for years from 1970 on.
struct date {
  unsigned year, month, day;
};

constexpr date date_of(std::uint64_t days) noexcept {
  const std::uint64_t shifted = days + 719'468;  // since the first of March of year 0
  const std::uint64_t era = shifted / 146'097;
  const auto of_era = static_cast<unsigned>(shifted % 146'097);
  const unsigned year = (of_era - of_era / 1460 + of_era / 36'524 - of_era / 146'096) / 365;
  const unsigned of_year = of_era - (365 * year + year / 4 - year / 100);
  const unsigned march_month = (5 * of_year + 2) / 153;
  const unsigned day = of_year - (153 * march_month + 2) / 5 + 1;
  const unsigned month = march_month < 10 ? march_month + 3 : march_month - 9;
  return {static_cast<unsigned>(year + era * 400) + (month <= 2 ? 1 : 0), month, day};
}

// How many bytes a character of UTF-8 at `at` has; 0: it is none (RFC 3629).
std::size_t character_at(std::string_view text, std::size_t at) noexcept {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned first = byte(at);
  if (first < 0x80) return 1;
  const std::size_t size = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || at + size > text.size()) return 0;
  for (std::size_t i = 1; i < size; i++) {
    if ((byte(at + i) & 0xc0) != 0x80) return 0;
  }
  const unsigned second = byte(at + 1);
  if ((first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f) || (first == 0xf0 && second < 0x90) ||
      (first == 0xf4 && second > 0x8f)) {
    return 0;
  }
  return size;
}

constexpr std::uint64_t mixed(std::uint64_t h) noexcept {
  h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9;
  h = (h ^ (h >> 27)) * 0x94d049bb133111eb;
  return h ^ (h >> 31);
}

}  // namespace

// A line in the making, on the stack of who logs. What would not fit any more is left out as a whole, texts behind the character
// that did; the end of the line has room of its own.
class log_line {
public:
  explicit log_line(log_format format) noexcept : json_(format == log_format::json) {}

  void begin(std::int64_t wall_ns, log_level level) noexcept {
    if (json_) put("{");
    name("ts");
    if (json_) put("\"");
    stamp(wall_ns);
    if (json_) put("\"");
    text("level", to_string(level));
  }

  void text(std::string_view key, std::string_view value) noexcept {
    if (!name(key)) return;
    if (json_) {
      put("\"");
      escaped(value);
      ends_text();
    } else if (needs_quotes(value)) {
      put("\"");
      escaped(value);
      ends_text();
    } else {
      escaped(value);
    }
  }

  void value(const log_field& field) noexcept {
    using kind = log_value::kind;
    const log_value& of = field.value;
    char digits[40];
    std::to_chars_result done{digits, std::errc()};
    switch (of.kind_) {
      case kind::text: return text(field.name, of.text_);
      case kind::integer: done = std::to_chars(digits, digits + sizeof digits, of.signed_); break;
      case kind::natural: done = std::to_chars(digits, digits + sizeof digits, of.unsigned_); break;
      case kind::boolean: return plain(field.name, of.unsigned_ != 0 ? "true" : "false");
      case kind::span:
        done = std::to_chars(digits, digits + sizeof digits, static_cast<double>(of.signed_) / 1e6);
        break;
      case kind::real:
        if (!std::isfinite(of.real_)) return text(field.name, std::isnan(of.real_) ? "nan" : of.real_ > 0 ? "inf" : "-inf");
        done = std::to_chars(digits, digits + sizeof digits, of.real_);
        break;
    }
    plain(field.name, {digits, static_cast<std::size_t>(done.ptr - digits)});
  }

  void plain(std::string_view key, std::string_view digits) noexcept {
    if (digits.size() + key.size() + 4 > room()) {
      cut_ = true;
    } else if (name(key)) {
      put(digits);
    }
  }

  // The whole line, with its end.
  std::string_view end() noexcept {
    limit_ = sizeof text_;
    if (cut_) put(json_ ? ",\"cut\":true" : " cut=true");
    put(json_ ? "}\n" : "\n");
    return {text_, size_};
  }

private:
  static constexpr std::size_t kept_for_the_end = 32;

  [[nodiscard]] std::size_t room() const noexcept { return limit_ - size_; }
  void put(std::string_view more) noexcept {
    const std::size_t fits = std::min(more.size(), room());
    std::memcpy(text_ + size_, more.data(), fits);
    size_ += fits;
  }
  // The quote that ends a text always has room.
  void ends_text() noexcept { text_[size_++] = '"'; }

  // False: there is no room for it, or for anything behind a text that was cut.
  bool name(std::string_view key) noexcept {
    if (cut_ || key.size() * 6 + 8 > room()) {
      cut_ = true;
      return false;
    }
    const bool first = size_ == (json_ ? 1U : 0U);
    if (!first) put(json_ ? "," : " ");
    if (json_) {
      put("\"");
      escaped(key);
      put("\":");
      return true;
    }
    for (const char c : key) {
      const char plain_c = c > ' ' && c != '=' && c != '"' && static_cast<unsigned char>(c) < 0x7f ? c : '_';
      put({&plain_c, 1});
    }
    put("=");
    return true;
  }

  static bool needs_quotes(std::string_view value) noexcept {
    if (value.empty()) return true;
    for (const char c : value) {
      if (c <= ' ' || c == '=' || c == '"' || c == '\\' || c == 0x7f) return true;  // what is no ASCII is negative
    }
    return false;
  }

  void escaped(std::string_view value) noexcept {
    for (std::size_t at = 0; at < value.size();) {
      // Most texts have nothing to escape.
      std::size_t plain_end = at;
      while (plain_end < value.size() && is_plain(value[plain_end])) plain_end++;
      if (plain_end != at) {
        const std::size_t fits = std::min(plain_end - at, room());
        put(value.substr(at, fits));
        at += fits;
        if (at == plain_end) continue;
        cut_ = true;
        return;
      }
      char piece[8];
      const std::string_view as = escape(value, at, piece);
      if (as.size() > room()) {
        cut_ = true;
        return;
      }
      put(as);
    }
  }

  static bool is_plain(char c) noexcept { return c >= ' ' && c < 0x7f && c != '"' && c != '\\'; }

  // One character that cannot stand there as it is, or is no ASCII; moves `at` behind it.
  static std::string_view escape(std::string_view value, std::size_t& at, char (&piece)[8]) noexcept {
    const char c = value[at];
    const auto code = static_cast<unsigned char>(c);
    if (code >= 0x80) {
      const std::size_t size = character_at(value, at);
      if (size == 0) {
        at++;
        return "\xef\xbf\xbd";  // the replacement character
      }
      const std::string_view whole = value.substr(at, size);
      at += size;
      return whole;
    }
    at++;
    switch (c) {
      case '"': return "\\\"";
      case '\\': return "\\\\";
      case '\n': return "\\n";
      case '\r': return "\\r";
      case '\t': return "\\t";
      default: break;
    }
    constexpr char digits[] = "0123456789abcdef";
    const char escaped_code[] = {'\\', 'u', '0', '0', digits[code >> 4], digits[code & 15]};
    std::memcpy(piece, escaped_code, sizeof escaped_code);
    return {piece, sizeof escaped_code};
  }

  void stamp(std::int64_t wall_ns) noexcept {
    const auto ns = static_cast<std::uint64_t>(std::max<std::int64_t>(wall_ns, 0));
    const std::uint64_t seconds = ns / 1'000'000'000;
    const date day = date_of(seconds / 86'400);
    const auto of_day = static_cast<unsigned>(seconds % 86'400);
    char made[] = "0000-00-00T00:00:00.000000Z";
    const auto digits = [&](std::size_t last, unsigned count, std::uint64_t value) {
      for (; count > 0; count--, value /= 10) made[last--] = static_cast<char>('0' + value % 10);
    };
    digits(3, 4, day.year);
    digits(6, 2, day.month);
    digits(9, 2, day.day);
    digits(12, 2, of_day / 3600);
    digits(15, 2, of_day / 60 % 60);
    digits(18, 2, of_day % 60);
    digits(25, 6, ns % 1'000'000'000 / 1000);
    put({made, sizeof made - 1});
  }

  const bool json_;
  bool cut_ = false;
  std::size_t size_ = 0;
  std::size_t limit_ = log::line_bytes_max - kept_for_the_end;
  char text_[log::line_bytes_max];
};

std::string_view to_string(log_level of) noexcept {
  switch (of) {
    case log_level::debug: return "debug";
    case log_level::info: return "info";
    case log_level::warn: return "warn";
    case log_level::error: return "error";
  }
  return "unknown";
}

log::log(log_options options)
    : options_(options),
      capacity_(std::max<std::size_t>(options.buffer.bytes, line_bytes_max)),
      level_(options.level),
      sites_(std::make_unique<std::array<site, sites>>()),
      filling_(std::make_unique_for_overwrite<char[]>(capacity_ + told_bytes_max)),
      away_(std::make_unique_for_overwrite<char[]>(capacity_ + told_bytes_max)) {}

log::~log() = default;

std::int64_t log::wall_ns() const noexcept {
  if (options_.wall_ns != nullptr) return options_.wall_ns();
  return wall_clock::now().time_since_epoch().count();
}

// Whether the place has said its share of this second. `suppressed`: how many it could not say in an earlier one.
bool log::is_silent(const std::source_location& at, std::uint64_t second, std::uint32_t& suppressed) noexcept {
  // How far from something else in the program, whose place differs from run to run: so the same sites share one each time.
  const auto file = reinterpret_cast<std::uintptr_t>(at.file_name()) - reinterpret_cast<std::uintptr_t>(&in_the_program);
  const std::uint64_t key = mixed(file * 0x9e3779b97f4a7c15 + (std::uint64_t{at.line()} << 12) + at.column()) | 1;
  constexpr std::size_t looks = 8;
  site* mine = nullptr;
  for (std::size_t i = 0; i < looks && mine == nullptr; i++) {
    site& here = (*sites_)[(key / 2 + i) % sites];
    std::uint64_t found = here.key.load(std::memory_order_relaxed);
    if (found == 0 && here.key.compare_exchange_strong(found, key, std::memory_order_relaxed)) found = key;
    if (found == key) mine = &here;
  }
  if (mine == nullptr) mine = &(*sites_)[key / 2 % sites];
  const std::uint64_t now = second & 0xffff'ffff;
  std::uint64_t before = mine->state.load(std::memory_order_relaxed);
  for (;;) {
    const std::uint64_t said = before & 0xffff'ffff;
    const bool same = before >> 32 == now;
    const std::uint64_t next = same ? (said == 0xffff'ffff ? before : before + 1) : now << 32 | 1;
    if (!mine->state.compare_exchange_weak(before, next, std::memory_order_relaxed)) continue;
    if (same) return said >= options_.per_site_per_second;
    suppressed = said > options_.per_site_per_second ? static_cast<std::uint32_t>(said - options_.per_site_per_second) : 0;
    return false;
  }
}

void log::write_line(log_level level, const log_message& said, std::initializer_list<log_field> fields) noexcept {
  const std::int64_t now = wall_ns();
  std::uint32_t suppressed = 0;
  if (options_.per_site_per_second != 0 && is_silent(said.at, static_cast<std::uint64_t>(now) / 1'000'000'000, suppressed)) {
    suppressed_.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  log_line line(options_.format);
  line.begin(now, level);
  line.text("msg", said.text);
  if (const std::string* const request = current_request_id.get()) line.text("request", *request);
  if (const trace_context* const trace = current_trace.get()) {
    const auto of_trace = trace->trace_text();
    const auto of_span = trace->span_text();
    line.text("trace", {of_trace.data(), of_trace.size()});
    line.text("span", {of_span.data(), of_span.size()});
  }
  for (const log_field& each : fields) line.value(each);
  if (suppressed != 0) line.value({"suppressed", suppressed});
  if (options_.with_place) {
    line.text("file", said.at.file_name());
    line.value({"line", said.at.line()});
  }
  const std::string_view made = line.end();
  bool wakes = false;
  {
    const levity::detail::spin_guard held(lock_);
    logged_++;
    if (filled_ + made.size() > capacity_) {
      dropped_++;
    } else {
      std::memcpy(filling_.get() + filled_, made.data(), made.size());
      filled_ += made.size();
    }
    wakes = !awake_;
    awake_ = true;
  }
  if (wakes) wake_.release();
}

// What is to be written now; valid until the next call. By the writer.
std::string_view log::exchange() noexcept {
  std::size_t size = 0;
  std::uint64_t dropped = 0;
  {
    const levity::detail::spin_guard held(lock_);
    std::swap(filling_, away_);
    size = std::exchange(filled_, 0);
    awake_ = false;
    logged_away_ = logged_;
    dropped = dropped_ - std::exchange(dropped_told_, dropped_);
  }
  told_away_ = dropped != 0;
  if (told_away_) {
    log_line line(options_.format);
    line.begin(wall_ns(), log_level::warn);
    line.text("msg", "log lines were dropped: whoever reads them is too slow");
    line.value({"dropped", dropped});
    const std::string_view made = line.end();
    std::memcpy(away_.get() + size, made.data(), std::min(made.size(), told_bytes_max));
    size += std::min(made.size(), told_bytes_max);
  }
  return {away_.get(), size};
}

void log::written(std::string_view text, bool well) {
  if (!well) {
    const auto lines = static_cast<std::uint64_t>(std::count(text.begin(), text.end(), '\n'));
    lost_.fetch_add(lines - (told_away_ ? 1 : 0), std::memory_order_relaxed);
  }
  (void)written_.set(logged_away_);
}

task<> log::write_to_stderr() {
  auto opened = standard_output::open(2);
  if (!opened) co_return;  // there is no standard error: nobody could be told
  standard_output sink = std::move(*opened);
  co_await write_to(&sink);
}

task<> log::flush() {
  std::uint64_t wanted = 0;
  {
    const levity::detail::spin_guard held(lock_);
    wanted = logged_;
  }
  auto seen = written_.get();
  while (*seen.value < wanted) seen = co_await written_.changed(seen.version);
}

std::string log::take_rest() {
  const std::string_view left = exchange();
  std::string text(left);
  written(left, true);
  return text;
}

log_figures log::look() const noexcept {
  log_figures figures;
  figures.suppressed = suppressed_.load(std::memory_order_relaxed);
  figures.lost = lost_.load(std::memory_order_relaxed);
  const levity::detail::spin_guard held(lock_);
  figures.logged = logged_;
  figures.dropped = dropped_;
  return figures;
}

}  // namespace levity::service
