#pragma once

// replay: the answers of an execution in a line of text, by which it is run again.
//
//   a to h    the thread that makes the next step
//   12        which of several things happens
//   xN        behind an answer: it was given N times in a row
//   .         between two numbers; alone: nothing had to be answered

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace levity::inline v0::model::detail {

using answer_list = std::vector<std::int16_t>;  // threads below 0: -1 for a

std::string line_of(const answer_list& given);

/// Empty: the line is read. Otherwise what is wrong with it, as the end of a sentence about it.
std::string read_line(std::string_view line, answer_list& into);

}  // namespace levity::model::detail
