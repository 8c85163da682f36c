#include "levity/base/spin_lock.hpp"

#include "levity/model/scenario.hpp"

namespace {

namespace model = levity::model;
using levity::detail::spin_lock;

LEVITY_SCENARIO(what_a_holder_wrote_the_next_one_sees) {
  spin_lock lock;
  model::cell<int> inside{0};
  const auto section = [&] {
    lock.lock();
    inside.set(inside.get() + 1);
    lock.unlock();
  };
  model::together(section, section);
  lock.lock();
  model::require(inside.get() == 2, "each of them was inside");
  lock.unlock();
}

LEVITY_SCENARIO(who_tries_is_inside_alone_or_not_at_all) {
  spin_lock lock;
  model::cell<int> inside{0};
  const auto section = [&] {
    if (!lock.try_lock()) return;
    inside.set(inside.get() + 1);
    lock.unlock();
  };
  model::together(section, section, section);
  model::require(inside.get() >= 1, "somebody found it free");
}

}  // namespace
