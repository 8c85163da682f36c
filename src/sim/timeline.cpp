#include "levity/sim/timeline.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <tuple>
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
    case happened::disk: return "disk";
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
std::string json_text(std::string_view text) {
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

// A failure cannot be understood without them, however long before it they were.
bool is_landmark(happened what) noexcept {
  return what == happened::plan || what == happened::start || what == happened::exit || what == happened::disk;
}

// Of these many come that say the same.
bool is_folded(happened what) noexcept {
  return what == happened::connection || what == happened::segment || what == happened::disk;
}

// Nothing that comes behind one of these is told in a line before it.
bool ends_folding(happened what) noexcept {
  return what == happened::plan || what == happened::start || what == happened::exit || what == happened::property;
}

double in_seconds(duration time) noexcept { return static_cast<double>(time.count()) / 1e9; }

std::string whole_text(const timeline::event& of) { return of.detail.empty() ? of.text : of.text + " " + of.detail; }

std::string line_of(const timeline::event& of, std::size_t width, std::string_view text) {
  return fmt::format("{:12.6f} s  {:{}}  {}: {}\n", in_seconds(of.at), name_of_host(of), width, name_of(of.what), text);
}

struct folded {
  const timeline::event* first;
  const timeline::event* last;
  std::size_t count = 1;
};

std::vector<folded> fold(const std::vector<const timeline::event*>& all) {
  std::vector<folded> lines;
  std::map<std::tuple<std::string_view, happened, std::string_view>, std::size_t> open;  // to a line that goes on
  for (const timeline::event* each : all) {
    if (ends_folding(each->what)) open.clear();
    if (is_folded(each->what)) {
      const auto [line, is_new] = open.try_emplace({each->host, each->what, each->text}, lines.size());
      if (!is_new) {
        lines[line->second].last = each;
        lines[line->second].count++;
        continue;
      }
    }
    lines.push_back({each, each});
  }
  return lines;
}

std::size_t width_of(const std::vector<const timeline::event*>& all) noexcept {
  std::size_t width = 0;
  for (const timeline::event* each : all) width = std::max(width, name_of_host(*each).size());
  return width;
}

// Which lines a digest has.
std::vector<bool> chosen_lines(const std::vector<folded>& lines, std::size_t lines_max) {
  std::vector<bool> chosen(lines.size());
  std::size_t landmarks_left = lines_max;
  for (std::size_t i = lines.size(); i-- > 0;) {
    const happened what = lines[i].first->what;
    const bool is_of_the_last = lines.size() - i <= lines_max;
    chosen[i] = is_of_the_last || what == happened::plan || (is_landmark(what) && landmarks_left > 0);
    if (chosen[i] && !is_of_the_last && what != happened::plan) landmarks_left--;
  }
  return chosen;
}

}  // namespace

void timeline::add(event next) {
  events_.push_back(std::move(next));
  if (events_.size() <= events_max_) return;
  if (is_landmark(events_.front().what)) early_.push_back(std::move(events_.front()));
  if (early_.size() > events_max_) early_.pop_front();
  events_.pop_front();
  dropped_++;
}

std::string timeline::text() const {
  std::vector<const event*> all;
  for (const event& each : events_) all.push_back(&each);
  const std::size_t width = width_of(all);
  std::string lines;
  for (const event* each : all) lines += line_of(*each, width, whole_text(*each));
  return lines;
}

std::string timeline::digest(std::size_t lines_max) const {
  std::vector<const event*> all;
  for (const event& each : early_) all.push_back(&each);
  for (const event& each : events_) all.push_back(&each);
  const std::size_t width = width_of(all);
  const std::vector<folded> lines = fold(all);
  const std::vector<bool> chosen = chosen_lines(lines, lines_max);
  constexpr std::string_view gap = "    ...\n";
  bool has_gap = dropped_ > early_.size();
  std::string text(has_gap ? gap : "");
  for (std::size_t i = 0; i < lines.size(); i++) {
    if (!chosen[i]) {
      if (!std::exchange(has_gap, true)) text += gap;
      continue;
    }
    has_gap = false;
    const folded& each = lines[i];
    const std::string many = fmt::format("{}, {} times until {:.6f} s", each.first->text, each.count, in_seconds(each.last->at));
    text += line_of(*each.first, width, each.count == 1 ? whole_text(*each.first) : many);
  }
  return text;
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
  const auto write = [&](const event& each) {
    const auto track = track_of(each);
    events += fmt::format(",\n{{\"name\":{},\"cat\":\"{}\",\"pid\":1,\"tid\":{},\"ts\":{},", json_text(whole_text(each)),
                          name_of(each.what), track, microseconds(each.at));
    events += each.lasts > duration::zero() ? fmt::format("\"ph\":\"X\",\"dur\":{}}}", microseconds(each.lasts))
                                            : std::string("\"ph\":\"i\",\"s\":\"t\"}");
  };
  std::ranges::for_each(early_, write);
  std::ranges::for_each(events_, write);
  std::string text = "{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n";
  text += R"({"name":"process_name","ph":"M","pid":1,"tid":0,"args":{"name":"levity world"}})";
  for (std::size_t i = 0; i < tracks.size(); i++) {
    text += fmt::format(",\n{{\"name\":\"thread_name\",\"ph\":\"M\",\"pid\":1,\"tid\":{},\"args\":{{\"name\":{}}}}}", i + 1,
                        json_text(tracks[i]));
  }
  return text + events + "\n]}\n";
}

void note(std::string_view text) { detail::tell(happened::note, text); }

}  // namespace levity::sim
