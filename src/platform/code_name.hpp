#pragma once

// code_name: the function that an address lies in, and the file that holds it.
//
// The names come from the symbol tables of the program's own files: `.symtab`, which has the functions that are not exported, too
// (the body of a coroutine is one), `.dynsym` where a file has been stripped. A file is mapped when it is first asked for, and its
// functions are sorted then: whoever asks for a stack asks for thirty of them. It is believed only if it begins as what is loaded
// begins and has its build id: a program may have been replaced on the disk since. What is loaded is asked each time who it is: a
// library may have been unloaded, and another one lie there.
//
// Rejected: dladdr (knows exported functions alone, and takes the loader's lock, which whoever stands still in dlopen() has);
// libdw (lines, but 30 ms and 10 MiB for the first name; who wants lines gives the addresses to addr2line).

#include <link.h>

#include <array>
#include <cstddef>
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
  /// Views are valid until the next call. The first time for a file it reads and sorts its symbols, some ms for 100,000 of them;
  /// then a few us.
  [[nodiscard]] place find(std::uint64_t code_at) noexcept;

  /// "shop::reserve", without parameters, of what the linker calls _ZN4shop7reserveEi; what is no C++ name as it is.
  /// What fits into `text`.
  [[nodiscard]] static std::string_view readable(std::string_view symbol, std::span<char> text) noexcept;

  /// By which a file and what is loaded of it know each other.
  struct identity {
    ElfW(Ehdr) head{};
    std::array<unsigned char, 32> build_id{};  // zeros where the linker gave none
    bool operator==(const identity& other) const noexcept;
  };
  /// The one that was not asked for the longest makes room.
  static constexpr std::size_t objects_max = 16;

private:
  struct function {
    std::uint64_t at = 0;
    std::uint32_t size = 0;
    std::uint32_t name_at = 0;  // in the file
  };
  struct object {
    std::uint64_t loaded_at = 0;
    std::uint64_t bias = 0;
    const unsigned char* bytes = nullptr;  // of the file; null if it cannot be read
    std::size_t size = 0;
    function* functions = nullptr;  // by address
    std::size_t count = 0;
    identity who;
    std::uint64_t asked = 0;  // when last, by asked_
    std::array<char, 64> file{};
  };
  static constexpr std::ptrdiff_t nested_max = 16;
  object* object_of(std::uint64_t code_at) noexcept;
  static void open(object& of, const char* path) noexcept;
  static void index(object& of) noexcept;
  static void forget(object& of) noexcept;

  std::array<object, objects_max> objects_{};
  std::size_t known_ = 0;
  std::uint64_t asked_ = 0;
};

}  // namespace levity::detail
