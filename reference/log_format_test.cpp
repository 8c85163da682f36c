// Goal: a record is read exactly as it was written or not at all, and damage is told from a torn tail.
#include "reference/log_format.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "reference/test_support.hpp"

namespace orders {
namespace {

std::string three_batches(std::vector<std::size_t>* ends = nullptr) {
  group_commit log{7, 100};
  book unused;
  std::string bytes;
  const new_order wanted = test::random_orders{9}.wanted();
  for (int batch = 0; batch < 3; ++batch) {
    for (int i = 0; i < 4; ++i) log.append(create_record{1, 2, "k", wanted.contents()});
    bytes += log.take_batch()->bytes;
    log.committed();
    if (ends) ends->push_back(bytes.size());
  }
  return bytes;
}

TEST(log_format, every_kind_of_record_reads_back_as_written) {
  test::random_orders random{6};
  for (int i = 0; i < 3000; ++i) {
    const new_order wanted = random.wanted();
    const std::string key = random.name(random.below(129));
    std::string bytes;
    append_record(bytes, 3, 10, 0, create_record{7, -5, key, wanted.contents()});
    append_record(bytes, 3, 11, 1, change_record{8, 6, 2, order_status::cancelled});
    append_record(bytes, 3, 12, 2, mark_record{});
    append_record(bytes, 3, 13, 3,
                  snapshot_order_record{{9, wanted.contents(), order_status::shipped, 3, 4, 5, 0, owes_reservation}, key});
    append_record(bytes, 3, 14, 4, snapshot_end_record{1, 2, 3});
    append_record(bytes, 3, 15, 5, create_record{8, -5, key, wanted.contents(), owes_all});
    append_record(bytes, 3, 16, 6, settle_record{8, owes_charge});
    scanner scan{bytes, 3, 10};
    const auto create = std::get<create_record>(*decode(*scan.next()));
    EXPECT_EQ(create.id, 7U);
    EXPECT_EQ(create.created_at_ns, -5);
    EXPECT_EQ(create.key, key);
    EXPECT_EQ(create.contents.packed(), wanted.packed);
    EXPECT_EQ(create.owes, 0);
    const auto change = std::get<change_record>(*decode(*scan.next()));
    EXPECT_EQ(change.id, 8U);
    EXPECT_EQ(change.version, 2U);
    EXPECT_EQ(change.to, order_status::cancelled);
    EXPECT_TRUE(std::holds_alternative<mark_record>(*decode(*scan.next())));
    const auto snapshot = std::get<snapshot_order_record>(*decode(*scan.next()));
    EXPECT_EQ(snapshot.order.id, 9U);
    EXPECT_EQ(snapshot.order.status, order_status::shipped);
    EXPECT_EQ(snapshot.order.owes, owes_reservation);
    EXPECT_EQ(snapshot.key, key);
    EXPECT_EQ(std::get<snapshot_end_record>(*decode(*scan.next())).checksum, 3U);
    const auto owing = std::get<create_record>(*decode(*scan.next()));
    EXPECT_EQ(owing.id, 8U);
    EXPECT_EQ(owing.key, key);
    EXPECT_EQ(owing.contents.packed(), wanted.packed);
    EXPECT_EQ(owing.owes, owes_all);
    const auto settled = std::get<settle_record>(*decode(*scan.next()));
    EXPECT_EQ(settled.id, 8U);
    EXPECT_EQ(settled.made, owes_charge);
    EXPECT_FALSE(scan.next());
    EXPECT_EQ(scan.end(), scan_end::complete);
    EXPECT_EQ(scan.position(), bytes.size());
  }
}

TEST(log_format, file_headers_read_back_and_no_flipped_bit_passes) {
  std::string bytes;
  append_file_header(bytes, {file_kind::snapshot, 5, 6, 7, 8});
  ASSERT_EQ(bytes.size(), file_header_size);
  const auto header = read_file_header(bytes);
  ASSERT_TRUE(header);
  EXPECT_EQ(header->kind, file_kind::snapshot);
  EXPECT_EQ(header->generation, 5U);
  EXPECT_EQ(header->first_sequence, 6U);
  for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    std::string changed = bytes;
    changed[bit / 8] = static_cast<char>(changed[bit / 8] ^ 1 << bit % 8);
    EXPECT_FALSE(read_file_header(changed)) << bit;
  }
  EXPECT_FALSE(read_file_header(bytes.substr(0, 63)));
}

TEST(log_format, a_scan_stops_exactly_where_the_bytes_stop_being_records) {
  const std::string bytes = three_batches();
  std::vector<std::size_t> ends{0};
  scanner whole{bytes, 7, 100};
  while (whole.next()) ends.push_back(whole.position());
  for (std::size_t cut = 0; cut <= bytes.size(); ++cut) {
    scanner scan{std::string_view(bytes).substr(0, cut), 7, 100};
    std::size_t records = 0;
    while (scan.next()) ++records;
    const auto end = std::upper_bound(ends.begin(), ends.end(), cut) - 1;
    EXPECT_EQ(scan.position(), *end);
    EXPECT_EQ(records, static_cast<std::size_t>(end - ends.begin()));
    EXPECT_EQ(scan.end(), *end == cut ? scan_end::complete : scan_end::beyond_end) << cut;
  }
}

TEST(log_format, no_flipped_bit_passes_and_the_reason_is_told) {
  const std::string bytes = three_batches();
  for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    std::string changed = bytes;
    changed[bit / 8] = static_cast<char>(changed[bit / 8] ^ 1 << bit % 8);
    scanner scan{changed, 7, 100};
    while (scan.next()) {}
    EXPECT_LE(scan.position(), bit / 8);
    EXPECT_NE(scan.end(), scan_end::complete);
  }
}

TEST(log_format, records_of_another_generation_or_sequence_do_not_count) {
  const std::string bytes = three_batches();
  scanner other{bytes, 8, 100};
  EXPECT_FALSE(other.next());
  EXPECT_EQ(other.end(), scan_end::checksum);
  scanner gap{bytes, 7, 99};
  EXPECT_FALSE(gap.next());
  EXPECT_EQ(gap.end(), scan_end::sequence_gap);
  const std::string zeros(100, '\0');
  scanner zero{zeros, 7, 100};
  EXPECT_FALSE(zero.next());
  EXPECT_EQ(zero.end(), scan_end::zero_fill);
}

TEST(log_format, a_hole_is_damage_exactly_if_a_later_batch_survived) {
  std::vector<std::size_t> ends;
  const std::string bytes = three_batches(&ends);
  for (std::size_t hole = 0; hole < bytes.size(); ++hole) {
    std::string changed = bytes;
    changed[hole] = static_cast<char>(~changed[hole]);
    scanner scan{changed, 7, 100};
    while (scan.next()) {}
    const auto proof = find_proof_of_damage(std::string_view(changed).substr(scan.position()), 7, scan.next_sequence());
    EXPECT_EQ(proof.has_value(), hole < ends[1]) << hole;
  }
}

TEST(log_format, a_record_that_holds_but_says_nonsense_is_not_decoded) {
  const auto decoded = [](record_type type, std::string_view payload) {
    std::string bytes(record_header_size, '\0');
    bytes += payload;
    return decode(raw_record{1, 0, type, bytes}).has_value();
  };
  EXPECT_FALSE(decoded(record_type::create, ""));
  EXPECT_FALSE(decoded(record_type::create, std::string(17, '\0')));
  EXPECT_FALSE(decoded(record_type::change, std::string(20, '\0') + '\x05'));
  EXPECT_TRUE(decoded(record_type::change, std::string(20, '\0') + '\x04'));
  EXPECT_FALSE(decoded(record_type::change, std::string(22, '\0')));
  EXPECT_FALSE(decoded(record_type::create_owing, ""));
  EXPECT_FALSE(decoded(record_type::settle, std::string(8, '\0') + '\0'));
  EXPECT_FALSE(decoded(record_type::settle, std::string(8, '\0') + '\4'));
  EXPECT_TRUE(decoded(record_type::settle, std::string(8, '\0') + '\3'));
  EXPECT_FALSE(decoded(record_type::mark, "x"));
  EXPECT_FALSE(decoded(record_type::snapshot_end, std::string(23, '\0')));
  EXPECT_FALSE(decoded(static_cast<record_type>(9), ""));
}

}  // namespace
}  // namespace orders
