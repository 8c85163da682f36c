#include "story/show.hpp"

#include "common/quantity.hpp"
#include "load/report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <string_view>

namespace levity::story {

namespace {

using tools::show_bytes;
using tools::show_count;
using tools::show_duration;

constexpr std::size_t windows_a_line = 5;
constexpr std::size_t bar_width = 12;
constexpr std::int64_t lag_limit_ns = 5'000'000;  // of latencies of which some are 50 ms and most are seconds

constexpr std::array<std::string_view, 8> steps{"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
constexpr std::array<std::string_view, 8> eighths{"▏", "▎", "▍", "▌", "▋", "▊", "▉", "█"};

// A bar of at most bar_width cells, in eighths of one.
std::string bar(double share) {
  const auto parts = static_cast<std::size_t>(std::lround(std::clamp(share, 0.0, 1.0) * bar_width * 8));
  std::string drawn;
  for (std::size_t i = 0; i < parts / 8; ++i) drawn += "█";
  if (parts % 8 > 0) drawn += eighths[parts % 8 - 1];
  const std::size_t cells = parts / 8 + (parts % 8 > 0 ? 1 : 0);
  return drawn + std::string(bar_width - cells, ' ');
}

// One cell, from 1 ms at the bottom to 10 s at the top, by the logarithm.
std::string_view height(double us) {
  const double part = std::log10(std::max(us, 1e3) / 1e3) / 4;
  return steps[static_cast<std::size_t>(std::clamp(part * 8, 0.0, 7.0))];
}

// The width of the text as a terminal shows it: of UTF-8 the bytes that begin a character.
std::size_t width_of(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

std::string padded(std::string_view text, std::size_t width, bool right = true) {
  const std::size_t has = width_of(text);
  const std::string blanks(has < width ? width - has : 0, ' ');
  return right ? blanks + std::string(text) : std::string(text) + blanks;
}

std::string show_latency(latencies& some) {
  if (some.size() == 0) return padded("-", 11);
  const double us = some.value_at(0.99);
  return fmt::format("{} {}", padded(show_duration(us * 1e3), 9), height(us));
}

std::uint64_t sum_of(const std::map<std::string, std::uint64_t>& owed) {
  std::uint64_t sum = 0;
  for (const auto& one : owed) sum += one.second;
  return sum;
}

const look* last_look_before(const std::vector<look>& looks, double from_s, double to_s) {
  const look* found = nullptr;
  for (const look& one : looks)
    if (one.at_s >= from_s && one.at_s < to_s && (found == nullptr || one.told)) found = &one;
  return found;
}

}  // namespace

std::string late_because(const act_result& of) {
  const auto p99 = of.run.lag_ns.value_at(0.99);
  if (p99 > static_cast<std::uint64_t>(lag_limit_ns)) {
    return fmt::format(
        "the generator's own send lag was {} at p99, {} at most: the latencies hold as much of the machine as of the "
        "service; a lower --rate, or free processors, help",
        show_duration(static_cast<double>(p99)), show_duration(static_cast<double>(of.run.lag_ns.max())));
  }
  if (of.run.busy_share > load::busy_share_max) {
    return fmt::format("the generator was busy for {:.0f}% of its time: it could not have sent more", of.run.busy_share * 100);
  }
  return {};
}

std::string show_timeline(act_result& of, const act_options& options, const tools::paint& colours) {
  std::string out = fmt::format("{}  {}\n", colours.bold(of.of.name), colours.dim(of.of.program));
  out += colours.dim(fmt::format("{:>6}  {:<{}} {:>7} {:>7} {:>7} {:>7}  {:>9}    {:>9}    {:>7} {:>9} {:>5}\n", "s",
                                 "answers a second", bar_width, "ok", "degr.", "refused", "failed", "p99 looks", "p99 order",
                                 "tasks", "memory", "cpu"));
  auto& windows = of.met->windows();
  const double seconds = static_cast<double>(windows_a_line) * record::window_ns / 1e9;
  for (std::size_t at = 0; at < windows.size(); at += windows_a_line) {
    std::array<std::uint64_t, answer_kinds> answers{};
    std::array<latencies, questions> latency;
    const std::size_t end = std::min(windows.size(), at + windows_a_line);
    for (std::size_t i = at; i < end; ++i) {
      for (std::size_t kind = 0; kind < answer_kinds; ++kind) answers[kind] += windows[i].answers[kind];
      for (std::size_t asked = 0; asked < questions; ++asked) latency[asked].add(windows[i].latency[asked]);
    }
    const double from_s = static_cast<double>(at) * record::window_ns / 1e9;
    const auto per_second = [&](answer_kind kind) {
      return static_cast<double>(answers[static_cast<std::size_t>(kind)]) / seconds;
    };
    const auto count = [&](answer_kind kind) {
      const auto value = static_cast<std::uint64_t>(std::lround(per_second(kind)));
      const std::string text = padded(value == 0 ? "." : show_count(value), 7);
      if (value == 0) return colours.dim(text);
      if (kind == answer_kind::failed) return colours.red(text);
      return kind == answer_kind::ok ? text : colours.yellow(text);
    };
    const double good = per_second(answer_kind::ok) + per_second(answer_kind::degraded);
    const look* seen = last_look_before(of.looks, from_s, from_s + seconds);
    const fault_window* fault = fault_at(options.script, from_s + seconds / 2);
    out += fmt::format("{:>6.1f}  {}     {} {} {} {}  {}  {}  {} {} {}  {}\n", from_s, colours.cyan(bar(good / options.rate)),
                       count(answer_kind::ok), count(answer_kind::degraded), count(answer_kind::refused),
                       count(answer_kind::failed), show_latency(latency[1]), show_latency(latency[0]),
                       padded(seen != nullptr && seen->told ? show_count(seen->told->tasks) : "?", 7),
                       padded(seen != nullptr ? show_bytes(static_cast<double>(seen->rss_bytes)) : "?", 9),
                       padded(seen != nullptr ? fmt::format("{:.0f}%", seen->cpu_share * 100) : "?", 5),
                       fault != nullptr ? colours.yellow(fault->name()) : "");
  }
  const judgement& judged = of.judged;
  out += fmt::format(
      "  orders      {} acknowledged; {} missing, {} differ; charged once {}, never {}, twice or more {}; put aside once {}, "
      "never {}, twice or more {}\n",
      show_count(judged.acknowledged), show_count(judged.missing), show_count(judged.differing), show_count(judged.charges.once),
      show_count(judged.charges.never), show_count(judged.charges.twice), show_count(judged.reservations.once),
      show_count(judged.reservations.never), show_count(judged.reservations.twice));
  if (!judged.settled.first.empty())
    out += fmt::format("  settlement  {} owed when the load was over, {} when {:.1f} s had passed; not booked and still owed {}\n",
                       show_count(sum_of(judged.settled.first)), show_count(sum_of(judged.settled.left)), judged.settled.waited_s,
                       show_count(judged.owed()));
  if (of.wrong_answers > 0)
    out += fmt::format("  answers     {} were not what was due; the first: {}\n", show_count(of.wrong_answers),
                       of.wrong.empty() ? "" : of.wrong.front());
  std::uint64_t all = 0;
  for (const auto kind : of.met->whole().answers) all += kind;
  out += fmt::format("  load        {} of {} answered well, {:.0f} a second; own lag p99 {}, busy {:.0f}% of its time\n",
                     show_count(of.run.good()), show_count(all), of.run.good_per_second(),
                     show_duration(static_cast<double>(of.run.lag_ns.value_at(0.99))), of.run.busy_share * 100);
  if (const std::string late = late_because(of); !late.empty()) {
    out += fmt::format("  {}        {}\n", colours.yellow("late"), late);
  }
  for (const fault_told& one : of.told)
    if (!one.error.empty()) out += fmt::format("  {}       a fault was not told: {}\n", colours.red("fault"), one.error);
  if (!of.ended_early.empty())
    out += fmt::format("  {}       it has ended during the run, and said: {}\n", colours.red("died"), of.ended_early);
  return out + "\n";
}

std::string show_table(const std::vector<row>& table, const std::vector<act_result>& acts, const tools::paint& colours) {
  constexpr std::size_t name_width = 38;
  std::size_t target_width = 16;
  for (const row& one : table) target_width = std::max(target_width, width_of(one.target));
  std::vector<std::size_t> widths;
  std::string out = colours.dim(fmt::format("  {:<{}} {:>8}  {:<{}}", "", name_width, "article", "target", target_width));
  for (std::size_t i = 0; i < acts.size(); ++i) {
    std::size_t widest = acts[i].of.name.size();
    for (const row& one : table)
      if (one.figures[i]) widest = std::max(widest, width_of(one.figures[i]->shown));
    widths.push_back(widest);
    out += colours.dim("  " + padded(acts[i].of.name, widest, false));
  }
  out += '\n';
  for (const row& one : table) {
    out += fmt::format("{} {:<{}} {:>8}  {:<{}}", one.missed ? colours.red("✗") : " ", one.name, name_width, one.article,
                       one.target, target_width);
    for (std::size_t i = 0; i < acts.size(); ++i) {
      const auto& value = one.figures[i];
      const std::string text = padded(value ? value->shown : "-", widths[i], false);
      out += "  " + (!value ? colours.dim(text) : value->met ? colours.green(text) : colours.red(text));
    }
    out += '\n';
  }
  return out;
}

}  // namespace levity::story
