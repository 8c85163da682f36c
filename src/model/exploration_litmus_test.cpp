// Small programs of which it is known exactly what C++20 lets them end with. The explorer must find just that: one outcome more,
// and it cries wolf; one less, and it misses faults. Each is explored with everything that the search leaves out, and without.

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "base/explored_thread.hpp"
#include "model/test_support.hpp"

// What code that is compiled to tell of its plain accesses calls.
extern "C" void __tsan_read4(void* data);
extern "C" void __tsan_write4(void* data);
extern "C" std::uint32_t __tsan_atomic32_fetch_add(volatile std::uint32_t* word, std::uint32_t value, int order);

namespace {

namespace model = levity::model;

using model::test::acquire;
using model::test::all_of;
using model::test::failure_of;
using model::test::four;
using model::test::outcomes;
using model::test::relaxed;
using model::test::release;
using model::test::seq_cst;
using model::test::word;

const outcomes all_but_none{{0, 1}, {1, 0}, {1, 1}};

// --- store buffering ------------------------------------------------------------------------------------------------------------

outcomes store_buffering(std::memory_order store, std::memory_order load, bool fence_a, bool fence_b) {
  return all_of([=] {
    word x{0}, y{0};
    int seen_y = 0, seen_x = 0;
    model::together(
        [&] {
          x.store(1, store);
          if (fence_a) model::fence(seq_cst);
          seen_y = y.load(load);
        },
        [&] {
          y.store(1, store);
          if (fence_b) model::fence(seq_cst);
          seen_x = x.load(load);
        });
    return std::vector{seen_y, seen_x};
  });
}

TEST(store_buffering, anything_short_of_seq_cst_lets_both_miss_the_other) {
  EXPECT_EQ(store_buffering(relaxed, relaxed, false, false), four);
  EXPECT_EQ(store_buffering(release, acquire, false, false), four);
  EXPECT_EQ(store_buffering(release, acquire, true, false), four);
  EXPECT_EQ(store_buffering(seq_cst, acquire, false, false), four);
}

TEST(store_buffering, seq_cst_or_two_fences_let_one_see_the_other) {
  EXPECT_EQ(store_buffering(seq_cst, seq_cst, false, false), all_but_none);
  EXPECT_EQ(store_buffering(relaxed, relaxed, true, true), all_but_none);
}

// --- an asymmetric fence --------------------------------------------------------------------------------------------------------

outcomes asymmetric(bool compiler_fence, bool barrier) {
  return all_of([=] {
    word x{0}, y{0};
    int seen_y = 0, seen_x = 0;
    model::together(
        [&] {
          x.store(1, relaxed);
          if (compiler_fence) levity::detail::this_explorer->compiler_fence({});
          seen_y = y.load(relaxed);
        },
        [&] {
          y.store(1, relaxed);
          if (barrier) levity::detail::this_explorer->process_barrier({});
          seen_x = x.load(relaxed);
        });
    return std::vector{seen_y, seen_x};
  });
}

TEST(asymmetric_fence, a_compiler_fence_and_a_barrier_of_the_process_are_two_fences) {
  EXPECT_EQ(asymmetric(true, true), all_but_none);
}

TEST(asymmetric_fence, one_of_them_is_none) {
  EXPECT_EQ(asymmetric(false, true), four);
  EXPECT_EQ(asymmetric(true, false), four);
}

// --- message passing ------------------------------------------------------------------------------------------------------------

enum class passes : std::uint8_t { by_orders, by_fences };

outcomes message_passing(std::memory_order store, std::memory_order load, passes how = passes::by_orders) {
  return all_of([=] {
    word data{0}, flag{0};
    int seen_flag = 0, seen_data = 0;
    model::together(
        [&] {
          data.store(1, relaxed);
          if (how == passes::by_fences) model::fence(store);
          flag.store(1, how == passes::by_fences ? relaxed : store);
        },
        [&] {
          seen_flag = flag.load(how == passes::by_fences ? relaxed : load);
          if (how == passes::by_fences) model::fence(load);
          seen_data = data.load(relaxed);
        });
    return std::vector{seen_flag, seen_data};
  });
}

const outcomes passed{{0, 0}, {0, 1}, {1, 1}};

TEST(message_passing, needs_a_release_and_an_acquire) {
  EXPECT_EQ(message_passing(release, acquire), passed);
  EXPECT_EQ(message_passing(seq_cst, seq_cst), passed);
  EXPECT_EQ(message_passing(relaxed, relaxed), four);
  EXPECT_EQ(message_passing(release, relaxed), four);
  EXPECT_EQ(message_passing(relaxed, acquire), four);
}

TEST(message_passing, goes_by_fences_too) {
  EXPECT_EQ(message_passing(release, acquire, passes::by_fences), passed);
  EXPECT_EQ(message_passing(seq_cst, seq_cst, passes::by_fences), passed);
  EXPECT_EQ(message_passing(acquire, release, passes::by_fences), four);
}

std::string passing_plain_data(std::memory_order store, std::memory_order load) {
  return failure_of([=] {
    model::cell<int> data{0};
    word flag{0};
    model::together(
        [&] {
          data.set(1);
          flag.store(1, store);
        },
        [&] {
          if (flag.load(load) == 1) model::require(data.get() == 1, "the data is there");
        });
  });
}

TEST(message_passing, of_plain_data_without_the_edge_is_a_race) {
  EXPECT_EQ(passing_plain_data(release, acquire), "none");
  EXPECT_NE(passing_plain_data(release, relaxed).find("reads plain data beside a write"), std::string::npos);
  EXPECT_NE(passing_plain_data(relaxed, acquire).find("reads plain data beside a write"), std::string::npos);
}

TEST(message_passing, is_asked_of_plain_data_that_the_compiler_tells_of) {
  const auto handed_on = [](std::memory_order order) {
    return failure_of([=] {
      int data = 0;
      word ready{0};
      model::together(
          [&] {
            __tsan_write4(&data);
            ready.store(1, order);
          },
          [&] {
            if (ready.load(acquire) == 1) __tsan_read4(&data);
          });
    });
  };
  EXPECT_EQ(handed_on(release), "none");
  EXPECT_NE(handed_on(relaxed).find("reads plain data beside a write"), std::string::npos);
}

TEST(message_passing, goes_by_atomics_of_the_compiler_too) {
  const auto counted = [](int order) {
    return failure_of([=] {
      int data = 0;
      std::uint32_t uses = 2;
      const auto use = [&] {
        __tsan_read4(&data);
        if (__tsan_atomic32_fetch_add(&uses, ~0U, order) == 1) __tsan_write4(&data);
      };
      model::together(use, use);
    });
  };
  EXPECT_EQ(counted(__ATOMIC_ACQ_REL), "none");
  EXPECT_NE(counted(__ATOMIC_RELAXED).find("beside a read"), std::string::npos);
}

TEST(message_passing, is_not_asked_of_what_each_thread_has_for_itself) {
  static thread_local int own = 0;
  EXPECT_EQ(failure_of([] { model::together([] { __tsan_write4(&own); }, [] { __tsan_write4(&own); }); }), "none");
}

TEST(message_passing, fences_of_the_single_order_alone_order_no_plain_data) {
  // `first` is known to nobody but this test: it makes sure that the other fence comes second.
  const std::string what = failure_of([] {
    model::cell<int> data{0};
    bool first = false;
    model::together(
        [&] {
          data.set(1);
          model::fence(seq_cst);
          first = true;
        },
        [&] {
          model::fence(seq_cst);
          if (first) data.set(2);
        });
  });
  EXPECT_NE(what.find("plain data beside a write"), std::string::npos) << what;
}

// --- independent reads of independent writes -------------------------------------------------------------------------

outcomes independent_reads(std::memory_order store, std::memory_order load, bool fences) {
  return all_of([=] {
    word x{0}, y{0};
    std::vector<int> seen(4);
    model::together([&] { x.store(1, store); }, [&] { y.store(1, store); },
                    [&] {
                      seen[0] = x.load(load);
                      if (fences) model::fence(seq_cst);
                      seen[1] = y.load(load);
                    },
                    [&] {
                      seen[2] = y.load(load);
                      if (fences) model::fence(seq_cst);
                      seen[3] = x.load(load);
                    });
    return seen;
  });
}

TEST(independent_reads, see_writes_in_different_orders_unless_there_is_a_single_one) {
  outcomes all;
  for (int bits = 0; bits < 16; bits++) all.insert({bits >> 3 & 1, bits >> 2 & 1, bits >> 1 & 1, bits & 1});
  EXPECT_EQ(independent_reads(relaxed, relaxed, false), all);
  EXPECT_EQ(independent_reads(release, acquire, false), all);
  all.erase({1, 0, 1, 0});
  EXPECT_EQ(independent_reads(seq_cst, seq_cst, false), all);
  EXPECT_EQ(independent_reads(relaxed, relaxed, true), all);
}

// --- what this machine does not do -----------------------------------------------------------------------------------

TEST(search, in_order_never_sees_load_buffering_though_relaxed_operations_may) {
  const outcomes seen = all_of([] {
    word x{0}, y{0};
    int seen_x = 0, seen_y = 0;
    model::together(
        [&] {
          seen_x = x.load(relaxed);
          y.store(1, relaxed);
        },
        [&] {
          seen_y = y.load(relaxed);
          x.store(1, relaxed);
        });
    return std::vector{seen_x, seen_y};
  });
  EXPECT_EQ(seen, (outcomes{{0, 0}, {0, 1}, {1, 0}}));
}

// --- two writes each, in opposite order ------------------------------------------------------------------------------

outcomes two_and_two(std::memory_order order, bool fences, bool reorder) {
  model::options wanted;
  wanted.reorder_stores = reorder;
  return all_of(
      [=] {
        word x{0}, y{0};
        model::together(
            [&] {
              x.store(1, order);
              if (fences) model::fence(seq_cst);
              y.store(2, order);
            },
            [&] {
              y.store(1, order);
              if (fences) model::fence(seq_cst);
              x.store(2, order);
            });
        return std::vector{x.load(relaxed), y.load(relaxed)};
      },
      wanted);
}

TEST(two_and_two, the_first_write_of_each_may_be_the_last_of_its_word) {
  EXPECT_EQ(two_and_two(relaxed, false, true), (outcomes{{1, 1}, {1, 2}, {2, 1}, {2, 2}}));
  EXPECT_EQ(two_and_two(release, false, true), (outcomes{{1, 1}, {1, 2}, {2, 1}, {2, 2}}));
}

TEST(two_and_two, not_so_in_a_single_order_or_where_stores_are_not_reordered) {
  const outcomes in_order{{1, 2}, {2, 1}, {2, 2}};
  EXPECT_EQ(two_and_two(seq_cst, false, true), in_order);
  EXPECT_EQ(two_and_two(relaxed, true, true), in_order);
  EXPECT_EQ(two_and_two(relaxed, false, false), in_order);
}

// --- coherence -------------------------------------------------------------------------------------------------------

TEST(coherence, a_thread_never_goes_back) {
  const outcomes seen = all_of([] {
    word x{0};
    std::vector<int> seen_x(2);
    model::together(
        [&] {
          x.store(1, relaxed);
          x.store(2, relaxed);
        },
        [&] {
          seen_x[0] = x.load(relaxed);
          seen_x[1] = x.load(relaxed);
        });
    return seen_x;
  });
  EXPECT_EQ(seen, (outcomes{{0, 0}, {0, 1}, {0, 2}, {1, 1}, {1, 2}, {2, 2}}));
}

TEST(coherence, a_thread_reads_its_own_store_or_a_newer_one) {
  const outcomes seen = all_of([] {
    word x{0};
    int read = 0;
    model::together(
        [&] {
          x.store(1, relaxed);
          read = x.load(relaxed);
        },
        [&] { x.store(2, relaxed); });
    return std::vector{read, x.load(relaxed)};
  });
  EXPECT_EQ(seen, (outcomes{{1, 1}, {1, 2}, {2, 2}}));
}

TEST(coherence, two_readers_agree_on_the_order_of_two_writes) {
  const outcomes seen = all_of([] {
    word x{0};
    std::vector<int> read(4);
    model::together([&] { x.store(1, relaxed); }, [&] { x.store(2, relaxed); },
                    [&] {
                      read[0] = x.load(relaxed);
                      read[1] = x.load(relaxed);
                    },
                    [&] {
                      read[2] = x.load(relaxed);
                      read[3] = x.load(relaxed);
                    });
    return read;
  });
  outcomes allowed;
  for (const std::vector<int>& order : {std::vector{0, 1, 2}, std::vector{0, 2, 1}}) {
    for (std::size_t a = 0; a < 3; a++) {
      for (std::size_t b = a; b < 3; b++) {
        for (std::size_t c = 0; c < 3; c++) {
          for (std::size_t d = c; d < 3; d++) allowed.insert({order[a], order[b], order[c], order[d]});
        }
      }
    }
  }
  EXPECT_EQ(seen, allowed);
}

// --- release sequences -----------------------------------------------------------------------------------------------

enum class continues : std::uint8_t { by_change, by_store, by_same_thread };

outcomes release_sequence(continues how) {
  return all_of([=] {
    word data{0}, x{0};
    std::vector<int> seen(2);
    model::together(
        [&] {
          data.store(1, relaxed);
          x.store(1, release);
          if (how == continues::by_same_thread) x.store(2, relaxed);
        },
        [&] {
          if (how == continues::by_change) x.fetch_add(10, relaxed);
          if (how == continues::by_store) x.store(2, relaxed);
        },
        [&] {
          seen[0] = x.load(acquire);
          seen[1] = data.load(relaxed);
        });
    return seen;
  });
}

TEST(release_sequence, goes_on_through_read_modify_writes) {
  EXPECT_EQ(release_sequence(continues::by_change), (outcomes{{0, 0}, {0, 1}, {1, 1}, {10, 0}, {10, 1}, {11, 1}}));
}

TEST(release_sequence, ends_at_a_store_be_it_of_the_same_thread) {
  EXPECT_EQ(release_sequence(continues::by_store), (outcomes{{0, 0}, {0, 1}, {1, 1}, {2, 0}, {2, 1}}));
  EXPECT_EQ(release_sequence(continues::by_same_thread), (outcomes{{0, 0}, {0, 1}, {1, 1}, {2, 0}, {2, 1}}));
}

// --- from write to read to write to read -----------------------------------------------------------------------------

outcomes write_to_read(std::memory_order store, std::memory_order load) {
  return all_of([=] {
    word x{0}, y{0};
    std::vector<int> seen(3);
    model::together([&] { x.store(1, store); },
                    [&] {
                      seen[0] = x.load(load);
                      y.store(1, store);
                    },
                    [&] {
                      seen[1] = y.load(load);
                      seen[2] = x.load(load);
                    });
    return seen;
  });
}

TEST(write_to_read, causes_are_passed_on_by_whoever_acquires_and_releases) {
  outcomes all;
  for (int bits = 0; bits < 8; bits++) all.insert({bits >> 2 & 1, bits >> 1 & 1, bits & 1});
  EXPECT_EQ(write_to_read(relaxed, relaxed), all);
  all.erase({1, 1, 0});
  EXPECT_EQ(write_to_read(release, acquire), all);
}

// --- compare and exchange --------------------------------------------------------------------------------------------

TEST(compare_exchange, a_weak_one_may_fail_for_no_reason_and_a_strong_one_may_not) {
  const auto once = [](bool weak) {
    return all_of([=] {
      word x{0};
      int expected = 0;
      const bool done = weak ? x.compare_exchange_weak(expected, 1, relaxed, relaxed)
                             : x.compare_exchange_strong(expected, 1, relaxed, relaxed);
      return std::vector{done ? 1 : 0, expected, x.load(relaxed)};
    });
  };
  EXPECT_EQ(once(false), (outcomes{{1, 0, 1}}));
  EXPECT_EQ(once(true), (outcomes{{1, 0, 1}, {0, 0, 0}}));
}

TEST(compare_exchange, that_fails_may_have_read_something_old) {
  const outcomes seen = all_of([] {
    word x{0};
    int expected = 2;
    bool done = false;
    model::together(
        [&] {
          x.store(1, relaxed);
          x.store(2, relaxed);
        },
        [&] { done = x.compare_exchange_strong(expected, 3, relaxed, relaxed); });
    return std::vector{done ? 1 : 0, expected};
  });
  EXPECT_EQ(seen, (outcomes{{0, 0}, {0, 1}, {1, 2}}));
}

TEST(compare_exchange, of_several_threads_one_wins) {
  const outcomes seen = all_of([] {
    word x{0};
    std::vector<int> won(3);
    const auto tries = [&](std::size_t who) {
      int expected = 0;
      won[who] = x.compare_exchange_strong(expected, 1, relaxed, relaxed) ? 1 : 0;
    };
    model::together([&] { tries(0); }, [&] { tries(1); }, [&] { tries(2); });
    return won;
  });
  EXPECT_EQ(seen, (outcomes{{0, 0, 1}, {0, 1, 0}, {1, 0, 0}}));
}

TEST(read_modify_write, sees_all_others) {
  const outcomes seen = all_of([] {
    word x{0};
    model::together([&] { x.fetch_add(1, relaxed); }, [&] { x.fetch_add(1, relaxed); }, [&] { x.fetch_add(1, relaxed); });
    return std::vector{x.load(relaxed)};
  });
  EXPECT_EQ(seen, (outcomes{{3}}));
}

// --- waiting ---------------------------------------------------------------------------------------------------------

TEST(futex, a_wake_up_that_is_lost_is_a_deadlock) {
  // Between its look at `ready` and its sleep the waiter is told, and `bell` does not change.
  const std::string what = failure_of([] {
    model::atomic<std::uint32_t> bell{0};
    word ready{0};
    model::together(
        [&] {
          if (ready.load(acquire) == 0) model::futex_wait(bell, 0);
        },
        [&] {
          ready.store(1, release);
          model::futex_wake_one(bell);
        });
  });
  EXPECT_NE(what.find("nobody can go on"), std::string::npos) << what;
}

TEST(futex, a_wait_on_the_word_that_changes_ends) {
  EXPECT_EQ(failure_of([] {
    model::atomic<std::uint32_t> ready{0};
    model::cell<int> data{0};
    model::together(
        [&] {
          while (ready.load(acquire) == 0) model::futex_wait(ready, 0);
          model::require(data.get() == 1, "the data is there");
        },
        [&] {
          data.set(1);
          ready.store(1, release);
          model::futex_wake_one(ready);
        });
  }), "none");
}

// Who has been told goes on, and the word with it, whether the wake-up has come or not.
TEST(futex, a_word_may_be_gone_when_it_is_woken) {
  EXPECT_EQ(failure_of([] {
    auto* const told = new model::atomic<std::uint32_t>{0};
    model::together(
        [&] {
          while (told->load(acquire) == 0) model::futex_wait(*told, 0);
          delete told;
        },
        [&] {
          told->store(1, release);
          model::futex_wake_one(*told);
        });
  }), "none");
}

TEST(deadlock, of_two_locks_in_opposite_order_is_found) {
  const std::string what = failure_of([] {
    model::atomic<std::uint32_t> a{0}, b{0};
    const auto take = [](model::atomic<std::uint32_t>& lock) {
      while (lock.exchange(1, acquire) != 0) model::futex_wait(lock, 1);
    };
    const auto give = [](model::atomic<std::uint32_t>& lock) {
      lock.store(0, release);
      model::futex_wake_one(lock);
    };
    model::together(
        [&] {
          take(a);
          take(b);
          give(b);
          give(a);
        },
        [&] {
          take(b);
          take(a);
          give(a);
          give(b);
        });
  });
  EXPECT_NE(what.find("nobody can go on"), std::string::npos) << what;
}

// --- threads ---------------------------------------------------------------------------------------------------------

using levity::detail::explored_thread;

TEST(threads, that_are_started_see_what_came_before_and_show_who_joins_them) {
  const auto starts = [](bool joins) {
    return failure_of([joins] {
      model::cell<int> before{0}, after{0};
      before.set(1);
      explored_thread one([&] { after.set(before.get()); });
      if (joins) {
        one.join();
        model::require(after.get() == 1, "what it did is there");
      } else {
        one.detach();
        after.set(2);
      }
    });
  };
  EXPECT_EQ(starts(true), "none");
  EXPECT_NE(starts(false).find("beside a write"), std::string::npos) << starts(false);
}

TEST(threads, are_moved_and_joined_by_another_one) {
  EXPECT_EQ(failure_of([] {
              model::cell<int> done{0};
              explored_thread kept;
              explored_thread one([&] { done.set(1); });
              kept.swap(one);
              model::require(kept.joinable() && !one.joinable(), "it is held by the other");
              one = std::move(kept);
              model::together([&] {
                one.join();
                model::require(done.get() == 1, "what it did is there");
              });
            }),
            "none");
}

TEST(threads, that_nobody_joins_are_told_of) {
  EXPECT_NE(failure_of([] { const explored_thread lost([] {}); }).find("neither joined nor detached"), std::string::npos);
}

TEST(threads, are_no_more_than_an_exploration_has) {
  EXPECT_NE(failure_of([] {
              for (int i = 0; i < 8; i++) explored_thread([] {}).detach();
            }).find("no more than 8 threads"),
            std::string::npos);
}

TEST(spinning, ends_when_the_store_is_seen) {
  for (const bool says_so : {true, false}) {
    EXPECT_EQ(failure_of([=] {
      word flag{0};
      model::together(
          [&] {
            while (flag.load(acquire) == 0) {
              if (says_so) model::spin_hint();
            }
          },
          [&] { flag.store(1, release); });
    }), "none");
  }
}

TEST(spinning, for_something_that_nobody_does_is_a_standstill) {
  const std::string what = failure_of([] {
    word flag{0};
    while (flag.load(acquire) == 0) model::spin_hint();
  });
  EXPECT_NE(what.find("spins at"), std::string::npos) << what;
}

std::string locked_sections(std::memory_order unlock) {
  return failure_of([=] {
    word lock{0};
    model::cell<int> data{0};
    const auto section = [&] {
      while (lock.exchange(1, acquire) != 0) model::spin_hint();
      data.set(data.get() + 1);
      lock.store(0, unlock);
    };
    model::together(section, section);
    model::require(data.get() == 2, "both were inside");
  });
}

TEST(spinning, a_lock_of_exchanges_holds_unless_its_release_is_relaxed) {
  EXPECT_EQ(locked_sections(release), "none");
  EXPECT_NE(locked_sections(relaxed).find("plain data beside a write"), std::string::npos);
}

// --- lives -----------------------------------------------------------------------------------------------------------

struct node {
  word value{0};
  int plain = 0;
};

std::string published(std::memory_order order) {
  return failure_of([=] {
    model::atomic<node*> shared{nullptr};
    node* made = nullptr;
    model::together(
        [&] {
          made = new node;
          shared.store(made, order);
        },
        [&] {
          if (node* found = shared.load(acquire); found != nullptr) static_cast<void>(found->value.load(relaxed));
        });
    delete made;
  });
}

TEST(lives, a_word_that_is_found_without_the_edge_has_not_begun) {
  EXPECT_EQ(published(release), "none");
  EXPECT_NE(published(relaxed).find("not known that it has begun"), std::string::npos);
}

TEST(lives, an_end_beside_a_touch_is_found_whichever_comes_first) {
  const auto ended = [](std::memory_order order) {
    return failure_of([=] {
      auto* const made = new node;
      word done{0};
      model::together(
          [&] {
            static_cast<void>(made->value.load(relaxed));
            done.store(1, order);
          },
          [&] {
            while (done.load(acquire) == 0) model::spin_hint();
            delete made;
          });
    });
  };
  EXPECT_EQ(ended(release), "none");
  EXPECT_NE(ended(relaxed).find("ends a word while"), std::string::npos);
}

TEST(lives, memory_that_was_given_back_is_not_touched) {
  const std::string what = failure_of([] {
    word x{0};
    word gone{0};
    model::together(
        [&] {
          model::retire(&x, sizeof x);
          gone.store(1, release);
        },
        [&] {
          if (gone.load(acquire) == 1) static_cast<void>(x.load(relaxed));
        });
  });
  EXPECT_NE(what.find("given back"), std::string::npos) << what;
}

TEST(lives, memory_is_given_back_when_the_others_are_done_with_it) {
  const auto given_back = [](std::memory_order order) {
    return failure_of([=] {
      model::cell<int> data{0};
      word done{0};
      model::together(
          [&] {
            data.set(1);
            done.store(1, order);
          },
          [&] {
            if (done.load(acquire) == 1) model::retire(&data, sizeof data);
          });
    });
  };
  EXPECT_EQ(given_back(release), "none");
  EXPECT_NE(given_back(relaxed).find("beside a write"), std::string::npos);
}

TEST(lives, memory_that_was_deleted_is_not_touched) {
  const auto deleted = [](std::memory_order order) {
    return failure_of([=] {
      auto* const made = new node;
      word done{0};
      bool gone = false;
      model::together(
          [&] {
            __tsan_read4(&made->plain);
            done.store(1, order);
          },
          [&] {
            gone = done.load(acquire) == 1;
            if (gone) delete made;
          });
      if (!gone) delete made;
    });
  };
  EXPECT_EQ(deleted(release), "none");
  EXPECT_NE(deleted(relaxed).find("beside a read"), std::string::npos);
  const std::string what = failure_of([] {
    auto* const made = new node;
    int* volatile const kept = &made->plain;  // the compiler shall not see that it is gone
    delete made;
    __tsan_read4(kept);
  });
  EXPECT_NE(what.find("given back"), std::string::npos) << what;
}

TEST(lives, an_address_does_not_come_twice_in_an_execution) {
  EXPECT_EQ(failure_of([] {
              auto* const first = new node;
              const auto address = reinterpret_cast<std::uintptr_t>(first);
              delete first;
              auto* const second = new node;
              model::require(reinterpret_cast<std::uintptr_t>(second) != address, "it lies elsewhere");
              delete second;
            }),
            "none");
}

TEST(lives, code_that_crashes_is_told_with_its_interleaving) {
  const model::result seen = model::explore({}, [] {
    model::atomic<int*> shared{nullptr};
    int there = 1;
    model::together([&] { shared.store(&there, release); }, [&] { *shared.load(acquire) = 2; });
  });
  ASSERT_TRUE(seen.failure);
  EXPECT_NE(seen.failure->what.find("SIGSEGV"), std::string::npos) << seen.failure->what;
  EXPECT_NE(seen.failure->interleaving.find("exploration_litmus_test.cpp"), std::string::npos);
}

// --- the rest --------------------------------------------------------------------------------------------------------

thread_local int own = 7;

TEST(threads, have_words_of_their_own) {
  model::per_thread(own);
  const outcomes seen = all_of([] {
    word x{0};
    std::vector<int> kept(3);
    own = 1;
    const auto adds = [&](std::size_t who) {
      own += static_cast<int>(who);
      x.fetch_add(1, relaxed);
      kept[who] = own;
    };
    model::together([&] { adds(1); }, [&] { adds(2); });
    kept[0] = own;
    return kept;
  });
  EXPECT_EQ(seen, (outcomes{{1, 8, 9}}));
  EXPECT_EQ(own, 7);
}

TEST(threads, have_exceptions_of_their_own) {
  EXPECT_EQ(failure_of([] {
              word x{0};
              const auto catches = [&](int mine) {
                try {
                  throw mine;
                } catch (int) {
                  x.fetch_add(1, relaxed);  // the other may catch its own meanwhile
                  try {
                    throw;
                  } catch (int what) {
                    model::require(what == mine, "what is thrown again is what was caught here");
                  }
                }
              };
              model::together([&] { catches(1); }, [&] { catches(2); });
            }),
            "none");
}

TEST(choices, are_all_made) {
  EXPECT_EQ(all_of([] { return std::vector{static_cast<int>(10 * model::choose(3) + model::choose(2))}; }),
            (outcomes{{0}, {1}, {10}, {11}, {20}, {21}}));
}

const auto racy = [] {
  model::atomic<int> x{0};
  model::cell<int> data{0};
  model::together(
      [&] {
        x.store(1, relaxed);
        data.set(1);
        x.store(2, relaxed);
      },
      [&] {
        if (x.load(acquire) == 2) static_cast<void>(data.get());
      });
};

TEST(replay, brings_the_same_failure_again) {
  const model::result first = model::explore({}, racy);
  ASSERT_TRUE(first.failure);
  model::options wanted;
  wanted.replay = first.failure->replay;
  const model::result again = model::explore(wanted, racy);
  ASSERT_TRUE(again.failure);
  EXPECT_EQ(again.failure->what, first.failure->what);
  EXPECT_EQ(again.failure->interleaving, first.failure->interleaving);
  EXPECT_EQ(again.executions, 1);
}

TEST(replay, that_does_not_fit_says_so) {
  model::options wanted;
  wanted.replay = "hhhhh";
  const model::result other = model::explore(wanted, [] {
    word x{0};
    x.store(1, relaxed);
    model::require(false, "this fails");
  });
  ASSERT_TRUE(other.failure);
  EXPECT_NE(other.failure->what.find("did not fit"), std::string::npos);
}

// What an earlier execution has left changes how many steps a thread makes; or how many messages a load may read.
TEST(executions, that_remember_say_so) {
  const auto remembers = [](bool steps) {
    return [steps, known = false]() mutable {
      word x{0};
      word y{0};
      const bool first = !std::exchange(known, true);
      if (steps && first) y.store(1, relaxed);
      model::together(
          [&] {
            x.store(1, relaxed);
            if (!steps && first) x.store(2, relaxed);
          },
          [&] { static_cast<void>(x.load(relaxed)); });
      static_cast<void>(x.load(relaxed));
    };
  };
  for (const bool steps : {true, false}) {
    EXPECT_NE(failure_of(remembers(steps)).find("goes another way than the one before"), std::string::npos) << steps;
  }
}

// As a worker that finds nothing in its queues and goes on to sleep.
TEST(spinning, is_not_to_look_at_a_few_words_now_and_then) {
  EXPECT_EQ(failure_of([] {
    word words[] = {word{0}, word{0}, word{0}};
    for (int i = 0; i < 400; i++) static_cast<void>(words[i % 3].load(relaxed));
  }), "none");
}

TEST(random, finds_it_too) {
  model::options wanted;
  wanted.how = model::options::mode::random;
  wanted.executions_max = 10'000;
  EXPECT_NE(failure_of(racy, wanted).find("plain data beside a write"), std::string::npos);
}

// Two that look for the end, and wake each other by what they write, are not let on for ever beside the third one, which brings it.
TEST(random, lets_on_whom_those_who_spin_wait_for) {
  model::options wanted;
  wanted.how = model::options::mode::random;
  wanted.executions_max = 1'000;
  wanted.depth = 1;  // precedence does not change but by that
  EXPECT_EQ(failure_of([] {
    word looks{0};
    word over{0};
    const auto waits = [&] {
      while (over.load(relaxed) == 0) {
        looks.fetch_add(1, relaxed);
        model::spin_hint();
      }
    };
    model::together(waits, waits, [&] { over.store(1, relaxed); });
  }, wanted), "not at the end");
}

TEST(preemptions, a_bound_leaves_out_what_needs_more) {
  const auto interrupted = [](unsigned bound) {
    model::options wanted;
    wanted.preemptions_max = bound;
    outcomes seen;
    const model::result found = model::explore(wanted, [&] {
      word x{0};
      int between = 0;
      model::together(
          [&] {
            x.store(1, seq_cst);
            x.store(2, seq_cst);
          },
          [&] { between = x.load(seq_cst); });
      seen.insert({between});
    });
    EXPECT_TRUE(found.complete);
    return seen;
  };
  EXPECT_EQ(interrupted(0), (outcomes{{0}, {2}}));
  EXPECT_EQ(interrupted(1), (outcomes{{0}, {1}, {2}}));
}

}  // namespace
