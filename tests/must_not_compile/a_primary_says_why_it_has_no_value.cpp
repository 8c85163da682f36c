// expect: a primary that gives an expected has a value in it, or an error
// Found empty without an error, it would leave the chain nothing to return.
#include <levity/resilience/fallback.hpp>

#include <optional>

levity::task<std::expected<std::optional<int>, int>> find(int id);
levity::task<> handle() {
  auto chain = levity::fallback(levity::rung{"primary", find});
  (void)co_await chain.run(7);
}
