// expect: aligned to 16 bytes at most
#include <levity/levity.hpp>

struct alignas(32) wide {
  float lanes[8];
};

levity::task<wide> handle() { co_return wide{}; }
