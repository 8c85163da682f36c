#include "common/picture.hpp"

#include "common/quantity.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

namespace levity::tools {

namespace {

void append_utf8(std::string& out, char32_t code) {
  out += static_cast<char>(0xE0 | (code >> 12));
  out += static_cast<char>(0x80 | ((code >> 6) & 0x3F));
  out += static_cast<char>(0x80 | (code & 0x3F));
}

// Dots of one braille character, two columns by four rows, numbered as Unicode does.
constexpr std::array<std::array<std::uint8_t, 2>, 4> dot_bits{{{0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}}};

// What tells curves apart where there is no colour.
constexpr std::string_view marks = "*o+x";

char mark_of(std::size_t which) { return marks[which % marks.size()]; }

class dot_grid {
public:
  dot_grid(int width, int height)
      : width_(width), height_(height), cells_(static_cast<std::size_t>(width * height)) {}

  void set(int x, int y, int colour, std::size_t which) {
    if (x < 0 || y < 0 || x >= width_ * 2 || y >= height_ * 4) return;
    cell& target = cells_[static_cast<std::size_t>((y / 4) * width_ + x / 2)];
    target.dots |= dot_bits[static_cast<std::size_t>(y % 4)][static_cast<std::size_t>(x % 2)];
    target.colour = colour;
    target.which = which;
  }

  void append_row(std::string& out, int row, bool coloured, bool marked) const {
    for (int column = 0; column < width_; ++column) {
      const cell& shown = cells_[static_cast<std::size_t>(row * width_ + column)];
      if (shown.dots == 0) {
        out += ' ';
        continue;
      }
      if (marked) {
        out += mark_of(shown.which);
        continue;
      }
      if (coloured) out += fmt::format("\x1b[3{}m", shown.colour);
      append_utf8(out, 0x2800U + shown.dots);
      if (coloured) out += "\x1b[0m";
    }
  }

private:
  struct cell {
    std::uint8_t dots = 0;
    int colour = 7;
    std::size_t which = 0;  // curve
  };
  int width_;
  int height_;
  std::vector<cell> cells_;
};

}  // namespace

std::string sparkline(std::span<const double> values) {
  double highest = 0;
  for (const double value : values) highest = std::max(highest, value);
  std::string out;
  for (const double value : values) {
    const double share = highest > 0 ? std::clamp(value / highest, 0.0, 1.0) : 0.0;
    append_utf8(out, 0x2581U + static_cast<char32_t>(std::lround(share * 7)));
  }
  return out;
}

std::string draw_percentiles(std::span<const curve> curves, const canvas& area) {
  double low = 1e300;
  double high = 0;
  std::uint64_t samples = 0;
  for (const auto& drawn : curves) {
    if (drawn.latency_ns->count() == 0) continue;
    low = std::min(low, static_cast<double>(std::max<std::uint64_t>(1, drawn.latency_ns->min())));
    high = std::max(high, static_cast<double>(drawn.latency_ns->max()));
    samples = std::max(samples, drawn.latency_ns->count());
  }
  if (samples == 0) return "";
  high = std::max(high, low * 2);
  const double log_low = std::log10(low);
  const double log_span = std::log10(high) - log_low;

  // Every nine takes the same width; there is nothing to see beyond the last sample.
  const double nines = std::clamp(std::log10(static_cast<double>(samples)), 1.0, 5.0);
  const int dots_x = area.width * 2;
  const int dots_y = area.height * 4;
  dot_grid grid(area.width, area.height);
  for (std::size_t which = 0; which < curves.size(); ++which) {
    const curve& drawn = curves[which];
    if (drawn.latency_ns->count() == 0) continue;
    int previous = -1;
    for (int x = 0; x < dots_x; ++x) {
      const double quantile = 1.0 - std::pow(10.0, -nines * x / (dots_x - 1));
      const auto value = static_cast<double>(std::max<std::uint64_t>(1, drawn.latency_ns->value_at(quantile)));
      const int y = static_cast<int>(std::lround((std::log10(value) - log_low) / log_span * (dots_y - 1)));
      for (int step = previous < 0 ? y : std::min(previous + 1, y); step <= y; ++step)
        grid.set(x, dots_y - 1 - step, drawn.colour, which);
      previous = y;
    }
  }

  const bool marked = !area.colour && curves.size() > 1;
  std::string out;
  for (int row = 0; row < area.height; ++row) {
    std::string label;
    if (row % 3 == 0 || row + 1 == area.height)
      label = show_duration(std::pow(10.0, log_low + log_span * (area.height - 1 - row) / (area.height - 1)));
    out += fmt::format("{:>9} \u2524", label);
    grid.append_row(out, row, area.colour, marked);
    out += '\n';
  }
  std::string axis;
  for (int column = 0; column < area.width; ++column) axis += "\u2500";
  out += fmt::format("{:>9} \u2514{}\n", "", axis);

  static constexpr std::array<std::string_view, 6> names{"p0", "p90", "p99", "p99.9", "p99.99", "p99.999"};
  std::string ticks(static_cast<std::size_t>(area.width + 16), ' ');
  for (std::size_t nine = 0; nine < names.size() && static_cast<double>(nine) <= nines + 0.01; ++nine) {
    const auto at = static_cast<std::size_t>(std::lround(static_cast<double>(nine) / nines * (area.width - 1)));
    ticks.replace(at, names[nine].size(), names[nine]);
  }
  ticks.erase(ticks.find_last_not_of(' ') + 1);
  out += fmt::format("{:>9}  {}\n{:>9}  ", "", ticks, "");
  for (std::size_t which = 0; which < curves.size(); ++which) {
    if (area.colour) out += fmt::format("\x1b[3{}m", curves[which].colour);
    out += marked ? std::string(1, mark_of(which)) : "\u28ff";
    out += area.colour ? "\x1b[0m " : " ";
    out += fmt::format("{}   ", curves[which].name);
  }
  out.erase(out.find_last_not_of(' ') + 1);
  out += '\n';
  return out;
}

}  // namespace levity::tools
