#include "model/exploration.hpp"

#include <cxxabi.h>
#include <fmt/format.h>
#include <link.h>
#include <malloc.h>
#include <sys/single_threaded.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <memory>
#include <typeinfo>
#include <utility>

#include "levity/base/assert.hpp"
#include "model/crash_guard.hpp"

namespace levity::inline v0::model::detail {
namespace {

using kind = action::kind;
using happens = happening::kind;

thread_local exploration* under_way = nullptr;  // this_explorer, as what it is; a fiber begins without arguments
thread_local std::vector<own_word> own_words;

// The thread_local words of all that was linked lie below the thread pointer, side by side.
bool is_own_of_thread(const void* data) noexcept {
  static const std::size_t bytes = [] {
    std::size_t sum = 0;
    ::dl_iterate_phdr(
        [](dl_phdr_info* info, std::size_t, void* into) {
          for (int i = 0; i < info->dlpi_phnum; i++) {
            const auto& part = info->dlpi_phdr[i];
            if (part.p_type == PT_TLS) *static_cast<std::size_t*>(into) += part.p_memsz + part.p_align;
          }
          return 0;
        },
        &sum);
    return sum;
  }();
  const char* const end = static_cast<const char*>(__builtin_thread_pointer());
  return data < end && data >= end - bytes;
}

[[noreturn]] void refuse(const std::string& why) {
  fmt::print(stderr, "levity: {}\n", why);
  std::abort();
}

std::optional<answer_list> replay_of(const options& wanted) {
  if (!wanted.replay) return std::nullopt;
  answer_list given;
  if (const std::string wrong = read_line(*wanted.replay, given); !wrong.empty()) refuse("options::replay " + wrong);
  return given;
}

// Of the exception that is being handled.
std::string name_of_thrown() {
  const std::type_info* const type = abi::__cxa_current_exception_type();
  if (type == nullptr) return "of a type without a name";
  int failed = 0;
  const std::unique_ptr<char, decltype(&std::free)> name(abi::__cxa_demangle(type->name(), nullptr, nullptr, &failed), &std::free);
  return failed == 0 ? name.get() : type->name();
}

}  // namespace

result explore(const options& wanted, void (*body)(void*), void* data) {
  LEVITY_ASSERT(levity::detail::this_explorer == nullptr, "an exploration does not begin inside another one");
  // Never destroyed after a failure: its threads stand in the middle of what they did, and what they hold stays.
  auto* const made = new exploration(wanted, own_words);
  result seen = made->run(body, data);
  if (!seen.failure) delete made;
  return seen;
}

unsigned start(void (*body)(void*), void* data, void (*drop)(void*), std::source_location where) {
  LEVITY_ASSERT(under_way != nullptr, "a virtual thread is started inside an exploration");
  return under_way->start(body, data, drop, where);
}

void join(unsigned thread, std::source_location where) { under_way->join(thread, where); }

void plain(const void* address, bool writes, std::source_location where) noexcept {
  if (levity::detail::this_explorer != nullptr) under_way->plain(address, writes, where);
}

void begins(const void* address, std::source_location where) noexcept {
  if (levity::detail::this_explorer != nullptr) under_way->begins_plain(address, where);
}

void per_thread(void* word, std::size_t size) { own_words.push_back({word, size}); }

void fails_outside(const char* what, std::source_location where) noexcept {
  refuse(fmt::format("{}: {}, outside of an exploration", name_of(where), what));
}

void only_inside(const char* call, std::source_location where) noexcept {
  refuse(fmt::format("{}: {} is for the inside of an exploration; elsewhere call futex(2)", name_of(where), call));
}

exploration::exploration(const options& wanted, std::vector<own_word> words)
    : wanted_(wanted), search_(wanted, replay_of(wanted)),
      buffers_(wanted.load_buffering != options::buffering::none && wanted.how == options::mode::random && !wanted.replay),
      late_dice_(wanted.seed), own_words_(std::move(words)) {
  if (wanted.steps_max > 60'000) {
    refuse(fmt::format("options::steps_max is {}, and 60000 at most: the clocks of threads have 16 bits", wanted.steps_max));
  }
  struct caught_and_thrown {  // what the ABI of Itanium keeps of exceptions by thread
    void* caught;
    unsigned uncaught;
  };
  own_words_.push_back({abi::__cxa_get_globals(), sizeof(caught_and_thrown)});
  for (const own_word& each : own_words_) own_bytes_ += each.size;
  own_at_first_.resize(own_bytes_);
  for (std::vector<char>& each : own_of_) each.resize(own_bytes_);
}

result exploration::run(void (*body)(void*), void* data) {
  result seen;
  const auto begun = std::chrono::steady_clock::now();
  keep_own_words(own_at_first_.data());
  under_way = this;
  watch_freed_memory();
  __libc_single_threaded = 0;  // or the counts of a std::shared_ptr would be no atomics
  const crash_guard guard([](const char* name) {
    // A fault of the explorer itself is nobody's interleaving.
    if (levity::detail::this_explorer != nullptr || under_way->is_broken_promise()) under_way->crashes(name);
  });
  while (!failure_ && seen.executions + seen.redundant < wanted_.executions_max) {
    const bool again = chooses_late();
    const std::vector<weakening::place> weakened_then = weakened_.places();
    const bounds bounded_then = bounded_;
    if (!search_.begin(again)) {
      seen.complete = search_.exhaustive();
      break;
    }
    memory_.begin(wanted_.stale_reads_max);
    trace_.clear();
    threads_count_ = 1;
    current_ = 0;
    now_ns_ = 1'000'000'000;
    rounds_in_vain_ = 0;
    begin_late(again);
    memory_.start(0);
    begin_thread(0, body, data, nullptr);
    set_own_words(own_at_first_.data());
    host_.go_on_in(threads_[0].place);
    levity::detail::this_explorer = nullptr;
    for (void* const each : freed_) std::free(each);
    freed_.clear();
    seen.steps += search_.steps();
    if (left_) {
      weakened_.recall(weakened_then);
      bounded_ = bounded_then;
    }
    seen.bounded = bounded_;
    seen.bounded.preemptions = search_.bounded();
    (search_.redundant() || left_ ? seen.redundant : seen.executions)++;
  }
  set_own_words(own_at_first_.data());
  under_way = nullptr;
  if (failure_ && search_.astray()) {
    failure_->what += " (and the replay is of another program, or of other options: some of its answers did not fit)";
  }
  seen.astray = search_.astray();
  seen.failure = std::move(failure_);
  seen.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
  return seen;
}

// --- threads ---------------------------------------------------------------------------------------------------------

exploration::thread& exploration::begin_thread(unsigned number, void (*body)(void*), void* data, void (*drop)(void*)) {
  thread& made = threads_[number];
  made.is = state::ready;
  made.in_vain = 0;
  made.locks = 0;
  made.was_late = false;
  made.was_roused = false;
  made.hints = 0;
  made.where = {};
  made.body = body;
  made.data = data;
  made.drop = drop;
  made.place.reset(&exploration::run_thread);
  return made;
}

void exploration::run_thread() {
  exploration& all = *under_way;
  thread& self = all.threads_[all.current_];
  levity::detail::this_explorer = &all;
  try {
    self.body(self.data);
  } catch (const std::exception& thrown) {
    levity::detail::this_explorer = nullptr;
    all.fail(fmt::format("{}: an exception leaves the thread: {}", name_of_thread(all.current_), thrown.what()));
  } catch (...) {
    levity::detail::this_explorer = nullptr;
    all.fail(fmt::format("{}: an exception leaves the thread that is no std::exception, but {}", name_of_thread(all.current_),
                         name_of_thrown()));
  }
  if (self.drop != nullptr) self.drop(self.data);
  levity::detail::this_explorer = nullptr;
  all.end_thread();
}

void exploration::keep_own_words(char* into) const noexcept {
  for (const own_word& each : own_words_) {
    std::memcpy(into, each.address, each.size);
    into += each.size;
  }
}

void exploration::set_own_words(const char* from) const noexcept {
  for (const own_word& each : own_words_) {
    std::memcpy(each.address, from, each.size);
    from += each.size;
  }
}

void exploration::go_on_in(unsigned next) noexcept {
  const unsigned left = std::exchange(current_, next);
  if (own_bytes_ != 0) {
    keep_own_words(own_of_[left].data());
    set_own_words(own_of_[next].data());
  }
  threads_[left].place.go_on_in(threads_[next].place);
}

unsigned exploration::start(void (*body)(void*), void* data, void (*drop)(void*), site where) {
  const at_work answers(*this);
  keep_promise();
  if (threads_count_ == threads_max) fail(fmt::format("an exploration has no more than {} threads", threads_max));
  const unsigned child = threads_count_++;
  note({happens::start, 0, static_cast<std::uint8_t>(child), false, {}, {}, 0, 0, 0, 0, 0, 0, where});
  memory_.start(child, current_);
  search_.follows(child, current_);
  thread& made = begin_thread(child, body, data, drop);
  made.starting = true;
  made.starter = static_cast<std::uint8_t>(current_);
  own_of_[child] = own_at_first_;
  go_on_in(child);  // up to its first step
  return child;
}

void exploration::end_thread() noexcept {
  keep_promise();
  thread& self = threads_[current_];
  const unsigned ended = current_;
  self.is = state::ended;
  memory_.compiler_fence(current_);
  note({happens::end, 0, 0, false, {}, {}, 0, 0, 0, 0, 0, 0, {}});
  for (unsigned other = 0; other < threads_count_; other++) {
    if (threads_[other].is == state::joins && pending_[other].target == ended) threads_[other].is = state::ready;
  }
  if (self.starting) {
    self.starting = false;
    go_on_in(self.starter);
  } else {
    go_on_in(decide());
  }
  __builtin_unreachable();
}

void exploration::join(unsigned target, site where) {
  const at_work answers(*this);
  keep_promise();
  if (threads_[target].is != state::ended) {
    threads_[current_].is = state::joins;
    memory_.compiler_fence(current_);
    action what;
    what.what = kind::join;
    what.target = static_cast<std::uint8_t>(target);
    step(what, where);
    search_.follows(current_, target);
    made(what);
  } else {
    search_.follows(current_, target);
  }
  memory_.join(current_, target);
  note({happens::join, 0, static_cast<std::uint8_t>(target), false, {}, {}, 0, 0, 0, 0, 0, 0, where});
}

// --- steps -----------------------------------------------------------------------------------------------------------

// Returns when it is this thread's turn to do `what`.
void exploration::step(action what, site where) noexcept {
  thread& self = threads_[current_];
  pending_[current_] = what;
  self.where = where;
  const unsigned me = current_;
  if (self.starting) {
    self.starting = false;
    go_on_in(self.starter);
  } else if (const unsigned chosen = decide(); chosen != me) {
    go_on_in(chosen);
  }
}

// Whether its pending step can be made: not a lock of a mutex that somebody has.
bool exploration::is_able(unsigned t) const noexcept {
  const action& next = pending_[t];
  if (late_.is == late_op::state::due && late_.thread == t) return can_keep_promise();
  return threads_[t].is == state::ready &&
         (next.what != kind::lock || memory_.at(next.word, memory_.count(next.word) - 1).value == 0);
}

// Who makes the next step. Leaves for the host when nobody can.
unsigned exploration::decide() noexcept {
  for (;;) {
    thread_set enabled = 0;
    thread_set spinning = 0;
    bool left = false;
    for (unsigned t = 0; t < threads_count_; t++) {
      const state is = threads_[t].is;
      if (is_able(t)) enabled |= set_of(t);
      if (is == state::spins) spinning |= set_of(t);
      left = left || is != state::ended;
    }
    if (enabled != 0) {
      if (search_.steps() >= wanted_.steps_max) {
        fail(fmt::format("no end after {} steps; a loop that waits for another thread needs spin_hint() in it, and what is merely "
                         "long a larger options::steps_max", wanted_.steps_max));
      }
      const unsigned chosen = search_.next(enabled, current_, pending_.data(), memory_);
      if (search_.strayed()) {
        fail("an execution goes another way than the one before, after the same answers; make anew in the body what it uses, and "
             "ask no clock, chance or input");
      }
      return chosen;
    }
    if (!left) {
      threads_[current_].place.go_on_in(host_);
      __builtin_unreachable();
    }
    if (let_time_pass()) continue;
    if (is_broken_promise()) leave();
    // Who spins may still read something newer than the last time, or give up after so many rounds.
    rounds_in_vain_++;
    if (spinning == 0 || rounds_in_vain_ > wanted_.steps_max / 2 || search_.steps() >= wanted_.steps_max) fail(standstill());
    for (unsigned t = 0; t < threads_count_; t++) {
      if (threads_[t].is == state::spins) look_again(t);
    }
  }
}

std::string exploration::standstill() const {
  std::string text = "nobody can go on:";
  for (unsigned t = 0; t < threads_count_; t++) {
    const thread& each = threads_[t];
    const char* const does = each.is == state::spins   ? "spins"
                             : each.is == state::joins ? "joins"
                             : each.is == state::waits ? "waits"
                             : each.is == state::ready ? "waits for a lock"
                                                       : nullptr;
    if (does != nullptr) text += fmt::format(" {} {}{};", name_of_thread(t), does, at(each.where));
  }
  text.pop_back();
  return text;
}

void exploration::made(action what, unsigned place, unsigned kept_from) noexcept {
  bounded_.stale_reads = bounded_.stale_reads || kept_from != search::none_kept;
  search_.made(current_, what, place, memory_, kept_from);
}

// Somebody has written: who spins looks again.
void exploration::stored() noexcept {
  rounds_in_vain_ = 0;
  threads_[current_].in_vain = 0;
  for (unsigned t = 0; t < threads_count_; t++) {
    if (threads_[t].is == state::spins && t != current_) {
      look_again(t);
      search_.follows(t, current_);
    }
  }
}

void exploration::note(happening one) noexcept {
  one.thread = static_cast<std::uint8_t>(current_);
  trace_.add(one);
}

unsigned exploration::find(const void* word, std::size_t size, site where) noexcept {
  memory::problem wrong;
  const unsigned found = memory_.find(current_, word, size, where, wrong);
  check(wrong, where);
  return found;
}

void exploration::check(const memory::problem& wrong, site where) noexcept {
  if (!wrong) [[likely]] return;
  const site last = threads_[current_].where;
  const std::string place = is_said(where) ? at(where) : is_said(last) ? ", behind " + name_of(last) : std::string{};
  fail(fmt::format("{} {}{} ({}{})", name_of_thread(current_), wrong.what, place, name_of_thread(wrong.other_thread),
                   at(wrong.other)));
}

void exploration::fail(std::string what) noexcept {
  if (is_broken_promise()) leave();
  failure_.emplace(std::move(what), trace_.text(memory_), search_.line());
  threads_[current_].place.go_on_in(host_);
  __builtin_unreachable();
}

void exploration::crashes(const char* signal) noexcept {
  const site last = threads_[current_].where;
  fail(fmt::format("{} crashes: {}; {}", name_of_thread(current_), signal,
                   is_said(last) ? "its last step was" + at(last) : "it had made no step"));
}

void exploration::fails(const char* what, site where) noexcept {
  const at_work answers(*this);
  keep_promise();
  const std::string place = is_said(where) ? name_of(where) + ": " : std::string{};
  fail(fmt::format("{}: {}{}", name_of_thread(current_), place, what));
}

// --- plain data, and the rest ----------------------------------------------------------------------------------------

void exploration::touches(const void* data, bool writes, const void* pc) noexcept {
  const at_work answers(*this);
  if (is_own_of_thread(data)) return;
  memory::problem wrong;
  const site where = site_of_instruction(pc);
  static_cast<void>(touch(data, writes, where, wrong));
  check(wrong, where);
}

void exploration::frees(void* memory) noexcept {
  const at_work answers(*this);
  keep_promise();
  const std::size_t size = ::malloc_usable_size(memory);
  retire(memory, size, {});
  std::memset(memory, 0xdb, size);  // for code that does not tell what it touches
  freed_.push_back(memory);
}

std::int64_t exploration::now_ns() noexcept { return now_ns_ += 1'000; }

unsigned exploration::choose(unsigned count) {
  const at_work answers(*this);
  keep_promise();
  const unsigned chosen = search_.choose(count);
  choices_ = choices_ * 31 + chosen + 1;
  note({happens::choice, 0, 0, false, {}, {}, 0, chosen, 0, 0, 0, 0, {}});
  return chosen;
}

// The number of the data.
std::uint32_t exploration::touch(const void* address, bool writes, site where, memory::problem& wrong) noexcept {
  if (writes && threads_[current_].locks != 0) threads_[current_].wrote = true;
  return memory_.plain(current_, address, writes, where, wrong);
}

// Has a line of its own: it is what the checked code says, where the compiler tells of all that there is.
void exploration::plain(const void* address, bool writes, site where) noexcept {
  const at_work answers(*this);
  memory::problem wrong;
  const std::uint32_t number = touch(address, writes, where, wrong);
  note({writes ? happens::write : happens::read, 0, 0, false, {}, number, 0, 0, 0, 0, 0, 0, where});
  check(wrong, where);
}

void exploration::begins_plain(const void* address, site where) noexcept {
  const at_work answers(*this);
  memory_.begins_plain(current_, address, where);
}

void exploration::retire(const void* address, std::size_t size, site where) {
  const at_work answers(*this);
  keep_promise();
  memory::problem wrong;
  memory_.retire(current_, address, size, where, wrong);
  check(wrong, where);
}

}  // namespace levity::model::detail

namespace levity::inline v0::model {

std::string bounds::text() const {
  const std::pair<bool, const char*> all[] = {{stale_reads, "stale reads"}, {hints, "hints"}, {looks, "looks"},
                                              {exchanges, "weak exchanges"}, {waits, "waits"}, {preemptions, "preemptions"}};
  std::string text;
  for (const auto& [met, name] : all) {
    if (met) text += (text.empty() ? "" : ", ") + std::string(name);
  }
  return text;
}

unsigned choose(unsigned count) {
  LEVITY_ASSERT(detail::under_way != nullptr, "a choice is made inside an exploration");
  return detail::under_way->choose(count);
}

void retire(const void* memory, std::size_t size, std::source_location where) {
  if (levity::detail::this_explorer != nullptr) detail::under_way->retire(memory, size, where);
}

}  // namespace levity::model
