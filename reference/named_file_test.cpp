// Goal: whatever a file refuses is told in a sentence with its name, cause and remedy, and nothing more is asked of the kernel than
// the names say.
#include "reference/named_file.hpp"

#include <filesystem>

#include <gtest/gtest.h>

#include "reference/result_of.hpp"
#include "reference/test_support.hpp"

namespace orders {
namespace {

using test::read_file;
using test::temporary_directory;
using test::write_file;

named_file opened(const std::string& path, levity::file_options how) { return result_of(named_file::open(path, how)).value(); }

TEST(named_file, reads_and_writes_where_it_is_told) {
  const temporary_directory folder;
  const std::string path = folder.path() + "/file";
  named_file file = opened(path, {.read = true, .write = true, .create = true});
  EXPECT_EQ(file.path(), path);
  ASSERT_TRUE(result_of(file.write_at(3, "defgh")));
  ASSERT_TRUE(result_of(file.write_at(0, "abc")));
  ASSERT_TRUE(result_of(file.truncate(7)));
  ASSERT_TRUE(result_of(file.sync()));
  EXPECT_EQ(result_of(file.size()), 7U);
  EXPECT_EQ(read_file(path), "abcdefg");
  std::string text = "-";
  ASSERT_TRUE(result_of(file.read_at(2, 3, text)));
  EXPECT_EQ(text, "-cde");
  ASSERT_TRUE(result_of(file.read_at(6, 100, text)));
  EXPECT_EQ(text, "-cdeg") << "fewer, at the end";
  ASSERT_TRUE(result_of(file.read_at(7, 100, text)));
  EXPECT_EQ(text, "-cdeg");
}

TEST(named_file, a_failure_is_a_sentence) {
  const temporary_directory folder;
  const std::string there = folder.path() + "/there";
  write_file(there, "x");
  EXPECT_EQ(result_of(named_file::open("/nowhere/x", {.read = true})).error(),
            "Cannot open /nowhere/x: No such file or directory.");
  EXPECT_EQ(result_of(named_file::open(there, {.write = true, .create = true, .exclusive = true})).error(),
            "Cannot open " + there + ": File exists.");
  named_file full = opened("/dev/full", {.read = true, .write = true});
  EXPECT_EQ(result_of(full.write_at(0, "x")).error(),
            "Cannot write to /dev/full: No space left on device; free some space on that file system.");
  EXPECT_EQ(result_of(full.size()).error(), "/dev/full is not a regular file; move it away.");
  named_file directory = opened(folder.path(), {.read = true});
  std::string text = "kept";
  EXPECT_EQ(result_of(directory.read_at(0, 9, text)).error(), "Cannot read " + folder.path() + ": Is a directory.");
  EXPECT_EQ(text, "kept");
  named_file unwritable = opened(there, {.read = true});
  EXPECT_EQ(result_of(unwritable.truncate(9)).error(), "Cannot shorten " + there + ": Invalid argument.");
  EXPECT_EQ(result_of(rename_file("/nowhere/x", there)).error(), "Cannot rename /nowhere/x: No such file or directory.");
  EXPECT_EQ(result_of(sync_directory("/nowhere")).error(), "Cannot make durable /nowhere: No such file or directory.");
  EXPECT_EQ(result_of(remove_file(folder.path())).error(), "Cannot remove " + folder.path() + ": Is a directory.");
  EXPECT_TRUE(result_of(remove_file(there)));
  EXPECT_TRUE(result_of(remove_file(there))) << "it is not there";
  EXPECT_EQ(result_of(is_there(there)), false);
  EXPECT_EQ(result_of(is_there(folder.path())), true);
}

TEST(named_file, one_has_the_lock_until_it_is_closed) {
  const temporary_directory folder;
  const std::string path = folder.path() + "/lock";
  named_file first = opened(path, {.write = true, .create = true});
  named_file second = opened(path, {.write = true});
  ASSERT_TRUE(first.try_lock());
  const auto refused = second.try_lock();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error(), levity::io_failure::would_block);
  result_of([](named_file* of) -> levity::task<bool> {
    co_await of->close();
    co_return true;
  }(&first));
  EXPECT_FALSE(first.is_open());
  EXPECT_TRUE(second.try_lock());
}

TEST(named_file, directories_are_made_with_those_above_them) {
  const temporary_directory folder;
  const std::string deep = folder.path() + "/a/b/c";
  EXPECT_TRUE(result_of(make_directories(deep + "//")));
  EXPECT_TRUE(std::filesystem::is_directory(deep));
  EXPECT_TRUE(result_of(make_directories(deep))) << "it is there";
  const std::string file = deep + "/file";
  write_file(file, "");
  for (const std::string& path : {file, file + "/d", file + "/d/e"}) {
    const auto refused = result_of(make_directories(path));
    ASSERT_FALSE(refused) << path;
    EXPECT_EQ(cause_of(refused.error()), "Not a directory") << path;
  }
  const auto nowhere = result_of(make_directories("/proc/orders/a"));
  ASSERT_FALSE(nowhere);
  EXPECT_EQ(cause_of(nowhere.error()), "No such file or directory");
}

}  // namespace
}  // namespace orders
