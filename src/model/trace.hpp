#pragma once

// trace: what happened in one execution, step by step, and how that is told to people.

#include <array>
#include <cstdint>
#include <source_location>
#include <string>
#include <vector>

#include "model/memory.hpp"

namespace levity::inline v0::model::detail {

struct happening {
  enum class kind : std::uint8_t {
    start,
    end,
    join,
    load,
    promise,
    store,
    change,
    failed,
    spurious,
    fence,
    compiler_fence,
    barrier,
    reach,
    wait,
    no_wait,
    no_reason,
    timeout,
    wake,
    lock,
    unlock,
    sleep,
    wakes_up,
    choice,
    read,
    write
  };

  kind what;
  std::uint8_t thread;
  std::uint8_t other = 0;          // start, join, reach, wake: of which thread
  bool weakened = false;
  std::memory_order order = std::memory_order_relaxed;
  std::uint32_t word = ~std::uint32_t{0};  // read, write: the number of the plain data
  std::uint32_t size = 0;
  std::uint64_t value = 0;         // what a load, a change or a failed comparison read, or will have; what a store wrote
  std::uint64_t made = 0;          // what a change wrote
  std::uint32_t message = 0;       // which one was read, or overtaken by a store: by its number
  std::uint32_t newest_then = 0;   // messages there were, of all words
  std::uint32_t oldest = 0;        // the first one that could have been read: by its number
  std::source_location where;
};

class trace {
public:
  void clear() noexcept { happenings_.clear(); }
  void add(const happening& one) { happenings_.push_back(one); }

  /// One line a step, or a plain access; what is repeated is folded. Reads source files, to show what is written there.
  [[nodiscard]] std::string text(const memory& words) const;

private:
  std::vector<happening> happenings_;
};

/// Whether a place has been said, by line or by instruction.
bool is_said(std::source_location where) noexcept;
/// `deque.hpp:82`, with the last folder in front.
std::string name_of(std::source_location where);
/// ` at deque.hpp:82`; empty if the place has not been said.
std::string at(std::source_location where);
/// For plain data it is not the source that says where it is touched, but an instruction: such a place has no line, and as a name
/// the program and the offset in it that addr2line asks for.
std::source_location site_of_instruction(const void* pc) noexcept;

constexpr char name_of_thread(unsigned thread) noexcept { return static_cast<char>('a' + thread); }

}  // namespace levity::model::detail
