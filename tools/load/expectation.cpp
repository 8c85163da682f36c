#include "load/expectation.hpp"

#include "common/quantity.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace levity::load {

namespace {

std::string_view trim(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

}  // namespace

std::expected<expectation, std::string> expectation::parse(std::string_view text) {
  expectation wanted;
  wanted.text_ = trim(text);
  const auto at = text.find_first_of("<>");
  if (at == std::string_view::npos)
    return std::unexpected(fmt::format("'{}' compares nothing; write for example 'p99<20ms' or 'rate>=99%'", text));
  const bool or_equal = at + 1 < text.size() && text[at + 1] == '=';
  const bool less = text[at] == '<';
  wanted.comparison_ = less ? (or_equal ? comparison::less_equal : comparison::less)
                            : (or_equal ? comparison::greater_equal : comparison::greater);
  if (const auto wrong = wanted.read_metric(trim(text.substr(0, at))))
    return std::unexpected(fmt::format("'{}': {}", text, *wrong));

  std::string_view value = trim(text.substr(at + (or_equal ? 2 : 1)));
  if (wanted.is_latency()) {
    if (value.empty() || (value.back() >= '0' && value.back() <= '9'))
      return std::unexpected(fmt::format("'{}' needs a unit: write ns, us, ms or s after the number", text));
    const auto ns = tools::parse_duration_ns(value);
    if (!ns) return std::unexpected(fmt::format("'{}': {}", text, ns.error()));
    wanted.value_ = static_cast<double>(*ns);
    return wanted;
  }
  if (value.ends_with('%')) {
    if (wanted.metric_ == metric::answers)
      return std::unexpected(fmt::format("'{}': answers are a number; write rate or errors for a share", text));
    wanted.share_ = true;
    value.remove_suffix(1);
  } else if (wanted.metric_ == metric::rate && value.ends_with("/s")) {
    value.remove_suffix(2);
  }
  const auto number = tools::parse_number(value);
  if (!number) return std::unexpected(fmt::format("'{}': {}", text, number.error()));
  wanted.value_ = wanted.share_ ? *number / 100.0 : *number;
  return wanted;
}

std::optional<std::string> expectation::read_metric(std::string_view word) {
  const std::string_view whole = word;
  bool distribution_named = true;
  if (word.starts_with("service.")) {
    of_ = distribution::service;
    word.remove_prefix(8);
  } else if (word.starts_with("lag.")) {
    of_ = distribution::lag;
    word.remove_prefix(4);
  } else {
    distribution_named = false;
  }
  if (word.size() > 1 && word.front() == 'p' && word[1] >= '0' && word[1] <= '9') {
    double percent = 0;
    const auto [end, error] = std::from_chars(word.data() + 1, word.data() + word.size(), percent);
    if (error != std::errc{} || end != word.data() + word.size() || percent < 0 || percent > 100)
      return fmt::format("'{}' is no percentile from p0 to p100", word);
    metric_ = metric::quantile;
    quantile_ = percent / 100.0;
    return std::nullopt;
  }
  if (word == "min") metric_ = metric::lowest;
  else if (word == "mean") metric_ = metric::mean;
  else if (word == "max") metric_ = metric::highest;
  else if (word == "errors") metric_ = metric::errors;
  else if (word == "rate") metric_ = metric::rate;
  else if (word == "answers") metric_ = metric::answers;
  else {
    const auto found = std::find(failure_names.begin() + 1, failure_names.end(), word);
    if (found == failure_names.end())
      return fmt::format("'{}' is no metric; known are p50..p100, min, mean, max (also service.p99, lag.p99), errors, "
                         "rate, answers, {}",
                         whole, fmt::join(failure_names.begin() + 1, failure_names.end(), ", "));
    metric_ = metric::one_failure;
    failure_ = static_cast<failure>(found - failure_names.begin());
  }
  if (distribution_named && !is_latency()) return fmt::format("'{}' is no latency; leave the part before the dot", whole);
  return std::nullopt;
}

double expectation::seen(const tally& run, double asked_rate) const {
  const histogram& latency = of_ == distribution::corrected ? run.corrected_ns
                             : of_ == distribution::service ? run.service_ns
                                                            : run.lag_ns;
  const double all = std::max(1.0, static_cast<double>(run.finished()));
  switch (metric_) {
    case metric::quantile:
      return static_cast<double>(latency.value_at(quantile_));
    case metric::lowest:
      return static_cast<double>(latency.min());
    case metric::mean:
      return latency.mean();
    case metric::highest:
      return static_cast<double>(latency.max());
    case metric::errors:
      return static_cast<double>(run.failed()) / (share_ ? all : 1.0);
    case metric::one_failure:
      return static_cast<double>(run.ended[static_cast<std::size_t>(failure_)]) / (share_ ? all : 1.0);
    case metric::rate:
      return run.good_per_second() / (share_ ? asked_rate : 1.0);
    case metric::answers:
      return static_cast<double>(run.good());
  }
  return 0;
}

std::string expectation::show(double value) const {
  if (is_latency()) return tools::show_duration(value);
  if (share_) return fmt::format("{:.4g}%", value * 100);
  if (metric_ == metric::rate) return fmt::format("{:.1f}/s", value);
  return fmt::format("{:.0f}", value);
}

std::optional<std::string> expectation::missed(const tally& run, double asked_rate) const {
  if (metric_ == metric::rate && share_ && asked_rate <= 0)
    return fmt::format("{}: the closed loop asks for no rate; write a number instead of a share", text_);
  // No sample can keep no promise: a run without answers must not pass for a fast one.
  const bool empty = is_latency() && of_ != distribution::lag && run.corrected_ns.count() == 0;
  if (empty) return fmt::format("{}: there was no answer to measure", text_);
  if (run.finished() == 0) return fmt::format("{}: no request has ended", text_);
  const double value = seen(run, asked_rate);
  const bool kept = comparison_ == comparison::less            ? value < value_
                    : comparison_ == comparison::less_equal    ? value <= value_
                    : comparison_ == comparison::greater       ? value > value_
                                                               : value >= value_;
  if (kept) return std::nullopt;
  return fmt::format("{}: it was {}", text_, show(value));
}

}  // namespace levity::load
