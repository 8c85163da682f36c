#include <gtest/gtest.h>

#include "levity/levity.hpp"

namespace {

namespace lv = levity;
using namespace std::chrono_literals;

lv::task<lv::duration> left_here() {
  co_await lv::yield();
  const lv::time_point due = lv::nearest_deadline();
  if (due == lv::time_point::max()) co_return lv::duration::max();
  co_return due - lv::clock::now();
}

lv::task<lv::duration> within(lv::duration span) { co_return co_await lv::with_deadline(span, left_here()); }
lv::task<lv::duration> shielded() { co_return co_await lv::shield(left_here()); }

}  // namespace

TEST(nearest_deadline, is_that_which_ends_the_waits_here) {
  lv::run_with({.backend = lv::runtime_options::sockets::sim, .seed = 1}, []() -> lv::task<> {
    EXPECT_EQ(co_await left_here(), lv::duration::max()) << "none";
    const lv::duration one = co_await within(1s);
    EXPECT_GT(one, 999ms);
    EXPECT_LE(one, 1s);
    const lv::duration inner = co_await lv::with_deadline(1h, within(1s));
    EXPECT_LE(inner, 1s);
    EXPECT_GT(inner, 999ms);
    const lv::duration outer = co_await lv::with_deadline(1s, within(1h));
    EXPECT_LE(outer, 1s);
    EXPECT_GT(outer, 999ms);
    EXPECT_EQ(co_await left_here(), lv::duration::max()) << "a deadline that was left counts no more";
    EXPECT_EQ(co_await lv::with_deadline(1s, shielded()), lv::duration::max()) << "what is behind a shield does not end its waits";
  });
}
