// plot.hpp -- one panel of the story as SVG: values over time, faults shaded behind them, axes with words.
//
// What is drawn is named by classes; colours, for light and dark, are the page's.
#pragma once

#include "story/script.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace levity::story {

/// One line, or one layer of a stack. Between two points without a value there is a gap.
struct series {
  std::string name;
  std::string css;  ///< its class
  std::vector<double> at_s;
  std::vector<std::optional<double>> values;
};

struct panel {
  std::string title;        ///< for who cannot see it
  std::string unit;         ///< on the axis: "answers a second"
  std::vector<series> lines;
  bool stacked = false;
  bool logarithmic = false;
  double low = 0;           ///< of the axis; above 0 when logarithmic
  double high = 1;
  double duration_s = 1;    ///< of the axis of time
  std::optional<double> limit;  ///< a target, drawn as a dashed line
  std::string (*show)(double) = nullptr;  ///< a tick's text
};

/// The SVG element. Well-formed XML.
[[nodiscard]] std::string draw(const panel& what, const std::vector<fault_window>& script);

/// Text as it may stand in XML.
[[nodiscard]] std::string escaped(std::string_view text);

/// A round number that is not below `value`: 1, 2 or 5 times a power of ten.
[[nodiscard]] double round_up(double value);

}  // namespace levity::story
