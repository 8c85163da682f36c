// picture.hpp -- distributions drawn in text.
#pragma once

#include "levity/observe/histogram.hpp"

#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace levity::tools {

/// Eight-step bars, scaled from zero to the highest value.
[[nodiscard]] std::string sparkline(std::span<const double> values);
[[nodiscard]] inline std::string sparkline(std::initializer_list<double> values) {
  return sparkline(std::vector<double>(values));
}

struct curve {
  std::string_view name;
  const histogram* latency_ns;
  int colour;  ///< ANSI colour 0..7
};

struct canvas {
  int width = 64;   ///< characters of the plot area
  int height = 12;  ///< lines of the plot area
  bool colour = false;
};

/// Latency (logarithmic, upwards) over percentile (each further nine takes the same width), dots in braille cells; several curves
/// without colour have a mark each instead, `*`, `o`, `+`, `x`. A later curve is drawn over an earlier one. `height` lines,
/// an axis of two lines, a legend. Empty when no curve has samples.
[[nodiscard]] std::string draw_percentiles(std::span<const curve> curves, const canvas& area);

}  // namespace levity::tools
