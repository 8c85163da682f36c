#include "platform/code_name.hpp"

#include <cxxabi.h>
#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "platform/proc_text.hpp"

namespace levity::inline v0::detail {
namespace {

using bytes = std::span<const unsigned char>;

// A file that is cut short or nonsense gives nothing.
template <class T>
std::span<const T> table_at(bytes file, std::uint64_t offset, std::uint64_t size) noexcept {
  if (offset > file.size() || size > file.size() - offset || offset % alignof(T) != 0) return {};
  return {reinterpret_cast<const T*>(file.data() + offset), size / sizeof(T)};
}

const ElfW(Sym)* symbol_in(bytes file, unsigned kind, std::uint64_t at, std::string_view& name) noexcept {
  const auto head = table_at<ElfW(Ehdr)>(file, 0, sizeof(ElfW(Ehdr)));
  if (head.empty()) return nullptr;
  const auto sections = table_at<ElfW(Shdr)>(file, head[0].e_shoff, std::uint64_t{head[0].e_shnum} * sizeof(ElfW(Shdr)));
  for (const ElfW(Shdr)& each : sections) {
    if (each.sh_type != kind || each.sh_link >= sections.size()) continue;
    const auto names = table_at<char>(file, sections[each.sh_link].sh_offset, sections[each.sh_link].sh_size);
    if (names.empty() || names.back() != '\0') continue;
    for (const ElfW(Sym)& one : table_at<ElfW(Sym)>(file, each.sh_offset, each.sh_size)) {
      if ((one.st_info & 0xf) != STT_FUNC || at < one.st_value || at - one.st_value >= one.st_size) continue;
      if (one.st_name >= names.size()) continue;
      name = names.data() + one.st_name;
      return &one;
    }
  }
  return nullptr;
}

// Where the header of its file lies in memory. Of a program between whose segments pages are missing the start of the one with the
// code is told: there the program headers say, which follow it.
const void* header_of(const dl_find_object& object, bool is_program) noexcept {
  const unsigned long headers = is_program ? ::getauxval(AT_PHDR) : 0;
  return headers == 0 ? object.dlfo_map_start : reinterpret_cast<const void*>(headers - sizeof(ElfW(Ehdr)));
}

bool begins_as(bytes file, const void* loaded) noexcept {
  return file.size() >= sizeof(ElfW(Ehdr)) && std::memcmp(file.data(), loaded, sizeof(ElfW(Ehdr))) == 0;
}

}  // namespace

code_names::~code_names() {
  for (std::size_t i = 0; i < known_; i++) {
    if (objects_[i].bytes != nullptr) ::syscall(SYS_munmap, objects_[i].bytes, objects_[i].size);
  }
}

code_names::object* code_names::object_of(std::uint64_t code_at) noexcept {
  dl_find_object found{};
  if (::_dl_find_object(reinterpret_cast<void*>(code_at), &found) != 0) return nullptr;
  const auto loaded_at = reinterpret_cast<std::uint64_t>(found.dlfo_map_start);
  for (std::size_t i = 0; i < known_; i++) {
    if (objects_[i].loaded_at == loaded_at) return &objects_[i];
  }
  if (known_ == objects_.size()) return nullptr;
  object& added = objects_[known_++];
  added.loaded_at = loaded_at;
  added.bias = found.dlfo_link_map->l_addr;
  const char* path = found.dlfo_link_map->l_name;
  char own[512] = "";
  const bool is_program = path == nullptr || *path == '\0';
  if (is_program) {
    const ssize_t size = ::readlink("/proc/self/exe", own, sizeof own - 1);
    if (size > 0) own[size] = '\0';
    path = "/proc/self/exe";
  }
  const char* const shown = own[0] != '\0' ? own : path;
  const char* const slash = std::strrchr(shown, '/');
  std::snprintf(added.file.data(), added.file.size(), "%s", slash != nullptr ? slash + 1 : shown);
  const int fd = proc::open(path);
  if (fd < 0) return &added;
  const auto size = ::syscall(SYS_lseek, fd, 0L, SEEK_END);
  if (size > 0) {
    void* const mapped = reinterpret_cast<void*>(::syscall(SYS_mmap, nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0L));
    if (mapped != MAP_FAILED) {
      const bytes file{static_cast<const unsigned char*>(mapped), static_cast<std::size_t>(size)};
      if (begins_as(file, header_of(found, is_program))) {
        added.bytes = file.data();
        added.size = file.size();
      } else {
        ::syscall(SYS_munmap, mapped, size);
      }
    }
  }
  proc::close(fd);
  return &added;
}

code_names::place code_names::find(std::uint64_t code_at) noexcept {
  object* const in = object_of(code_at);
  if (in == nullptr) return {};
  place found{.function = {}, .into = code_at - in->bias, .file = in->file.data()};
  if (in->bytes == nullptr) return found;
  const bytes file{in->bytes, in->size};
  std::string_view name;
  const std::uint64_t at = code_at - in->bias;
  const ElfW(Sym)* symbol = symbol_in(file, SHT_SYMTAB, at, name);
  if (symbol == nullptr) symbol = symbol_in(file, SHT_DYNSYM, at, name);
  if (symbol == nullptr) return found;
  found.function = name;
  found.into = at - symbol->st_value;
  return found;
}

std::string_view code_names::readable(std::string_view symbol, std::span<char> text) noexcept {
  if (symbol.empty()) return {};
  char linked[1024];
  const std::size_t size = std::min(symbol.size(), sizeof linked - 1);
  std::memcpy(linked, symbol.data(), size);
  linked[size] = '\0';
  int failed = 0;
  char* const full = abi::__cxa_demangle(linked, nullptr, nullptr, &failed);
  std::string_view name = failed == 0 ? std::string_view{full} : symbol;
  if (failed == 0) {
    // The first parenthesis outside angle brackets that is not that of "(anonymous namespace)" opens the parameters.
    constexpr std::string_view nameless = "(anonymous namespace)";
    int depth = 0;
    for (std::size_t i = 0; i < name.size(); i++) {
      if (name.substr(i).starts_with(nameless)) {
        i += nameless.size() - 1;
      } else if (name[i] == '<') {
        depth++;
      } else if (name[i] == '>' && (i == 0 || name[i - 1] != '-')) {
        depth--;
      } else if (name[i] == '(' && depth <= 0 && i > 0 && !name.substr(0, i).ends_with("operator")) {
        name = name.substr(0, i);
      }
    }
  } else {
    name = name.substr(0, name.find('@'));
  }
  const std::size_t fits = std::min(name.size(), text.size());
  std::memcpy(text.data(), name.data(), fits);
  std::free(full);
  return {text.data(), fits};
}

}  // namespace levity::detail
