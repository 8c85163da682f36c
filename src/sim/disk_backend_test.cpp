// lv::file on a simulated disk, through whole runs in virtual time.

#include "sim/disk_backend.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <set>
#include <source_location>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "levity/io/directory.hpp"
#include "levity/io/file.hpp"
#include "levity/runtime/run.hpp"
#include "levity/task/scope.hpp"
#include "levity/time/sleep.hpp"
#include "runtime/runtime_core.hpp"
#include "sim/disk.hpp"

namespace {

namespace lv = levity;
using namespace std::chrono_literals;
using levity::sim::disk;
using levity::sim::disk_backend;

// As run_with(), on that disk; what nobody waits for at the end, the end of the process cuts off.
template <class F, class... Args>
void run_on(disk_backend& files, std::uint64_t seed, F f, Args... args) {
  const lv::runtime_options options{.backend = lv::runtime_options::sockets::sim, .seed = seed};
  levity::detail::runtime_core core(options, &files);
  levity::detail::main_outcome outcome;
  lv::task<> whole = levity::detail::main_task(outcome, std::move(f), std::move(args)...);
  auto frame = std::move(whole).release_frame();
  core.runs.root().adopt(frame, frame.promise(), "main", std::source_location{});
  core.runs.run_here();
  EXPECT_EQ(core.runs.root().failure, nullptr);
  files.cut_off();
}

constexpr lv::file_options made{.read = true, .write = true, .create = true};

lv::task<> takes_its_time(disk* on) {
  const lv::time_point start = lv::clock::now();
  auto file = co_await lv::file::open("log", made);
  EXPECT_TRUE(file.has_value());
  if (!file) co_return;
  EXPECT_GE(lv::clock::now() - start, 2ms);
  EXPECT_TRUE((co_await file->write_at(0, "some text")).has_value());
  EXPECT_GE(lv::clock::now() - start, 4ms);
  EXPECT_LT(lv::clock::now() - start, 20ms);
  EXPECT_TRUE((co_await file->sync()).has_value());
  EXPECT_GE(lv::clock::now() - start, 104ms);
  EXPECT_TRUE((co_await file->write_durably_at(4, "-")).has_value());
  EXPECT_GE(lv::clock::now() - start, 206ms);
  const auto size = file->size();
  EXPECT_TRUE(size && *size == 9);
  EXPECT_TRUE(file->alignment().has_value());
  on->faults.latency = levity::duration(0);
  on->faults.latency_jitter = levity::duration(0);
  const lv::time_point later = lv::clock::now();
  EXPECT_TRUE((co_await file->truncate(4)).has_value());
  EXPECT_LT(lv::clock::now() - later, 1ms);
}

TEST(disk_backend, operations_take_virtual_time) {
  disk on(1);
  on.faults.latency = levity::duration(2'000'000);
  on.faults.latency_jitter = levity::duration(1'000'000);
  on.faults.sync_latency = levity::duration(100'000'000);
  disk_backend files(on);
  run_on(files, 1, takes_its_time, &on);
  EXPECT_EQ(on.contents("/log").value_or(""), "some");
}

lv::task<> whole_house() {
  EXPECT_TRUE((co_await lv::make_directory("/data")).has_value());
  EXPECT_TRUE((co_await lv::make_directory("/data/old")).has_value());
  for (const char* name : {"/data/a", "/data/b", "/data/c"}) {
    auto file = co_await lv::file::open(name, {.write = true, .create = true, .append = true});
    EXPECT_TRUE(file && (co_await file->append("one ")).has_value() && (co_await file->append_durably("two")).has_value());
  }
  EXPECT_TRUE((co_await lv::rename_file("/data/a", "/data/old/a")).has_value());
  EXPECT_TRUE((co_await lv::remove_file("/data/b")).has_value());
  EXPECT_TRUE((co_await lv::make_symlink("old/a", "/data/link")).has_value());
  EXPECT_TRUE((co_await lv::make_link("/data/c", "/data/d")).has_value());
  EXPECT_TRUE((co_await lv::sync_directory("/data")).has_value());
  std::set<std::string> names;
  auto listed = lv::list_directory("/data");
  for (auto each = co_await listed.next(); each && *each; each = co_await listed.next()) names.insert((*each)->name);
  EXPECT_EQ(names, (std::set<std::string>{"c", "d", "link", "old"}));
  const auto status = co_await lv::path_status("/data/link");
  EXPECT_TRUE(status && status->kind == lv::file_kind::regular && status->size == 7);
  const auto missing = co_await lv::path_status("/data/b");
  EXPECT_TRUE(!missing && missing.error() == lv::io_failure::not_found);
}

TEST(disk_backend, what_a_program_does_with_files_and_directories_works) {
  disk on(1);
  disk_backend files(on);
  run_on(files, 1, whole_house);
  EXPECT_EQ(on.contents("/data/old/a").value_or(""), "one two");
}

lv::task<> meets_faults(disk* on) {
  auto file = co_await lv::file::open("/file", made);
  EXPECT_TRUE(file.has_value());
  if (!file) co_return;
  on->faults.capacity_bytes = 8192;
  const auto full = co_await file->write_at(0, std::string(20'000, 'x'));
  EXPECT_TRUE(!full && full.error() == lv::io_failure::no_space);
  on->faults.capacity_bytes = 1 << 20;
  EXPECT_TRUE((co_await file->write_at(0, "text")).has_value());
  on->faults.syncs_fail_next = 1;
  EXPECT_FALSE((co_await file->sync()).has_value());
  const auto again = co_await file->sync_data();
  EXPECT_FALSE(again.has_value()) << "the failure of a sync stays";
  EXPECT_FALSE((co_await file->write_durably_at(0, "more")).has_value());
  auto anew = co_await lv::file::open("/file", made);
  EXPECT_TRUE(anew && (co_await anew->sync()).has_value());
  on->faults.short_ppm = 500'000;
  const std::string text(5000, 'y');
  const auto written = co_await anew->write_at(0, text);
  EXPECT_TRUE(written && *written == text.size());
  std::string back(5000, '?');
  const auto got = co_await anew->read_at(0, std::as_writable_bytes(std::span(back)));
  EXPECT_TRUE(got && *got == text.size() && back == text) << "what is short goes on";
}

TEST(disk_backend, a_program_meets_a_full_disk_and_a_sync_that_fails) {
  for (const std::int64_t latency_ns : {0, 3'000'000}) {
    disk on(1);
    on.faults.latency = levity::duration(latency_ns);
    on.faults.sync_latency = levity::duration(latency_ns);
    disk_backend files(on);
    run_on(files, 1, meets_faults, &on);
  }
}

lv::task<> guards(disk* on, std::vector<std::string>* said) {
  auto first = co_await lv::file::open("/lock", made);
  auto second = co_await lv::file::open("/lock", made);
  if (!first || !second) co_return;
  said->push_back(first->try_lock() ? "locked" : "refused");
  said->push_back(second->try_lock() ? "locked" : "refused");
  on->crash();
  said->push_back(first->try_lock() ? "locked" : "refused");
  EXPECT_FALSE(first->size().has_value());
  EXPECT_FALSE((co_await first->write_at(0, "x")).has_value());
  EXPECT_FALSE((co_await lv::file::open("/other", made)).has_value());
}

TEST(disk_backend, a_lock_is_of_the_process_and_who_has_crashed_reaches_the_disk_no_more) {
  disk on(1);
  on.install("/lock", "");
  std::vector<std::string> said;
  for (int life = 0; life < 2; life++) {
    disk_backend files(on);
    run_on(files, 1, guards, &on, &said);
  }
  EXPECT_EQ(said, (std::vector<std::string>{"locked", "refused", "refused", "locked", "refused", "refused"}));
  EXPECT_EQ(on.contents("/lock").value_or("?"), "");
  EXPECT_FALSE(on.contents("/other").has_value());
}

struct log_run {
  disk* on;
  lv::file log;
  int told = 0;  // appends that came back well
  int failed = 0;
};

lv::task<> appends(log_run* all, int number) {
  for (int i = 0; i < 5; i++) {
    const std::string line = std::to_string(number * 10 + i) + std::string(700, '.') + "\n";
    const auto done = co_await all->log.append_durably(line);
    if (!done) {
      all->failed++;
      co_return;
    }
    all->told++;
  }
}

lv::task<> appends_until_a_crash(log_run* all, lv::duration after) {
  auto file = co_await lv::file::open("/log", {.write = true, .append = true});
  EXPECT_TRUE(file.has_value());
  all->log = std::move(*file);
  lv::scope tasks;
  for (int i = 0; i < 6; i++) tasks.spawn(appends, all, i);
  co_await lv::sleep(after);
  all->on->crash();
  co_await tasks.join();
}

TEST(disk_backend, an_append_that_was_told_as_durable_survives_a_crash_in_the_middle_of_others) {
  int told = 0;
  int lost = 0;
  for (std::uint64_t seed = 1; seed <= 150 && !HasFailure(); seed++) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    disk on(seed);
    on.install("/log", "");
    on.faults.latency = levity::duration(100'000);
    on.faults.latency_jitter = levity::duration(400'000);
    on.faults.sync_latency = levity::duration(1'000'000);
    on.faults.sync_latency_jitter = levity::duration(4'000'000);
    disk_backend files(on);
    log_run all{&on, {}};
    run_on(files, seed, appends_until_a_crash, &all, lv::duration(seed % 30 * 1ms));
    const std::string left = on.contents("/log").value_or("");
    const auto lines = std::count(left.begin(), left.end(), '\n');
    EXPECT_GE(lines, all.told);
    told += all.told;
    if (all.failed > 0 && lines < 30) lost++;
  }
  EXPECT_GT(told, 150);
  EXPECT_GT(lost, 20);
}

struct hung_run {
  disk* on;
  bool written = false;
};

lv::task<> writes_once(hung_run* run) {
  auto file = co_await lv::file::open("/file", made);
  run->written = file && (co_await file->write_durably_at(0, "text"));
}

lv::task<> waits_for_a_hung_disk(hung_run* run, bool crashes) {
  run->on->hang();
  lv::scope tasks;
  tasks.spawn(writes_once, run);
  co_await lv::sleep(1h);
  EXPECT_FALSE(run->written);
  if (crashes) {
    run->on->crash();
  } else {
    run->on->go_on();
  }
  co_await tasks.join();
  EXPECT_EQ(run->written, !crashes);
}

TEST(disk_backend, a_disk_that_hangs_goes_on_when_it_is_released_and_fails_when_it_crashes) {
  for (const bool crashes : {false, true}) {
    for (const std::int64_t latency_ns : {0, 1'000'000}) {
      disk on(3);
      on.faults.latency = levity::duration(latency_ns);
      on.faults.sync_latency = levity::duration(latency_ns);
      disk_backend files(on);
      hung_run run{&on};
      run_on(files, 1, waits_for_a_hung_disk, &run, crashes);
      EXPECT_EQ(on.contents("/file").has_value(), !crashes);
      EXPECT_EQ(files.under_way(), 0u);
    }
  }
}

lv::task<> counts_turns(std::vector<std::string>* told) {
  auto file = co_await lv::file::open("/file", made);
  lv::scope beside;
  beside.spawn([](std::vector<std::string>* to) -> lv::task<> {
    to->push_back("another");
    co_return;
  }, told);
  EXPECT_TRUE(file && (co_await file->write_at(0, "text")).has_value());
  told->push_back("written");
  co_await beside.join();
}

TEST(disk_backend, what_takes_no_time_lets_others_run_before_it_is_over) {
  std::set<std::vector<std::string>> orders;
  for (std::uint64_t seed = 1; seed <= 40; seed++) {
    disk on(seed);
    disk_backend files(on);
    std::vector<std::string> told;
    run_on(files, seed, counts_turns, &told);
    orders.insert(told);
  }
  EXPECT_TRUE(orders.contains(std::vector<std::string>{"another", "written"}));
}

lv::task<> lets_a_lock_go(disk* on, int* still_held) {
  auto waiting = co_await lv::file::open("/lock", made);
  {
    auto first = co_await lv::file::open("/lock", made);
    EXPECT_TRUE(first && first->try_lock());
  }  // closed, and nobody waits for that
  *still_held += waiting->try_lock() ? 0 : 1;  // it may have had its effect before it is over
  co_await lv::sleep(20ms);
  EXPECT_TRUE(waiting->try_lock());
  on->hang();
  waiting = lv::file();
  auto again = lv::scope();
  again.spawn([](disk* of) -> lv::task<> {
    co_await lv::sleep(1s);
    of->go_on();
  }, on);
  auto third = co_await lv::file::open("/lock", made);
  EXPECT_TRUE(third && third->try_lock()) << "what was closed before it is closed";
  co_await again.join();
}

TEST(disk_backend, a_file_that_is_closed_late_takes_its_time_too) {
  int still_held = 0;
  for (std::uint64_t seed = 1; seed <= 20; seed++) {
    disk on(seed);
    on.install("/lock", "");
    on.faults.latency = levity::duration(10'000'000);
    disk_backend files(on);
    run_on(files, 1, lets_a_lock_go, &on, &still_held);
  }
  EXPECT_GT(still_held, 3);
}

std::uint64_t hash_of_run(std::uint64_t seed) {
  std::uint64_t hash = 0;
  disk on(seed, [&hash](std::uint64_t word) { hash = (hash ^ word) * 0x100000001b3; });
  on.install("/log", "");
  on.faults.latency_jitter = levity::duration(1'000'000);
  on.faults.sync_latency_jitter = levity::duration(5'000'000);
  disk_backend files(on);
  log_run all{&on, {}};
  run_on(files, seed, appends_until_a_crash, &all, lv::duration(7ms));
  return hash;
}

TEST(disk_backend, equal_seeds_give_equal_runs) {
  std::set<std::uint64_t> seen;
  for (std::uint64_t seed = 1; seed <= 10; seed++) {
    EXPECT_EQ(hash_of_run(seed), hash_of_run(seed)) << seed;
    seen.insert(hash_of_run(seed));
  }
  EXPECT_EQ(seen.size(), 10u);
}

}  // namespace
