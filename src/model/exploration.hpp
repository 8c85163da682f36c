#pragma once

// exploration: one call of explore(). It has the virtual threads, answers the explored code, and asks the search who goes on and
// what happens.
//
// A thread runs until it is about to do something that others could notice: a step. There it says what (`pending`) and the search
// names who makes the next step; whoever it is goes on from its own pending one. So between two steps a thread is alone.
//
//   state        why it does not run                       becomes ready by
//   ready        its step is pending                       -
//   spins        it said so, or looked often in vain       a store of another thread; or, when nobody else can run, at once
//                (options::hints_max: or it goes on)
//   joins        the other has not ended                   the end of the other
//   waits        on a futex, at a condition variable       a wake
//   ended
//
// Who is ready, and about to take a mutex that another one has, cannot make that step: it is not asked (`is_able`).
//
// No step of their own have what only concerns the thread itself: fences other than seq_cst, compiler fences, the beginning and
// end of words, plain data, the start of a thread. A seq_cst fence is a step, and a barrier of the process is one for each thread
// that it reaches, between two fences.
//
// What the system holds by thread, thread_local words that were named, goes with the virtual thread.
//
// While the explorer is at work there is none for the code that it runs (`at_work`): it may share inline functions with the
// explored source, which tell of what they touch.

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "levity/base/explored_atomic.hpp"
#include "levity/base/rng.hpp"
#include "levity/model/explore.hpp"
#include "model/fiber.hpp"
#include "model/memory.hpp"
#include "model/search.hpp"
#include "model/trace.hpp"
#include "model/weakening.hpp"

namespace levity::inline v0::model::detail {

/// In freed_memory.cpp, which replaces operator delete.
void watch_freed_memory() noexcept;

/// A thread_local word of the explored code.
struct own_word {
  void* address;
  std::size_t size;
};

class exploration final : public levity::detail::explorer {
public:
  using site = std::source_location;

  exploration(const options& wanted, std::vector<own_word> own_words);

  result run(void (*body)(void*), void* data);

  void begins(const void* word, std::size_t size, site where) noexcept override;
  void ends(const void* word, std::size_t size) noexcept override;
  std::uint64_t load(const void* word, std::size_t size, std::memory_order order, site where) noexcept override;
  void store(void* word, std::size_t size, std::uint64_t value, std::memory_order order, site where) noexcept override;
  std::uint64_t read_modify_write(void* word, std::size_t size, levity::detail::change how, std::uint64_t operand,
                                  std::memory_order order, site where) noexcept override;
  bool compare_exchange(void* word, std::size_t size, std::uint64_t& expected, std::uint64_t desired, bool weak,
                        std::memory_order success, std::memory_order failure, site where) noexcept override;
  void fence(std::memory_order order, site where) noexcept override;
  void compiler_fence(site where) noexcept override;
  void process_barrier(site where) noexcept override;
  void spins() noexcept override;
  bool futex_wait(const std::uint32_t* word, std::uint32_t expected, bool timed, site where) noexcept override;
  void futex_wake(const std::uint32_t* word, bool all, site where) noexcept override;
  void lock(const void* mutex, site where) noexcept override;
  void unlock(const void* mutex, site where) noexcept override;
  bool wait(const std::uint32_t* condition, const void* mutex, bool timed, site where) noexcept override;
  void notify(const std::uint32_t* condition, bool all, site where) noexcept override;
  unsigned start(void (*body)(void*), void* data, void (*drop)(void*), site where) override;
  void join(unsigned thread, site where) override;
  void touches(const void* data, bool writes, const void* pc) noexcept override;
  void frees(void* memory) noexcept override;
  std::int64_t now_ns() noexcept override;
  [[noreturn]] void fails(const char* what, site where) noexcept override;

  unsigned choose(unsigned count);
  void plain(const void* address, bool writes, site where) noexcept;
  void begins_plain(const void* address, site where) noexcept;
  void retire(const void* address, std::size_t size, site where);

private:
  static constexpr std::int64_t limit_ns = 60'000'000'000;  // the clock when a time is over: longer than any wait that has an end

  enum class state : std::uint8_t { ready, spins, joins, waits, ended };

  struct thread {
    state is = state::ended;
    bool starting = false;    // runs for the first time, in the turn of who started it
    std::uint8_t starter = 0;
    unsigned in_vain = 0;     // loads in a row that brought nothing new
    unsigned locks = 0;       // mutexes that it has,
    bool wrote = false;       // and it has written plain data meanwhile
    bool is_timed = false;    // waits, and may do so until its time is over,
    bool is_late = false;     // which it is
    bool was_late = false;    // its last wait was cut short by its limit: the next one is not, unless nobody else can go on
    bool was_roused = false;  // its last wait at a futex ended for no reason: the next one does not
    unsigned hints = 0;       // after which it went on at once, in a row
    site where;               // of the pending step, or the last one
    void (*body)(void*) = nullptr;
    void* data = nullptr;
    void (*drop)(void*) = nullptr;
    fiber place;
  };

  // A write that an operation lets pass (exploration_late.cpp).
  struct passing_write {
    static constexpr unsigned store = 0, exchange = 1, change = 2;  // and what kind of one is added

    const void* to = nullptr;  // by address: numbers of words are given in the order of their use, which is another one this time
    unsigned how = store;
    std::uint64_t expected = 0;  // of an exchange that compares
    std::uint64_t operand = 0;

    bool operator==(const passing_write&) const = default;
  };
  using words_read = std::vector<std::pair<const void*, std::uint64_t>>;

  // An operation that comes late.
  struct late_op {
    enum class state : std::uint8_t { none, promised, due, over };

    action::kind what = action::kind::load;  // or change
    unsigned word = 0;
    std::uint32_t size = 0;
    std::memory_order order = std::memory_order_relaxed;
    bool weak = false;
    site where;
    const void* address = nullptr;
    std::uint64_t writes = 0;    // a change: its new value
    state is = state::none;
    unsigned thread = 0;
    words_read reads = {};       // what has passed it
    bool is_passed = false;      // by a write
    std::uint64_t value = 0;     // that it will have read
    unsigned messages_then = 0;  // of its word, when it was promised
  };

  // What an execution in which all is in its place tells of one that could come late.
  struct scouting {
    bool is_load = false;
    unsigned number = 0;  // among all
    unsigned word = 0;
    const void* address = nullptr;
    unsigned messages_then = 0;
    std::uint64_t value = 0;  // that it is to read
    words_read reads;         // what would pass it,
    passing_write write;      // last of all
  };

  // From a call of the explored code to its return, be it in another thread meanwhile.
  class at_work {
  public:
    explicit at_work(const exploration&) noexcept : before_(levity::detail::this_explorer) {
      levity::detail::this_explorer = nullptr;
    }
    at_work(const at_work&) = delete;
    at_work& operator=(const at_work&) = delete;
    ~at_work() { levity::detail::this_explorer = before_; }

  private:
    levity::detail::explorer* const before_;
  };

  thread& begin_thread(unsigned number, void (*body)(void*), void* data, void (*drop)(void*));
  static void run_thread();
  void end_thread() noexcept;
  void step(action what, site where) noexcept;
  unsigned decide() noexcept;
  void go_on_in(unsigned thread) noexcept;
  void made(action what, unsigned place = 0, unsigned kept_from = search::none_kept) noexcept;
  void stored() noexcept;
  unsigned find(const void* word, std::size_t size, site where) noexcept;
  void check(const memory::problem& wrong, site where) noexcept;
  [[noreturn]] void fail(std::string what) noexcept;
  [[noreturn]] void crashes(const char* signal) noexcept;
  std::uint32_t touch(const void* address, bool writes, site where, memory::problem& wrong) noexcept;
  [[nodiscard]] bool is_able(unsigned thread) const noexcept;
  [[nodiscard]] bool sleep_until_woken(bool timed) noexcept;
  [[nodiscard]] bool let_time_pass() noexcept;
  unsigned find_mutex(const void* mutex, site where) noexcept;
  bool has(unsigned mutex) const noexcept;
  void lets_go(unsigned mutex, bool orders, site where) noexcept;
  void note(happening one) noexcept;
  void looked(bool in_vain) noexcept;
  void look_again(unsigned thread) noexcept;
  unsigned pick_message(unsigned word, bool single_order) noexcept;
  void keep_own_words(char* into) const noexcept;
  void set_own_words(const char* from) const noexcept;
  std::string standstill() const;
  [[nodiscard]] bool chooses_late();
  void begin_late(bool again) noexcept;
  [[nodiscard]] std::optional<std::uint64_t> promise(const late_op& op, const std::uint64_t* only = nullptr);
  [[nodiscard]] std::uint64_t key_of(const passing_write& write) const noexcept;
  [[nodiscard]] bool can_keep_promise() const noexcept;
  [[nodiscard]] bool is_broken_promise() const noexcept;
  void keep_promise() noexcept;
  void goes_before_late(const void* from, bool single_order);
  void has_read(const void* from, std::uint64_t value);
  void goes_before_late(const passing_write& write, std::memory_order order);
  void has_written(const passing_write& write);
  [[noreturn]] void leave() noexcept;

  const options wanted_;
  memory memory_;
  search search_;
  trace trace_;
  weakening& weakened_ = weakening::of_environment();

  std::array<thread, threads_max> threads_;
  std::array<action, threads_max> pending_{};  // by thread: what it is about to do
  unsigned threads_count_ = 0;
  unsigned current_ = 0;
  fiber host_;
  std::int64_t now_ns_ = 0;
  unsigned rounds_in_vain_ = 0;  // everyone who could run was spinning, since the last store

  const bool buffers_;  // operations may come late
  late_op late_;
  bool left_ = false;                            // this execution, for it cannot be
  bool repeats_ = false;                         // the one before, with an operation that comes late:
  scouting chosen_;
  std::vector<scouting> scouted_;                // one of these
  unsigned could_be_late_ = 0;                   // so far, of this execution
  std::array<std::vector<scouting>, threads_max> tentative_;  // by thread: none has passed them yet
  rng late_dice_;
  std::unordered_set<std::uint64_t> writes_;  // that were made where nothing came late
  std::uint64_t choices_ = 0;  // of this execution

  std::vector<void*> freed_;  // in this execution
  std::vector<own_word> own_words_;
  std::size_t own_bytes_ = 0;
  std::vector<char> own_at_first_;
  std::array<std::vector<char>, threads_max> own_of_;

  bounds bounded_;  // so far

  std::optional<failure> failure_;
};

}  // namespace levity::model::detail
