// kept_parser.hpp — a JSON parser for each thread, which keeps its memory from one text to the next.
//
// A new one for each text takes six blocks of the general allocator, some 9 KiB, and gives them back: more than the parsing of
// a short body costs. What it keeps is what the longest text took, a few KiB where bodies are of usual size.
#pragma once

#include <simdjson.h>

namespace orders {

/// What it has parsed holds until the thread uses it again: not over an await.
inline simdjson::dom::parser& kept_parser() {
  thread_local simdjson::dom::parser parser;
  return parser;
}

}  // namespace orders
