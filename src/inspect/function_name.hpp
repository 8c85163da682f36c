#pragma once

#include <string>
#include <string_view>

namespace levity::inline v0::detail {

/// A function's own name with its namespaces and classes, out of what a compiler calls it (std::source_location::function_name):
/// "task<V> lv::cache<K, V>::load(const K&) [with K = int]" is lv::cache::load. What is inside a function is called by that one.
[[nodiscard]] std::string function_name(std::string_view signature);

}  // namespace levity::detail
