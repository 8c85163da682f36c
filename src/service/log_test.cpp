// The log: what a line looks like, and that nobody who logs waits, whatever becomes of the lines.

#include "levity/service/log.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <rapidcheck.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <string>
#include <thread>
#include <vector>

#include "levity/levity.hpp"
#include "levity/service/trace_context.hpp"
#include "tests/support/run_tasks.hpp"

namespace lv = levity;
using namespace std::chrono_literals;
using json = nlohmann::json;
using levity::test::run_tasks;
using levity::test::slow_build_factor;
using lv::service::byte_size;
using lv::service::log_format;
using lv::service::log_level;
using lv::service::log_options;

namespace {

// A clock that tests turn.
std::int64_t wall = 0;
std::int64_t wall_ns() noexcept { return wall; }

log_options plain(log_format format = log_format::json) {
  log_options options;
  options.format = format;
  options.wall_ns = wall_ns;
  wall = 1'796'019'425'123'456'789;  // 2026-11-30T06:17:05
  return options;
}

std::vector<std::string> lines_of(std::string_view text) {
  std::vector<std::string> lines;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    EXPECT_NE(end, std::string_view::npos) << "the last line has an end";
    lines.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end, text.size() - 1) + 1);
  }
  return lines;
}

TEST(log, a_line_is_one_object_of_json_with_its_fields_in_order) {
  lv::service::log log(plain());
  log.info("order placed",
           {{"order", 7}, {"ok", true}, {"took", 1500us}, {"ratio", 0.25}, {"by", "me"}, {"big", ~std::uint64_t{0}}});
  EXPECT_EQ(
      log.take_rest(),
      "{\"ts\":\"2026-11-30T06:17:05.123456Z\",\"level\":\"info\",\"msg\":\"order placed\",\"order\":7,\"ok\":true,\"took\":1.5,"
      "\"ratio\":0.25,\"by\":\"me\",\"big\":18446744073709551615}\n");
}

TEST(log, logfmt_quotes_what_has_blanks_in_it) {
  lv::service::log log(plain(log_format::logfmt));
  log.warn("order placed", {{"order", -7}, {"by", "me"}, {"why", "said \"so\"\n"}, {"empty", ""}, {"odd name", 1}});
  EXPECT_EQ(log.take_rest(),
            "ts=2026-11-30T06:17:05.123456Z level=warn msg=\"order placed\" order=-7 by=me why=\"said \\\"so\\\"\\n\" "
            "empty=\"\" odd_name=1\n");
}

TEST(log, dates_are_right_on_every_day) {
  lv::service::log log(plain());
  for (std::int64_t day = 0; day < 60'000; day += 13) {
    wall = day * 86'400'000'000'000 + 86'399'999'999'999;
    log.info("x");
    const auto ymd = std::chrono::year_month_day(std::chrono::sys_days(std::chrono::days(day)));
    char expected[64];
    std::snprintf(expected, sizeof expected, "%04d-%02u-%02uT23:59:59.999999Z", int(ymd.year()), unsigned(ymd.month()),
                  unsigned(ymd.day()));
    ASSERT_EQ(json::parse(log.take_rest())["ts"].get<std::string>(), expected);
  }
}

TEST(log, any_bytes_make_a_line_that_json_reads_back) {
  EXPECT_TRUE(rc::check([](const std::string& text, const std::string& key, double real, std::int64_t whole) {
    lv::service::log log(plain());
    log.info(text, {{key.empty() ? "k" : key, text}, {"real", real}, {"whole", whole}});
    const std::string line = log.take_rest();
    RC_ASSERT((std::count(line.begin(), line.end(), '\n') == 1));
    const json read = json::parse(line);
    const bool ascii = std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
    if (ascii) RC_ASSERT((read["msg"] == text));
    RC_ASSERT((read["whole"] == whole));
    if (std::isfinite(real)) RC_ASSERT((read["real"] == real));
  }));
}

TEST(log, utf_8_is_kept_and_what_is_none_is_replaced) {
  lv::service::log log(plain());
  const auto through = [&](std::string_view text) {
    log.info("m", {{"v", text}});
    return json::parse(log.take_rest())["v"].get<std::string>();
  };
  EXPECT_EQ(through("grüße 猫 🐈"), "grüße 猫 🐈");
  EXPECT_EQ(through("a\xff""b"), "a\xef\xbf\xbd""b");
  EXPECT_EQ(through("\xed\xa0\x80"), "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");  // a surrogate
  EXPECT_EQ(through("\xc0\xaf"), "\xef\xbf\xbd\xef\xbf\xbd");                  // overlong
  EXPECT_EQ(through("\xe7\x8c"), "\xef\xbf\xbd\xef\xbf\xbd");                  // cut off
  EXPECT_EQ(through(std::string_view("\0\x01\x7f", 3)), std::string("\0\x01\x7f", 3));
}

TEST(log, a_long_line_is_cut_says_so_and_is_json_all_the_same) {
  for (const log_format format : {log_format::json, log_format::logfmt}) {
    lv::service::log log(plain(format));
    for (std::size_t size = 3800; size < 4200; size++) {
      wall += 1'000'000'000;  // no line of this place is suppressed
      const std::string text(size, size % 3 == 0 ? 'x' : size % 3 == 1 ? '\n' : '"');
      log.info("m", {{"v", text}, {"after", 1}});
      const std::string line = log.take_rest();
      ASSERT_LE(line.size(), lv::service::log::line_bytes_max);
      ASSERT_EQ(line.back(), '\n');
      if (format == log_format::logfmt) continue;
      const json read = json::parse(line);
      ASSERT_TRUE(text.starts_with(read["v"].get<std::string>()));
      ASSERT_EQ(read.contains("cut"), !(read["v"] == text && read.contains("after")));
    }
  }
}

TEST(log, levels_below_the_one_set_are_not_written) {
  lv::service::log log(plain());
  log.debug("no");
  EXPECT_FALSE(log.is_on(log_level::debug));
  log.set_level(log_level::error);
  log.warn("no");
  log.error("yes");
  log.set_level(log_level::debug);
  log.debug("yes");
  EXPECT_EQ(lines_of(log.take_rest()).size(), 2U);
  EXPECT_EQ(log.look().logged, 2U);
}

TEST(log, a_place_that_says_too_much_is_silent_for_the_second_and_tells_how_much_it_was) {
  log_options options = plain();
  options.per_site_per_second = 10;
  lv::service::log log(options);
  const auto say = [&](int times) {
    for (int i = 0; i < times; i++) log.info("again");
  };
  say(25);
  log.info("elsewhere");
  EXPECT_EQ(lines_of(log.take_rest()).size(), 11U);
  EXPECT_EQ(log.look().suppressed, 15U);
  wall += 1'000'000'000;
  say(2);
  const auto lines = lines_of(log.take_rest());
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_EQ(json::parse(lines[0])["suppressed"], 15);
  EXPECT_FALSE(json::parse(lines[1]).contains("suppressed"));
}

TEST(log, lines_carry_the_ids_of_the_request_that_the_task_is_at) {
  static lv::service::log* log = nullptr;
  lv::service::log made(plain());
  log = &made;
  const auto trace = lv::service::trace_context::parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").value();
  run_tasks(1, [](lv::service::trace_context of) -> lv::task<> {
    const auto id = lv::service::current_request_id.bind("r-1");
    const auto bound = lv::service::current_trace.bind(of);
    lv::scope children;
    children.spawn([]() -> lv::task<> {
      log->info("from a child");
      co_return;
    });
    co_await children.join();
  }, trace);
  const json read = json::parse(log->take_rest());
  EXPECT_EQ(read["request"], "r-1");
  EXPECT_EQ(read["trace"], "4bf92f3577b34da6a3ce929d0e0e4736");
  EXPECT_EQ(read["span"], "00f067aa0ba902b7");
}

TEST(log, with_place_says_where) {
  log_options options = plain();
  options.with_place = true;
  lv::service::log log(options);
  log.info("here"); const unsigned line = __LINE__;
  const json read = json::parse(log.take_rest());
  EXPECT_TRUE(read["file"].get<std::string>().ends_with("log_test.cpp"));
  EXPECT_EQ(read["line"], line);
}

// Where lines go in a simulated run: slow, failing, or shut.
struct slow_sink {
  std::string text{};
  lv::duration each{};
  int failures = 0;
  int writes = 0;

  lv::task<lv::io_result<void>> write_all(lv::byte_view bytes) { return write(this, bytes); }
  static lv::task<lv::io_result<void>> write(slow_sink* self, lv::byte_view bytes) {
    self->writes++;
    try {
      if (self->each > 0s) co_await lv::sleep(self->each);
    } catch (const lv::cancelled&) {
      co_return std::unexpected(lv::io_error(lv::io_failure::cancelled));
    }
    if (self->failures > 0) {
      self->failures--;
      co_return std::unexpected(lv::io_error(lv::io_failure::reset));
    }
    self->text.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    co_return lv::io_result<void>{};
  }
};

lv::task<> write(lv::service::log* log, slow_sink* sink) { co_await log->write_to(sink); }

template <class F>
void simulate(F main) {
  EXPECT_EQ(lv::run_with({.backend = lv::runtime_options::sockets::sim, .seed = 42}, main), 0);
}

TEST(log, without_a_clock_of_its_own_goes_by_the_calendar_of_its_world) {
  simulate([]() -> lv::task<> {
    log_options options = plain();
    options.wall_ns = nullptr;
    lv::service::log log(options);
    co_await lv::sleep(25h);
    log.info("late");
    const auto lines = lines_of(log.take_rest());
    EXPECT_EQ(lines.size(), 1U);
    EXPECT_NE(lines[0].find("2026-01-02T01:00:00"), std::string::npos) << lines[0];
  });
}

TEST(log, every_line_is_written_dropped_or_lost_and_drops_are_told_of) {
  simulate([]() -> lv::task<> {
    for (int round = 0; round < 20; round++) {
      log_options options = plain();
      options.buffer = byte_size{8192};
      options.per_site_per_second = 0;
      lv::service::log log(options);
      slow_sink sink{.each = 50ms, .failures = round % 3};
      lv::scope writers;
      writers.spawn(write, &log, &sink);
      for (int i = 0; i < 2000; i++) {
        log.info("line", {{"n", i}});
        if (i % 10 == 0) co_await lv::sleep(1ms);
      }
      co_await log.flush();
      const auto figures = log.look();
      EXPECT_EQ(figures.logged, 2000U);
      EXPECT_GT(figures.dropped, 0U);
      std::uint64_t written = 0, told = 0;
      int last = -1;
      for (const std::string& line : lines_of(sink.text)) {
        const json read = json::parse(line);
        if (read.contains("dropped")) {
          told += read["dropped"].get<std::uint64_t>();
          continue;
        }
        EXPECT_GT(read["n"].get<int>(), last);  // in order
        last = read["n"];
        written++;
      }
      EXPECT_EQ(written + figures.dropped + figures.lost, figures.logged);
      if (round % 3 == 0) {
        EXPECT_EQ(told, figures.dropped);
        EXPECT_EQ(figures.lost, 0U);
      } else {
        EXPECT_GT(figures.lost, 0U);
      }
      writers.cancel();
      co_await writers.join();
    }
  });
}

TEST(log, a_cancelled_writer_writes_what_is_left) {
  simulate([]() -> lv::task<> {
    lv::service::log log(plain());
    slow_sink sink{.each = 10ms};
    lv::scope writers;
    writers.spawn(write, &log, &sink);
    log.info("one");
    co_await log.flush();
    log.info("two");
    writers.cancel();
    co_await writers.join();
    EXPECT_EQ(lines_of(sink.text).size(), 2U);
  });
}

TEST(log, a_cancelled_writer_whose_sink_hangs_gives_up_after_a_second) {
  simulate([]() -> lv::task<> {
    lv::service::log log(plain());
    slow_sink sink{.each = 1h};
    lv::scope writers;
    writers.spawn(write, &log, &sink);
    log.info("one");
    co_await lv::sleep(1s);
    log.info("two");
    const lv::time_point began = lv::clock::now();
    writers.cancel();
    co_await writers.join();
    EXPECT_LE(lv::clock::now() - began, 1100ms);
    EXPECT_EQ(log.look().lost, 2U);
  });
}

TEST(log, lines_are_gathered_before_they_are_written) {
  simulate([]() -> lv::task<> {
    log_options options = plain();
    options.per_site_per_second = 0;
    lv::service::log log(options);
    slow_sink sink;
    lv::scope writers;
    writers.spawn(write, &log, &sink);
    for (int i = 0; i < 1000; i++) {
      log.info("line");
      co_await lv::sleep(100us);
    }
    co_await log.flush();
    EXPECT_EQ(lines_of(sink.text).size(), 1000U);
    EXPECT_LE(sink.writes, 70);
    writers.cancel();
    co_await writers.join();
  });
}

// What an article's readers meet: standard error is a pipe, and nobody reads it.
TEST(log, whose_pipe_nobody_reads_holds_no_worker_up_and_tells_later_what_it_dropped) {
  static constexpr int tasks = 8;
  static const int lines_each = 20'000 / slow_build_factor;
  run_tasks(2, []() -> lv::task<> {
    log_options options = plain();
    options.buffer = byte_size{64 << 10};
    options.per_site_per_second = 0;
    lv::service::log log(options);
    auto ends = lv::make_pipe().value();
    lv::scope writers;
    writers.spawn([](lv::service::log* of, lv::pipe_writer* to) { return of->write_to(to); }, &log, &ends.writer);
    // All of them come to their end, though nothing is read: nobody waits for a line.
    lv::scope workers;
    for (int t = 0; t < tasks; t++) {
      workers.spawn([](lv::service::log* of) -> lv::task<> {
        for (int i = 0; i < lines_each; i++) {
          of->info("a line that nobody reads", {{"n", i}});
          if (i % 100 == 0) co_await lv::yield();
        }
      }, &log);
    }
    co_await workers.join();
    const auto figures = log.look();
    EXPECT_EQ(figures.logged, std::uint64_t{tasks} * lines_each);
    EXPECT_GT(figures.dropped, 0U);
    // Now somebody reads, and finds every line or its number among those that were dropped.
    std::string text;
    std::uint64_t told = 0, written = 0;
    while (told + written < figures.logged) {
      const auto chunk = co_await lv::with_deadline(30s, [](lv::pipe_reader* from) -> lv::task<std::string> {
        const auto got = co_await from->read_some();
        co_return got ? std::string(reinterpret_cast<const char*>(got->data()), got->size()) : std::string();
      }(&ends.reader));
      if (chunk.empty()) break;
      text += chunk;
      for (std::size_t end = 0; (end = text.find('\n')) != std::string::npos;) {
        const json read = json::parse(text.substr(0, end));
        text.erase(0, end + 1);
        if (read.contains("dropped")) {
          told += read["dropped"].get<std::uint64_t>();
        } else {
          written++;
        }
      }
    }
    EXPECT_EQ(told, figures.dropped);
    EXPECT_EQ(told + written, figures.logged);
    writers.cancel();
    co_await writers.join();
  });
}

TEST(log, threads_outside_of_any_runtime_log_too) {
  log_options options = plain();
  options.per_site_per_second = 0;
  lv::service::log log(options);
  std::vector<std::thread> threads;
  constexpr int each_says = 1000 / slow_build_factor;
  for (int t = 0; t < 4; t++) {
    threads.emplace_back([&log] {
      for (int i = 0; i < each_says; i++) log.info("line", {{"n", i}});
    });
  }
  for (auto& each : threads) each.join();
  for (const std::string& line : lines_of(log.take_rest())) EXPECT_TRUE(json::accept(line));
  EXPECT_EQ(log.look().logged, 4U * static_cast<unsigned>(each_says));
}

TEST(log, standard_error_is_written_to) {
  testing::internal::CaptureStderr();
  run_tasks(1, []() -> lv::task<> {
    lv::service::log log(plain());
    lv::scope writers;
    writers.spawn([](lv::service::log* of) { return of->write_to_stderr(); }, &log);
    log.info("to standard error");
    co_await lv::with_deadline(30s, log.flush());
    writers.cancel();
    co_await writers.join();
  });
  EXPECT_EQ(json::parse(testing::internal::GetCapturedStderr())["msg"], "to standard error");
}

}  // namespace
