#include "levity/service/trace_context.hpp"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <set>
#include <string>

#include "levity/levity.hpp"
#include "tests/support/run_simulated.hpp"
#include "tests/support/run_tasks.hpp"

namespace lv = levity;
using lv::service::id_source;
using lv::service::trace_context;

namespace {

constexpr std::string_view good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

TEST(trace_context, the_example_of_the_standard_is_read_and_written_back) {
  const auto read = trace_context::parse(good);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->traceparent(), good);
  EXPECT_TRUE(read->sampled());
  EXPECT_EQ(read->trace[0], 0x4b);
  EXPECT_EQ(read->span[7], 0xb7);
  const auto text = read->span_text();
  EXPECT_EQ(std::string(text.data(), text.size()), "00f067aa0ba902b7");
}

TEST(trace_context, what_the_standard_forbids_is_refused) {
  for (const std::string_view bad : {
           "",
           "00",
           "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",    // short
           "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-",  // 00 has nothing behind
           "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01x",
           "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",   // upper case
           "00-00000000000000000000000000000000-00f067aa0ba902b7-01",   // zero
           "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
           "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",   // no version
           "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
           "0g-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
           "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0g",
           "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.what",  // a later version goes on with a dash
       }) {
    EXPECT_FALSE(trace_context::parse(bad)) << bad;
  }
}

TEST(trace_context, a_later_version_is_read_by_what_is_known) {
  const auto read = trace_context::parse("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff-what-the-future-brings");
  ASSERT_TRUE(read);
  EXPECT_EQ(read->flags, 1);
  EXPECT_EQ(read->traceparent(), good);
}

TEST(trace_context, what_is_written_is_read_as_the_same) {
  EXPECT_TRUE(rc::check([](std::uint64_t seed, std::uint8_t flags) {
    lv::rng chance(seed);
    const trace_context made = trace_context::begin(chance, flags);
    RC_ASSERT((trace_context::parse(made.traceparent()) == made));
    const trace_context child = made.child(chance);
    RC_ASSERT((child.trace == made.trace));
    RC_ASSERT((child.span != made.span));
    RC_ASSERT((child.flags == made.flags));
  }));
}

TEST(trace_context, a_text_of_which_one_byte_is_wrong_is_read_as_itself_or_refused) {
  EXPECT_TRUE(rc::check([](std::uint8_t byte) {
    const auto at = *rc::gen::inRange<std::size_t>(0, good.size());
    std::string text(good);
    text[at] = static_cast<char>(byte);
    const auto read = trace_context::parse(text);
    if (read && text.starts_with("00")) RC_ASSERT((read->traceparent() == text));
  }));
}

TEST(request_id, what_does_harm_in_a_log_is_none) {
  EXPECT_TRUE(lv::service::is_request_id("4bf92f35-77b3/4da6:a+b=c@d.e_f"));
  EXPECT_FALSE(lv::service::is_request_id(""));
  EXPECT_FALSE(lv::service::is_request_id("a b"));
  EXPECT_FALSE(lv::service::is_request_id("a\"b"));
  EXPECT_FALSE(lv::service::is_request_id("a\nb"));
  EXPECT_FALSE(lv::service::is_request_id(std::string(129, 'a')));
  EXPECT_TRUE(lv::service::is_request_id(std::string(128, 'a')));
}

TEST(id_source, the_same_seed_gives_the_same_ids_and_entropy_gives_others) {
  id_source one(7), other(7), real, more;
  EXPECT_EQ(one.request_id(), other.request_id());
  EXPECT_EQ(one.begin_trace(), other.begin_trace());
  EXPECT_NE(real.request_id(), more.request_id());
  std::set<std::string> seen;
  for (int i = 0; i < 10'000; i++) seen.insert(one.request_id());
  EXPECT_EQ(seen.size(), 10'000U);
  EXPECT_TRUE(lv::service::is_request_id(*seen.begin()));
}

TEST(id_source, in_a_simulated_run_gives_what_follows_from_its_seed) {
  const auto id_of = [](std::uint64_t seed) {
    std::string id;
    EXPECT_EQ(lv::test::run_simulated(seed, [](std::string* into) -> lv::task<> {
      *into = id_source().request_id();
      co_return;
    }, &id), 0);
    return id;
  };
  EXPECT_EQ(id_of(1), id_of(1));
  EXPECT_NE(id_of(1), id_of(2));
}

TEST(id_source, follows_a_trace_that_can_be_read_and_begins_one_otherwise) {
  id_source ids(7);
  const auto child = ids.follow(good);
  EXPECT_EQ(child.trace, trace_context::parse(good)->trace);
  EXPECT_NE(child.span, trace_context::parse(good)->span);
  EXPECT_NE(ids.follow("nonsense").trace, child.trace);
}

}  // namespace
