// expect: pass the function and its arguments, .f, x., and not the task
#include <levity/levity.hpp>
#include <levity/runtime/runtime.hpp>

levity::task<> refresh(int cache);
int main() {
  levity::runtime tasks;
  tasks.spawn(refresh(1));
}
