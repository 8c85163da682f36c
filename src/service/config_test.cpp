// Settings: what is read, from where, and what is refused with which sentence.

#include "levity/service/config.hpp"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <signal.h>
#include <unistd.h>

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "io/host_files.hpp"
#include "levity/io/detail/file_operation.hpp"
#include "levity/levity.hpp"
#include "tests/support/run_tasks.hpp"

namespace lv = levity;
using namespace std::chrono_literals;
using levity::test::run_tasks;
using lv::service::byte_size;
using lv::service::config;
using lv::service::config_change;
using lv::service::config_description;
using lv::service::config_sources;

namespace {

enum class mode { fast, careful };

struct pool_settings {
  std::uint16_t size = 100;
  lv::duration wait = 250ms;
};

struct settings {
  std::string listen = "127.0.0.1:8080";
  lv::duration timeout = 2s;
  byte_size body_max{1 << 20};
  std::int32_t offset = -5;
  double ratio = 0.5;
  bool verbose = false;
  mode how = mode::fast;
  std::vector<std::string> tags;
  std::string token;
  pool_settings pool;
};

config_description<settings> described() {
  const auto pool = config_description<pool_settings>()
                        .field("size", &pool_settings::size, {.doc = "connections that are kept", .unit = "connections", .min = 1})
                        .field("wait", &pool_settings::wait, {.doc = "for a free one", .run_time = true});
  return config_description<settings>("orders", "takes orders")
      .field("listen", &settings::listen, {.doc = "where it listens"})
      .field("timeout", &settings::timeout, {.doc = "for one order", .min = 1ms, .max = 1min, .run_time = true})
      .field("body_max", &settings::body_max, {.doc = "the largest order", .max = byte_size{1 << 30}, .run_time = true})
      .field("offset", &settings::offset)
      .field("ratio", &settings::ratio, {.min = 0.0, .max = 1.0, .run_time = true})
      .field("verbose", &settings::verbose, {.doc = "say more", .run_time = true})
      .choice("mode", &settings::how, {{"fast", mode::fast}, {"careful", mode::careful}})
      .field("tags", &settings::tags)
      .field("token", &settings::token, {.doc = "for the stock's API", .secret = true, .run_time = true})
      .section("pool", &settings::pool, pool)
      .check([](const settings& all) -> std::expected<void, std::string> {
        if (all.pool.wait >= all.timeout) return std::unexpected("pool.wait must be shorter than timeout");
        return {};
      });
}

// A file that is there as long as the object.
struct temporary_file {
  std::string path;
  explicit temporary_file(std::string_view text) {
    char name[] = "/tmp/levity-config-XXXXXX";
    const int fd = ::mkstemp(name);
    EXPECT_GE(fd, 0);
    ::close(fd);
    path = name;
    write(text);
  }
  void write(std::string_view text) const { std::ofstream(path, std::ios::trunc) << text; }
  ~temporary_file() { ::unlink(path.c_str()); }
};

using loaded = std::expected<std::unique_ptr<config<settings>>, lv::service::config_end>;

loaded load(std::string_view file, std::vector<std::string> flags = {},
            std::vector<std::pair<std::string, std::string>> variables = {}) {
  const temporary_file written(file);
  config_sources from{.env_prefix = "ORDERS_", .arguments = std::move(flags), .environment = std::move(variables)};
  if (!file.empty()) from.arguments.insert(from.arguments.end(), {"--config", written.path});
  return config<settings>::load(described(), from);
}

// The sentences of the error, the file called `file`.
std::string error_of(std::string_view file, std::vector<std::string> flags = {},
                     std::vector<std::pair<std::string, std::string>> variables = {}) {
  const loaded read = load(file, std::move(flags), std::move(variables));
  if (read) return "(accepted)";
  EXPECT_EQ(read.error().code, 2);
  std::string text = read.error().text;
  for (std::size_t at = 0; (at = text.find("/tmp/levity-config-")) != std::string::npos;) text.replace(at, 25, "file");
  return text;
}

TEST(config, without_anything_the_defaults_are_in_force) {
  const loaded read = load("");
  ASSERT_TRUE(read) << read.error().text;
  const auto now = (*read)->get();
  EXPECT_EQ(now->listen, "127.0.0.1:8080");
  EXPECT_EQ(now->pool.size, 100);
  EXPECT_EQ((*read)->origin_of("pool.size"), "default");
}

TEST(config, every_type_is_read_from_a_file) {
  const loaded read = load(R"(listen = "0.0.0.0:80"
timeout = "1.5s"
body_max = "64MiB"
offset = -7
ratio = 1
verbose = true
mode = "careful"
tags = ["a", "b, c"]
token = "s3cret"

[pool]
size = 7
wait = "10ms"
)");
  ASSERT_TRUE(read) << read.error().text;
  const auto now = (*read)->get();
  EXPECT_EQ(now->listen, "0.0.0.0:80");
  EXPECT_EQ(now->timeout, 1500ms);
  EXPECT_EQ(now->body_max, byte_size{64 << 20});
  EXPECT_EQ(now->offset, -7);
  EXPECT_EQ(now->ratio, 1);
  EXPECT_TRUE(now->verbose);
  EXPECT_EQ(now->how, mode::careful);
  EXPECT_EQ(now->tags, (std::vector<std::string>{"a", "b, c"}));
  EXPECT_EQ(now->token, "s3cret");
  EXPECT_EQ(now->pool.size, 7);
  EXPECT_EQ(now->pool.wait, 10ms);
  EXPECT_TRUE((*read)->origin_of("pool.size").ends_with(":12")) << (*read)->origin_of("pool.size");
}

TEST(config, a_flag_goes_before_a_variable_and_that_before_the_file) {
  const loaded read = load("listen = \"file\"\noffset = 1\n[pool]\nsize = 1\nwait = \"1ms\"\n",
                           {"--listen", "flag", "--pool.size=3", "--verbose", "--tags", "x,y"},
                           {{"ORDERS_LISTEN", "variable"}, {"ORDERS_OFFSET", "2"}, {"ORDERS_POOL_SIZE", "2"}, {"PATH", "/bin"}});
  ASSERT_TRUE(read) << read.error().text;
  const auto now = (*read)->get();
  EXPECT_EQ(now->listen, "flag");
  EXPECT_EQ(now->offset, 2);
  EXPECT_EQ(now->pool.size, 3);
  EXPECT_EQ(now->pool.wait, 1ms);
  EXPECT_TRUE(now->verbose);
  EXPECT_EQ(now->tags, (std::vector<std::string>{"x", "y"}));
  EXPECT_EQ((*read)->origin_of("listen"), "flag --listen");
  EXPECT_EQ((*read)->origin_of("offset"), "environment ORDERS_OFFSET");
  EXPECT_TRUE((*read)->origin_of("pool.wait").ends_with(":5"));
  EXPECT_EQ((*read)->origin_of("timeout"), "default");
}

TEST(config, the_last_of_a_flag_counts_and_a_switch_can_be_turned_off) {
  const loaded read = load("verbose = true\n", {"--offset", "1", "--verbose=false", "--offset", "-2"});
  ASSERT_TRUE(read) << read.error().text;
  EXPECT_EQ((*read)->get()->offset, -2);
  EXPECT_FALSE((*read)->get()->verbose);
}

TEST(config, an_unknown_key_is_refused_with_its_line_and_a_suggestion) {
  EXPECT_EQ(error_of("timout = \"2s\"\n"), "file:1: there is no setting \"timout\"; did you mean \"timeout\"?\n");
  EXPECT_EQ(error_of("\n[pool]\nsice = 7\n"), "file:3: there is no setting \"pool.sice\"; did you mean \"pool.size\"?\n");
  EXPECT_EQ(error_of("\n[poll]\nsize = 7\n"), "file:2: there is no section \"poll\"; did you mean \"pool\"?\n");
  EXPECT_EQ(error_of("pool = 7\n"), "file:1: pool is a section, not a value; write [pool] above its settings\n");
  EXPECT_EQ(error_of("completely_else = 7\n"), "file:1: there is no setting \"completely_else\"\n");
}

TEST(config, an_unknown_flag_is_refused_with_a_suggestion) {
  EXPECT_EQ(error_of("", {"--timout", "2s"}),
            "orders: there is no flag \"--timout\"; did you mean \"--timeout\"?\norders: \"2s\" belongs "
            "to no flag\n");
  EXPECT_EQ(error_of("", {"--print-confg"}), "orders: there is no flag \"--print-confg\"; did you mean \"--print-config\"?\n");
  EXPECT_EQ(error_of("", {"stray"}), "orders: \"stray\" belongs to no flag\n");
}

TEST(config, a_secret_is_no_flag_and_is_never_shown) {
  const std::string refused = error_of("", {"--token", "s3cret"});
  EXPECT_EQ(refused,
            "orders: --token is a secret and no flag: a command line is seen by everybody on the machine; put it into the "
            "file or into ORDERS_TOKEN\n");
  const loaded read = load("", {}, {{"ORDERS_TOKEN", "s3cret"}});
  ASSERT_TRUE(read) << read.error().text;
  EXPECT_EQ((*read)->get()->token, "s3cret");
  const std::string printed = (*read)->print();
  EXPECT_EQ(printed.find("s3cret"), std::string::npos);
  EXPECT_NE(printed.find("# environment ORDERS_TOKEN"), std::string::npos);
  EXPECT_EQ(error_of("token = 7\n"), "file:1: token: it is a whole number; write it in quotes\n");
}

TEST(config, values_out_of_their_bounds_are_refused_with_their_place) {
  EXPECT_EQ(error_of("timeout = \"2h\"\n"), "file:1: timeout: 2h is not within 1ms to 1m\n");
  EXPECT_EQ(error_of("timeout = \"2\"\n"),
            "file:1: timeout: \"2\" has no unit; write one of ns, us, ms, s, m, h, d behind the number\n");
  EXPECT_EQ(error_of("timeout = 2\n"), "file:1: timeout: it is a whole number; write a duration in quotes\n");
  EXPECT_EQ(error_of("body_max = \"2GiB\"\n"), "file:1: body_max: 2GiB is not at most 1GiB\n");
  EXPECT_EQ(error_of("offset = \"7\"\n"), "file:1: offset: it is a text; write a whole number, without quotes\n");
  EXPECT_EQ(error_of("offset = 3000000000\n"), "file:1: offset: 3000000000 is not within -2147483648 to 2147483647\n");
  EXPECT_EQ(error_of("ratio = 1.5\n"), "file:1: ratio: 1.5 is not within 0.0 to 1.0\n");
  EXPECT_EQ(error_of("ratio = nan\n"), "file:1: ratio: \"nan\" is no finite number\n");
  EXPECT_EQ(error_of("mode = \"quick\"\n"), "file:1: mode: \"quick\" is none of fast, careful\n");
  EXPECT_EQ(error_of("tags = \"a\"\n"), "file:1: tags: it is a text; write a list of texts: [\"a\", \"b\"]\n");
  EXPECT_EQ(error_of("tags = [1]\n"), "file:1: tags: an entry of the list is a whole number; write it in quotes\n");
  EXPECT_EQ(error_of("verbose = 1\n"), "file:1: verbose: it is a whole number; write true or false, without quotes\n");
  EXPECT_EQ(error_of("[pool]\nsize = 0\n"), "file:2: pool.size: 0 is not at least 1\n");
  EXPECT_EQ(error_of("[pool]\nsize = 70000\n"), "file:2: pool.size: 70000 is not within 0 to 65535\n");
  EXPECT_EQ(error_of("", {}, {{"ORDERS_OFFSET", "tcp://10.0.0.1:80"}}),
            "environment ORDERS_OFFSET: offset: \"tcp://10.0.0.1:80\" is no whole number\n");
  EXPECT_EQ(error_of("", {"--pool.size", "-1"}), "flag --pool.size: pool.size: \"-1\" is negative\n");
}

TEST(config, all_mistakes_are_told_at_once) {
  EXPECT_EQ(error_of("timeout = \"2h\"\nofset = 1\n", {"--ratio", "2"}),
            "file:2: there is no setting \"ofset\"; did you mean \"offset\"?\nfile:1: timeout: 2h is not within 1ms to 1m\n"
            "flag --ratio: ratio: 2.0 is not within 0.0 to 1.0\n");
}

TEST(config, what_must_hold_between_settings_is_checked) {
  EXPECT_EQ(error_of("[pool]\nwait = \"2s\"\n"), "pool.wait must be shorter than timeout\n");
}

TEST(config, what_is_no_toml_is_refused_with_its_line) {
  EXPECT_TRUE(error_of("offset = 1\noffset = \n").starts_with("file:2: cannot be read as TOML: "))
      << error_of("offset = 1\noffset = \n");
  EXPECT_TRUE(error_of("offset = 1\noffset = 2\n").starts_with("file:2: cannot be read as TOML: "));
}

TEST(config, a_file_that_was_asked_for_must_be_there_and_the_usual_one_need_not) {
  config_sources from{.arguments = {"--config", "/nowhere/orders.toml"}};
  const auto asked = config<settings>::load(described(), from);
  ASSERT_FALSE(asked);
  EXPECT_EQ(asked.error().text, "orders: cannot read /nowhere/orders.toml: No such file or directory\n");
  from = {.default_file = "/nowhere/orders.toml"};
  EXPECT_TRUE(config<settings>::load(described(), from));
}

loaded load_inside(config_sources from) {
  loaded read;
  run_tasks(1, [](loaded* into, config_sources of) -> lv::task<> {
    *into = co_await config<settings>::load_inside(described(), std::move(of));
  }, &read, std::move(from));
  return read;
}

TEST(config, a_main_task_loads_what_main_would) {
  const temporary_file file("offset = 7\n");
  const loaded read = load_inside({.arguments = {"--config", file.path, "--ratio", "0.25"}});
  ASSERT_TRUE(read) << read.error().text;
  EXPECT_EQ((*read)->get()->offset, 7);
  EXPECT_EQ((*read)->get()->ratio, 0.25);
  EXPECT_TRUE(load_inside({.default_file = "/nowhere/orders.toml"}));
  EXPECT_EQ(load_inside({.arguments = {"--config", "/nowhere/orders.toml"}}).error().text,
            "orders: cannot read /nowhere/orders.toml: No such file or directory\n");
  EXPECT_EQ(load_inside({.arguments = {"--config", "/tmp"}}).error().text, "orders: cannot read /tmp\n");
  file.write("offset = 1\nnonsense = 1\n");
  const config_sources wrong{.arguments = {"--config", file.path}};
  EXPECT_EQ(load_inside(wrong).error().text, config<settings>::load(described(), wrong).error().text);
  EXPECT_EQ(load_inside({.arguments = {"--help"}}).error().code, 0);
  file.write(std::string((16 << 20) + 1, '#'));
  EXPECT_EQ(load_inside(wrong).error().text, config<settings>::load(described(), wrong).error().text);
}

TEST(config, a_variable_that_is_nearly_a_setting_is_remarked_and_no_error) {
  const loaded read = load("", {}, {{"ORDERS_TIMOUT", "2s"}, {"ORDERS_SERVICE_HOST", "10.0.0.1"}});
  ASSERT_TRUE(read) << read.error().text;
  EXPECT_EQ((*read)->remarks(),
            std::vector<std::string>{"orders: nobody reads the variable ORDERS_TIMOUT; did you mean ORDERS_TIMEOUT?"});
}

TEST(config, help_is_made_of_the_description) {
  const loaded asked = load("", {"--help"});
  ASSERT_FALSE(asked);
  EXPECT_EQ(asked.error().code, 0);
  const std::string& text = asked.error().text;
  EXPECT_TRUE(text.starts_with("usage: orders [--config FILE] [--print-config] [--SETTING VALUE]...\n  takes orders\n")) << text;
  EXPECT_NE(text.find("  --timeout  <duration>\n      for one order\n      1ms to 1m; default \"2s\"; ORDERS_TIMEOUT; may change "
                      "at run time\n"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("  token (secret, no flag)  <text>\n      for the stock's API\n      ORDERS_TOKEN; may change at run time\n"),
            std::string::npos) << text;
  EXPECT_NE(
      text.find("\n[pool]\n  --pool.size  <whole number>\n      connections that are kept\n      at least 1 connections; default "
                "100; ORDERS_POOL_SIZE\n"),
      std::string::npos)
      << text;
  EXPECT_NE(text.find("--mode  <one of fast, careful>"), std::string::npos);
}

TEST(config, printed_settings_say_where_each_comes_from) {
  const loaded asked = load("timeout = \"3s\"\n", {"--print-config", "--offset", "4"}, {{"ORDERS_POOL_SIZE", "9"}});
  ASSERT_FALSE(asked);
  EXPECT_EQ(asked.error().code, 0);
  const std::string& text = asked.error().text;
  EXPECT_NE(text.find("listen = \"127.0.0.1:8080\"  # default\n"), std::string::npos) << text;
  EXPECT_NE(text.find("offset = 4                 # flag --offset\n"), std::string::npos) << text;
  EXPECT_NE(text.find("pool.size = 9              # environment ORDERS_POOL_SIZE\n"), std::string::npos) << text;
}

TEST(config, what_is_printed_is_a_file_that_says_the_same) {
  EXPECT_TRUE(rc::check([](const std::string& any, std::int32_t offset, std::uint16_t size, std::vector<std::string> tags) {
    std::string listen, clean;
    for (const char c : any) {
      if (static_cast<unsigned char>(c) < 0x80) listen += c;
    }
    for (std::string& tag : tags) std::erase_if(tag, [](char c) { return static_cast<unsigned char>(c) >= 0x80; });
    RC_PRE(size > 0);
    lv::service::detail::config_core core(described().fields(), "orders", "", std::make_unique<settings>().get());
    settings made;
    made.listen = listen;
    made.offset = offset;
    made.pool.size = size;
    made.tags = tags;
    const std::string text = core.print(&made);
    settings read;
    const auto done = core.fill(&read, text);
    if (!done) RC_FAIL(done.error() + text);
    RC_ASSERT(read.listen == listen);
    RC_ASSERT(read.offset == offset);
    RC_ASSERT(read.pool.size == size);
    RC_ASSERT(read.tags == tags);
  }));
}

TEST(config, a_reload_changes_what_may_change_and_tells_what_may_not) {
  const loaded read = load("timeout = \"3s\"\n", {"--ratio", "0.25"});
  ASSERT_TRUE(read) << read.error().text;
  config<settings>& now = **read;
  const auto before = now.get();
  const auto changes = now.reload_from("timeout = \"4s\"\nlisten = \"elsewhere\"\nratio = 0.75\ntoken = \"new\"\n");
  ASSERT_TRUE(changes) << changes.error();
  EXPECT_EQ(*changes, (std::vector<config_change>{{"listen", "\"127.0.0.1:8080\"", "\"elsewhere\"", false},
                                                  {"timeout", "\"3s\"", "\"4s\"", true},
                                                  {"token", "(secret)", "(secret)", true}}));
  EXPECT_EQ(now.get()->timeout, 4s);
  EXPECT_EQ(now.get()->listen, "127.0.0.1:8080");
  EXPECT_EQ(now.origin_of("listen"), "default");
  EXPECT_EQ(now.get()->ratio, 0.25);  // a flag goes before the file, now as then
  EXPECT_EQ(now.get()->token, "new");
  EXPECT_EQ(before->timeout, 3s);  // who holds the old ones keeps them
  EXPECT_EQ(now.reload_from("timeout = \"4s\"\ntoken = \"new\"\n").value(), std::vector<config_change>{});
}

TEST(config, a_bad_file_keeps_the_old_settings_whole) {
  const loaded read = load("timeout = \"3s\"\n");
  ASSERT_TRUE(read) << read.error().text;
  config<settings>& now = **read;
  const auto version = now.versions().get().version;
  const std::string origin = now.origin_of("timeout");
  for (const char* bad :
       {"timeout = \"4s\"\noffset = \"x\"\n", "timeout = \"4s\"\nunknown = 1\n", "timeout = ", "timeout = \"1ms\"\n"}) {
    EXPECT_FALSE(now.reload_from(bad)) << bad;
    EXPECT_EQ(now.get()->timeout, 3s);
    EXPECT_EQ(now.versions().get().version, version);
    EXPECT_EQ(now.origin_of("timeout"), origin);
  }
}

TEST(config, a_file_that_became_empty_is_refused_for_somebody_is_probably_writing_it) {
  const temporary_file file("timeout = \"3s\"\n");
  auto read = config<settings>::load(described(), {.arguments = {"--config", file.path}});
  ASSERT_TRUE(read) << read.error().text;
  config<settings>& now = **read;
  for (const char* empty : {"", " \n\t\r\n"}) {
    file.write(empty);
    static std::expected<std::vector<config_change>, std::string> told;
    run_tasks(1, [](config<settings>* of) -> lv::task<> { told = co_await of->reload(); }, &now);
    ASSERT_FALSE(told);
    EXPECT_EQ(told.error(), file.path + ": it is empty and was not before, as a file is that is being written in place; write "
                                        "another one and rename it over this, or leave a comment in it if the defaults are "
                                        "meant");
    EXPECT_EQ(now.get()->timeout, 3s);
    EXPECT_EQ(now.origin_of("timeout"), file.path + ":1");
  }
  EXPECT_TRUE(now.reload_from("# the defaults\n"));
  EXPECT_EQ(now.get()->timeout, 2s);
  EXPECT_FALSE(now.reload_from(""));  // a refused one is not what was before
}

TEST(config, a_file_that_was_empty_all_along_is_read_again) {
  const loaded read = load("\n");
  ASSERT_TRUE(read) << read.error().text;
  EXPECT_EQ((*read)->reload_from("").value(), std::vector<config_change>{});
  EXPECT_TRUE((*read)->reload_from("timeout = \"3s\"\n"));
  EXPECT_FALSE((*read)->reload_from(""));
}

std::expected<std::vector<config_change>, std::string> reloaded(config<settings>& now) {
  static std::expected<std::vector<config_change>, std::string> told;
  run_tasks(1, [](config<settings>* of) -> lv::task<> { told = co_await of->reload(); }, &now);
  return told;
}

TEST(config, a_default_file_that_was_not_there_and_is_not_now_leaves_the_defaults) {
  const temporary_file file("");
  ::unlink(file.path.c_str());
  auto read = config<settings>::load(described(), {.default_file = file.path});
  ASSERT_TRUE(read) << read.error().text;
  config<settings>& now = **read;
  auto told = reloaded(now);
  ASSERT_TRUE(told) << told.error();
  EXPECT_EQ(*told, std::vector<config_change>{});
  file.write("timeout = \"3s\"\n");
  told = reloaded(now);
  ASSERT_TRUE(told) << told.error();
  EXPECT_EQ(now.get()->timeout, 3s) << "it may come later";
  ::unlink(file.path.c_str());
  told = reloaded(now);
  ASSERT_FALSE(told) << "it was there, and is missed";
  EXPECT_NE(told.error().find("ENOENT"), std::string::npos) << told.error();
  EXPECT_EQ(now.get()->timeout, 3s);
}

TEST(config, a_file_that_was_named_is_missed_when_it_goes) {
  const temporary_file file("# nothing\n");
  auto read = config<settings>::load(described(), {.arguments = {"--config", file.path}});
  ASSERT_TRUE(read) << read.error().text;
  file.write("");
  ::unlink(file.path.c_str());
  EXPECT_FALSE(reloaded(**read));
}

TEST(config, what_is_told_of_a_bad_file_does_not_end_with_its_line) {
  const temporary_file file("timeout = \"3s\"\n");
  auto read = config<settings>::load(described(), {.arguments = {"--config", file.path}});
  ASSERT_TRUE(read) << read.error().text;
  for (const char* bad : {"timeout = ", "timeout = \"1ms\"\n", "offset = \"x\"\nunknown = 1\n", ""}) {
    file.write(bad);
    const auto told = reloaded(**read);
    ASSERT_FALSE(told) << bad;
    EXPECT_FALSE(told.error().ends_with('\n')) << told.error();
  }
  ::unlink(file.path.c_str());
  EXPECT_FALSE(reloaded(**read).error().ends_with('\n'));
  const loaded none = config<settings>::load(described(), {.arguments = {"--timeout", "1h"}});
  EXPECT_TRUE(!none && none.error().text.ends_with('\n')) << "a program that does not start ends its line itself";
}

TEST(config, followers_hear_of_a_reload) {
  static config<settings>* now = nullptr;
  const loaded read = load("");
  ASSERT_TRUE(read) << read.error().text;
  now = read->get();
  run_tasks(1, []() -> lv::task<> {
    const auto seen = now->versions().get();
    lv::scope followers;
    followers.spawn([](std::uint64_t version) -> lv::task<> {
      const auto next = co_await now->versions().changed(version);
      EXPECT_EQ(next.value->timeout, 5s);
    }, seen.version);
    co_await lv::yield();
    EXPECT_TRUE(now->reload_from("timeout = \"5s\"\n"));
    co_await followers.join();
  });
}

std::vector<std::string> heard;

void hear(const std::expected<std::vector<config_change>, std::string>& told) {
  heard.push_back(told ? (told->empty() ? "nothing" : told->front().name) : "error");
}

TEST(config, a_signal_reloads_the_file_and_a_bad_one_is_told_of) {
  heard.clear();
  const temporary_file file("timeout = \"3s\"\n");
  auto read = config<settings>::load(described(), {.arguments = {"--config", file.path}});
  ASSERT_TRUE(read) << read.error().text;
  struct stage {
    config<settings>* now;
    const temporary_file* file;
  };
  run_tasks(1, [](stage on) -> lv::task<> {
    // Held here, so that a signal that comes early ends nobody.
    const auto held = lv::signal_set::open({SIGUSR2});
    lv::scope reloader;
    reloader.spawn([](config<settings>* of) { return lv::service::reload_on_signal(of, SIGUSR2, hear); }, on.now);
    const auto wait_for = [](std::size_t count) -> lv::task<> {
      for (int i = 0; i < 10'000 && heard.size() < count; i++) {
        co_await lv::sleep(1ms);
      }
    };
    co_await lv::sleep(20ms);
    on.file->write("timeout = \"4s\"\n");
    ::kill(::getpid(), SIGUSR2);
    co_await wait_for(1);
    EXPECT_EQ(on.now->get()->timeout, 4s);
    on.file->write("timeout = \n");
    ::kill(::getpid(), SIGUSR2);
    co_await wait_for(2);
    EXPECT_EQ(on.now->get()->timeout, 4s);
    reloader.cancel();
    co_await reloader.join();
  }, stage{read->get(), &file});
  EXPECT_EQ(heard, (std::vector<std::string>{"timeout", "error"}));
}

}  // namespace

namespace {

// The disk of a host that is made up, as a thread finds it before lv::run.
class files_in_memory final : public lv::detail::file_backend {
public:
  files_in_memory() : before_(lv::detail::exchange_host_files(this)) {}
  files_in_memory(const files_in_memory&) = delete;
  files_in_memory& operator=(const files_in_memory&) = delete;
  ~files_in_memory() { lv::detail::exchange_host_files(before_); }

  void submit(lv::detail::file_operation& operation) noexcept override {
    ADD_FAILURE() << "nobody is there to wait";
    lv::detail::complete(operation, -EIO);
  }
  std::int64_t perform_now(const lv::detail::file_operation& operation) noexcept override {
    using kind = lv::detail::file_operation::kind;
    switch (operation.what) {
      case kind::open:
        opened_ = texts.find(operation.path);
        is_open = opened_ != texts.end();
        return is_open ? 1'000'000 : -ENOENT;
      case kind::close: is_open = false; return 0;
      case kind::read: {
        if (fails) return -EIO;
        const std::string& text = opened_->second;
        const std::size_t from = std::min<std::size_t>(operation.offset, text.size());
        const std::size_t size = std::min<std::size_t>({operation.size, text.size() - from, 1000});  // a short one now and then
        std::memcpy(operation.bytes, text.data() + from, size);
        return static_cast<std::int64_t>(size);
      }
      default: return -EINVAL;
    }
  }

  std::map<std::string, std::string> texts;
  bool fails = false;
  bool is_open = false;

private:
  std::map<std::string, std::string>::const_iterator opened_;
  lv::detail::file_backend* const before_;
};

}  // namespace

TEST(config, is_read_from_the_disk_of_its_host_before_there_are_tasks) {
  files_in_memory disk;
  const std::string here = "/nowhere on this machine/orders.toml";
  disk.texts[here] = "offset = 7\n# " + std::string(3000, 'x') + "\n";
  config_sources from;
  from.arguments = {"--config", here};
  const auto read = config<settings>::load(described(), from);
  ASSERT_TRUE(read) << read.error().text;
  EXPECT_EQ((*read)->get()->offset, 7);
  EXPECT_FALSE(disk.is_open);

  disk.fails = true;
  const auto failed = config<settings>::load(described(), from);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().text, "orders: cannot read " + here + ": Input/output error\n");
  EXPECT_FALSE(disk.is_open);
  disk.fails = false;
  disk.texts[here] = std::string((16 << 20) + 1, '#');
  EXPECT_EQ(config<settings>::load(described(), from).error().text, "orders: " + here + " has more than 16 MiB\n");
  disk.texts.clear();
  EXPECT_EQ(config<settings>::load(described(), from).error().text,
            "orders: cannot read " + here + ": No such file or directory\n");
}
