// expect: a task runs only when it is awaited or spawned
// A call without co_await does nothing at all, which nobody means.
#include <levity/levity.hpp>

levity::task<> save();
levity::task<> handle() {
  save();
  co_return;
}
