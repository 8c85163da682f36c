// Names of functions, out of what compilers call them.

#include "inspect/function_name.hpp"

#include <gtest/gtest.h>

#include <source_location>
#include <string>

namespace {

using levity::detail::function_name;

template <class Key, class Value>
struct table {
  std::string load_now(const Key&) { return function_name(std::source_location::current().function_name()); }
  std::string operator<(const table&) const { return function_name(std::source_location::current().function_name()); }
  std::string operator()(int) const { return function_name(std::source_location::current().function_name()); }
};

std::string plain() { return function_name(std::source_location::current().function_name()); }

}  // namespace

TEST(function_name, is_the_own_one_without_arguments_of_templates) {
  table<int, table<int, char>> of;
  EXPECT_EQ(of.load_now(1), "table::load_now");
  EXPECT_EQ(of < of, "table::operator<");
  EXPECT_EQ(of(1), "table::operator()");
  EXPECT_EQ(plain(), "plain");
}

TEST(function_name, is_read_out_of_the_words_of_both_compilers) {
  const struct {
    const char* signature;
    const char* name;
  } cases[] = {
      // g++
      {"lv::v0::task<V> lv::v0::cache<K, V, H, Equal>::load_now(const K&, std::function<int(K)>) [with K = int]",
       "lv::v0::cache::load_now"},
      {"lv::v0::task<std::vector<V> > lv::v0::cache<K, V>::map(F) [with F = main()::<lambda(int)>]", "lv::v0::cache::map"},
      {"std::enable_if_t<(N > 3), lv::v0::task<T> > lv::v0::big<N>::go() [with T = int; int N = 4]", "lv::v0::big::go"},
      {"std::enable_if_t<(N < 3), lv::v0::task<T> > lv::v0::big<N>::go() [with T = int; int N = 2]", "lv::v0::big::go"},
      {"lv::v0::cache<K, V>* lv::v0::cache<K, V>::operator->() [with K = int]", "lv::v0::cache::operator->"},
      {"lv::v0::cache<K, V>::operator bool() const [with K = int]", "lv::v0::cache::operator bool"},
      {"lv::v0::cache<K, V>::operator std::vector<int>() const [with K = int]", "lv::v0::cache::operator std::vector"},
      {"static void* lv::v0::cache<K, V>::operator new(long unsigned int) [with K = int]", "lv::v0::cache::operator new"},
      {"auto lv::v0::cache<K, V>::operator<=>(int) const [with K = int]", "lv::v0::cache::operator<=>"},
      {"bool operator<(T, lv::v0::big<4>) [with T = int]", "operator<"},
      {"bool operator<< <int>(T, lv::v0::big<4>) [with T = int]", "operator<<"},
      {"void lv::v0::cache<K, V>::operator[](int) [with K = int]", "lv::v0::cache::operator[]"},
      {"decltype(auto) lv::v0::cache<K, V>::there() [with K = int]", "lv::v0::cache::there"},
      {"lv::v0::task<> {anonymous}::innermost()", "innermost"},
      {"{anonymous}::tt<lv::v0::cache<int, int> >::m()::<lambda()>", "tt::m"},
      {"<lambda(int)>", "<lambda>"},
      {"run<<lambda(int)->int> >::go(int)", "run::go"},
      {"lv::v0::task<> my_operator(int)", "my_operator"},
      {"lv::v0::task<> operators::serve(int)", "operators::serve"},
      // clang
      {"task<V> lv::cache<int, std::basic_string<char>>::load_now(const K &, std::function<int (K)>) [K = int]",
       "lv::cache::load_now"},
      {"cache<K, V> *lv::cache<int, (lambda at a.cpp:35:67)>::operator->() [K = int]", "lv::cache::operator->"},
      {"lv::task<int> (anonymous namespace)::st::m() const", "st::m"},
      {"lv::task<int> orders::(anonymous namespace)::settle(orders::bookings *)", "settle"},
      {"auto (anonymous namespace)::st::m()::(anonymous class)::operator()(int) const", "st::m"},
      {"auto (anonymous class)::operator()(int) const", "(anonymous class)::operator()"},
      // neither
      {"main", "main"},
      {"", ""},
      {"broken<(", "broken"},
      {"broken)>", "broken)>"},
  };
  for (const auto& each : cases) EXPECT_EQ(function_name(each.signature), each.name) << each.signature;
}
