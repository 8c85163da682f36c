// expect: a callable that becomes a task must return a levity::task
// A plain function would run inside spawn(), on the caller's time.
#include <levity/levity.hpp>

void plain();
levity::task<> handle() {
  levity::scope children;
  children.spawn(plain);
  co_await children.join();
}
