// expect: pass a pointer or std::ref
// The task may outlive what the reference means; whoever spawns says that it does not.
#include <levity/levity.hpp>

levity::task<> sends(levity::channel<int>& to, int value);
levity::task<> handle(levity::channel<int>* to) {
  levity::scope children;
  children.spawn(sends, *to, 1);
  co_await children.join();
}
