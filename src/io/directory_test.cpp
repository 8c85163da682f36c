// Directories and what is known of paths, by every means.

#include "levity/io/directory.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <set>
#include <string>

#include "levity/levity.hpp"
#include "tests/support/open_descriptors.hpp"
#include "tests/support/run_tasks.hpp"
#include "tests/support/temporary_folder.hpp"

namespace lv = levity;
using namespace std::chrono_literals;
using levity::file_kind;
using levity::io_failure;
using levity::test::open_descriptors;
using levity::test::temporary_folder;
using means = lv::file_means;

namespace {

class directories : public testing::TestWithParam<means> {};

template <class F, class... Args>
void run_by(means by, F f, Args... args) {
  lv::runtime_options options;
  options.workers = 2;
  options.handle_signals = false;
  options.files = by;
  EXPECT_EQ(lv::run_with(options, std::move(f), std::move(args)...), 0);
}

}  // namespace

TEST_P(directories, give_every_name_once_with_its_kind_however_many_there_are) {
  const temporary_folder folder;
  constexpr int count = 1000;  // more than two batches hold
  for (int i = 0; i < count; i++) std::ofstream(folder.path() + "/a name of a file that is long enough " + std::to_string(i));
  ASSERT_EQ(::mkdir(folder.file("folder").c_str(), 0755), 0);
  ASSERT_EQ(::mkfifo(folder.file("fifo").c_str(), 0644), 0);
  ASSERT_EQ(::symlink("nowhere", folder.file("link").c_str()), 0);
  run_by(GetParam(), [](std::string path) -> lv::task<> {
    std::set<std::string> seen;
    auto names = lv::list_directory(path);
    for (auto each = co_await names.next(); each; each = co_await names.next()) {
      EXPECT_TRUE(*each) << each->error().message();
      if (!*each) co_return;
      const auto& [name, kind] = **each;
      EXPECT_TRUE(seen.insert(name).second) << name;
      EXPECT_EQ(kind, name == "folder" ? file_kind::directory
                      : name == "fifo" ? file_kind::fifo
                      : name == "link" ? file_kind::symlink
                                       : file_kind::regular);
    }
    EXPECT_EQ(seen.size(), count + 3u);
    EXPECT_FALSE(co_await names.next());
  }, folder.path());
}

TEST_P(directories, that_cannot_be_listed_say_why_and_end) {
  const temporary_folder folder;
  std::ofstream(folder.file("file")) << "x";
  run_by(GetParam(), [](std::string in) -> lv::task<> {
    for (const auto& name : {in + "/none", in + "/file"}) {
      auto names = lv::list_directory(name);
      const auto first = co_await names.next();
      EXPECT_TRUE(first && !*first && first->error() == io_failure::not_found);
      EXPECT_FALSE(co_await names.next());
    }
  }, folder.path());
}

TEST_P(directories, that_are_left_in_the_middle_or_cancelled_leave_no_descriptor_behind) {
  const temporary_folder folder;
  for (int i = 0; i < 600; i++) std::ofstream(folder.path() + "/a name of a file that is long enough " + std::to_string(i));
  const int before = open_descriptors();
  run_by(GetParam(), [](std::string in) -> lv::task<> {
    for (int i = 0; i < 5; i++) {
      auto names = lv::list_directory(in);
      const auto first = co_await names.next();
      EXPECT_TRUE(first && *first);
    }
    const auto list = [](std::string path) -> lv::task<> {
      auto names = lv::list_directory(path);
      const auto first = co_await names.next();
      EXPECT_TRUE(first && !*first && first->error() == io_failure::cancelled);
      EXPECT_FALSE(co_await names.next());
    };
    lv::scope early;
    early.cancel();
    early.spawn(list, in);
    co_await early.join();
  }, folder.path());
  EXPECT_EQ(open_descriptors(), before);
}

TEST_P(directories, are_made_and_removed_and_links_lead_where_they_say) {
  const temporary_folder folder;
  run_by(GetParam(), [](std::string in) -> lv::task<> {
    EXPECT_TRUE(co_await lv::make_directory(in + "/new", 0700));
    EXPECT_EQ((co_await lv::make_directory(in + "/new")).error(), io_failure::exists);
    const auto made = co_await lv::path_status(in + "/new");
    EXPECT_TRUE(made && made->kind == file_kind::directory && made->mode == 0700 && made->uid == ::getuid());
    auto file = co_await lv::file::open(in + "/new/one", {.write = true, .create = true, .mode = 0600});
    EXPECT_TRUE(file && co_await file->write_at(0, "five!"));
    EXPECT_TRUE(co_await lv::make_link(in + "/new/one", in + "/new/two"));
    EXPECT_TRUE(co_await lv::make_symlink("one", in + "/new/three"));
    const auto now = std::chrono::system_clock::now();
    for (const char* name : {"/new/one", "/new/two", "/new/three"}) {
      const auto status = co_await lv::path_status(in + name);
      EXPECT_TRUE(status && status->kind == file_kind::regular && status->size == 5 && status->links == 2) << name;
      if (!status) co_return;
      EXPECT_TRUE(status->modified > now - 10min && status->modified < now + 10min);
    }
    const auto link = co_await lv::path_status(in + "/new/three", false);
    EXPECT_TRUE(link && link->kind == file_kind::symlink && link->size == 3);
    EXPECT_EQ((co_await lv::path_status(in + "/none")).error(), io_failure::not_found);
    EXPECT_EQ((co_await lv::make_link(in + "/none", in + "/four")).error(), io_failure::not_found);
    const auto full = co_await lv::remove_directory(in + "/new");
    EXPECT_TRUE(!full && full.error().code() == ENOTEMPTY);
    for (const char* name : {"/new/one", "/new/two", "/new/three"}) EXPECT_TRUE(co_await lv::remove_file(in + name));
    EXPECT_TRUE(co_await lv::remove_directory(in + "/new"));
    EXPECT_EQ((co_await lv::remove_directory(in + "/new")).error(), io_failure::not_found);
  }, folder.path());
}

INSTANTIATE_TEST_SUITE_P(by, directories, testing::Values(means::automatic, means::ring, means::blocking),
                         [](const auto& each) {
                           return each.param == means::ring ? "ring" : each.param == means::blocking ? "threads" : "automatic";
                         });
