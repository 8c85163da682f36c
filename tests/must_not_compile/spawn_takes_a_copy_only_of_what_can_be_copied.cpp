// expect: std::move it
// The new task owns its arguments; the compiler's own complaint would come from inside the library.
#include <levity/levity.hpp>

#include <memory>

levity::task<> child(std::unique_ptr<int> owned);
levity::task<> handle(std::unique_ptr<int> owned) {
  levity::scope children;
  children.spawn(child, owned);
  co_await children.join();
}
