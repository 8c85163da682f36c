#include "story/page.hpp"

#include "common/quantity.hpp"
#include "story/plot.hpp"
#include "story/show.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <iterator>
#include <string_view>
#include <thread>

namespace levity::story {

namespace {

constexpr std::string_view style = R"(
:root { color-scheme: light dark;
  --paper: #ffffff; --ink: #1d2733; --faint: #667382; --rule: #dde3e9; --shade: #f2e3c9; --shade-ink: #7d5a14;
  --ok: #2f7fb5; --degraded: #7cb342; --refused: #f0a830; --failed: #cf3f3f; --orders: #8a3fb5; --tasks: #2f7fb5; --limit: #1d2733;
  --good: #1b7f3b; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root {
  --paper: #12181f; --ink: #e4eaf0; --faint: #94a1ae; --rule: #2a343f; --shade: #3b3018; --shade-ink: #e2bd6c;
  --ok: #5aaee6; --degraded: #9ccc65; --refused: #ffc14d; --failed: #ff6b62; --orders: #c084f0; --tasks: #5aaee6; --limit: #e4eaf0;
  --good: #6fd08c; --bad: #ff8a80; } }
body { margin: 0 auto; padding: 24px; max-width: 1220px; background: var(--paper); color: var(--ink);
  font: 15px/1.45 system-ui, sans-serif; }
h1 { font-size: 24px; margin: 0 0 4px; } h2 { font-size: 17px; margin: 28px 0 6px; }
p { margin: 4px 0 10px; color: var(--faint); max-width: 80ch; }
table { border-collapse: collapse; margin: 14px 0; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 6px 14px 6px 0; border-bottom: 1px solid var(--rule); vertical-align: top; }
th { color: var(--faint); font-weight: 600; }
.met { color: var(--good); font-weight: 600; } .missed { color: var(--bad); font-weight: 600; }
.pair { display: grid; gap: 18px; grid-template-columns: repeat(auto-fit, minmax(min(100%, 420px), 1fr)); }
figure { margin: 0; } figcaption { font-weight: 600; margin-bottom: 2px; }
svg { width: 100%; height: auto; display: block; }
.grid { stroke: var(--rule); stroke-width: 1; } .base { stroke: var(--faint); stroke-width: 1; }
.tick, .axis { fill: var(--faint); font-size: 10.5px; } .axis { font-style: italic; }
.fault { fill: var(--shade); } .fault-name { fill: var(--shade-ink); font-size: 10.5px; }
.line { fill: none; stroke-width: 1.8; stroke-linejoin: round; }
.limit { stroke: var(--limit); stroke-dasharray: 5 4; opacity: .6; }
.layer { stroke: none; } .layer.ok { fill: var(--ok); } .layer.degraded { fill: var(--degraded); }
.layer.refused { fill: var(--refused); } .layer.failed { fill: var(--failed); }
.line.looks { stroke: var(--ok); } .line.orders { stroke: var(--orders); } .line.tasks { stroke: var(--tasks); }
.line.generator { stroke: var(--faint); stroke-dasharray: 3 3; }
.key { display: inline-block; margin-right: 16px; color: var(--faint); }
.key i { display: inline-block; width: 12px; height: 12px; border-radius: 2px; margin-right: 5px; vertical-align: -1px; }
)";

std::string show_seconds(double us) { return tools::show_duration(us * 1e3); }
std::string show_number(double count) { return tools::show_count(static_cast<std::uint64_t>(count)); }
std::string show_memory(double bytes) { return tools::show_bytes(bytes); }
std::string show_percent(double share) { return fmt::format("{:.0f}%", share * 100); }

std::string key(std::string_view colour, std::string_view name) {
  return fmt::format(R"--(<span class="key"><i style="background:var(--{})"></i>{}</span>)--", colour, escaped(name));
}

double length_of(const std::vector<act_result>& acts, const act_options& options) {
  double length = options.duration_s;
  for (const act_result& one : acts)
    length = std::max(length, static_cast<double>(one.met->windows().size()) * record::window_ns / 1e9);
  return length;
}

series window_series(record& met, std::string name, std::string css, const std::function<std::optional<double>(window&)>& value) {
  series made{std::move(name), std::move(css), {}, {}};
  double at = 0.5 * record::window_ns / 1e9;
  for (window& one : met.windows()) {
    made.at_s.push_back(at);
    made.values.push_back(value(one));
    at += record::window_ns / 1e9;
  }
  return made;
}

series look_series(const std::vector<look>& looks, std::string name, std::string css,
                   const std::function<std::optional<double>(const look&)>& value) {
  series made{std::move(name), std::move(css), {}, {}};
  for (const look& one : looks) {
    made.at_s.push_back(one.at_s);
    made.values.push_back(value(one));
  }
  return made;
}

double highest(const std::vector<panel>& panels) {
  double most = 0;
  for (const panel& one : panels) {
    std::vector<double> sums;
    for (const series& line : one.lines) {
      sums.resize(std::max(sums.size(), line.values.size()), 0.0);
      for (std::size_t i = 0; i < line.values.size(); ++i) {
        const double value = line.values[i].value_or(0);
        sums[i] = one.stacked ? sums[i] + value : std::max(sums[i], value);
      }
    }
    for (const double sum : sums) most = std::max(most, sum);
  }
  return most;
}

// Both versions on the same axis: what is beside each other can be compared.
std::string draw_pair(std::vector<panel> panels, const std::vector<act_result>& acts, const act_options& options, double low_high) {
  const double high = round_up(std::max(highest(panels), low_high));
  std::string out = "<div class=\"pair\">\n";
  for (std::size_t i = 0; i < panels.size(); ++i) {
    panel& one = panels[i];
    if (!one.logarithmic) one.high = high;
    one.duration_s = length_of(acts, options);
    one.title = fmt::format("{}: {}", acts[i].of.name, one.unit);
    out += fmt::format("<figure><figcaption>{}</figcaption>\n{}</figure>\n", escaped(acts[i].of.name), draw(one, options.script));
  }
  return out + "</div>\n";
}

std::string draw_answers(std::vector<act_result>& acts, const act_options& options) {
  std::vector<panel> panels;
  for (act_result& act : acts) {
    panel one;
    one.unit = "answers a second";
    one.stacked = true;
    one.show = show_number;
    for (std::size_t kind = 0; kind < answer_kinds; ++kind) {
      const std::string name(answer_names[kind]);
      one.lines.push_back(window_series(*act.met, name, name, [kind](window& of) -> std::optional<double> {
        return of.answers[kind] * (1e9 / record::window_ns);
      }));
    }
    panels.push_back(std::move(one));
  }
  return "<h2>Answers</h2>\n<p>In tenths of a second, by the time they came.</p>\n<div>" + key("ok", "ok") +
         key("degraded", "degraded: good, less than usual") + key("refused", "refused: 429 or 503") +
         key("failed", "failed: broken, wrong, out of time") + "</div>\n" +
         draw_pair(std::move(panels), acts, options, options.rate);
}

std::string draw_latency(std::vector<act_result>& acts, const act_options& options) {
  std::vector<panel> panels;
  for (act_result& act : acts) {
    panel one;
    one.unit = "p99 since the intended send time";
    one.logarithmic = true;
    one.low = 100;
    one.high = 10'000'000;
    one.limit = 50'000;
    one.show = show_seconds;
    for (const auto& [name, asked] : {std::pair{"looks", question::look}, std::pair{"orders", question::order}}) {
      const auto at = static_cast<std::size_t>(asked);
      one.lines.push_back(window_series(*act.met, name, name, [at](window& of) -> std::optional<double> {
        if (of.latency[at].size() == 0) return std::nullopt;
        return of.latency[at].value_at(0.99);
      }));
    }
    panels.push_back(std::move(one));
  }
  return "<h2>Latency</h2>\n<p>A logarithmic axis. New orders lead over payment and inventory; looks are everything else, most of "
         "them reads "
         "that the cache can answer. The dashed line is the target of 50 ms.</p>\n<div>" +
         key("ok", "looks") + key("orders", "new orders") + "</div>\n" + draw_pair(std::move(panels), acts, options, 0);
}

std::string draw_looks(const std::vector<act_result>& acts, const act_options& options, std::string_view heading,
                       std::string_view words, const panel& like, const std::function<std::optional<double>(const look&)>& value,
                       const std::function<std::optional<double>(const look&)>& beside) {
  std::vector<panel> panels;
  for (const act_result& act : acts) {
    panel one = like;
    one.lines.push_back(look_series(act.looks, one.unit, "tasks", value));
    if (beside) one.lines.push_back(look_series(act.looks, "generator", "generator", beside));
    panels.push_back(std::move(one));
  }
  return fmt::format("<h2>{}</h2>\n<p>{}</p>\n", escaped(heading), escaped(words)) +
         draw_pair(std::move(panels), acts, options, like.limit.value_or(0));
}

std::string table_of(const std::vector<row>& table, const std::vector<act_result>& acts) {
  std::string out = "<table><tr><th></th><th>article</th><th>target</th>";
  for (const act_result& one : acts) out += fmt::format("<th>{}</th>", escaped(one.of.name));
  out += "</tr>\n";
  for (const row& one : table) {
    out += fmt::format("<tr><td>{}{}</td><td>{}</td><td>{}</td>", one.missed ? "✗ " : "", escaped(one.name),
                       escaped(one.article), escaped(one.target));
    for (const auto& value : one.figures) {
      if (value) out += fmt::format(R"(<td class="{}">{}</td>)", value->met ? "met" : "missed", escaped(value->shown));
      else out += "<td>-</td>";
    }
    out += "</tr>\n";
  }
  return out + "</table>\n";
}

std::string notes_of(const std::vector<act_result>& acts) {
  std::string out;
  for (const act_result& one : acts) {
    if (const std::string late = late_because(one); !late.empty())
      out += fmt::format("<p class=\"missed\">{}: the generator was late itself: {}</p>\n", escaped(one.of.name), escaped(late));
    for (const fault_told& fault : one.told)
      if (!fault.error.empty()) out += fmt::format("<p class=\"missed\">A fault was not told: {}</p>\n", escaped(fault.error));
    if (!one.ended_early.empty())
      out += fmt::format("<p class=\"missed\">{} has ended during the run, and said: {}</p>\n", escaped(one.of.name),
                         escaped(one.ended_early));
  }
  return out;
}

}  // namespace

std::string draw_page(std::vector<act_result>& acts, const act_options& options, const std::vector<row>& table) {
  std::string out =
      "<!DOCTYPE html>\n<html lang=\"en\" xmlns=\"http://www.w3.org/1999/xhtml\"><head><meta charset=\"utf-8\"/>"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/><title>levity: the story of a bad day</title>"
      "<style>";
  out += style;
  out += "</style></head><body>\n<h1>The story of a bad day</h1>\n";
  out += fmt::format(
      "<p>An order service is asked {} times a second for {:g} s, {:g}% of that writes. Shaded: a neighbour is ill. Generator, "
      "service, payment and inventory share {} processors.</p>\n",
      tools::show_count(static_cast<std::uint64_t>(options.rate)), options.duration_s, options.writes * 100,
      std::thread::hardware_concurrency());
  out += notes_of(acts);
  out += table_of(table, acts);
  out += draw_answers(acts, options);
  out += draw_latency(acts, options);
  panel tasks;
  tasks.unit = "live tasks";
  tasks.show = show_number;
  tasks.limit = 6'000;
  out += draw_looks(
      acts, options, "Tasks", "Where the line has a gap the service did not answer within a second. The dashed line is the target.",
      tasks, [](const look& of) { return of.told ? std::optional<double>(static_cast<double>(of.told->tasks)) : std::nullopt; },
      {});
  panel memory;
  memory.unit = "memory";
  memory.show = show_memory;
  out += draw_looks(acts, options, "Memory", "Resident, of the service.", memory,
                    [](const look& of) { return std::optional<double>(static_cast<double>(of.rss_bytes)); }, {});
  panel cpu;
  cpu.unit = "share of one processor";
  cpu.show = show_percent;
  out += draw_looks(acts, options, "Processor", "Of the service; dashed, of the load generator.", cpu,
                    [](const look& of) { return std::optional<double>(of.cpu_share); },
                    [](const look& of) { return std::optional<double>(of.generator_cpu_share); });
  return out + "</body></html>\n";
}

}  // namespace levity::story
