// expect g++12: ::blocking.* twice when.*::blocking.* twice when
#include <levity/levity.hpp>

std::size_t size_of(const std::string& text);

levity::task<> calls(std::string text) {
  (void)co_await levity::blocking([text] { return size_of(text); });
  (void)co_await levity::blocking({.slow = true}, [text] { return size_of(text); });
}
