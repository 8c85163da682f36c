// expect: a callable that becomes a task must return a levity::task
// A plain function would run before there is a runtime.
#include <levity/levity.hpp>

int plain();
int main() { return levity::run(plain); }
