#pragma once

// explorer: all states that a setup of the protocol can reach, and a shortest way to what breaks.

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "sched/watchdog_model/protocol.hpp"

namespace levity::inline v0::detail::watchdog_model {

struct verdict {
  const char* broken = nullptr;
  std::size_t states = 0;
  std::vector<std::string> trace;
  steps took;  // by some thread
};

/// All that can happen, in order of the number of steps.
class explorer {
public:
  explicit explorer(const setup& of) : of_(of) {}

  verdict explore() {
    table_.assign(1U << 16, none);
    add(first_state(of_.plays), 0);
    for (std::size_t i = 0; i < states_.size(); i++) {
      const char* const broken = each_after(i, [this, i](const state& next) { add(next, i); });
      if (broken != nullptr) return {broken, states_.size(), trace(last_), took_};
    }
    const std::size_t trapped = first_that_never_ends();
    if (trapped == none) return {nullptr, states_.size(), {}, took_};
    return {never, states_.size(), trace(trapped), took_};
  }

private:
  static constexpr std::uint32_t none = 0xffff'ffff;

  [[nodiscard]] std::uint8_t all() const { return static_cast<std::uint8_t>((1U << of_.plays.tasks.size()) - 1); }

  // What is broken on the way, if anything.
  template <class Each>
  const char* each_after(std::size_t number, Each&& each) {
    for (unsigned thread = 0; thread < threads; thread++) {
      for (unsigned choice = 0; choice < choices(states_[number].thread[thread].pc); choice++) {
        state next = states_[number];
        stepper goes(of_, next, thread, choice);
        if (goes.step()) each(next);
        took_ |= goes.took();
        if (goes.broken() != nullptr) return goes.broken();
      }
      for (unsigned entry = 0; entry < store_buffer::capacity; entry++) {
        state next = states_[number];
        if (next.memory.leave(of_.on, thread, entry)) each(next);
      }
    }
    return nullptr;
  }

  static std::size_t hash(const state& of) {
    std::array<std::uint64_t, (sizeof(state) + 7) / 8> text{};
    std::memcpy(text.data(), &of, sizeof of);
    std::uint64_t sum = 0;
    for (const std::uint64_t each : text) sum = (std::rotl(sum, 23) ^ each) * 0x9e37'79b9'7f4a'7c15U;
    return sum ^ sum >> 29;
  }

  void add(const state& next, std::size_t parent) {
    if (2 * states_.size() > table_.size()) grow();
    std::size_t i = hash(next) & (table_.size() - 1);
    while (table_[i] != none && !(states_[table_[i]] == next)) i = (i + 1) & (table_.size() - 1);
    if (table_[i] == none) {
      table_[i] = static_cast<std::uint32_t>(states_.size());
      states_.push_back(next);
      parents_.push_back(static_cast<std::uint32_t>(parent));
    }
    last_ = table_[i];
    edges_.emplace_back(last_, static_cast<std::uint32_t>(parent));
  }

  void grow() {
    table_.assign(2 * table_.size(), none);
    for (std::uint32_t number = 0; number < states_.size(); number++) {
      std::size_t i = hash(states_[number]) & (table_.size() - 1);
      while (table_[i] != none) i = (i + 1) & (table_.size() - 1);
      table_[i] = number;
    }
  }

  // All tasks are over; but where the slot is not wanted it rests, and no task is left in a deque, or in anybody's hands.
  [[nodiscard]] bool ends_well(const state& here) const {
    if (here.memory.word[wanted_w] != 0) return here.finished == all();
    for (unsigned thread = 0; thread < threads; thread++) {
      if (here.thread[thread].list != 0 || !here.memory.drained(thread)) return false;
    }
    for (unsigned worker = 0; worker < workers; worker++) {
      if (here.memory.word[of(worker, top_w)] < here.memory.word[of(worker, bottom_w)]) return false;
    }
    return here.memory.word[slots_w] == 0;
  }

  // From where no way leads there.
  std::size_t first_that_never_ends() {
    std::vector<std::uint32_t> begins(states_.size() + 1);
    for (const auto& edge : edges_) begins[edge.first + 1]++;
    for (std::size_t i = 1; i < begins.size(); i++) begins[i] += begins[i - 1];
    std::vector<std::uint32_t> sources(edges_.size());
    std::vector<std::uint32_t> filled = begins;
    for (const auto& edge : edges_) sources[filled[edge.first]++] = edge.second;
    std::vector<bool> ends(states_.size());
    std::vector<std::uint32_t> open;
    for (std::uint32_t i = 0; i < states_.size(); i++) {
      if (ends_well(states_[i])) {
        ends[i] = true;
        open.push_back(i);
      }
    }
    while (!open.empty()) {
      const std::uint32_t i = open.back();
      open.pop_back();
      for (std::uint32_t k = begins[i]; k < begins[i + 1]; k++) {
        if (ends[sources[k]]) continue;
        ends[sources[k]] = true;
        open.push_back(sources[k]);
      }
    }
    const auto first = std::find(ends.begin(), ends.end(), false);
    return first == ends.end() ? none : static_cast<std::size_t>(first - ends.begin());
  }

  std::vector<std::string> trace(std::size_t number) {
    std::vector<std::size_t> way{number};
    while (way.back() != 0) way.push_back(parents_[way.back()]);
    std::reverse(way.begin(), way.end());
    std::vector<std::string> lines;
    for (std::size_t i = 0; i + 1 < way.size(); i++) lines.push_back(difference(states_[way[i]], states_[way[i + 1]]));
    return lines;
  }

  static std::string difference(const state& before, const state& after) {
    constexpr std::array thread_names = {"A", "B", "watchdog"};
    std::string line = "?";
    for (unsigned i = 0; i < threads; i++) {
      const thread_state& was = before.thread[i];
      const bool stored = after.memory.under_way[i].count < before.memory.under_way[i].count;
      if (was == after.thread[i] && !stored) continue;
      if (was == after.thread[i]) {
        line = std::string(thread_names[i]) + ": a store becomes visible";
      } else {
        line = std::string(thread_names[i]) + ": " + names[static_cast<std::size_t>(was.pc)];
        if (was.task != nobody) line += " (task " + std::to_string(was.task) + ")";
        break;
      }
    }
    for (unsigned i = 0; i < before.memory.word.size(); i++) {
      if (before.memory.word[i] == after.memory.word[i]) continue;
      line += i >= dog_w ? std::string("  ") + shared_names[i - dog_w]
                         : std::string("  ") + (i < words ? "A." : "B.") + word_names[i % words];
      line += " = " + std::to_string(after.memory.word[i]);
    }
    return line;
  }

  const setup of_;
  std::vector<state> states_;
  std::vector<std::uint32_t> parents_;  // on a shortest way
  std::vector<std::uint32_t> table_;    // by hash
  steps took_;
  std::uint32_t last_ = 0;              // the state that was reached last
  std::vector<std::pair<std::uint32_t, std::uint32_t>> edges_;  // reached, from
};

}  // namespace levity::detail::watchdog_model
