#include "levity/task/scope.hpp"

#include "tests/support/explored_family.hpp"

namespace {

namespace model = levity::model;
using levity::task;
using levity::explored::family;
using levity::explored::job;
using namespace levity::detail;

// E30: what a child wrote, its parent sees after the join; whoever ends last, and whether the join waits or not.
LEVITY_SCENARIO(who_joins_sees_what_the_child_wrote) {
  family all;
  job& parent = all.make([]() -> task<> {
    model::cell<int> written{0};
    levity::scope children;
    children.spawn([](model::cell<int>* data) -> task<> {
      data->set(1);
      co_return;
    }, &written);
    co_await children.join();
    model::require(written.get() == 1, "what the child wrote is there");
  }());
  model::together(all.runs(parent), all.takes(0));
  all.check();
}

LEVITY_SCENARIO(who_joins_sees_what_two_children_wrote) {
  family all;
  job& parent = all.make([]() -> task<> {
    model::cell<int> first{0};
    model::cell<int> second{0};
    levity::scope children;
    const auto child = [](model::cell<int>* data) -> task<> {
      data->set(1);
      co_return;
    };
    children.spawn(child, &first);
    children.spawn(child, &second);
    co_await children.join();
    model::require(first.get() == 1 && second.get() == 1, "what the children wrote is there");
  }());
  model::together(all.runs(parent), all.takes(0), all.takes(1));
  all.check();
}

// The first failure is rethrown, and cancels the other child wherever that is.
LEVITY_SCENARIO(a_failure_reaches_who_joins) {
  family all;
  job& parent = all.make([]() -> task<> {
    model::cell<int> written{0};
    bool thrown = false;
    {
      levity::scope children;
      children.spawn([](model::cell<int>* data) -> task<> {
        data->set(1);
        throw 7;
        co_return;
      }, &written);
      try {
        co_await children.join();
      } catch (int what) {
        thrown = what == 7;
      }
    }
    model::require(thrown && written.get() == 1, "the failure of the child is there");
  }());
  model::together(all.runs(parent), all.takes(0));
  all.check();
}

// E30 in is_untouched(): the owner has spawned nothing itself, and leaves the scope when what another task spawned there is over.
LEVITY_SCENARIO(a_scope_goes_when_what_others_spawned_there_has_ended) {
  family all;
  levity::atomic<levity::scope*> shared{nullptr};
  levity::atomic<int> spawned{0};
  model::cell<int> written{0};
  job& owner = all.make([](levity::atomic<levity::scope*>& tells, levity::atomic<int>& told, model::cell<int>& data) -> task<> {
    {
      levity::scope open;
      tells.store(&open, std::memory_order_release);
      while (told.load(std::memory_order_acquire) == 0) levity::spin_hint();
      if (open.size_approx() != 0) co_await open.join();
    }
    model::require(data.get() == 1, "what the child wrote is there");
  }(shared, spawned, written));
  job& other = all.make([](levity::atomic<levity::scope*>& told, levity::atomic<int>& tells, model::cell<int>& data) -> task<> {
    levity::scope* open = nullptr;
    while ((open = told.load(std::memory_order_acquire)) == nullptr) levity::spin_hint();
    open->spawn([](model::cell<int>* into) -> task<> {
      into->set(1);
      co_return;
    }, &data);
    tells.store(1, std::memory_order_release);
    co_return;
  }(shared, spawned, written));
  model::together(all.runs(owner), all.runs(other), all.takes(0));
  all.check();
}

// E5 by the scope's word: the child has never waited, so nobody can have told it.
LEVITY_SCENARIO(a_child_that_finds_its_scope_cancelled_sees_what_was_written_before) {
  family all;
  job& parent = all.make([]() -> task<> {
    model::cell<int> written{0};
    levity::scope children;
    children.spawn([](model::cell<int>* data) -> task<> {
      if (pending_cancel(running_task()) != levity::cancel_reason::none) model::require(data->get() == 1, "it is there");
      co_return;
    }, &written);
    written.set(1);
    children.cancel();
    co_await children.join();
  }());
  model::together(all.runs(parent), all.takes(0));
  all.check();
}

// A child leaves a scope of its own without a join: it has not ended before its own child has.
LEVITY_SCENARIO(a_task_does_not_end_before_those_it_left_behind, {.executions_max = 300'000}) {
  family all;
  job& parent = all.make([]() -> task<> {
    model::cell<int> written{0};
    levity::scope children;
    children.spawn([](model::cell<int>* data) -> task<> {
      levity::scope left;
      left.spawn([](model::cell<int>* into) -> task<> {
        into->set(1);
        co_return;
      }, data);
      co_return;
    }, &written);
    co_await children.join();
    model::require(written.get() == 1, "what the grandchild wrote is there");
  }());
  model::together(all.runs(parent), all.takes(0), all.takes(1));
  all.check();
}

}  // namespace
