#pragma once

// shared_memory: words that threads share, with the stores of each that the others do not see yet.
//
// A store goes into a buffer of its thread, which sees its own ones first, and leaves it at any later step:
//
//   tso    the oldest leaves first; exchanges and fences wait until all have left. As x86.
//   weak   any may leave before older ones of other words, but a release only after all older ones. A release exchange and a full
//          fence wait for all; other exchanges for stores of their own word.
//
// Loads are never late: an acquire that is missing has no effect here.

#include <array>
#include <cstddef>
#include <cstdint>

namespace levity::inline v0::detail::watchdog_model {

enum class memory_order_of : std::uint8_t { tso, weak };

/// The stores of one thread that are under way, oldest first.
struct store_buffer {
  static constexpr unsigned capacity = 5;

  std::uint8_t count = 0;
  std::uint8_t releases = 0;  // a bit each
  std::array<std::uint8_t, capacity> to{};
  std::array<std::uint8_t, capacity> value{};
  bool operator==(const store_buffer&) const = default;

  [[nodiscard]] bool is_empty() const { return count == 0; }
  [[nodiscard]] bool holds(std::uint8_t word, unsigned among) const {
    for (unsigned i = 0; i < among; i++) {
      if (to[i] == word) return true;
    }
    return false;
  }

  void push(std::uint8_t word, std::uint8_t new_value, bool release) {
    to[count] = word;
    value[count] = new_value;
    if (release) releases = static_cast<std::uint8_t>(releases | 1U << count);
    count++;
  }

  void remove(unsigned entry) {
    const unsigned before = releases & ((1U << entry) - 1);
    releases = static_cast<std::uint8_t>(before | (releases >> (entry + 1) << entry));
    for (unsigned i = entry; i + 1 < count; i++) {
      to[i] = to[i + 1];
      value[i] = value[i + 1];
    }
    count--;
    to[count] = value[count] = 0;
  }
};

template <std::size_t Words, std::size_t Threads>
struct shared_memory {
  std::array<std::uint8_t, Words> word{};  // as all see it
  std::array<store_buffer, Threads> under_way{};
  bool operator==(const shared_memory&) const = default;

  [[nodiscard]] std::uint8_t load(unsigned thread, std::uint8_t from) const {
    const store_buffer& own = under_way[thread];
    for (unsigned i = own.count; i-- > 0;) {
      if (own.to[i] == from) return own.value[i];
    }
    return word[from];
  }

  /// False: too many are under way.
  [[nodiscard]] bool store(unsigned thread, std::uint8_t to, std::uint8_t value, bool release) {
    if (under_way[thread].count == store_buffer::capacity) return false;
    under_way[thread].push(to, value, release);
    return true;
  }

  /// Whether a fence may be passed now.
  [[nodiscard]] bool drained(unsigned thread) const { return under_way[thread].is_empty(); }
  /// Whether an exchange, which is relaxed or acquires but for `release`, may be made now.
  [[nodiscard]] bool may_exchange(memory_order_of order, unsigned thread, std::uint8_t of, bool release) const {
    if (order == memory_order_of::tso || release) return drained(thread);
    return !under_way[thread].holds(of, under_way[thread].count);
  }

  /// A store becomes visible. False: not before others.
  [[nodiscard]] bool leave(memory_order_of order, unsigned thread, unsigned entry) {
    store_buffer& from = under_way[thread];
    if (entry >= from.count || (order == memory_order_of::tso && entry != 0)) return false;
    if (entry != 0 && (from.releases >> entry & 1U) != 0) return false;
    if (from.holds(from.to[entry], entry)) return false;
    word[from.to[entry]] = from.value[entry];
    from.remove(entry);
    return true;
  }

  /// Empties the buffers of all threads.
  void barrier() {
    for (store_buffer& each : under_way) {
      for (unsigned i = 0; i < each.count; i++) word[each.to[i]] = each.value[i];
      each = {};
    }
  }
};

}  // namespace levity::detail::watchdog_model
