#include "reactor/news_set.hpp"

#include "levity/model/scenario.hpp"

namespace {

namespace model = levity::model;
using levity::detail::news_set;

// E371, with two that are told of in one word.
LEVITY_SCENARIO(what_there_is_to_find_is_found_by_who_takes_the_news) {
  news_set news;
  model::cell<int> found[2];
  int taken[2] = {};
  const auto take = [&] {
    news.take([&](unsigned number) {
      model::require(found[number - 1].get() == 1, "what was told of is there");
      taken[number - 1]++;
    });
  };
  model::together(
      [&] {
        found[0].set(1);
        news.put(1);
      },
      [&] {
        found[1].set(1);
        news.put(2);
      },
      take);
  take();
  model::require(taken[0] == 1 && taken[1] == 1, "each is taken once");
}

}  // namespace
