// Goal: a downstream says why it does not serve, in one sentence, with the exit code that goes with it.
#include "reference/downstream/serve.hpp"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "reference/inventory/inventory.hpp"
#include "reference/payment/payment.hpp"
#include "reference/result_of.hpp"
#include "reference/test_support.hpp"

namespace {

using orders::test::said;
using orders::test::temporary_directory;
using orders::test::write_file;

struct program {
  const char* name;
  const char* journal;
  int (*run)(int, char**);
};

constexpr program programs[] = {{"payment", "charges.log", orders::run_payment},
                                {"inventory", "reservations.log", orders::run_inventory}};

said run(const program& of, std::vector<std::string> words) { return orders::test::run_program(of.run, std::move(words)); }

}  // namespace

TEST(downstream, what_it_is_not_told_rightly_ends_it_with_2) {
  for (const program& each : programs) {
    const temporary_directory folder;
    const std::string name = each.name;
    const said option = run(each, {"--sead", "1"});
    EXPECT_EQ(option.code, 2);
    EXPECT_TRUE(option.text.starts_with(name + ": \"--sead\" is no option")) << option.text;
    const std::string file = folder.path() + "/file";
    write_file(file, "");
    const said directory = run(each, {"--data", file});
    EXPECT_EQ(directory.code, 2);
    EXPECT_EQ(directory.text, name + ": cannot make the directory \"" + file + "\": Not a directory\n");
  }
}

TEST(downstream, a_journal_that_cannot_be_followed_ends_it_with_1) {
  for (const program& each : programs) {
    const temporary_directory folder;
    const std::string name = each.name;
    const std::string path = folder.path() + "/" + each.journal;
    const auto start = orders::result_of(orders::open_journal(path));
    ASSERT_TRUE(start);
    const int code = levity::run([](std::string of) -> levity::task<> {
      orders::journal log(of, 0);
      levity::scope parts;
      parts.spawn([](orders::journal* writes) { return writes->run(); }, &log);
      const bool durable = co_await orders::journal::durable(log.append("nonsense"));
      EXPECT_TRUE(durable);
      log.stop();
      co_await parts.join();
    }, path);
    ASSERT_EQ(code, 0);
    const said line = run(each, {"--data", folder.path()});
    EXPECT_EQ(line.code, 1);
    EXPECT_TRUE(line.text.starts_with(name + ": a line of " + path + " ")) << line.text;
  }
}

TEST(downstream, where_nobody_may_listen_ends_it_with_1_after_it_has_told_what_it_cut) {
  for (const program& each : programs) {
    const temporary_directory folder;
    const std::string name = each.name;
    const std::string path = folder.path() + "/" + each.journal;
    write_file(path, "half a li");
    const said address = run(each, {"--data", folder.path(), "--listen", "nowhere", "--operate", "127.0.0.1:0"});
    EXPECT_EQ(address.code, 1);
    EXPECT_NE(address.text.find(name + ": 9 bytes at the end of " + path + " were promised to nobody and are cut\n"),
              std::string::npos)
        << address.text;
    EXPECT_NE(address.text.find(name + ": cannot listen at nowhere: "), std::string::npos) << address.text;
  }
}
