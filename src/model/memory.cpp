#include "model/memory.hpp"

#include <algorithm>

#include "levity/base/assert.hpp"

namespace levity::inline v0::model::detail {

void memory::begin(unsigned repeats_max) {
  repeats_max_ = repeats_max;
  for (unsigned w = 0; w < words_used_; w++) words_[w].messages.clear();
  words_used_ = 0;
  threads_used_ = 0;
  created_ = 0;
  lives_.clear();
  plain_.clear();
  data_ = 0;
  retired_.clear();
  arena_.clear();
  if (width_ == 0) width_ = 4 * view_step;
  sc_ = fresh_view(width_);
}

view_entry* memory::fresh_view(unsigned entries) noexcept {
  view_entry* const made = arena_.take(entries);
  std::fill_n(made, entries, view_entry{0});
  return made;
}

view_entry* memory::copy(const view_entry* from, unsigned entries) noexcept {
  view_entry* const made = arena_.take(entries);
  std::copy_n(from, entries, made);
  return made;
}

void memory::start(unsigned t) noexcept {
  LEVITY_ASSERT(t < threads_max, "an exploration has no more than 8 threads");
  sight& made = threads_[t];
  made.cur = fresh_view(width_);
  made.acq = fresh_view(width_);
  made.rel = fresh_view(width_);
  made.kept = fresh_view(width_);
  made.due = fresh_view(width_);
  made.hints = 0;
  made.cur[t] = 1;
  threads_used_ = std::max(threads_used_, t + 1);
}

void memory::start(unsigned child, unsigned parent) noexcept {
  start(child);
  model::detail::join(threads_[child].cur, threads_[parent].cur, length());
  model::detail::join(threads_[child].kept, threads_[parent].cur, length());
  tick(parent);
}

void memory::join(unsigned parent, unsigned child) noexcept {
  model::detail::join(threads_[parent].cur, threads_[child].cur, length());
  pass(parent);
}

// Room for one more word in the views of threads and of the single order.
void memory::widen() {
  const unsigned old = width_;
  width_ *= 2;
  const auto wider = [&](view_entry*& view) {
    view_entry* const made = fresh_view(width_);
    std::copy_n(view, old, made);
    view = made;
  };
  wider(sc_);
  for (unsigned t = 0; t < threads_used_; t++) {
    for (view_entry** view : {&threads_[t].cur, &threads_[t].acq, &threads_[t].rel, &threads_[t].kept, &threads_[t].due}) {
      wider(*view);
    }
  }
}

void memory::check_retired(const void* address, problem& wrong) const noexcept {
  for (const range& gone : retired_) {
    if (address >= gone.begin && address < gone.end) wrong = {"touches memory that was given back", gone.thread, gone.where};
  }
}

unsigned memory::find(unsigned t, const void* address, std::size_t size, std::source_location where, problem& wrong) {
  if (!retired_.empty()) check_retired(address, wrong);
  if (const life* const known = lives_.find(address)) {
    if (known->over) wrong = {"touches a word that has ended", known->thread, known->where};
    if (known->clock > threads_[t].cur[known->thread]) {
      wrong = {"touches a word of which it is not known that it has begun", known->thread, known->where};
    }
  }
  if (const accesses* const known = plain_.find(address); known != nullptr && known->write > threads_[t].cur[known->writer]) {
    wrong = {"touches as an atomic what is written beside it as plain data", known->writer, known->write_at};
  }
  const unsigned w = number(address, size);
  if (words_[w].size != size && lives_[address].has_begun) {
    wrong = {"touches a word in another size than before", t, words_[w].touched_at[t]};
  }
  touch(t, w, where);
  return w;
}

unsigned memory::number(const void* address, std::size_t size) {
  life& known = lives_[address];
  if (known.word != no_word) return known.word;
  const unsigned w = words_used_++;
  if (words_.size() < words_used_) words_.emplace_back();
  if (length() > width_) widen();
  known.word = w;
  history& made = words_[w];
  made.address = address;
  made.size = size;
  made.touched.fill(0);
  made.glances.fill({});
  std::uint64_t value = 0;
  std::copy_n(static_cast<const char*>(address), size, reinterpret_cast<char*>(&value));
  made.messages.push_back({value, nullptr, 0, created_++, before_all, known.thread, false, known.where});
  return w;
}

void memory::touch(unsigned t, unsigned w, std::source_location where) noexcept {
  words_[w].touched[t] = threads_[t].cur[t];
  words_[w].touched_at[t] = where;
}

void memory::begins(unsigned t, const void* address, std::source_location where, problem& wrong) {
  life* const known = lives_.find(address);
  if (known != nullptr && !known->over) ends(t, address, wrong);
  lives_[address] = {no_word, static_cast<std::uint8_t>(t), false, true, threads_[t].cur[t], where};
  if (accesses* const before = plain_.find(address)) *before = {};  // who begins it has told of that
}

void memory::ends(unsigned t, const void* address, problem& wrong) {
  life* const known = lives_.find(address);
  if (known == nullptr) return;
  if (known->over) wrong = {"ends a word that has ended", known->thread, known->where};
  if (known->word != no_word) check_end(t, known->word, wrong);
  known->over = true;
  known->thread = static_cast<std::uint8_t>(t);
  known->clock = 0;
}

void memory::check_end(unsigned t, unsigned w, problem& wrong) const noexcept {
  const history& ended = words_[w];
  for (unsigned other = 0; other < threads_used_; other++) {
    if (ended.touched[other] > threads_[t].cur[other]) {
      wrong = {"ends a word while it is not known that the other is done with it", other, ended.touched_at[other]};
    }
  }
}

void memory::retire(unsigned t, const void* address, std::size_t size, std::source_location where, problem& wrong) {
  const char* const begin = static_cast<const char*>(address);
  const auto inside = [&](const void* place) { return place >= begin && place < begin + size; };
  for (unsigned w = 0; w < words_used_; w++) {
    if (inside(words_[w].address)) check_end(t, w, wrong);
  }
  for (std::size_t i = 0; i < plain_.addresses().size(); i++) {
    if (const void* const place = plain_.addresses()[i]; inside(place)) plain(t, place, true, where, wrong);
  }
  retired_.push_back({begin, begin + size, static_cast<std::uint8_t>(t), where});
}

unsigned memory::oldest(unsigned t, unsigned w, bool single_order) const noexcept {
  const unsigned place = oldest_known(t, w, single_order);
  const glance& last = words_[w].glances[t];
  const bool again = last.stale != 0 && last.place == place;
  return again && (last.stale >= repeats_max_ || last.hints != threads_[t].hints) ? place + 1 : place;
}

unsigned memory::first_place(unsigned t, unsigned w, bool single_order) const noexcept {
  unsigned place = threads_[t].cur[entry(w)];
  if (single_order) place = std::max<unsigned>(place, sc_[entry(w)]);
  return place + 1;
}

void memory::tick(unsigned t) noexcept {
  LEVITY_ASSERT(threads_[t].cur[t] < 0xffff, "a thread of an execution does no more than 65,535 things");
  threads_[t].cur[t]++;
}

// The thread passes something that its compiler moves nothing down across.
void memory::keeps(unsigned t) noexcept { std::copy_n(threads_[t].cur, length(), threads_[t].kept); }

// The same, and nothing up.
void memory::takes_due(unsigned t) noexcept { model::detail::join(threads_[t].cur, threads_[t].due, length()); }

bool memory::read(unsigned t, unsigned w, unsigned place, std::memory_order order) noexcept {
  sight& self = threads_[t];
  const message& seen = at(w, place);
  view_entry& known = self.cur[entry(w)];
  known = std::max(known, static_cast<view_entry>(place));
  model::detail::join(self.acq, seen.view, seen.length);
  if (acquires(order)) {
    model::detail::join(self.cur, seen.view, seen.length);
    takes_due(t);
  }
  if (is_single_order(order)) sc_[entry(w)] = std::max(sc_[entry(w)], known);
  tick(t);
  glance& last = words_[w].glances[t];
  const bool again = last.is_read && last.place == place;
  const bool newest = place + 1 == count(w);
  // Looks at the newest message do not count: that there will be a newer one is nothing that could have been seen.
  const unsigned stale = newest ? 0 : again ? last.stale + 1U : 1U;
  last = {static_cast<view_entry>(place), true, static_cast<std::uint16_t>(stale), last.failed, self.hints};
  return again && newest;
}

void memory::put(unsigned t, unsigned w, unsigned place, message made) {
  LEVITY_ASSERT(count(w) < 0xffff, "an execution writes no word 65,535 times");
  std::vector<message>& messages = words_[w].messages;
  if (place < messages.size()) {
    // Every place from here on moves up by one, wherever it is noted.
    const unsigned at = entry(w);
    const auto move_up = [&](view_entry* view) {
      if (view[at] >= place) view[at]++;
    };
    for (unsigned other = 0; other < threads_used_; other++) {
      sight& each = threads_[other];
      for (view_entry* view : {each.cur, each.acq, each.rel, each.kept, each.due}) move_up(view);
      glance& last = words_[w].glances[other];
      if (last.place >= place) last.place++;
    }
    move_up(sc_);
    for (unsigned other = 0; other < words_used_; other++) {
      for (message& each : words_[other].messages) {
        if (each.length > at) move_up(each.view);
      }
    }
  }
  threads_[t].cur[entry(w)] = static_cast<view_entry>(place);
  if (made.length > entry(w)) made.view[entry(w)] = static_cast<view_entry>(place);
  messages.insert(messages.begin() + place, made);
}

void memory::write(unsigned t, unsigned w, unsigned place, std::uint64_t value, std::memory_order order,
                   std::source_location where, std::uint32_t event) {
  sight& self = threads_[t];
  const unsigned entries = length();
  if (releases(order)) keeps(t);
  view_entry* const view = copy(releases(order) ? self.cur : self.rel, entries);
  put(t, w, place, {value, view, entries, created_++, event, static_cast<std::uint8_t>(t), false, where});
  if (is_single_order(order)) sc_[entry(w)] = std::max(sc_[entry(w)], static_cast<view_entry>(place));
  words_[w].glances[t].is_read = false;
  words_[w].glances[t].stale = 0;
  tick(t);
}

void memory::change(unsigned t, unsigned w, std::uint64_t value, std::memory_order order, std::source_location where,
                    std::uint32_t event) {
  sight& self = threads_[t];
  const unsigned entries = length();
  const unsigned place = count(w);
  const message read = at(w, place - 1);
  model::detail::join(self.acq, read.view, read.length);
  if (acquires(order)) model::detail::join(self.cur, read.view, read.length);
  if (acquires(order)) takes_due(t);
  if (releases(order)) keeps(t);
  view_entry* const view = copy(releases(order) ? self.cur : self.rel, entries);
  model::detail::join(view, read.view, read.length);
  put(t, w, place, {value, view, entries, created_++, event, static_cast<std::uint8_t>(t), true, where});
  if (is_single_order(order)) sc_[entry(w)] = static_cast<view_entry>(place);
  words_[w].glances[t] = {};
  tick(t);
}

void memory::fence(unsigned t, std::memory_order order) noexcept {
  sight& self = threads_[t];
  const unsigned entries = length();
  if (acquires(order)) model::detail::join(self.cur, self.acq, entries);
  if (is_single_order(order)) {
    model::detail::join(self.cur, sc_, entries);
    model::detail::join(sc_, self.cur, entries);
    std::fill_n(sc_, threads_max, view_entry{0});
    pass(t);
  }
  if (acquires(order)) takes_due(t);
  if (releases(order)) {
    keeps(t);
    std::copy_n(self.cur, entries, self.rel);
  }
  tick(t);
}

void memory::compiler_fence(unsigned t) noexcept { pass(t); }

void memory::barrier_reaches(unsigned t) noexcept {
  sight& self = threads_[t];
  const unsigned entries = length();
  model::detail::join(sc_, self.kept, entries);
  std::fill_n(sc_, threads_max, view_entry{0});
  model::detail::join(self.due, sc_, entries);
}

void memory::begins_plain(unsigned t, const void* address, std::source_location where) {
  accesses& made = plain_[address];
  made = {};
  made.write_at = where;
  made.write = threads_[t].cur[t];
  made.writer = static_cast<std::uint8_t>(t);
}

std::uint32_t memory::plain(unsigned t, const void* address, bool writes, std::source_location where, problem& wrong) {
  if (!retired_.empty()) check_retired(address, wrong);
  if (const life* const word = writes ? lives_.find(address) : nullptr; word != nullptr && !word->over && word->word != no_word) {
    const history& shared = words_[word->word];
    for (unsigned other = 0; other < threads_used_; other++) {
      if (shared.touched[other] <= threads_[t].cur[other]) continue;
      wrong = {"writes as plain data what is touched beside it as an atomic", other, shared.touched_at[other]};
    }
  }
  accesses& known = plain_[address];
  if (known.number == 0) known.number = ++data_;
  const view_entry* const cur = threads_[t].cur;
  if (known.write > cur[known.writer]) {
    wrong = {writes ? "writes plain data beside a write" : "reads plain data beside a write", known.writer, known.write_at};
  }
  if (writes) {
    for (unsigned other = 0; other < threads_used_; other++) {
      if (known.reads[other] > cur[other]) wrong = {"writes plain data beside a read", other, known.reads_at[other]};
    }
    known.write = cur[t];
    known.writer = static_cast<std::uint8_t>(t);
    known.write_at = where;
  } else {
    known.reads[t] = cur[t];
    known.reads_at[t] = where;
  }
  return known.number;
}

}  // namespace levity::model::detail
