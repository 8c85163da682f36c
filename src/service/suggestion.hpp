#pragma once

#include <span>
#include <string>
#include <string_view>

namespace levity::inline v0::service::detail {

/// How many letters must be changed, added, left out or exchanged with their neighbour to make one word of the other: the optimal
/// string alignment distance. ASCII case counts. O(product of the sizes).
std::size_t edit_distance(std::string_view a, std::string_view b);

/// The known word that was probably meant: the nearest one, no farther than a third of the word, at least 2; empty if there is
/// none.
std::string_view nearest(std::string_view word, std::span<const std::string_view> known);

/// For the end of a sentence about an unknown word: `; did you mean "x"?`, or nothing.
std::string suggestion(std::string_view word, std::span<const std::string_view> known);

}  // namespace levity::service::detail
