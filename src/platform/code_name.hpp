#pragma once

// code_name: the function that an address lies in, and the file that holds it.
//
// The names come from the symbol tables of the program's own files: `.symtab`, which has the functions that are not exported, too
// (the body of a coroutine is one), `.dynsym` where a file has been stripped. A file is mapped when it is first asked for, and is
// believed only if it begins as what is loaded begins: a program may have been replaced on the disk since.
//
// Rejected: dladdr (knows exported functions alone, and takes the loader's lock, which whoever stands still in dlopen() has);
// libdw (lines, but 30 ms and 10 MiB for the first name; who wants lines gives the addresses to addr2line).

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

namespace levity::inline v0::detail {

/// One thread.
class code_names {
public:
  code_names() = default;
  code_names(const code_names&) = delete;
  code_names& operator=(const code_names&) = delete;
  ~code_names();

  struct place {
    std::string_view function;   // as the linker knows it; empty if it has no name
    std::uint64_t into = 0;      // bytes from its beginning; without a function from that of the file
    std::string_view file;       // its last part; empty of code that no file holds
  };
  /// Views are valid as long as this object. Some 100 us the first time for a file, then as long as it takes to walk its symbols.
  [[nodiscard]] place find(std::uint64_t code_at) noexcept;

  /// "shop::reserve", without parameters, of what the linker calls _ZN4shop7reserveEi; what is no C++ name as it is.
  /// What fits into `text`.
  [[nodiscard]] static std::string_view readable(std::string_view symbol, std::span<char> text) noexcept;

private:
  struct object {
    std::uint64_t loaded_at = 0;
    std::uint64_t bias = 0;
    const unsigned char* bytes = nullptr;  // of the file; null if it cannot be read
    std::size_t size = 0;
    std::array<char, 64> file{};
  };
  object* object_of(std::uint64_t code_at) noexcept;

  std::array<object, 16> objects_{};
  std::size_t known_ = 0;
};

}  // namespace levity::detail
