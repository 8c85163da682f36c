#include "sim/choice_path.hpp"

#include <algorithm>

#include "levity/base/assert.hpp"

namespace levity::inline v0::sim {

void choice_path::begin() {
  if (is_given_) made_.clear();
  at_ = 0;
  delays_ = 0;
}

unsigned choice_path::choose(unsigned count) {
  LEVITY_ASSERT(count > 0, "there is something to choose from");
  if (at_ == made_.size()) {
    const std::uint64_t left = delays_max_ - delays_;
    const unsigned tries = left >= count ? count : static_cast<unsigned>(left) + 1;
    is_bounded_ = is_bounded_ || tries < count;
    made_.push_back({is_given_ && at_ < given_.size() ? given_[at_] % count : 0, tries, count});
  }
  has_strayed_ = has_strayed_ || made_[at_].count != count;
  const unsigned chosen = std::min(made_[at_].chosen, count - 1);
  at_++;
  delays_ += chosen;
  return chosen;
}

bool choice_path::end() {
  if (at_ < made_.size()) has_strayed_ = true;
  made_.resize(at_);
  return !has_strayed_;
}

bool choice_path::next() {
  if (is_given_) return false;
  while (!made_.empty() && made_.back().chosen + 1 >= made_.back().tries) made_.pop_back();
  if (made_.empty()) return false;
  made_.back().chosen++;
  return true;
}

std::vector<unsigned> choice_path::choices() const {
  std::vector<unsigned> all;
  if (is_given_ && made_.empty()) {
    all = given_;
  } else {
    for (const choice& each : made_) all.push_back(each.chosen);
  }
  while (!all.empty() && all.back() == 0) all.pop_back();
  return all;
}

}  // namespace levity::sim
