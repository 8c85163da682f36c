#include "story/plot.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>

namespace levity::story {

namespace {

constexpr double width = 560;
constexpr double height = 210;
constexpr double left = 64;
constexpr double right = 10;
constexpr double top = 22;
constexpr double bottom = 34;

class scale {
public:
  explicit scale(const panel& of) : of_(of) {}
  [[nodiscard]] double x(double at_s) const {
    return left + std::clamp(at_s / of_.duration_s, 0.0, 1.0) * (width - left - right);
  }
  [[nodiscard]] double y(double value) const {
    double part = (value - of_.low) / (of_.high - of_.low);
    if (of_.logarithmic)
      part = std::log(std::max(value, of_.low) / of_.low) / std::log(of_.high / of_.low);
    return height - bottom - std::clamp(part, 0.0, 1.0) * (height - top - bottom);
  }

private:
  const panel& of_;
};

std::vector<double> ticks_of(const panel& what) {
  std::vector<double> ticks;
  if (what.logarithmic) {
    for (double at = what.low; at <= what.high * 1.001; at *= 10) ticks.push_back(at);
  } else {
    for (int i = 0; i <= 4; ++i) ticks.push_back(what.low + (what.high - what.low) * i / 4);
  }
  return ticks;
}

double time_step(double duration_s) { return round_up(duration_s / 9); }

void draw_axes(std::string& out, const panel& what, const scale& on) {
  const auto into = std::back_inserter(out);
  for (const double tick : ticks_of(what)) {
    const double y = on.y(tick);
    fmt::format_to(into, R"(<line class="grid" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>)", left, y, width - right, y);
    fmt::format_to(into, R"(<text class="tick" x="{:.1f}" y="{:.1f}" text-anchor="end">{}</text>)", left - 6, y + 3.5,
                   escaped(what.show != nullptr ? what.show(tick) : fmt::format("{:g}", tick)));
  }
  const double step = time_step(what.duration_s);
  for (double at = 0; at <= what.duration_s * 1.001; at += step) {
    fmt::format_to(into, R"(<text class="tick" x="{:.1f}" y="{:.1f}" text-anchor="middle">{:g}</text>)", on.x(at),
                   height - bottom + 14, std::round(at * 1'000) / 1'000);
  }
  fmt::format_to(into, R"(<text class="axis" x="{:.1f}" y="{:.1f}" text-anchor="end">seconds</text>)", width - right, height - 5);
  fmt::format_to(into, R"(<text class="axis" x="4" y="12">{}</text>)", escaped(what.unit));
  fmt::format_to(into, R"(<line class="base" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>)", left, height - bottom,
                 width - right, height - bottom);
}

void draw_faults(std::string& out, const std::vector<fault_window>& script, const scale& on) {
  for (const fault_window& one : script) {
    const double from = on.x(one.from_s);
    const double to = on.x(one.to_s);
    fmt::format_to(std::back_inserter(out), R"(<rect class="fault" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>)", from,
                   top, to - from, height - top - bottom);
    fmt::format_to(std::back_inserter(out), R"(<text class="fault-name" x="{:.1f}" y="{:.1f}" text-anchor="middle">{}</text>)",
                   (from + to) / 2, top + 11, escaped(one.name()));
  }
}

void draw_line(std::string& out, const series& line, const scale& on) {
  std::string path;
  bool pen_down = false;
  for (std::size_t i = 0; i < line.values.size(); ++i) {
    if (!line.values[i]) {
      pen_down = false;
      continue;
    }
    fmt::format_to(std::back_inserter(path), "{}{:.1f} {:.1f}", pen_down ? "L" : "M", on.x(line.at_s[i]), on.y(*line.values[i]));
    // A point alone would be invisible.
    if (!pen_down && (i + 1 == line.values.size() || !line.values[i + 1])) path += "h1.5";
    pen_down = true;
  }
  if (path.empty()) return;
  fmt::format_to(std::back_inserter(out), R"(<path class="line {}" d="{}"><title>{}</title></path>)", line.css, path,
                 escaped(line.name));
}

// Layer over layer; each is closed along the top of the one below.
void draw_stack(std::string& out, const panel& what, const scale& on) {
  if (what.lines.empty()) return;
  std::vector<double> floor(what.lines.front().values.size(), 0.0);
  for (const series& layer : what.lines) {
    std::vector<double> ceiling = floor;
    bool seen = false;
    for (std::size_t i = 0; i < ceiling.size(); ++i) {
      const double value = layer.values[i].value_or(0);
      seen = seen || value > 0;
      ceiling[i] += value;
    }
    if (seen) {
      std::string path;
      for (std::size_t i = 0; i < ceiling.size(); ++i)
        fmt::format_to(std::back_inserter(path), "{}{:.1f} {:.1f}", i == 0 ? "M" : "L", on.x(layer.at_s[i]), on.y(ceiling[i]));
      for (std::size_t i = ceiling.size(); i-- > 0;)
        fmt::format_to(std::back_inserter(path), "L{:.1f} {:.1f}", on.x(layer.at_s[i]), on.y(floor[i]));
      fmt::format_to(std::back_inserter(out), R"(<path class="layer {}" d="{}Z"><title>{}</title></path>)", layer.css, path,
                     escaped(layer.name));
    }
    floor = std::move(ceiling);
  }
}

}  // namespace

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      default:
        if (static_cast<unsigned char>(c) >= ' ' || c == '\n' || c == '\t') out += c;
    }
  }
  return out;
}

double round_up(double value) {
  if (!(value > 0)) return 1;
  const double power = std::pow(10, std::floor(std::log10(value)));
  for (const double step : {1.0, 2.0, 5.0})
    if (value <= step * power * 1.000001) return step * power;
  return 10 * power;
}

std::string draw(const panel& what, const std::vector<fault_window>& script) {
  const scale on(what);
  std::string out =
      fmt::format(R"(<svg viewBox="0 0 {:.0f} {:.0f}" role="img" aria-label="{}">)", width, height, escaped(what.title));
  draw_faults(out, script, on);
  draw_axes(out, what, on);
  if (what.stacked) {
    draw_stack(out, what, on);
  } else {
    for (const series& line : what.lines) draw_line(out, line, on);
  }
  if (what.limit) {
    const double y = on.y(*what.limit);
    fmt::format_to(std::back_inserter(out),
                   R"(<line class="limit" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"><title>target</title></line>)", left, y,
                   width - right, y);
  }
  return out + "</svg>\n";
}

}  // namespace levity::story
