// Goal: batches carry every record once and in order, one in flight at a time, and nothing is durable before its batch.
#include "reference/group_commit.hpp"

#include <gtest/gtest.h>

namespace orders {
namespace {

TEST(group_commit, records_collect_while_a_batch_is_in_flight) {
  group_commit log{1, 1};
  EXPECT_EQ(log.take_batch(), nullptr);
  EXPECT_EQ(log.append(mark_record{}), 1U);
  const commit_batch* first = log.take_batch();
  ASSERT_NE(first, nullptr);
  EXPECT_EQ(log.append(mark_record{}), 2U);
  EXPECT_EQ(log.append(mark_record{}), 3U);
  EXPECT_EQ(log.take_batch(), nullptr) << "one batch is in flight";
  EXPECT_EQ(log.durable_sequence(), 0U);
  log.committed();
  EXPECT_EQ(log.durable_sequence(), 1U);
  const commit_batch* second = log.take_batch();
  EXPECT_EQ(second->first_sequence, 2U);
  EXPECT_EQ(second->next_sequence, 4U);
  EXPECT_FALSE(log.check_invariants());
}

TEST(group_commit, lag_is_the_distance_from_the_first_of_the_batch) {
  group_commit log{1, 10};
  for (int i = 0; i < 3; ++i) log.append(mark_record{});
  scanner scan{log.take_batch()->bytes, 1, 10};
  for (std::uint16_t lag = 0; lag < 3; ++lag) EXPECT_EQ(scan.next()->lag, lag);
}

TEST(group_commit, no_batch_outgrows_its_limits) {
  group_commit log{1, 1, 1 << 30};
  for (std::size_t i = 0; i < lag_max + 10; ++i) log.append(mark_record{});
  EXPECT_EQ(log.take_batch()->next_sequence, lag_max + 2);
  group_commit small{1, 1, 100};
  for (int i = 0; i < 50; ++i) small.append(mark_record{});
  EXPECT_FALSE(small.check_invariants());
  std::size_t batches = 0;
  for (; const commit_batch* batch = small.take_batch(); ++batches) {
    EXPECT_LE(batch->bytes.size(), 100U + record_header_size);
    small.committed();
  }
  EXPECT_GE(batches, 10U);
  EXPECT_EQ(small.durable_sequence(), 50U);
}

TEST(group_commit, rotation_falls_between_two_batches_and_brings_the_header) {
  group_commit log{1, 1};
  log.append(mark_record{});
  EXPECT_EQ(log.rotate(77), 2U);
  log.append(mark_record{});
  EXPECT_FALSE(log.check_invariants());
  const commit_batch* old = log.take_batch();
  EXPECT_EQ(old->generation, 1U);
  EXPECT_EQ(old->next_sequence, 2U);
  EXPECT_FALSE(old->opens_log);
  log.committed();
  const commit_batch* fresh = log.take_batch();
  EXPECT_EQ(fresh->generation, 2U);
  EXPECT_TRUE(fresh->opens_log);
  EXPECT_EQ(read_file_header(fresh->bytes)->first_sequence, 2U);
  scanner scan{std::string_view(fresh->bytes).substr(file_header_size), 2, 2};
  EXPECT_TRUE(scan.next());
}

TEST(group_commit, rotation_without_records_still_writes_the_header) {
  group_commit log{1, 5};
  log.rotate(0);
  const commit_batch* header = log.take_batch();
  ASSERT_NE(header, nullptr);
  EXPECT_EQ(header->bytes.size(), file_header_size);
  log.committed();
  EXPECT_EQ(log.durable_sequence(), 4U);
  EXPECT_FALSE(log.has_batch());
}

TEST(group_commit, after_a_failure_nothing_is_ever_committed) {
  group_commit log{1, 1};
  log.append(mark_record{});
  log.take_batch();
  log.failed();
  log.committed();
  log.append(mark_record{});
  EXPECT_EQ(log.take_batch(), nullptr);
  EXPECT_EQ(log.durable_sequence(), 0U);
}

}  // namespace
}  // namespace orders
