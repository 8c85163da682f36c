// expect: (use of deleted function|call to deleted constructor)
// Two owners of the same children could both wait for them, or neither.
#include <levity/levity.hpp>

levity::task<> twice() {
  levity::scope children;
  levity::scope others = children;
  co_await others.join();
}
