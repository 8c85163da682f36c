// expect: pass the function and its arguments, .f, x., and not the task
#include <levity/levity.hpp>

levity::task<> audit(int entry);
levity::task<> handle() {
  levity::detach(audit(1));
  co_return;
}
