// Goal: what a journal has called durable is there after any end of the process, and nothing that was cut is taken for true.
#include "reference/downstream/journal.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "reference/result_of.hpp"
#include "reference/test_support.hpp"

using orders::journal;
using orders::open_journal;
using orders::result_of;
using orders::test::read_file;
using orders::test::temporary_directory;
using orders::test::write_file;

namespace {

std::string line_number(std::size_t number) { return "{\"line\":" + std::to_string(number) + "}"; }

// Writes `count` lines through a journal, each of them durable.
void write_lines(const std::string& path, std::size_t from, std::size_t count) {
  const auto start = result_of(open_journal(path));
  ASSERT_TRUE(start) << start.error();
  journal log(path, start->size);
  levity::run([](journal* into, std::size_t first, std::size_t lines) -> levity::task<> {
    levity::scope parts;
    parts.spawn([](journal* writes) { return writes->run(); }, into);
    for (std::size_t i = 0; i < lines; ++i) {
      const bool durable = co_await journal::durable(into->append(line_number(first + i)));
      EXPECT_TRUE(durable);
    }
    into->stop();
    co_await parts.join();
    const bool late = co_await journal::durable(into->append("too late"));
    EXPECT_FALSE(late) << "a line that came after the end was called durable";
  }, &log, from, count);
}

}  // namespace

TEST(journal, what_was_durable_is_there_when_it_is_opened_again) {
  const temporary_directory folder;
  const std::string path = folder.path() + "/log";
  write_lines(path, 0, 20);
  write_lines(path, 20, 5);
  const auto start = result_of(open_journal(path));
  ASSERT_TRUE(start) << start.error();
  ASSERT_EQ(start->lines.size(), 25U);
  for (std::size_t i = 0; i < start->lines.size(); ++i) EXPECT_EQ(start->lines[i], line_number(i));
  EXPECT_EQ(start->cut_bytes, 0U);
}

TEST(journal, a_file_cut_anywhere_gives_the_whole_lines_before_the_cut) {
  const temporary_directory folder;
  const std::string path = folder.path() + "/log";
  write_lines(path, 0, 6);
  const std::string whole = read_file(path);
  for (std::size_t size = 0; size <= whole.size(); ++size) {
    write_file(path, whole.substr(0, size));
    const auto start = result_of(open_journal(path));
    ASSERT_TRUE(start) << start.error();
    const auto lines = static_cast<std::size_t>(std::count(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size), '\n'));
    ASSERT_EQ(start->lines.size(), lines) << size;
    EXPECT_EQ(start->size + start->cut_bytes, size);
    EXPECT_EQ(read_file(path).size(), start->size) << "what was cut is still there";
  }
}

TEST(journal, a_changed_byte_ends_the_lines_that_are_believed) {
  const temporary_directory folder;
  const std::string path = folder.path() + "/log";
  write_lines(path, 0, 6);
  const std::string whole = read_file(path);
  const std::uint64_t seed = std::random_device{}();
  std::mt19937_64 random(seed);
  for (int round = 0; round < 200; ++round) {
    std::string harmed = whole;
    const std::size_t at = random() % harmed.size();
    harmed[at] = static_cast<char>(harmed[at] ^ static_cast<char>(1 + random() % 255));
    write_file(path, harmed);
    const auto start = result_of(open_journal(path));
    ASSERT_TRUE(start) << start.error();
    const auto before = static_cast<std::size_t>(std::count(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(at), '\n'));
    ASSERT_EQ(start->lines.size(), before) << "byte " << at << ", seed " << seed;
  }
}

TEST(journal, all_so_far_ends_with_what_was_appended_before) {
  const temporary_directory folder;
  const std::string path = folder.path() + "/log";
  ASSERT_TRUE(result_of(open_journal(path)));
  journal log(path, 0);
  levity::run([](journal* into, const std::string* file) -> levity::task<> {
    levity::scope parts;
    parts.spawn([](journal* writes) { return writes->run(); }, into);
    into->append("first");
    const bool durable = co_await journal::durable(into->all_so_far());
    EXPECT_TRUE(durable);
    EXPECT_NE(read_file(*file).find("first"), std::string::npos);
    into->stop();
    co_await parts.join();
  }, &log, &path);
}
