// Goal: on several nodes a worker takes what is near before what is far, nobody's work is left, and what is taken from another node
// is counted. Method: the nodes are made up, the threads are real; tasks that do not wait keep the workers of a node.
#include "sched/shared_queues.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <thread>
#include <vector>

#include "levity/base/clock.hpp"
#include "levity/levity.hpp"
#include "levity/runtime/statistics.hpp"
#include "platform/cpu_set.hpp"
#include "platform/placement.hpp"
#include "tests/support/regular_machine.hpp"
#include "tests/support/run_on_nodes.hpp"
#include "tests/support/run_tasks.hpp"

namespace levity::inline v0::detail {
namespace {

using namespace std::chrono_literals;
using test::regular;
using test::scheduler_on_nodes;
using test::slow_build_factor;
using flag = levity::atomic<bool>;
using counter = levity::atomic<unsigned>;

TEST(shared_queues, each_slot_has_those_of_its_node) {
  for (const unsigned nodes : {1U, 2U, 3U, 4U}) {
    for (const unsigned cores : {1U, 7U, 64U}) {
      const topology machine = regular(nodes, 1, cores, 1);
      cpu_set all;
      for (const topology::cpu& each : machine.cpus) all.insert(each.id);
      const placement places = place_slots(machine, all, nodes * cores);
      shared_queues queues(places);
      ASSERT_EQ(queues.count(), nodes);
      std::vector<unsigned> found(nodes, 0);
      for (unsigned slot = 0; slot < places.size(); slot++) {
        const shared_queues::of_node& own = queues.of_slot(slot);
        EXPECT_EQ(own.id, places[slot].node);
        found[own.number]++;
        for (unsigned node = 0; node < nodes; node++) {
          EXPECT_EQ((queues.at(node).slots[slot / 64] >> (slot % 64)) & 1, node == own.number ? 1U : 0U);
        }
      }
      EXPECT_EQ(found, std::vector<unsigned>(nodes, cores));
    }
  }
}

TEST(shared_queues, without_places_there_is_one_node_for_all) {
  shared_queues queues({});
  EXPECT_EQ(queues.count(), 1U);
  EXPECT_EQ(&queues.of_slot(255), &queues.at(0));
  EXPECT_EQ(&queues.after(queues.at(0)), &queues.at(0));
  EXPECT_EQ(&queues.of_foreign_thread(), &queues.at(0));
  EXPECT_EQ(queues.at(0).slots, idle_set::all_slots);
}

TEST(shared_queues, from_each_node_all_others_are_come_by) {
  const placement places{{0, 0, 0, 3, 0}, {1, 1, 1, 5, 0}, {2, 2, 2, 9, 0}};
  shared_queues queues(places);
  for (unsigned node = 0; node < 3; node++) {
    std::vector<unsigned> seen{node};
    for (auto* at = &queues.after(queues.at(node)); at != &queues.at(node); at = &queues.after(*at)) seen.push_back(at->number);
    std::sort(seen.begin(), seen.end());
    EXPECT_EQ(seen, (std::vector<unsigned>{0, 1, 2}));
  }
}

TEST(shared_queues, a_foreign_thread_belongs_to_the_node_it_runs_on_and_to_each_in_turns_where_no_slot_lives) {
  const unsigned here = node_of_this_thread();
  const placement places{{0, 0, 0, here + 1, 0}, {1, 1, 1, here, 0}};
  shared_queues queues(places);
  if (!has_several_nodes()) {  // else it may be moved to another one
    for (int i = 0; i < 4; i++) EXPECT_EQ(queues.of_foreign_thread().id, here);
  }
  const placement elsewhere{{0, 0, 0, here + 1000, 0}, {1, 1, 1, here + 1001, 0}};
  shared_queues of_others(elsewhere);
  const unsigned first = of_others.of_foreign_thread().id;
  EXPECT_NE(of_others.of_foreign_thread().id, first);
  EXPECT_EQ(of_others.of_foreign_thread().id, first);
}

// --- workers ----------------------------------------------------------------------------------------------------------

// On a machine that has several nodes itself, all threads of a test stay on one: on which a foreign thread runs decides.
class workers_on_nodes : public testing::Test {
protected:
  void SetUp() override {
    if (!has_several_nodes()) return;
    const topology machine = read_topology();
    const unsigned here = node_of_this_thread();
    cpu_set near;
    for (const topology::cpu& each : machine.cpus) {
      if (each.node == here) near.insert(each.id);
    }
    ASSERT_EQ((near & before_).apply_to_this_thread(), 0);
  }
  void TearDown() override { (void)before_.apply_to_this_thread(); }

private:
  const cpu_set before_ = cpu_set::of_this_thread();
};

// What a foreign thread leaves is on node `here`; no slot of the other one is there.
struct two_nodes {
  unsigned here = node_of_this_thread();
  unsigned other = here + 1;
};

// Not inlined: where a thread keeps its variables is another place after a wait.
[[gnu::noinline]] unsigned node_of_worker() { return this_worker->queues().id; }

struct findings {
  node_counts before;
  node_counts after;
  unsigned ran_on = 0;
  std::vector<int> order;
  std::int64_t took_ns = 0;
};

// Of two tasks, one on each of two workers, the one on the other node goes on. The first one keeps its worker until that is over.
struct meeting {
  counter here{0};
  flag over{false};
};

bool is_on_other(two_nodes at, meeting* both) {
  both->here.fetch_add(1, std::memory_order_relaxed);
  while (both->here.load(std::memory_order_relaxed) < 2) spin_hint();
  if (node_of_worker() == at.other) return true;
  while (!both->over.load(std::memory_order_acquire)) spin_hint();
  return false;
}

using body = task<>(two_nodes at, meeting* both, findings* found);

task<> run_both(body* one, two_nodes at, findings* found) {
  meeting both;
  scope tasks;
  for (int i = 0; i < 2; i++) tasks.spawn(one, at, &both, found);
  co_await tasks.join();
}

findings find(body* one) {
  const two_nodes at;
  findings found;
  scheduler_on_nodes({at.here, at.other}, 0).run(run_both(one, at, &found));
  return found;
}

task<> note_node(unsigned* node, flag* done) {
  *node = node_of_worker();
  done->store(true, std::memory_order_release);
  co_return;
}

template <class F>
void from_a_foreign_thread(F f) {
  std::thread(f).join();
}

task<> when_idle(two_nodes at, meeting* both, findings* found) {
  if (!is_on_other(at, both)) co_return;
  flag done{false};
  scope tasks;
  found->before = nodes_of_runtime();
  from_a_foreign_thread([&] { tasks.spawn(note_node, &found->ran_on, &done); });
  while (!done.load(std::memory_order_acquire)) co_await sleep(100us);
  found->after = nodes_of_runtime();
  both->over.store(true, std::memory_order_release);
  co_await tasks.join();
}

TEST_F(workers_on_nodes, who_has_nothing_takes_what_waits_for_another_node) {
  const findings found = find(when_idle);
  EXPECT_EQ(found.ran_on, two_nodes{}.other);
  EXPECT_EQ(found.after.nodes, 2U);
  EXPECT_EQ(found.after.taken - found.before.taken, 1U);
  EXPECT_EQ(found.after.taken_early - found.before.taken_early, 0U);
}

task<> yields(const flag* until) {
  while (!until->load(std::memory_order_acquire)) co_await yield();
}

// The other node's worker has a ready task at any time.
task<> when_busy(two_nodes at, meeting* both, findings* found) {
  if (!is_on_other(at, both)) co_return;
  flag done{false};
  scope tasks;
  for (int i = 0; i < 2; i++) tasks.spawn(yields, &done);
  co_await yield();
  found->before = nodes_of_runtime();
  from_a_foreign_thread([&] { tasks.spawn(note_node, &found->ran_on, &done); });
  co_await yields(&done);
  found->after = nodes_of_runtime();
  both->over.store(true, std::memory_order_release);
  co_await tasks.join();
}

TEST_F(workers_on_nodes, what_a_node_without_free_workers_has_is_not_starved_by_what_is_near) {
  const findings found = find(when_busy);
  EXPECT_EQ(found.ran_on, two_nodes{}.other);
  EXPECT_EQ(found.after.taken - found.before.taken, 1U);
  EXPECT_EQ(found.after.taken_early - found.before.taken_early, 1U);
}

task<> note(std::vector<int>* order, int number, int yields_before) {
  for (int i = 0; i < yields_before; i++) co_await yield();
  order->push_back(number);
}

constexpr int near_tasks = 3;

// All run on the other node's worker, whose own queue has tasks at any time until the last one of them ends.
task<> two_queues(two_nodes at, meeting* both, findings* found) {
  if (!is_on_other(at, both)) co_return;
  scope near;
  scope far;
  from_a_foreign_thread([&] { far.spawn(note, &found->order, -1, 0); });
  const std::int64_t began_ns = kernel_now_ns();
  for (int i = 0; i < near_tasks; i++) near.spawn(note, &found->order, i, 100);
  co_await near.join();
  found->took_ns = kernel_now_ns() - began_ns;
  co_await far.join();
  both->over.store(true, std::memory_order_release);
}

TEST_F(workers_on_nodes, what_waits_for_the_own_node_comes_first) {
  const findings found = find(two_queues);
  ASSERT_EQ(found.order.size(), near_tasks + 1U);
  if (found.took_ns >= shared_queues::neglect_ns) GTEST_SKIP() << "the machine was too slow to see an order";
  EXPECT_EQ(found.order.back(), -1);
}

task<> steals(node_counts* before, node_counts* after) {
  flag done[2]{};
  unsigned ran_on[2]{};
  scope tasks;
  *before = nodes_of_runtime();
  for (int i = 0; i < 2; i++) tasks.spawn(note_node, &ran_on[i], &done[i]);
  while (!done[0].load(std::memory_order_acquire) || !done[1].load(std::memory_order_acquire)) spin_hint();
  *after = nodes_of_runtime();
  EXPECT_NE(ran_on[0], node_of_worker());
  EXPECT_NE(ran_on[1], node_of_worker());
  co_await tasks.join();
}

TEST_F(workers_on_nodes, what_is_stolen_from_another_node_is_counted) {
  node_counts before;
  node_counts after;
  scheduler_on_nodes({0, 1}, 0).run(steals(&before, &after));
  EXPECT_EQ(after.taken - before.taken, 2U);
  EXPECT_EQ(after.taken_early - before.taken_early, 0U);
}

constexpr unsigned wakings = 20;

// While it waits all workers sleep, and whoever is woken runs what is left by a thread on node `here`. Or who was about to sleep.
task<> wakes(scheduler* runs, two_nodes at, unsigned* elsewhere) {
  for (unsigned round = 0; round < wakings; round++) {
    unsigned ran_on = 0;
    flag done{false};
    scope tasks;
    event over;
    std::thread waker([&] {
      while (!runs->idle.all_idle_approx(runs->size()) || runs->idle.searchers_approx() != 0) std::this_thread::yield();
      std::this_thread::sleep_for(1ms);
      tasks.spawn(note_node, &ran_on, &done);
      while (!done.load(std::memory_order_acquire)) std::this_thread::yield();
      over.set();
    });
    co_await over.wait();
    waker.join();
    co_await tasks.join();
    if (ran_on != at.here) ++*elsewhere;
  }
}

TEST_F(workers_on_nodes, a_sleeper_of_the_node_is_woken_for_what_waits_there) {
  const two_nodes at;
  unsigned elsewhere = 0;
  scheduler_on_nodes on({at.other, at.here});  // not the one that would be the first
  on.run(wakes(&on.runs, at, &elsewhere));
  EXPECT_LT(elsewhere, wakings / 2);
}

task<> leaf(unsigned rounds) {
  for (unsigned i = 0; i < rounds; i++) co_await yield();
}

task<> crowd(unsigned depth, counter* leaves) {
  if (depth == 0) {
    co_await leaf(3);
    leaves->fetch_add(1, std::memory_order_relaxed);
    co_return;
  }
  scope children;
  for (int i = 0; i < 6; i++) children.spawn(crowd, depth - 1, leaves);
  co_await children.join();
}

constexpr unsigned workers_of_three = 7;

// A task that only yields is taken where it stood, or is counted. One begins on each worker.
task<> stays(counter* here, counter* moves) {
  here->fetch_add(1, std::memory_order_relaxed);
  while (here->load(std::memory_order_relaxed) < workers_of_three) std::this_thread::yield();
  for (int i = 0; i < 2000 / slow_build_factor; i++) {
    const unsigned before = node_of_worker();
    co_await yield();
    if (node_of_worker() != before) moves->fetch_add(1, std::memory_order_relaxed);
  }
}

task<> crowds(counter* leaves, counter* moves, node_counts* counted) {
  co_await crowd(slow_build_factor == 1 ? 5 : 3, leaves);
  const node_counts before = nodes_of_runtime();
  counter here{0};
  scope tasks;
  for (unsigned i = 0; i < workers_of_three; i++) tasks.spawn(stays, &here, moves);
  co_await tasks.join();
  counted->nodes = nodes_of_runtime().nodes;
  counted->taken = nodes_of_runtime().taken - before.taken;
}

TEST_F(workers_on_nodes, nothing_is_lost_among_many_and_who_moves_is_counted) {
  counter leaves{0};
  counter moves{0};
  node_counts counted;
  scheduler_on_nodes({0, 1, 2, 0, 1, 2, 0}, 0).run(crowds(&leaves, &moves, &counted));
  EXPECT_EQ(leaves.load(std::memory_order_relaxed), slow_build_factor == 1 ? 7776U : 216U);
  EXPECT_EQ(counted.nodes, 3U);
  EXPECT_LE(moves.load(std::memory_order_relaxed), counted.taken);
  std::printf("%u changes of node in %d yields, %llu tasks taken from another node\n", moves.load(std::memory_order_relaxed),
              static_cast<int>(workers_of_three) * (2000 / slow_build_factor),
              static_cast<unsigned long long>(counted.taken));
}

}  // namespace
}  // namespace levity::detail
