// A ring between one producer and one consumer, checked in every order of their steps and with every value that C++20 lets them
// see. The second one has a mistake: it prints the execution in which that shows.

#include <levity/model/explore.hpp>

#include <array>
#include <cstddef>
#include <cstdio>

namespace lv = levity;

// What is checked is what is used: elsewhere it is ring<int, std::atomic>, and its slots hold plain values.
template <class T, template <class> class Atomic, template <class> class Slot, std::memory_order publish>
class ring {
public:
  bool push(T value) {
    const std::size_t end = end_.load(std::memory_order_relaxed);
    if (end - begin_.load(std::memory_order_acquire) == slots_.size()) return false;
    slots_[end % slots_.size()].set(value);
    end_.store(end + 1, publish);
    return true;
  }

  bool pop(T& value) {
    const std::size_t begin = begin_.load(std::memory_order_relaxed);
    if (begin == end_.load(std::memory_order_acquire)) return false;
    value = slots_[begin % slots_.size()].get();
    begin_.store(begin + 1, std::memory_order_release);
    return true;
  }

private:
  std::array<Slot<T>, 2> slots_;
  Atomic<std::size_t> begin_{0};
  Atomic<std::size_t> end_{0};
};

template <std::memory_order publish>
void check(const char* name) {
  const lv::model::result seen = lv::model::explore({}, [] {
    ring<int, lv::model::atomic, lv::model::cell, publish> numbers;
    lv::model::together(
        [&] {
          for (int number = 1; number <= 3; number++) numbers.push(number);
        },
        [&] {
          int last = 0;
          for (int looks = 0; looks < 3; looks++) {
            int number = 0;
            if (!numbers.pop(number)) continue;
            lv::model::require(number > last, "numbers come in order");
            last = number;
          }
        });
  });
  std::printf("%s: %llu executions, %s\n", name, static_cast<unsigned long long>(seen.executions),
              seen.failure ? seen.failure->what.c_str() : "all of them right");
  if (seen.failure) std::printf("%s", seen.failure->interleaving.c_str());
}

int main() {
  check<std::memory_order_release>("published by release");
  check<std::memory_order_relaxed>("published relaxed");
}
