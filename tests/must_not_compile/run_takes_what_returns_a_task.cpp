// expect: run needs a callable that returns a levity::task
// A plain function would run before there is a runtime.
#include <levity/levity.hpp>

int plain();
int main() { return levity::run(plain); }
