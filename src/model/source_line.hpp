#pragma once

// source_line: the line of source at which something was done, and what that calls the thing it was done to. A name is told only
// where it is surely the thing's: where the call that has the column of the place is there to be read, and is the only one.
//
// The column of a place, by compiler:
//
//   x.load()           g++: of the parenthesis;           clang: of where the expression begins, x
//   guard one{lock};   g++: of the bracket that closes, or in a template of the variable;      clang: of the variable
//
// So of what begins at one column, as the two loads of p.load()->next.load() do for clang, nothing is told.

#include <cstdint>
#include <initializer_list>
#include <source_location>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace levity::inline v0::model::detail {

/// On what the call at `column`, from 1, of a line is made: `idle_` of `idle_[worker / 64].fetch_or(1)`, `bell` of
/// `futex_wait(all.bell, 0)`. `calls`: how the names of calls may begin that are meant. Empty: it is not sure.
std::string name_of_called(std::string_view line, std::uint32_t column, std::initializer_list<std::string_view> calls);

/// What the guard that is made at `column` of a line holds: `lock_` of `const guard one{all.lock_};`. Empty: it is not sure.
std::string name_of_guarded(std::string_view line, std::uint32_t column);

/// The lines of source files, each of which is read once.
class source_lines {
public:
  /// As it stands there; empty if the file is not there.
  std::string_view at(std::source_location where);
  /// The same without its margin, and without a comment behind it.
  std::string_view code_at(std::source_location where);

private:
  std::unordered_map<std::string_view, std::vector<std::string>> files_;
};

}  // namespace levity::model::detail
