// Load buffering: an operation that comes late, after a write that follows it in its thread.
//
// C++20 lets a relaxed operation come behind the next relaxed write of its thread, to another word, and processors do so. What it
// reads is then not there yet where the thread wants to go on with it. So it is promised: the thread goes on with a value that the
// word has had, in this execution or an earlier one, makes its write, and stands until that value can be read. Where that never
// comes to be there is no such execution: what was run of it is left where it stands and does not count, nor does a failure that
// comes before.
//
// Out of thin air would be a value that is there because it was promised. So each execution is first run with everything in its
// place, and notes what could come late and which write would pass it (`scouted`). It is run again with one of these, by the same
// dice: the write that comes then must be the same one, so it does not depend on what was read. Where options ask for any, it must
// be one that this thread has made in some execution with everything in its place, after the same choices.
//
//   may be passed by    loads of other words, two at most, and then that write: relaxed, of another word
//   comes before        all else: fences, releases, the same word, locks, waits, the end of the thread
//
// One operation of an execution comes late, and only by chance: the search in order knows no values of earlier executions.
//
// After the promises of Kang, Hur, Lahav, Vafeiadis and Dreyer (2017), of which this is the part that looks one write ahead.

#include <algorithm>
#include <cstring>

#include "model/exploration.hpp"

namespace levity::inline v0::model::detail {
namespace {

using kind = action::kind;
using happens = happening::kind;

constexpr std::size_t values_max = 16;  // of a word, from earlier executions
constexpr unsigned loads_max = 2;

}  // namespace

void exploration::begin_late(bool again) noexcept {
  late_ = {};
  left_ = false;
  repeats_ = again;
  could_be_late_ = 0;
  choices_ = 0;
  if (again) {
    chosen_ = scouted_[scouted_ways_[0] == 0 || (scouted_ways_[1] != 0 && late_dice_.below(2) != 0)];
    return;
  }
  scouted_ways_ = {};
  for (std::vector<scouting>& each : tentative_) each.clear();
}

bool exploration::is_late_next() const noexcept { return !repeats_ && scouted_ways_[0] + scouted_ways_[1] != 0; }

std::uint64_t exploration::mixed(std::uint64_t into, std::uint64_t value) noexcept {
  return (into ^ value) * 0x9e3779b97f4a7c15U + (into >> 29);
}

std::uint64_t exploration::name_of_write(const void* to, std::uint64_t value) const noexcept {
  return mixed(mixed(mixed(choices_, current_), reinterpret_cast<std::uintptr_t>(to)), value);
}

void exploration::remember(unsigned w, std::uint64_t value) {
  if (!buffers_ || repeats_) return;
  if (wanted_.load_buffering == options::buffering::any) writes_.insert(name_of_write(memory_.address_of(w), value));
  std::vector<std::uint64_t>& known = values_[memory_.address_of(w)];
  if (known.size() < values_max && std::ranges::find(known, value) == known.end()) known.push_back(value);
}

std::optional<std::uint64_t> exploration::promise(const late_op& op, const std::uint64_t* only) {
  if (!buffers_ || op.order != std::memory_order_relaxed || threads_count_ == 1) return std::nullopt;
  const unsigned number = could_be_late_++;
  if (!repeats_) {
    scout(op, number, only);
    return std::nullopt;
  }
  if (number != chosen_.number) return std::nullopt;
  late_ = op;
  late_.is = late_op::state::promised;
  late_.thread = current_;
  late_.value = chosen_.value;
  late_.messages_then = memory_.count(op.word);
  note({happens::promise, 0, 0, false, op.order, op.word, op.size, late_.value, 0, 0, 0, 0, op.where});
  return late_.value;
}

// What it could read if it came late: all that its word is known to have had.
void exploration::scout(const late_op& op, unsigned number, const std::uint64_t* only) {
  const std::uint64_t newest = memory_.at(op.word, memory_.count(op.word) - 1).value;
  std::vector<std::uint64_t> values;
  const auto add = [&](std::uint64_t value) {
    if (op.what == kind::load && value == newest) return;  // it reads that now
    if (std::ranges::find(values, value) == values.end()) values.push_back(value);
  };
  if (only != nullptr) {
    add(*only);
  } else {
    for (unsigned place = 0; place < memory_.count(op.word); place++) add(memory_.at(op.word, place).value);
    if (const auto known = values_.find(memory_.address_of(op.word)); known != values_.end()) {
      for (const std::uint64_t value : known->second) add(value);
    }
  }
  if (values.empty()) return;
  const scouting found{op.what == kind::load, number, op.word, values[late_dice_.below(values.size())]};
  if (wanted_.load_buffering == options::buffering::any) {
    scouted_one(found);
  } else {
    tentative_[current_].push_back(found);
  }
}

// A load or a change, of which there are few, and any of those that are found, as likely as each other.
void exploration::scouted_one(const scouting& one) {
  if (late_dice_.below(++scouted_ways_[one.is_load]) == 0) scouted_[one.is_load] = one;
}

void exploration::scout_write(unsigned w, std::uint64_t value) {
  for (scouting& each : tentative_[current_]) {
    each.writes_to = memory_.address_of(w);
    each.writes = value;
    if (each.word != w) scouted_one(each);
  }
  tentative_[current_].clear();
}

bool exploration::can_keep_promise() const noexcept {
  const unsigned count = memory_.count(late_.word);
  // It comes behind something that others have written there, or it might as well have come before.
  if (late_.what != kind::load) return count != late_.messages_then && memory_.at(late_.word, count - 1).value == late_.value;
  for (unsigned place = memory_.oldest_known(late_.thread, late_.word, false); place < count; place++) {
    if (memory_.at(late_.word, place).value == late_.value) return true;
  }
  return false;
}

bool exploration::is_broken_promise() const noexcept {
  return (late_.is == late_op::state::promised || late_.is == late_op::state::due) && !can_keep_promise();
}

void exploration::keep_promise() noexcept {
  if (buffers_) tentative_[current_].clear();
  if (late_.is != late_op::state::promised || late_.thread != current_) return;
  late_.is = late_op::state::due;
  if (late_.is_passed && late_dice_.below(2) != 0) search_.gives_way(current_);  // or nobody comes in between
  const unsigned w = late_.word;
  const action what{late_.what, false, 0, w};
  step(what, late_.where);
  late_.is = late_op::state::over;
  if (late_.what == kind::load) {
    unsigned place = memory_.count(w);
    while (memory_.at(w, --place).value != late_.value) {
    }
    const message& seen = memory_.at(w, place);
    note({happens::load, 0, 0, late_.weak, late_.order, w, late_.size, seen.value, 0, seen.created, memory_.created(), seen.created,
          late_.where});
    memory_.read(current_, w, place, late_.order);
    return made(what, place);
  }
  note({happens::change, 0, 0, late_.weak, late_.order, w, late_.size, late_.value, late_.writes,
        memory_.at(w, memory_.count(w) - 1).created, 0, 0, late_.where});
  memory_.change(current_, w, late_.writes, late_.order, late_.where, search_.steps() - 1);
  std::memcpy(late_.address, &late_.writes, late_.size);
  made(what);
  stored();
}

void exploration::goes_before_late(const action& what, std::memory_order order, std::uint64_t value) {
  if (!buffers_) return;
  const bool is_load = what.what == kind::load;
  if (what.single_order || (!is_load && releases(order))) return keep_promise();
  if (!repeats_) {
    if (!is_load) return scout_write(what.word, value);
    std::erase_if(tentative_[current_], [&](scouting& each) { return each.word == what.word || each.loads++ == loads_max; });
    return;
  }
  if (late_.is != late_op::state::promised || late_.thread != current_) return;
  const void* const to = memory_.address_of(what.word);
  const bool is_scouted = chosen_.writes_to == nullptr ? writes_.contains(name_of_write(to, value))
                                                       : to == chosen_.writes_to && value == chosen_.writes;
  if (what.word == late_.word || !(is_load ? late_.loads++ < loads_max : is_scouted)) return keep_promise();
  late_.is_passed = !is_load;
}

void exploration::has_gone_before_late() noexcept {
  if (late_.is_passed) keep_promise();
}

void exploration::leave() noexcept {
  left_ = true;
  threads_[current_].place.go_on_in(host_);
  __builtin_unreachable();
}

}  // namespace levity::model::detail
