#include "reactor/sim/numbered_table.hpp"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <map>
#include <memory>
#include <vector>

#include "levity/base/rng.hpp"

namespace levity::inline v0::detail {
namespace {

using table = numbered_table<std::uint32_t>;

std::vector<std::uint32_t> all_of(const table& of) {
  std::vector<std::uint32_t> found;
  of.each([&found](std::uint32_t each) { found.push_back(each); });
  return found;
}

}  // namespace

TEST(numbered_table, an_empty_one_finds_nothing) {
  const table empty;
  EXPECT_EQ(empty.size(), 0u);
  EXPECT_EQ(empty.find(0), nullptr);
  EXPECT_EQ(empty.find(1'000'000), nullptr);
  EXPECT_TRUE(all_of(empty).empty());
}

TEST(numbered_table, agrees_with_a_map_while_things_come_and_go) {
  table tested;
  std::map<std::uint32_t, std::uint32_t> model;
  rng random(1);
  for (std::uint32_t next = 1; next < 5000; next++) {
    EXPECT_EQ(tested.add(next, std::make_unique<std::uint32_t>(next)), next);
    model.emplace(next, next);
    // Now and then nearly all of them go: whole pages, also the one from which numbers are given.
    const std::size_t left = random.below(400) == 0 ? random.below(2) : random.below(3) == 0 ? 300 : 5000;
    while (model.size() > left) {
      const std::uint32_t gone = std::next(model.begin(), static_cast<std::ptrdiff_t>(random.below(model.size())))->first;
      tested.erase(gone);
      model.erase(gone);
      EXPECT_EQ(tested.find(gone), nullptr);
    }
    ASSERT_EQ(tested.size(), model.size());
  }
  for (std::uint32_t each = 0; each < 6000; each++) {
    const std::uint32_t* const found = tested.find(each);
    ASSERT_EQ(found != nullptr, model.contains(each)) << each;
    if (found != nullptr) {
      EXPECT_EQ(*found, each);
    }
  }
  std::vector<std::uint32_t> wanted;
  for (const auto& [number, thing] : model) wanted.push_back(thing);
  EXPECT_EQ(all_of(tested), wanted);
}

TEST(numbered_table, what_goes_is_destroyed_at_once) {
  numbered_table<std::shared_ptr<int>> tested;
  const auto watched = std::make_shared<int>(1);
  tested.add(1, std::make_unique<std::shared_ptr<int>>(watched));
  tested.add(700, std::make_unique<std::shared_ptr<int>>(watched));
  EXPECT_EQ(watched.use_count(), 3);
  tested.erase(1);
  EXPECT_EQ(watched.use_count(), 2);
  tested.erase(700);
  EXPECT_EQ(watched.use_count(), 1);
}

}  // namespace levity::detail
