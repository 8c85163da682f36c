// Load buffering: an operation that comes late, after a write that follows it in its thread.
//
// C++20 lets a relaxed operation come behind the next write of its thread, to another word, and processors do so. What it reads is
// then not there yet where the thread wants to go on with it. So it is promised: the thread goes on with a value, makes its write,
// and stands until that value can be read. Where that never comes to be there is no such execution: what was run of it is left
// where it stands and does not count, nor does a failure that comes before.
//
// Each execution is first run with everything in its place (`scouted`): it tells what its words had later, and which write comes
// next. It is run again with one operation that comes late, by the same dice. Out of thin air would be a value that is there
// because it was promised; so the write may pass only if it is the same one, after the same reads: it does not depend on the
// promise. Where options ask for any, it must be one that this thread has made in some execution with everything in its place.
//
//   may be passed by    loads of other words, two at most, and then one write of another word, of no release
//   comes before        all else: fences, releases, the same word, locks, waits, the end of the thread
//
// One operation of an execution comes late, and only by chance: the search in order knows no later values.
//
// After the promises of Kang, Hur, Lahav, Vafeiadis and Dreyer (2017), of which this is the part that looks one write ahead.

#include <algorithm>
#include <cstring>

#include "model/exploration.hpp"

namespace levity::inline v0::model::detail {
namespace {

using kind = action::kind;
using happens = happening::kind;

constexpr std::size_t loads_max = 2;

}  // namespace

// Of the execution before, of which memory_ is still there. True: it is to be run again, with `chosen_`: a load or a change, of
// which there are few, whose word had another value later.
bool exploration::chooses_late() {
  if (!buffers_ || repeats_) return false;
  std::erase_if(scouted_, [this](const scouting& each) { return memory_.count(each.word) == each.messages_then; });
  const auto loads = std::ranges::partition(scouted_, [](const scouting& each) { return !each.is_load; });
  const auto changes = scouted_.size() - loads.size();
  if (scouted_.empty()) return false;
  const bool takes_change = loads.empty() || (changes != 0 && late_dice_.below(2) == 0);
  chosen_ = takes_change ? scouted_[late_dice_.below(changes)] : loads[static_cast<std::ptrdiff_t>(late_dice_.below(loads.size()))];
  const unsigned later = memory_.count(chosen_.word) - chosen_.messages_then;
  chosen_.value = memory_.at(chosen_.word, chosen_.messages_then + static_cast<unsigned>(late_dice_.below(later))).value;
  return true;
}

void exploration::begin_late(bool again) noexcept {
  late_ = {};
  left_ = false;
  repeats_ = again;
  could_be_late_ = 0;
  choices_ = 0;
  if (again) return;
  scouted_.clear();
  for (std::vector<scouting>& each : tentative_) each.clear();
}

std::optional<std::uint64_t> exploration::promise(const late_op& op, const std::uint64_t* only) {
  if (!buffers_ || op.order != std::memory_order_relaxed || threads_count_ == 1) return std::nullopt;
  const unsigned number = could_be_late_++;
  const bool is_load = op.what == kind::load;
  if (!repeats_) {
    const scouting found{is_load, number, op.word, op.address, memory_.count(op.word), 0, {}, {}};
    if (wanted_.load_buffering == options::buffering::any) {
      scouted_.push_back(found);
    } else {
      tentative_[current_].push_back(found);
    }
    return std::nullopt;
  }
  // Of another word: what it reads by is an address that this execution has got anew.
  if (number != chosen_.number || op.word != chosen_.word || is_load != chosen_.is_load) return std::nullopt;
  late_ = op;
  late_.is = late_op::state::promised;
  late_.thread = current_;
  late_.value = only != nullptr ? *only : chosen_.value;
  late_.messages_then = memory_.count(op.word);
  note({happens::promise, 0, 0, false, op.order, op.word, op.size, late_.value, 0, 0, 0, 0, op.where});
  return late_.value;
}

std::uint64_t exploration::key_of(const passing_write& write) const noexcept {
  std::uint64_t key = choices_;
  const auto to = reinterpret_cast<std::uintptr_t>(write.to);
  for (const std::uint64_t part : {std::uint64_t{current_}, std::uint64_t{to}, std::uint64_t{write.how}, write.expected,
                                   write.operand}) {
    key = (key ^ part) * 0x9e3779b97f4a7c15U + (key >> 29);
  }
  return key;
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
  std::memcpy(const_cast<void*>(late_.address), &late_.writes, late_.size);
  made(what);
  stored();
}

// Before a load, and what it has read: it passes, or comes behind.
void exploration::goes_before_late(const void* from, bool single_order) {
  if (!buffers_) return;
  if (single_order) return keep_promise();
  if (!repeats_) {
    std::erase_if(tentative_[current_],
                  [&](const scouting& each) { return each.address == from || each.reads.size() == loads_max; });
  } else if (late_.is == late_op::state::promised && late_.thread == current_ &&
             (from == late_.address || late_.reads.size() == loads_max)) {
    keep_promise();
  }
}

void exploration::has_read(const void* from, std::uint64_t value) {
  if (!buffers_) return;
  if (!repeats_) {
    for (scouting& each : tentative_[current_]) {
      if (each.address != from) each.reads.emplace_back(from, value);  // else it is that load itself
    }
  } else if (late_.is == late_op::state::promised && late_.thread == current_) {
    late_.reads.emplace_back(from, value);
    if (late_.is_passed) keep_promise();  // by an exchange that has failed
  }
}

// Before a write, and when it is made.
void exploration::goes_before_late(const passing_write& write, std::memory_order order) {
  if (!buffers_) return;
  if (releases(order)) return keep_promise();
  if (!repeats_) std::erase_if(tentative_[current_], [&](const scouting& each) { return each.address == write.to; });
  if (!repeats_ || late_.is != late_op::state::promised || late_.thread != current_) return;
  const bool any = wanted_.load_buffering == options::buffering::any;
  const bool is_scouted = any ? writes_.contains(key_of(write)) : write == chosen_.write && late_.reads == chosen_.reads;
  if (write.to == late_.address || !is_scouted) return keep_promise();
  late_.is_passed = true;
}

void exploration::has_written(const passing_write& write) {
  if (!buffers_) return;
  if (repeats_) {
    if (late_.is_passed) keep_promise();
    return;
  }
  if (wanted_.load_buffering == options::buffering::any) writes_.insert(key_of(write));
  std::erase_if(tentative_[current_], [&](scouting& each) {
    if (each.address == write.to) return false;  // it is that change itself
    each.write = write;
    scouted_.push_back(each);
    return true;
  });
}

void exploration::leave() noexcept {
  left_ = true;
  threads_[current_].place.go_on_in(host_);
  __builtin_unreachable();
}

}  // namespace levity::model::detail
