// Goal: the program says why it does not serve, in one sentence, with the exit code that goes with it.
#include "reference/orders.hpp"

#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "reference/recovery.hpp"
#include "reference/result_of.hpp"
#include "reference/test_support.hpp"

namespace orders {
namespace {

using test::said;
using test::temporary_directory;
using test::write_file;

said run(std::vector<std::string> words) { return test::run_program(run_orders, std::move(words)); }

TEST(orders, settings_that_are_wrong_end_it_with_2) {
  const temporary_directory folder;
  const said config = run({"--config", folder.path()});
  EXPECT_EQ(config.code, 2);
  EXPECT_EQ(config.text, "orders: cannot read " + folder.path() + "\n");
  for (const std::string& path : {folder.path(), folder.path() + "/missing"}) {
    const said canary = run({"--data", folder.path(), "--canary", path});
    EXPECT_EQ(canary.code, 2);
    EXPECT_EQ(canary.text, "orders: " + path + " cannot be read\n");
  }
}

TEST(orders, data_that_cannot_be_served_ends_it_with_1) {
  const temporary_directory folder;
  const std::string file = folder.path() + "/file";
  write_file(file, "");
  const said no_directory = run({"--data", file});
  EXPECT_EQ(no_directory.code, 1);
  EXPECT_EQ(no_directory.text, "orders: Cannot make the data directory " + file + ": Not a directory.\n");

  const std::string data = folder.path() + "/data";
  {
    const auto first = result_of(recover(data));
    ASSERT_TRUE(first);
    const said in_use = run({"--data", data});
    EXPECT_EQ(in_use.code, 1);
    // result_of() makes a simulated run, whose process has the number 1.
    EXPECT_EQ(in_use.text, "orders: The data directory " + data +
                               " is in use by process 1; stop that one first, or choose another directory with --data.\n");
  }
  const said no_address = run({"--data", data, "--listen", "nowhere"});
  EXPECT_EQ(no_address.code, 1);
  EXPECT_TRUE(no_address.text.starts_with("orders: cannot listen at nowhere: ")) << no_address.text;
}

}  // namespace
}  // namespace orders
