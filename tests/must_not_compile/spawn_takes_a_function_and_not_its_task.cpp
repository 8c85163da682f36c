// expect: pass the function and its arguments, .f, x., and not the task
// Who comes from another library writes so first. The cause is said, and not that something does not fit.
#include <levity/levity.hpp>

levity::task<> serve(int port);
levity::task<> handle() {
  levity::scope children;
  children.spawn("server", serve(7000));
  co_await children.join();
}
