// expect: these do not fit the callable
// One sentence, not the insides of a lambda that could not be called.
#include <levity/levity.hpp>

levity::task<int> serve(int port);
int main() { return levity::run(serve, "127.0.0.1", 7000); }
