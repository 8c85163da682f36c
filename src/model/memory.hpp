#pragma once

// memory: the words that the threads of one execution share, and what each thread may see of them.
//
// After the view machines of Kang, Hur, Lahav, Vafeiadis and Dreyer (2017), without promises; the release sequences are those of
// C++20. A word is the list of its messages in modification order. A view (view.hpp) says for each word how far a thread has come.
//
//   of a thread t   cur    what it knows: no older message can be read
//                   acq    what it would know after an acquire fence: views of all messages that it has read
//                   rel    what its relaxed stores hand on: cur as it was at its last release fence
//   of all          sc     what the seq_cst operations and fences so far know of words; never clocks, for they order no plain data
//
// With m a message, m.view what its reader gets, x its word, |x| the place after the newest message of x:
//
//   load(x)         any m of x at cur[x] or later (seq_cst: at sc[x] or later, too)
//                   cur[x] >= m;  acq |= m.view;  acquire: cur |= m.view;  seq_cst: sc[x] >= m
//   store(x, v)     m at a place after cur[x] (seq_cst: after sc[x], too), not between a read-modify-write and what it read
//                   cur[x] = m;  m.view = release ? cur : rel;  m.view[x] = m;  seq_cst: sc[x] >= m
//   rmw(x)          loads the newest message n, stores at |x|;  m.view also |= n.view: the release sequence goes on
//   failed cas(x)   loads any message that differs from what was expected; a weak one may also fail beside an equal one
//   fence           acquire: cur |= acq;  seq_cst: cur |= sc, then sc |= cur;  release: rel = cur
//   start, join     cur of the child, or parent, |= cur of the other
//   clock           cur[t] grows after each operation of t, so that what t does later is not covered by what it hands on now
//
// A barrier of the process is a full fence of each thread at some moment between call and return, but a thread's compiler may have
// moved its loads and stores across that moment, up to the next thing that keeps the compiler from it. A compiler fence, a seq_cst
// fence and the end of a thread keep it from both ways; a release only from moving what comes before it down, an acquire only from
// moving what comes after it up. So each thread has besides
//
//   kept     cur as it was when the thread last passed one of the former: what a barrier hands on for it
//   due      what barriers have brought, taken in when it next passes one of the latter
//
// What this machine does not do, and C++20 lets be: load buffering (a load that sees a store which comes after it in the order of
// steps), unless it is asked for (exploration_late.cpp); a read-modify-write placed elsewhere than after the newest message; and
// seq_cst loads and stores whose single order goes against the order in which they were made, where only relaxed operations tie
// them together. Fences have no such gap: a fence, a relaxed store, its relaxed load and a fence are in happens-before.
//
// Plain data: an access must happen after each other one of which either is a write: clocks say so (`plain`). A word is known to
// others only once its beginning is, and ends after the last touch. Who writes a word as plain data must happen after all that
// touch it as a word, and who touches it so, after that write.

#include <array>
#include <cstddef>
#include <cstdint>
#include <source_location>
#include <vector>

#include "levity/base/explored_atomic.hpp"
#include "model/address_table.hpp"
#include "model/view.hpp"

namespace levity::inline v0::model::detail {

struct message {
  std::uint64_t value;
  view_entry* view;        // of `length` entries
  std::uint32_t length;
  std::uint32_t created;   // its number among the messages of this execution, in the order in which they were made
  std::uint32_t event;     // which step made it
  std::uint8_t writer;
  bool by_change;          // by a read-modify-write, which read the one before it
  std::source_location where;
};

class memory {
public:
  static constexpr std::uint32_t no_word = ~std::uint32_t{0};
  static constexpr std::uint32_t before_all = ~std::uint32_t{0};  // the event of a message that was there from the beginning

  /// What went wrong with an access, in one sentence; and where the other one was made.
  struct problem {
    const char* what = nullptr;
    unsigned other_thread = 0;
    std::source_location other;
    explicit operator bool() const noexcept { return what != nullptr; }
  };

  /// A new execution: no words, no threads. `repeats_max`: how often in a row a thread may read the same stale message.
  void begin(unsigned repeats_max);

  void start(unsigned thread) noexcept;
  void start(unsigned child, unsigned parent) noexcept;
  void join(unsigned parent, unsigned child) noexcept;

  /// The number of the word at `address`, which `thread` is about to touch.
  unsigned find(unsigned thread, const void* address, std::size_t size, std::source_location where, problem& wrong);
  /// The number of the word at `address`, which is only named; no_word: it has ended.
  unsigned name(const void* address, std::size_t size) {
    const life* const known = lives_.find(address);
    return known != nullptr && known->over ? no_word : number(address, size);
  }
  void begins(unsigned thread, const void* address, std::source_location where, problem& wrong);
  void ends(unsigned thread, const void* address, problem& wrong);
  /// Whatever lies there is gone until the end of the execution.
  void retire(unsigned thread, const void* address, std::size_t size, std::source_location where, problem& wrong);

  [[nodiscard]] unsigned count(unsigned word) const noexcept { return static_cast<unsigned>(words_[word].messages.size()); }
  [[nodiscard]] const message& at(unsigned word, unsigned place) const noexcept { return words_[word].messages[place]; }
  [[nodiscard]] std::uint32_t created() const noexcept { return created_; }
  [[nodiscard]] unsigned words() const noexcept { return static_cast<unsigned>(words_used_); }

  /// The oldest message that a load of `thread` may read: of those that C++ lets it read.
  [[nodiscard]] unsigned oldest_known(unsigned thread, unsigned word, bool single_order) const noexcept {
    return first_place(thread, word, single_order) - 1;
  }
  /// The same without one that it has read often enough while there was a newer one, or once before it said that it spins.
  [[nodiscard]] unsigned oldest(unsigned thread, unsigned word, bool single_order) const noexcept;
  /// Whether that is because it has read it often enough.
  [[nodiscard]] bool has_enough(unsigned thread, unsigned word) const noexcept {
    return words_[word].glances[thread].stale >= repeats_max_;
  }
  /// The first place for a store of `thread`; a later one is free unless a read-modify-write holds it.
  [[nodiscard]] unsigned first_place(unsigned thread, unsigned word, bool single_order) const noexcept;
  [[nodiscard]] bool is_free(unsigned word, unsigned place) const noexcept {
    return place == count(word) || !at(word, place).by_change;
  }

  /// True: it read the same message the last time, and there is no newer one.
  bool read(unsigned thread, unsigned word, unsigned place, std::memory_order order) noexcept;
  void write(unsigned thread, unsigned word, unsigned place, std::uint64_t value, std::memory_order order,
             std::source_location where, std::uint32_t event);
  void change(unsigned thread, unsigned word, std::uint64_t value, std::memory_order order, std::source_location where,
              std::uint32_t event);
  void fence(unsigned thread, std::memory_order order) noexcept;
  void compiler_fence(unsigned thread) noexcept;
  /// The barrier of another thread reaches this one.
  void barrier_reaches(unsigned thread) noexcept;
  /// The thread spins: it will not look at the same stale messages again.
  void spins(unsigned thread) noexcept { threads_[thread].hints++; }

  /// Whether a weak exchange may fail for no reason: not twice in a row, or it would have no end.
  [[nodiscard]] bool may_fail(unsigned thread, unsigned word) const noexcept { return !words_[word].glances[thread].failed; }
  void failed(unsigned thread, unsigned word, bool it_has = true) noexcept { words_[word].glances[thread].failed = it_has; }

  /// The number of the plain data there.
  std::uint32_t plain(unsigned thread, const void* address, bool writes, std::source_location where, problem& wrong);
  /// Plain data begins to live: nobody has touched it yet but this thread.
  void begins_plain(unsigned thread, const void* address, std::source_location where);

  [[nodiscard]] const void* address_of(unsigned word) const noexcept { return words_[word].address; }

private:
  struct glance {  // the last one of a thread at a word
    view_entry place = 0;
    bool is_read = false;     // there has been one
    std::uint16_t stale = 0;  // how often in a row it was of this message while there was a newer one
    bool failed = false;      // a weak exchange, or a wait, for no reason
    std::uint32_t hints = 0;
  };
  struct history {  // of a word
    const void* address = nullptr;
    std::size_t size = 0;
    std::vector<message> messages;
    std::array<view_entry, threads_max> touched{};  // clocks
    std::array<std::source_location, threads_max> touched_at{};
    std::array<glance, threads_max> glances{};
  };
  struct sight {  // of a thread
    view_entry *cur, *acq, *rel, *kept, *due;
    std::uint32_t hints;
  };
  struct life {  // of the word at an address
    std::uint32_t word = no_word;
    std::uint8_t thread = 0;
    bool over = false;
    bool has_begun = false;  // it was said so: it is no word of the C++ library's, which reads two counts as one
    view_entry clock = 0;
    std::source_location where;
  };
  struct accesses {  // to plain data
    std::array<view_entry, threads_max> reads{};
    std::array<std::source_location, threads_max> reads_at{};
    view_entry write = 0;
    std::uint8_t writer = 0;
    std::uint32_t number = 0;  // 0: none yet
    std::source_location write_at;
  };
  struct range {
    const char* begin;
    const char* end;
    std::uint8_t thread;
    std::source_location where;
  };

  unsigned number(const void* address, std::size_t size);
  static unsigned entry(unsigned word) noexcept { return threads_max + word; }
  unsigned length() const noexcept { return (threads_max + words_used_ + view_step - 1) / view_step * view_step; }
  view_entry* fresh_view(unsigned entries) noexcept;
  view_entry* new_thread_view();
  view_entry* copy(const view_entry* from, unsigned entries) noexcept;
  void widen();
  void tick(unsigned t) noexcept;
  void keeps(unsigned t) noexcept;
  void takes_due(unsigned t) noexcept;
  void pass(unsigned t) noexcept {
    takes_due(t);
    keeps(t);
  }
  void put(unsigned t, unsigned w, unsigned place, message made);
  void touch(unsigned t, unsigned w, std::source_location where) noexcept;
  void check_end(unsigned t, unsigned w, problem& wrong) const noexcept;
  void check_retired(const void* address, problem& wrong) const noexcept;

  std::vector<history> words_;
  unsigned words_used_ = 0;
  std::array<sight, threads_max> threads_{};
  unsigned threads_used_ = 0;
  view_entry* sc_ = nullptr;
  unsigned width_ = 0;  // entries that the views of threads have room for
  view_arena arena_;
  address_table<life> lives_;
  address_table<accesses> plain_;
  std::uint32_t data_ = 0;  // of plain data there was so much
  std::vector<range> retired_;
  std::uint32_t created_ = 0;
  unsigned repeats_max_ = 0;
};

constexpr bool acquires(std::memory_order order) noexcept {
  return order != std::memory_order_relaxed && order != std::memory_order_release;
}
constexpr bool releases(std::memory_order order) noexcept {
  return order == std::memory_order_release || order == std::memory_order_acq_rel || order == std::memory_order_seq_cst;
}
constexpr bool is_single_order(std::memory_order order) noexcept { return order == std::memory_order_seq_cst; }

}  // namespace levity::model::detail
