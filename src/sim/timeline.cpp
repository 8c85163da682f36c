#include "levity/sim/timeline.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "sim/world_observer.hpp"

namespace levity::inline v0::sim {
namespace {

std::string_view name_of(happened what) noexcept {
  switch (what) {
    case happened::note: return "note";
    case happened::plan: return "plan";
    case happened::start: return "start";
    case happened::exit: return "exit";
    case happened::connection: return "connection";
    case happened::segment: return "segment";
    case happened::choice: return "choice";
    case happened::property: return "property";
  }
  return "";
}

std::string_view name_of_host(const timeline::event& of) noexcept {
  return of.host.empty() ? "the world" : std::string_view(of.host);
}

// How many bytes of UTF-8 the character at the beginning takes; 0: they are none.
std::size_t utf8_size(std::string_view text) noexcept {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned first = byte(0);
  const std::size_t size = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
  if (size == 0 || size > text.size()) return 0;
  for (std::size_t i = 1; i < size; i++) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  const bool is_overlong = (first == 0xe0 && byte(1) < 0xa0) || (first == 0xf0 && byte(1) < 0x90);
  const bool is_surrogate = first == 0xed && byte(1) >= 0xa0;
  const bool is_beyond = first == 0xf4 && byte(1) >= 0x90;
  return is_overlong || is_surrogate || is_beyond ? 0 : size;
}

// As a string of JSON; bytes that are no text become U+FFFD.
std::string quoted(std::string_view text) {
  std::string result = "\"";
  while (!text.empty()) {
    const std::size_t size = utf8_size(text);
    const auto first = static_cast<unsigned char>(text.front());
    if (size == 0) {
      result += "\\ufffd";
    } else if (first == '"' || first == '\\') {
      result += '\\';
      result += text.front();
    } else if (first < 0x20) {
      result += fmt::format("\\u{:04x}", first);
    } else {
      result += text.substr(0, size);
    }
    text.remove_prefix(std::max<std::size_t>(size, 1));
  }
  return result + '"';
}

// Microseconds, as the format has them, with all their nanoseconds.
std::string microseconds(duration time) { return fmt::format("{}.{:03}", time.count() / 1000, time.count() % 1000); }

}  // namespace

void timeline::add(event next) {
  events_.push_back(std::move(next));
  if (events_.size() <= events_max_) return;
  events_.pop_front();
  dropped_++;
}

std::string timeline::text(std::size_t events_max) const {
  std::size_t width = 0;
  for (const event& each : events_) width = std::max(width, name_of_host(each).size());
  std::string lines;
  const std::size_t count = std::min(events_max, events_.size());
  for (std::size_t i = events_.size() - count; i < events_.size(); i++) {
    const event& each = events_[i];
    const double at_s = static_cast<double>(each.at.count()) / 1e9;
    lines += fmt::format("{:12.6f} s  {:{}}  {}: {}\n", at_s, name_of_host(each), width, name_of(each.what), each.text);
  }
  return lines;
}

std::string timeline::json() const {
  std::vector<std::string_view> tracks;
  const auto track_of = [&](const event& of) {
    const std::string_view name = name_of_host(of);
    const auto found = std::ranges::find(tracks, name);
    if (found == tracks.end()) tracks.push_back(name);
    return std::ranges::find(tracks, name) - tracks.begin() + 1;
  };
  std::string events;
  for (const event& each : events_) {
    const auto track = track_of(each);
    events += fmt::format(",\n{{\"name\":{},\"cat\":\"{}\",\"pid\":1,\"tid\":{},\"ts\":{},", quoted(each.text),
                          name_of(each.what), track, microseconds(each.at));
    events += each.lasts > duration::zero() ? fmt::format("\"ph\":\"X\",\"dur\":{}}}", microseconds(each.lasts))
                                            : std::string("\"ph\":\"i\",\"s\":\"t\"}");
  }
  std::string text = "{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n";
  text += R"({"name":"process_name","ph":"M","pid":1,"tid":0,"args":{"name":"levity world"}})";
  for (std::size_t i = 0; i < tracks.size(); i++) {
    text += fmt::format(",\n{{\"name\":\"thread_name\",\"ph\":\"M\",\"pid\":1,\"tid\":{},\"args\":{{\"name\":{}}}}}", i + 1,
                        quoted(tracks[i]));
  }
  return text + events + "\n]}\n";
}

void note(std::string_view text) { detail::tell(happened::note, text); }

}  // namespace levity::sim
