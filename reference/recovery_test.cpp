// Goal: after any crash every acknowledged order is there, exactly once, and damage is never passed over in silence.
// Method: directories are made byte by byte as a crash would leave them, at every byte and after every step, and
// recovered. What power loss does to a batch that was never acknowledged is drawn from a seed, sector by sector.
#include "reference/recovery.hpp"

#include <algorithm>
#include <functional>
#include <map>

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "reference/result_of.hpp"
#include "reference/snapshot.hpp"
#include "reference/test_support.hpp"

namespace orders {
namespace {

using test::read_file;
using test::temporary_directory;
using test::write_file;

// A service without tasks: appends, commits into the real files and remembers what it promised.
class small_service {
public:
  explicit small_service(const std::string& directory, std::uint64_t seed = 1)
      : directory_(directory), random_(seed), state_(open(directory)), log_(state_.generation, state_.next_sequence) {}

  book& orders() { return state_.orders; }
  group_commit& log() { return log_; }
  test::random_orders& random() { return random_; }
  std::uint64_t offset() const { return state_.log_offset; }
  const std::vector<std::string>& warnings() const { return state_.warnings; }

  void steps(int count) {
    for (int i = 0; i < count; ++i) random_.step(state_.orders, log_);
  }
  void commit() {
    while (const commit_batch* batch = log_.take_batch()) {
      if (batch->opens_log) {
        state_.log = result_of(named_file::open(log_path(directory_, batch->generation), {.write = true, .create = true})).value();
        state_.log_offset = 0;
      }
      ASSERT_TRUE(result_of(state_.log.write_at(state_.log_offset, batch->bytes)));
      state_.log_offset += batch->bytes.size();
      log_.committed();
    }
  }
  void run(int batches, int steps_each) {
    for (int i = 0; i < batches; ++i) steps(steps_each), commit();
  }

private:
  static recovered open(const std::string& directory) {
    auto opened = result_of(recover(directory));
    if (!opened) throw std::runtime_error(opened.error());
    return std::move(*opened);
  }

  std::string directory_;
  test::random_orders random_;
  recovered state_;
  group_commit log_;
};

// The digest of the book after each sequence, replayed from the bytes of one log.
struct history {
  std::map<std::uint64_t, std::uint64_t> digest_after;
  std::vector<std::size_t> ends;      // offset after each record
  std::vector<std::size_t> batch_of;  // index of the batch of each record
};

history history_of(const std::string& log_bytes, std::uint64_t first_records_to_skip) {
  history made;
  book book;
  scanner scan{std::string_view(log_bytes).substr(file_header_size), 1, 1};
  std::size_t batch = 0;
  made.digest_after[0] = book.digest();
  while (auto raw = scan.next()) {
    if (raw->lag == 0) ++batch;
    EXPECT_TRUE(book.apply(raw->sequence, *decode(*raw)));
    if (raw->sequence > first_records_to_skip) made.digest_after[raw->sequence] = book.digest();
    made.ends.push_back(file_header_size + scan.position());
    made.batch_of.push_back(batch);
  }
  EXPECT_EQ(scan.end(), scan_end::complete);
  return made;
}

// How many records are whole in the first `size` bytes.
std::uint64_t whole_records(const history& history, std::size_t size) {
  return static_cast<std::uint64_t>(std::upper_bound(history.ends.begin(), history.ends.end(), size) -
                                    history.ends.begin());
}

TEST(recovery, an_empty_directory_becomes_an_empty_service) {
  temporary_directory directory;
  {
    auto fresh = result_of(recover(directory.path() + "/a/b"));
    ASSERT_TRUE(fresh) << fresh.error();
    EXPECT_EQ(fresh->orders.size(), 0U);
    EXPECT_EQ(fresh->next_sequence, 1U);
    EXPECT_EQ(fresh->log_offset, file_header_size);
  }
  auto again = result_of(recover(directory.path() + "/a/b"));
  ASSERT_TRUE(again) << again.error();
  EXPECT_TRUE(again->warnings.empty());
}

TEST(recovery, a_second_process_is_refused_with_the_first_ones_number) {
  temporary_directory directory;
  auto first = result_of(recover(directory.path()));
  ASSERT_TRUE(first);
  auto second = result_of(recover(directory.path()));
  ASSERT_FALSE(second);
  // That of every simulated run, which result_of() makes.
  EXPECT_NE(second.error().find("in use by process 1;"), std::string::npos) << second.error();
}

TEST(recovery, what_was_committed_is_there_after_a_restart_and_goes_on) {
  temporary_directory directory;
  std::uint64_t digest = 0;
  for (int life = 0; life < 5; ++life) {
    small_service service{directory.path(), static_cast<std::uint64_t>(life) + 1};
    EXPECT_TRUE(service.warnings().empty());
    if (life > 0) {
      EXPECT_EQ(service.orders().digest(), digest);
    }
    for (int i = 0; i < 200; ++i) {
      const new_order wanted = service.random().wanted();
      auto placed = service.orders().place(wanted, {}, i);
      const auto record = std::get<create_record>(*placed);
      ASSERT_TRUE(service.orders().apply(service.log().append(record), record));
    }
    service.commit();
    digest = service.orders().digest();
    EXPECT_FALSE(service.orders().check_invariants());
  }
}

TEST(recovery, a_log_cut_at_every_byte_of_its_last_4_kib_keeps_every_record_before_the_cut) {
  temporary_directory original, copy;
  small_service{original.path()}.run(60, 5);
  const std::string bytes = read_file(log_path(original.path(), 1));
  ASSERT_GT(bytes.size(), 3 * 4096U);
  const history known = history_of(bytes, whole_records(history_of(bytes, UINT64_MAX), bytes.size() - 4200) - 1);
  std::size_t cuts = 0;
  for (std::size_t size = bytes.size() - 4096; size <= bytes.size(); ++size) {
    copy.clear();
    write_file(log_path(copy.path(), 1), std::string_view(bytes).substr(0, size));
    const std::uint64_t records = whole_records(known, size);
    const bool torn = known.ends[records - 1] != size;
    {
      auto opened = result_of(recover(copy.path()));
      ASSERT_TRUE(opened) << size << ": " << opened.error();
      ASSERT_EQ(opened->next_sequence, records + 1) << size;
      ASSERT_EQ(opened->orders.digest(), known.digest_after.at(records)) << size;
      ASSERT_EQ(opened->warnings.size(), torn ? 1U : 0U) << size;
      ASSERT_EQ(opened->log_offset, known.ends[records - 1]);
      if (torn) {
        ASSERT_NE(opened->warnings[0].find("offset " + std::to_string(known.ends[records - 1])), std::string::npos);
        ++cuts;
      }
    }
    auto again = result_of(recover(copy.path()));
    ASSERT_TRUE(again);
    ASSERT_TRUE(again->warnings.empty()) << "a cut is made once";
    ASSERT_EQ(again->orders.digest(), known.digest_after.at(records));
  }
  EXPECT_GT(cuts, 3900U);
}

TEST(recovery, a_flipped_bit_in_the_last_4_kib_loses_nothing_before_it_and_refuses_if_acknowledged_records_follow) {
  temporary_directory original, copy;
  small_service{original.path()}.run(60, 5);
  const std::string bytes = read_file(log_path(original.path(), 1));
  const history known = history_of(bytes, whole_records(history_of(bytes, UINT64_MAX), bytes.size() - 4200) - 1);
  std::size_t refused = 0, cut = 0;
  for (std::size_t at = bytes.size() - 4096; at < bytes.size(); ++at) {
    std::string changed = bytes;
    changed[at] = static_cast<char>(changed[at] ^ 1 << at % 8);
    copy.clear();
    write_file(log_path(copy.path(), 1), changed);
    const std::uint64_t records = whole_records(known, at);
    const bool last_batch = known.batch_of[records] == known.batch_of.back();
    {
      auto opened = result_of(recover(copy.path()));
      ASSERT_EQ(opened.has_value(), last_batch) << at;
      if (!opened) {
        ASSERT_NE(opened.error().find("is damaged at offset " + std::to_string(records == 0 ? 64 : known.ends[records - 1])),
                  std::string::npos)
            << opened.error();
        ASSERT_EQ(read_file(log_path(copy.path(), 1)), changed) << "a refusal changes nothing";
        ++refused;
      }
    }
    auto opened = result_of(recover(copy.path(), {.cut_damage = true}));
    ASSERT_TRUE(opened) << opened.error();
    ASSERT_EQ(opened->next_sequence, records + 1);
    ASSERT_EQ(opened->orders.digest(), known.digest_after.at(records)) << at;
    if (last_batch) {
      ++cut;
    } else {
      ASSERT_EQ(opened->warnings.size(), 1U);
      ASSERT_EQ(read_file(log_path(copy.path(), 1) + ".damaged"), changed.substr(known.ends[records - 1]));
    }
  }
  EXPECT_GT(refused, 2000U);
  EXPECT_GT(cut, 10U);
}

TEST(recovery, after_a_closing_mark_even_a_bit_of_the_last_batch_counts_as_damage) {
  temporary_directory directory;
  {
    small_service service{directory.path()};
    service.run(3, 5);
    service.log().append(mark_record{});
    service.commit();
  }
  const std::string path = log_path(directory.path(), 1);
  std::string bytes = read_file(path);
  bytes[bytes.size() - record_header_size - 3] ^= 1;
  write_file(path, bytes);
  auto opened = result_of(recover(directory.path()));
  ASSERT_FALSE(opened);
  EXPECT_NE(opened.error().find("acknowledged records follow"), std::string::npos) << opened.error();
}

TEST(recovery, a_file_that_grew_before_its_data_came_is_cut_at_the_zeros) {
  temporary_directory directory;
  std::uint64_t digest = 0;
  {
    small_service service{directory.path()};
    service.run(3, 5);
    digest = service.orders().digest();
  }
  const std::string path = log_path(directory.path(), 1);
  const std::string bytes = read_file(path);
  for (const std::size_t zeros : {1U, 23U, 24U, 25U, 5000U}) {
    write_file(path, bytes + std::string(zeros, '\0'));
    auto opened = result_of(recover(directory.path()));
    ASSERT_TRUE(opened) << opened.error();
    EXPECT_EQ(opened->orders.digest(), digest);
    ASSERT_EQ(opened->warnings.size(), 1U);
    EXPECT_NE(opened->warnings[0].find("zero"), std::string::npos);
  }
}

TEST(recovery, power_loss_may_keep_any_sectors_of_the_last_batch) {
  temporary_directory directory;
  constexpr std::size_t sector_size = 512;
  std::size_t losses = 0;
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    SCOPED_TRACE(seed);
    directory.clear();
    std::string durable, written;
    std::uint64_t durable_digest = 0, durable_sequence = 0;
    {
      small_service service{directory.path(), seed};
      service.run(4, 10);
      durable = read_file(log_path(directory.path(), 1));
      durable_digest = service.orders().digest();
      durable_sequence = service.log().durable_sequence();
      service.steps(30);
      service.commit();
      written = read_file(log_path(directory.path(), 1));
    }
    test::random_orders chance{seed};
    std::string left = durable;
    left.resize(chance.below(2) == 0 ? written.size() : durable.size() + chance.below(written.size() - durable.size() + 1));
    for (std::size_t sector = durable.size() / sector_size; sector * sector_size < left.size(); ++sector) {
      if (chance.below(2) == 0) continue;
      const std::size_t begin = sector * sector_size, end = std::min(begin + sector_size, left.size());
      left.replace(begin, end - begin, written, begin, end - begin);
    }
    write_file(log_path(directory.path(), 1), left);
    std::uint64_t digest = 0;
    {
      auto opened = result_of(recover(directory.path()));
      ASSERT_TRUE(opened) << opened.error();
      ASSERT_GE(opened->next_sequence, durable_sequence + 1);
      if (opened->next_sequence == durable_sequence + 1) {
        ASSERT_EQ(opened->orders.digest(), durable_digest);
      }
      ASSERT_FALSE(opened->orders.check_invariants());
      losses += opened->warnings.size();
      digest = opened->orders.digest();
    }
    small_service next{directory.path(), seed};
    ASSERT_TRUE(next.warnings().empty());
    ASSERT_EQ(next.orders().digest(), digest);
  }
  EXPECT_GT(losses, 200U);
}

// Runs a compaction step by step and hands the directory, as it is after each step, to `look`.
void compact_in_steps(const std::string& directory, small_service& service, bool write_meanwhile,
                      const std::function<void(std::string_view)>& look) {
  service.commit();
  look("before");
  const std::uint64_t generation = service.log().generation() + 1;
  const std::uint64_t first_sequence = service.log().next_sequence();
  write_file(log_path(directory, generation), "");
  look("1a log created, empty");
  service.log().rotate(0);
  {
    std::string header;
    append_file_header(header, {file_kind::log, generation, first_sequence, 0, 0});
    for (const std::size_t part : {1UL, 40UL, 63UL}) {
      write_file(log_path(directory, generation), header.substr(0, part));
      look("1b header torn");
    }
    write_file(log_path(directory, generation), std::string(file_header_size, '\0'));
    look("1b header zero");
  }
  service.commit();
  look("1 rotated");
  snapshot_writer writer{generation, first_sequence, 0};
  const std::string temporary = temporary_path(snapshot_path(directory, generation));
  std::string bytes;
  for (bool more = true; more;) {
    more = writer.fill(service.orders(), 50, bytes);
    write_file(temporary, std::string_view(bytes).substr(0, bytes.size() - 7));
    look("2a snapshot half written");
    if (write_meanwhile && more) {
      service.steps(5);
      if (bytes.size() % 2 == 0) service.commit();
      look("2b written to meanwhile");
    }
  }
  write_file(temporary, bytes);
  look("2 snapshot written");
  if (service.log().durable_sequence() < writer.included_through()) service.commit();
  look("3 log durable");
  ASSERT_TRUE(result_of(publish_snapshot(directory, generation)));
  look("4 published");
  // Old files go in any order.
  const std::string old_log = read_file(log_path(directory, generation - 1));
  ASSERT_TRUE(result_of(remove_file(log_path(directory, generation - 1))));
  look("5a log removed");
  write_file(log_path(directory, generation - 1), old_log);
  ASSERT_TRUE(result_of(remove_file(snapshot_path(directory, generation - 1))));
  look("5b snapshot removed");
  ASSERT_TRUE(result_of(remove_older(directory, generation)));
  look("5 old removed");
}

TEST(recovery, a_crash_after_any_step_of_a_compaction_loses_nothing) {
  for (const bool write_meanwhile : {false, true}) {
    temporary_directory directory, copy;
    small_service service{directory.path()};
    std::size_t states = 0;
    const auto look = [&](std::string_view step) {
      SCOPED_TRACE(step);
      copy.copy_from(directory.path());
      std::filesystem::remove(copy.path() + "/orders.lock");
      std::uint64_t digest = 0, next = 0;
      {
        auto opened = result_of(recover(copy.path()));
        ASSERT_TRUE(opened) << opened.error();
        ASSERT_EQ(opened->next_sequence, service.log().durable_sequence() + 1);
        ASSERT_FALSE(opened->orders.check_invariants()) << *opened->orders.check_invariants();
        if (service.log().durable_sequence() + 1 == service.log().next_sequence()) {
          ASSERT_EQ(opened->orders.digest(), service.orders().digest());
        }
        digest = opened->orders.digest();
        next = opened->next_sequence;
      }
      // The survivor lives on: it can write, and it recovers again.
      {
        small_service survivor{copy.path(), 99};
        ASSERT_TRUE(survivor.warnings().empty());
        ASSERT_EQ(survivor.orders().digest(), digest);
        ASSERT_EQ(survivor.log().next_sequence(), next);
        survivor.run(2, 4);
        digest = survivor.orders().digest();
      }
      auto last = result_of(recover(copy.path()));
      ASSERT_TRUE(last) << last.error();
      ASSERT_EQ(last->orders.digest(), digest);
      ++states;
    };
    for (int round = 0; round < 3; ++round) {
      service.run(10, 20);
      compact_in_steps(directory.path(), service, write_meanwhile, look);
      if (HasFatalFailure()) return;
    }
    EXPECT_GT(states, 50U);
    EXPECT_EQ(result_of(list_directory(directory.path()))->logs, std::vector<std::uint64_t>{4});
    EXPECT_EQ(result_of(list_directory(directory.path()))->snapshots, std::vector<std::uint64_t>{4});
  }
}

// A directory with a snapshot of generation 2 and logs 1 to 3, everything committed.
std::uint64_t long_directory(const std::string& directory) {
  small_service service{directory};
  service.run(5, 10);
  service.log().rotate(0);
  const std::uint64_t first = service.log().next_sequence();
  service.commit();
  EXPECT_TRUE(result_of(write_temporary_snapshot(directory, service.orders(), 2, first, 0)));
  EXPECT_TRUE(result_of(publish_snapshot(directory, 2)));
  service.run(5, 10);
  service.log().rotate(0);
  service.run(5, 10);
  return service.orders().digest();
}

TEST(recovery, a_snapshot_that_does_not_hold_is_replaced_by_the_files_before_it_while_they_are_there) {
  temporary_directory directory;
  const std::uint64_t digest = long_directory(directory.path());
  const std::string path = snapshot_path(directory.path(), 2);
  std::string bytes = read_file(path);
  bytes[bytes.size() / 2] ^= 1;
  write_file(path, bytes);
  {
    auto opened = result_of(recover(directory.path()));
    ASSERT_TRUE(opened) << opened.error();
    EXPECT_EQ(opened->orders.digest(), digest);
    ASSERT_EQ(opened->warnings.size(), 1U);
    EXPECT_EQ(read_file(path + ".damaged"), bytes);
  }
  write_file(path, bytes);
  ASSERT_TRUE(result_of(remove_file(log_path(directory.path(), 1))));
  auto refused = result_of(recover(directory.path()));
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().find("no older one"), std::string::npos) << refused.error();
}

TEST(recovery, every_flipped_bit_of_a_snapshot_is_found) {
  temporary_directory directory;
  book original;
  group_commit log{1, 1};
  test::random_orders random{8};
  for (int i = 0; i < 20; ++i) random.step(original, log);
  ASSERT_TRUE(result_of(write_temporary_snapshot(directory.path(), original, 2, 21, 0)));
  ASSERT_TRUE(result_of(publish_snapshot(directory.path(), 2)));
  const std::string path = snapshot_path(directory.path(), 2);
  const std::string bytes = read_file(path);
  book loaded;
  ASSERT_TRUE(result_of(load_snapshot(path, 2, loaded)));
  EXPECT_EQ(loaded.digest(), original.digest());
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    std::string changed = bytes;
    changed[at] = static_cast<char>(changed[at] ^ 1 << at % 8);
    write_file(path, changed);
    book part;
    ASSERT_FALSE(result_of(load_snapshot(path, 2, part))) << at;
    write_file(path, std::string_view(bytes).substr(0, at));
    book shorter;
    ASSERT_FALSE(result_of(load_snapshot(path, 2, shorter))) << at;
  }
  write_file(path, bytes + '\0');
  book longer;
  EXPECT_FALSE(result_of(load_snapshot(path, 2, longer)));
}

TEST(recovery, a_missing_or_shortened_file_in_the_middle_is_refused) {
  struct harm {
    const char* name;
    std::function<void(const std::string&)> act;
  };
  const harm harms[] = {
      {"log 2 is missing", [](const std::string& d) { std::filesystem::remove(log_path(d, 2)); }},
      {"logs 2 and 3 are missing",
       [](const std::string& d) { std::filesystem::remove(log_path(d, 2)), std::filesystem::remove(log_path(d, 3)); }},
      {"log 2 lost its last byte",
       [](const std::string& d) { std::filesystem::resize_file(log_path(d, 2), std::filesystem::file_size(log_path(d, 2)) - 1); }},
      {"log 2 is empty", [](const std::string& d) { write_file(log_path(d, 2), ""); }},
      {"log 3's header is damaged",
       [](const std::string& d) {
         std::string bytes = read_file(log_path(d, 3));
         bytes[20] ^= 1;
         write_file(log_path(d, 3), bytes);
       }},
      {"log 3 is log 2", [](const std::string& d) { write_file(log_path(d, 3), read_file(log_path(d, 2))); }},
      {"the snapshot is gone with log 1",
       [](const std::string& d) { std::filesystem::remove(log_path(d, 1)), std::filesystem::remove(snapshot_path(d, 2)); }},
  };
  for (const harm& each : harms) {
    SCOPED_TRACE(each.name);
    temporary_directory directory;
    long_directory(directory.path());
    each.act(directory.path());
    {
      auto opened = result_of(recover(directory.path()));
      ASSERT_FALSE(opened);
      EXPECT_NE(opened.error().find("--cut-damage"), std::string::npos) << opened.error();
    }
    auto forced = result_of(recover(directory.path(), {.cut_damage = true}));
    ASSERT_TRUE(forced) << forced.error();
    EXPECT_FALSE(forced->warnings.empty());
    EXPECT_FALSE(forced->orders.check_invariants());
    const std::uint64_t digest = forced->orders.digest();
    *forced = recovered{};
    auto again = result_of(recover(directory.path()));
    ASSERT_TRUE(again) << again.error();
    EXPECT_TRUE(again->warnings.empty());
    EXPECT_EQ(again->orders.digest(), digest);
  }
}

TEST(recovery, a_log_that_ends_before_what_its_snapshot_knows_is_refused) {
  temporary_directory directory;
  small_service service{directory.path()};
  service.run(5, 10);
  service.log().rotate(0);
  const std::uint64_t first = service.log().next_sequence();
  service.commit();
  const std::uint64_t header_only = service.offset();
  service.run(5, 10);
  ASSERT_TRUE(result_of(write_temporary_snapshot(directory.path(), service.orders(), 2, first, 0)));
  ASSERT_TRUE(result_of(publish_snapshot(directory.path(), 2)));
  temporary_directory copy;
  copy.copy_from(directory.path());
  {
    auto opened = result_of(recover(copy.path()));
    ASSERT_TRUE(opened) << opened.error();
    EXPECT_EQ(opened->orders.digest(), service.orders().digest());
  }
  std::filesystem::resize_file(log_path(copy.path(), 2), header_only);
  auto refused = result_of(recover(copy.path()));
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().find("but the snapshot knows"), std::string::npos) << refused.error();
  // Once given up it is not refused again.
  std::uint64_t digest = 0;
  {
    auto forced = result_of(recover(copy.path(), {.cut_damage = true}));
    ASSERT_TRUE(forced) << forced.error();
    digest = forced->orders.digest();
  }
  auto again = result_of(recover(copy.path()));
  ASSERT_TRUE(again) << again.error();
  EXPECT_TRUE(again->warnings.empty());
  EXPECT_EQ(again->orders.digest(), digest);
}

TEST(recovery, foreign_files_and_old_temporaries_do_no_harm) {
  temporary_directory directory;
  const std::uint64_t digest = long_directory(directory.path());
  write_file(directory.path() + "/orders.1.log", "another spelling");
  write_file(directory.path() + "/orders.0000000009.log.bak", "somebody's copy");
  write_file(directory.path() + "/notes.txt", "hello");
  write_file(temporary_path(snapshot_path(directory.path(), 9)), "half");
  auto opened = result_of(recover(directory.path()));
  ASSERT_TRUE(opened) << opened.error();
  EXPECT_EQ(opened->orders.digest(), digest);
  EXPECT_FALSE(std::filesystem::exists(temporary_path(snapshot_path(directory.path(), 9))));
  EXPECT_TRUE(std::filesystem::exists(directory.path() + "/notes.txt"));
}

TEST(recovery, a_directory_that_cannot_be_written_says_so) {
  auto opened = result_of(recover("/proc/orders"));
  ASSERT_FALSE(opened);
  EXPECT_NE(opened.error().find("/proc/orders"), std::string::npos);
}

// Several windows of a log; the digest of the book.
std::uint64_t large_directory(const std::string& directory) {
  small_service service{directory};
  while (service.offset() < std::uint64_t{5} << 20) service.run(1, 1000);
  return service.orders().digest();
}

TEST(recovery, who_is_told_to_end_meanwhile_ends_and_leaves_what_the_next_one_recovers) {
  temporary_directory directory;
  const std::uint64_t digest = large_directory(directory.path());
  const std::string bytes = read_file(log_path(directory.path(), 1));
  int broken_off = 0;
  constexpr std::uint64_t seeds = 16;
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    SCOPED_TRACE(seed);
    levity::runtime_options options = without_threads();
    options.seed = seed;
    bool has_ended = false;
    levity::run_with(options, [](const std::string* path, std::uint64_t turns, bool* ended) -> levity::task<> {
      levity::scope parts;
      parts.spawn("recovery", [](const std::string* of, bool* done) -> levity::task<> {
        const auto opened = co_await recover(*of);
        EXPECT_TRUE(opened) << opened.error();
        *done = true;
      }, path, ended);
      for (std::uint64_t i = 0; i < turns; ++i) co_await levity::yield();
      parts.cancel();
      co_await parts.join();
    }, &directory.path(), seed % 8, &has_ended);
    broken_off += has_ended ? 0 : 1;
    ASSERT_TRUE(read_file(log_path(directory.path(), 1)) == bytes) << "a recovery that is broken off changes nothing";
  }
  EXPECT_GT(broken_off, 4);
  const auto opened = result_of(recover(directory.path()));
  ASSERT_TRUE(opened) << opened.error();
  EXPECT_EQ(opened->orders.digest(), digest);
}

TEST(recovery, whoever_carries_files_out_the_same_orders_are_read_and_the_lock_is_given_up_at_the_end) {
  temporary_directory directory;
  const std::uint64_t digest = large_directory(directory.path());
  for (const levity::file_means means : {levity::file_means::automatic, levity::file_means::blocking}) {
    levity::runtime_options options;
    options.workers = 2;
    options.handle_signals = false;
    options.files = means;
    for (int round = 0; round < 5; ++round) {
      // All of it is gone before the runtime ends, and who comes next finds no lock.
      const auto found = result_of([](const std::string* path) -> levity::task<std::expected<std::uint64_t, std::string>> {
        auto opened = co_await recover(*path);
        if (!opened) co_return std::unexpected(std::move(opened.error()));
        co_return opened->orders.digest();
      }(&directory.path()), options);
      ASSERT_TRUE(found) << found.error();
      EXPECT_EQ(*found, digest);
    }
  }
}

TEST(recovery, a_directory_is_the_same_with_a_slash_behind_it) {
  temporary_directory directory;
  std::uint64_t digest = 0;
  {
    small_service service{directory.path() + "/"};
    service.run(3, 5);
    digest = service.orders().digest();
  }
  for (const char* end : {"/", "", "//"}) {
    const auto opened = result_of(recover(directory.path() + end));
    ASSERT_TRUE(opened) << opened.error();
    EXPECT_EQ(opened->orders.digest(), digest);
  }
}

TEST(recovery, a_killed_writer_leaves_every_order_it_acknowledged) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    temporary_directory directory;
    int acknowledged[2];
    ASSERT_EQ(::pipe(acknowledged), 0);
    const pid_t child = ::fork();
    if (child == 0) {
      small_service service{directory.path(), seed};
      for (;;) {
        service.steps(7);
        service.commit();
        const std::uint64_t sequence = service.log().durable_sequence();
        if (::write(acknowledged[1], &sequence, sizeof sequence) != sizeof sequence) ::_exit(1);
      }
    }
    ::close(acknowledged[1]);
    std::uint64_t promised = 0;
    for (std::uint64_t i = 0; i < 20 + seed * 3; ++i) {
      ASSERT_EQ(::read(acknowledged[0], &promised, sizeof promised), static_cast<ssize_t>(sizeof promised));
    }
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    while (::read(acknowledged[0], &promised, sizeof promised) == static_cast<ssize_t>(sizeof promised)) {}
    ::close(acknowledged[0]);
    auto opened = result_of(recover(directory.path()));
    ASSERT_TRUE(opened) << opened.error();
    EXPECT_GE(opened->next_sequence, promised + 1);
    EXPECT_FALSE(opened->orders.check_invariants());
  }
}

}  // namespace
}  // namespace orders
