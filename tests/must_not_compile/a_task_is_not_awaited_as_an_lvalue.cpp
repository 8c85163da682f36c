// expect: (operator co_await|await_ready)
// A task runs once: awaiting it consumes it, so it must be given away.
#include <levity/levity.hpp>

levity::task<int> one();
levity::task<int> twice() {
  levity::task<int> work = one();
  co_return co_await work;
}
