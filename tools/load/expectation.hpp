// expectation.hpp -- 'p99<20ms', 'errors<0.5%', 'rate>=99%': what a run has to keep to.
#pragma once

#include "load/tally.hpp"

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>

namespace levity::load {

/// METRIC OP VALUE, spaces allowed around OP.
///   METRIC  p50 p90 p99 p99.9 ... min mean max      of the corrected latency
///           service.p99 ...  lag.p99 ...            of the service latency, of the generator's own lag
///           errors                                  all requests that did not end well
///           refused reset eof timeout unsent bad_response status_4xx status_5xx mismatch
///           rate                                    good answers a second
///           answers                                 good answers
///   OP      <  <=  >  >=
///   VALUE   a duration with its unit for a latency; a number, or a share in % for the others
///           (of all requests; for the rate: of the asked rate)
class expectation {
public:
  /// The error is one sentence with a remedy.
  [[nodiscard]] static std::expected<expectation, std::string> parse(std::string_view text);

  /// Empty when the run keeps to it, one line that says what was seen when not. `asked_rate` is 0 in the closed loop.
  [[nodiscard]] std::optional<std::string> missed(const tally& run, double asked_rate) const;

  [[nodiscard]] const std::string& text() const { return text_; }

private:
  enum class distribution : std::uint8_t { corrected, service, lag };
  enum class metric : std::uint8_t { quantile, lowest, mean, highest, errors, one_failure, rate, answers };
  enum class comparison : std::uint8_t { less, less_equal, greater, greater_equal };

  [[nodiscard]] bool is_latency() const { return metric_ <= metric::highest; }
  [[nodiscard]] std::optional<std::string> read_metric(std::string_view word);
  [[nodiscard]] double seen(const tally& run, double asked_rate) const;
  [[nodiscard]] std::string show(double value) const;

  std::string text_;
  distribution of_ = distribution::corrected;
  metric metric_ = metric::quantile;
  comparison comparison_ = comparison::less;
  failure failure_ = failure::none;
  double quantile_ = 0;
  double value_ = 0;  // ns, a number, or a share 0..1
  bool share_ = false;
};

}  // namespace levity::load
