// The syncs of an open file: one at a time, each for all who waited, and a failure stays. First the queue alone, then files by
// every means, with the first sync that is made meeting a page that could not be written: the kernel tells that one only.

#include "io/sync_queue.hpp"

#include <gtest/gtest.h>

#include <cerrno>
#include <cstdlib>
#include <string>
#include <vector>

#include "levity/levity.hpp"
#include "platform/fault_plan.hpp"
#include "platform/syscall.hpp"
#include "tests/support/run_tasks.hpp"
#include "tests/support/temporary_folder.hpp"

namespace levity::inline v0::detail {
namespace {

using turn = sync_queue::turn;

file_operation durable_write(sync_queue& of, std::int32_t written) {
  file_operation made;
  made.what = file_operation::kind::write;
  made.syncs = &of;
  made.written = written;
  return made;
}

int count_of(const file_operation* list) {
  int count = 0;
  for (; list != nullptr; list = list->after) count++;
  return count;
}

TEST(sync_queue, who_comes_while_a_sync_is_made_is_served_by_the_next_one_together) {
  sync_queue queue;
  file_operation first = durable_write(queue, 10);
  file_operation second = durable_write(queue, 20);
  file_operation third = durable_write(queue, 30);
  file_operation fourth = durable_write(queue, 40);
  EXPECT_EQ(queue.begin(first), turn::now);
  EXPECT_EQ(queue.begin(first), turn::now);  // it leads already
  EXPECT_EQ(queue.begin(second), turn::later);
  EXPECT_EQ(queue.begin(third), turn::later);
  EXPECT_EQ(queue.try_begin(fourth), turn::later);  // which was not put in
  const sync_queue::outcome one = queue.end(first, 0);
  EXPECT_EQ(first.result, 10);
  EXPECT_EQ(one.served, nullptr);
  ASSERT_NE(one.leader, nullptr);
  EXPECT_EQ(queue.begin(fourth), turn::later);
  const sync_queue::outcome two = queue.end(*one.leader, 0);
  EXPECT_EQ(count_of(two.served), 1);
  EXPECT_EQ(second.result, 20);
  EXPECT_EQ(third.result, 30);
  ASSERT_EQ(two.leader, &fourth);
  const sync_queue::outcome three = queue.end(fourth, 0);
  EXPECT_EQ(three.leader, nullptr);
  EXPECT_EQ(queue.try_begin(first), turn::now);  // idle again
}

TEST(sync_queue, whoever_wants_all_metadata_leads) {
  for (int position = 0; position < 3; position++) {
    sync_queue queue;
    file_operation first = durable_write(queue, 1);
    ASSERT_EQ(queue.begin(first), turn::now);
    std::vector<file_operation> waiting(3, durable_write(queue, 1));
    waiting[static_cast<std::size_t>(position)].what = file_operation::kind::sync;
    for (file_operation& each : waiting) ASSERT_EQ(queue.begin(each), turn::later);
    const sync_queue::outcome ended = queue.end(first, 0);
    ASSERT_EQ(ended.leader, &waiting[static_cast<std::size_t>(position)]);
    EXPECT_EQ(count_of(queue.end(*ended.leader, 0).served), 2);
  }
}

TEST(sync_queue, a_failure_is_that_of_all_who_were_served_who_wait_and_who_come) {
  sync_queue queue;
  file_operation first = durable_write(queue, 1);
  file_operation second = durable_write(queue, 1);
  file_operation third = durable_write(queue, 1);
  file_operation fourth = durable_write(queue, 1);
  EXPECT_EQ(queue.begin(first), turn::now);
  EXPECT_EQ(queue.begin(second), turn::later);
  EXPECT_EQ(queue.begin(third), turn::later);
  file_operation* leader = queue.end(first, 0).leader;
  ASSERT_NE(leader, nullptr);
  EXPECT_EQ(queue.begin(fourth), turn::later);
  const sync_queue::outcome failed = queue.end(*leader, -EIO);
  EXPECT_EQ(failed.leader, nullptr);
  EXPECT_EQ(count_of(failed.served), 2);
  for (const file_operation* each : {&second, &third, &fourth}) EXPECT_EQ(each->result, -EIO);
  EXPECT_EQ(first.result, 1);
  EXPECT_EQ(queue.failure(), EIO);
  EXPECT_EQ(queue.begin(first), turn::never);
}

TEST(sync_queue, a_sync_that_was_not_made_fails_those_it_was_for_and_no_others) {
  sync_queue queue;
  file_operation first = durable_write(queue, 1);
  file_operation second = durable_write(queue, 2);
  EXPECT_EQ(queue.begin(first), turn::now);
  EXPECT_EQ(queue.begin(second), turn::later);
  const sync_queue::outcome refused = queue.end(first, -EAGAIN);
  EXPECT_EQ(first.result, -EAGAIN);
  ASSERT_EQ(refused.leader, &second);
  EXPECT_EQ(queue.failure(), 0);
  EXPECT_EQ(queue.end(second, 0).leader, nullptr);
  EXPECT_EQ(second.result, 2);
}

// ---- files by every means ------------------------------------------------------------------------------------------------

namespace lv = levity;
using means = lv::file_means;
using lv::io_failure;
using lv::test::temporary_folder;

constexpr std::size_t block = 512;

struct file_syncs : testing::TestWithParam<means> {
  void SetUp() override {
    if (std::getenv("LEVITY_FAULTS") != nullptr) GTEST_SKIP() << "a lane has its plan already";
  }
  void TearDown() override { fault_plan::remove(); }

  template <class F, class... Args>
  void run(unsigned workers, F f, Args... args) {
    runtime_options options;
    options.workers = workers;
    options.handle_signals = false;
    options.backend = runtime_options::sockets::epoll;
    options.files = GetParam();
    EXPECT_EQ(run_with(options, std::move(f), std::move(args)...), 0);
  }
};

task<file> opened(std::string path) {
  auto made = co_await file::open(std::move(path), {.read = true, .write = true, .create = true});
  co_return std::move(made.value());
}

bool is_lost(const auto& outcome) { return !outcome && outcome.error().code() == EIO; }

// By turns a durable write, and a write with a sync. Counts those that were told to be on the disk, and those told to be lost.
task<> writes(file* to, std::uint64_t number, int* kept, int* lost) {
  const std::string text(block, 'x');
  for (int i = 0; i < 4; i++) {
    if ((number + static_cast<std::uint64_t>(i)) % 2 == 0) {
      const auto written = co_await to->write_durably_at(number * block, text);
      *(written ? kept : lost) += 1;
      EXPECT_TRUE(written.has_value() || is_lost(written));
    } else {
      const auto written = co_await to->write_at(number * block, text);
      EXPECT_TRUE(written.has_value());
      const auto synced = number % 4 < 2 ? co_await to->sync_data() : co_await to->sync();
      *(synced ? kept : lost) += 1;
      EXPECT_TRUE(synced.has_value() || is_lost(synced));
    }
  }
}

constexpr std::uint64_t writers = 32;

TEST_P(file_syncs, a_page_that_is_told_lost_once_is_lost_to_all_who_wrote_beside_it_and_to_all_later_syncs) {
  const temporary_folder folder;
  run(1, [](std::string path) -> task<> {  // one worker: the counters are its own
    file to = co_await opened(path);
    fault_plan::install_one(EIO, 1, kernel::call::fsync);
    int kept = 0;
    int lost = 0;
    {
      scope tasks;
      for (std::uint64_t i = 0; i < writers; i++) tasks.spawn(writes, &to, i, &kept, &lost);
      co_await tasks.join();
    }
    EXPECT_EQ(kept, 0) << "acknowledged although the sync that covered them met a lost page";
    EXPECT_EQ(lost, static_cast<int>(4 * writers));
    const std::uint64_t size = to.size().value();
    const auto beyond = co_await to.write_durably_at(size, "not written");
    EXPECT_TRUE(is_lost(beyond));
    EXPECT_EQ(to.size().value(), size);
    const auto synced = co_await to.sync();
    EXPECT_TRUE(is_lost(synced));
    const auto plain = co_await to.write_at(size, "written");
    EXPECT_TRUE(plain.has_value());
    file moved = std::move(to);
    const auto still = co_await moved.sync_data();
    EXPECT_TRUE(is_lost(still));
    file again = co_await opened(path);
    const auto anew = co_await again.write_durably_at(0, "anew");
    EXPECT_TRUE(anew.has_value());
    const auto well = co_await again.sync();
    EXPECT_TRUE(well.has_value());
  }, folder.file("one"));
}

TEST_P(file_syncs, a_failure_stays_for_a_task_that_writes_alone) {
  const temporary_folder folder;
  run(1, [](std::string path) -> task<> {
    file to = co_await opened(path);
    for (std::uint64_t i = 0; i < 10; i++) {
      const auto written = co_await to.write_durably_at(i * 8, "8 bytes ");
      EXPECT_EQ(written.value_or(0), 8U);
    }
    fault_plan::install_one(EIO, 1, kernel::call::fsync);
    for (std::uint64_t i = 10; i < 13; i++) {
      const auto lost = co_await to.write_durably_at(i * 8, "8 bytes ");
      EXPECT_TRUE(is_lost(lost)) << i;
    }
    const auto synced = co_await to.sync_data();
    EXPECT_TRUE(is_lost(synced));
  }, folder.file("one"));
}

TEST_P(file_syncs, of_a_crowd_share_syncs_and_leave_nothing_behind) {
  const temporary_folder folder;
  run(1, [](std::string path) -> task<> {
    file to = co_await opened(path);
    EXPECT_EQ(fault_plan::install("eio=4000000000"), std::nullopt);  // strikes none, and counts them
    int kept = 0;
    int lost = 0;
    {
      scope tasks;
      for (std::uint64_t i = 0; i < writers; i++) tasks.spawn(writes, &to, i, &kept, &lost);
      co_await tasks.join();
    }
    EXPECT_EQ(kept, static_cast<int>(4 * writers));
    const std::uint64_t made = fault_plan::tallies()[0].seen;
    EXPECT_GT(made, 0U);
    EXPECT_LT(made, 4 * writers);
    kernel::cachestat_range range{0, 0};
    kernel::cachestat_answer answer{};
    const bool says = kernel::cachestat(to.native_handle(), &range, &answer) == 0;  // since Linux 6.5
    EXPECT_TRUE(!says || answer.pages_dirty + answer.pages_in_writeback == 0);
  }, folder.file("one"));
}

// Each opens and ends its file by itself, on any worker, while its neighbours' syncs are under way.
TEST_P(file_syncs, leave_a_file_alone_that_ends_with_the_last_of_them) {
  const temporary_folder folder;
  run(2, [](std::string in) -> task<> {
    scope tasks;
    for (int i = 0; i < 8; i++) {
      tasks.spawn([](std::string path) -> task<> {
        for (int round = 0; round < 200 / test::slow_build_factor + 5; round++) {
          file to = co_await opened(path);
          scope several;
          for (std::uint64_t k = 0; k < 3; k++) {
            several.spawn([](file* into, std::uint64_t at) -> task<> {
              const auto written = co_await into->write_durably_at(at * block, "some");
              EXPECT_TRUE(written.has_value());
            }, &to, k);
          }
          co_await several.join();
        }
      }, in + "/" + std::to_string(i));
    }
    co_await tasks.join();
  }, folder.path());
}

INSTANTIATE_TEST_SUITE_P(by, file_syncs, testing::Values(means::automatic, means::ring, means::blocking),
                         [](const auto& each) {
                           return each.param == means::ring ? "ring" : each.param == means::blocking ? "threads" : "automatic";
                         });

}  // namespace
}  // namespace levity::detail
