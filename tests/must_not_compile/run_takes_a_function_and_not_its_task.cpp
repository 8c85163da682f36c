// expect: pass the function and its arguments, .f, x., and not the task
// The frame would be made before there is a runtime.
#include <levity/levity.hpp>

levity::task<int> serve(int port);
int main() { return levity::run(serve(7000)); }
