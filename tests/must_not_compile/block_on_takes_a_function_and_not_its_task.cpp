// expect: pass the function and its arguments, .f, x., and not the task
#include <levity/levity.hpp>
#include <levity/runtime/runtime.hpp>

levity::task<int> price(int basket);
int main() {
  levity::runtime tasks;
  return tasks.block_on(price(1));
}
