// Goal: who looks at a process from outside can tell its threads apart.
#include "platform/thread.hpp"

#include <gtest/gtest.h>

#include <array>
#include <string>

namespace {

using namespace levity::detail;

std::string name_of_this_thread() {
  std::array<char, 16> name{};
  pthread_getname_np(pthread_self(), name.data(), name.size());
  return name.data();
}

TEST(thread, bears_its_own_name_and_not_that_of_who_started_it) {
  std::string outer;
  std::string inner;
  start_thread("levity outer", [&] {
    outer = name_of_this_thread();
    start_thread("levity inner", [&] { inner = name_of_this_thread(); }).join();
  }).join();
  EXPECT_EQ(outer, "levity outer");
  EXPECT_EQ(inner, "levity inner");
}

}  // namespace
