#include "levity/base/process_id.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include "levity/base/clock.hpp"

namespace levity::inline v0 {
namespace {

struct still final : detail::time_source {
  std::int64_t now_ns() noexcept override { return 0; }
};

}  // namespace

TEST(process_id, is_the_kernels_and_the_same_in_every_simulated_run) {
  EXPECT_EQ(process_id(), static_cast<int>(::getpid()));
  still source;
  detail::time_source* const before = detail::exchange_time_source(&source);
  EXPECT_EQ(process_id(), 1);
  detail::exchange_time_source(before);
}

}  // namespace levity
