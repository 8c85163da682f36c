// expect g++12: ::get_or_load.* twice when.*::keep_fresh.* twice when
#include <levity/cache/cache.hpp>
#include <string>

using sizes = levity::cache<int, std::size_t>;
levity::task<std::size_t> measure(std::string text);

levity::task<> loads(sizes& from, std::string text) {
  (void)co_await from.get_or_load(1, [text] { return measure(text); });
}
levity::task<> refreshes(sizes& from, std::string text) {
  co_await from.keep_fresh([text](int) { return measure(text); });
}
