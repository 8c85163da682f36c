#include "model/weakening.hpp"

#include <gtest/gtest.h>

#include <string>

#include "levity/model/explore.hpp"
#include "model/test_support.hpp"

namespace {

namespace model = levity::model;
using levity::model::detail::taken_halves;
using levity::model::detail::weakening;
using model::test::failure_of;
using order = std::memory_order;

constexpr taken_halves release{true, false, false, false};
constexpr taken_halves acquire{false, true, false, false};
constexpr taken_halves seq_cst{false, false, true, false};
constexpr taken_halves failure{false, false, false, true};
constexpr taken_halves all{true, true, true, true};

TEST(weakening, takes_its_half_of_an_order_and_leaves_the_other) {
  EXPECT_EQ(release.of(order::acq_rel), order::acquire);
  EXPECT_EQ(acquire.of(order::acq_rel), order::release);
  EXPECT_EQ(seq_cst.of(order::acq_rel), order::acq_rel);
  EXPECT_EQ(release.of(order::seq_cst), order::acquire);
  EXPECT_EQ(acquire.of(order::seq_cst), order::release);
  EXPECT_EQ(seq_cst.of(order::seq_cst), order::acq_rel);
  EXPECT_EQ(release.of(order::release), order::relaxed);
  EXPECT_EQ(acquire.of(order::release), order::release);
  for (const order each : {order::relaxed, order::acquire, order::release, order::acq_rel, order::seq_cst}) {
    EXPECT_EQ(all.of(each), order::relaxed);
    EXPECT_EQ(taken_halves{}.of(each), each);
    EXPECT_EQ(failure.of(each), each);
    EXPECT_EQ(acquire.of_failure(each), each);
    EXPECT_EQ(failure.of_failure(each), order::relaxed);
  }
}

TEST(weakening, is_of_lines_and_counts) {
  weakening read;
  const std::source_location here = std::source_location::current();
  const std::string line = std::to_string(here.line());
  ASSERT_EQ(read.read("model/weakening_test.cpp:" + line + "=release,other/weakening_test.cpp:" + line +
                      ",weakening_test.cpp:1-" + line + "=nothing"),
            "");
  const taken_halves taken = read.at(here);
  EXPECT_TRUE(taken.release);
  EXPECT_FALSE(taken.acquire || taken.seq_cst);
  EXPECT_FALSE(read.at(std::source_location::current()));
  EXPECT_EQ(read.places()[0].made, 1U);
  EXPECT_EQ(read.places()[1].made, 0U);
  EXPECT_EQ(read.places()[2].made, 1U);
  read.forget();
  EXPECT_EQ(read.places()[0].made, 0U);
}

TEST(weakening, that_cannot_be_read_is_refused) {
  for (const char* const wrong : {"deque.hpp", "deque.hpp:x", ":12", "deque.hpp:12=both", "deque.hpp:1-"}) {
    weakening read;
    EXPECT_NE(read.read(wrong).find("LEVITY_MODEL_WEAKEN cannot be read"), std::string::npos) << wrong;
  }
}

// What it acquires where it succeeds, and where it fails.
TEST(weakening, takes_either_order_of_an_exchange_alone) {
  constexpr unsigned weak = __LINE__ + 2;
  const auto exchange = [](model::atomic<int>& of, int expected) {
    return of.compare_exchange_strong(expected, 2, order::acquire, order::acquire);
  };
  const auto reads_behind = [&](bool success) {
    return failure_of([&] {
      model::atomic<int> told{0};
      model::cell<int> data{0};
      model::together(
          [&] {
            data.set(1);
            told.store(1, order::release);
          },
          [&] {
            if (exchange(told, success ? 1 : 0) == success) static_cast<void>(data.get());
          });
    });
  };
  EXPECT_EQ(reads_behind(true), "none");
  EXPECT_EQ(reads_behind(false), "none");
  auto& weakened = weakening::of_environment();
  const std::string line = "model/weakening_test.cpp:" + std::to_string(weak);
  ASSERT_EQ(weakened.read(line + "=failure"), "");
  EXPECT_EQ(reads_behind(true), "none");
  EXPECT_NE(reads_behind(false).find("plain data beside a"), std::string::npos);
  ASSERT_EQ(weakened.read(line + "=acquire"), "");
  EXPECT_NE(reads_behind(true).find("plain data beside a"), std::string::npos);
}

}  // namespace
