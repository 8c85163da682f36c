// expect: return_value
// As in a function: an explicit constructor, here of five empty elements, is not what `return 5` asks for.
#include <levity/levity.hpp>

#include <vector>

levity::task<std::vector<int>> handle() { co_return 5; }
