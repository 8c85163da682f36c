#include "platform/handoff.hpp"

#include <array>

#include "levity/model/scenario.hpp"

namespace {

namespace model = levity::model;

struct item {
  item* next = nullptr;
  model::cell<int> what{0};
};
using queue = levity::detail::handoff<item, &item::next>;

// E75.
LEVITY_SCENARIO(what_is_handed_over_is_whole) {
  queue to;
  std::array<item, 2> items;
  int taken = 0;
  const auto take = [&] {
    to.take([&](item& each) {
      model::require(each.what.get() == 1, "its fields are there");
      taken++;
    });
  };
  const auto push = [&](item& each) {
    each.what.set(1);
    model::write(each.next);
    to.push(each);
  };
  model::together([&] { push(items[0]); }, [&] { push(items[1]); }, take);
  take();
  model::require(taken == 2, "each is taken once");
}

LEVITY_SCENARIO(what_one_thread_hands_over_comes_in_its_order) {
  queue to;
  std::array<item, 2> items;
  int last = 0;
  const auto take = [&] {
    to.take([&](item& each) {
      model::require(each.what.get() == last + 1, "oldest first");
      last++;
    });
  };
  model::together(
      [&] {
        items[0].what.set(1);
        to.push(items[0]);
        items[1].what.set(2);
        to.push(items[1]);
      },
      take);
  take();
  model::require(last == 2, "each is taken once");
}

}  // namespace
