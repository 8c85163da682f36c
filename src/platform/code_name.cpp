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
#include <cstdlib>
#include <cstring>
#include <limits>

#include "platform/own_memory.hpp"
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

const char* name_at(bytes file, std::uint64_t offset) noexcept {
  return reinterpret_cast<const char*>(file.data() + offset);
}

// Where the header of its file lies in memory. Of a program between whose segments pages are missing the start of the one with the
// code is told: there the program headers say, which follow it.
std::uint64_t header_of(const dl_find_object& object) noexcept {
  const char* const path = object.dlfo_link_map->l_name;
  const bool is_program = path == nullptr || *path == '\0';
  const std::uint64_t headers = is_program ? ::getauxval(AT_PHDR) : 0;
  return headers == 0 ? reinterpret_cast<std::uint64_t>(object.dlfo_map_start) : headers - sizeof(ElfW(Ehdr));
}

// The id that the linker gave it, among these notes.
void find_build_id(bytes notes, std::array<unsigned char, 32>& into) noexcept {
  ElfW(Nhdr) note;
  while (notes.size() >= sizeof note) {
    std::memcpy(&note, notes.data(), sizeof note);
    notes = notes.subspan(sizeof note);
    const std::size_t name_size = (std::size_t{note.n_namesz} + 3) / 4 * 4;
    if (name_size > notes.size() || note.n_descsz > notes.size() - name_size) return;
    if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 && std::memcmp(notes.data(), "GNU", 4) == 0) {
      std::memcpy(into.data(), notes.data() + name_size, std::min(std::size_t{note.n_descsz}, into.size()));
      return;
    }
    notes = notes.subspan(std::min(name_size + (std::size_t{note.n_descsz} + 3) / 4 * 4, notes.size()));
  }
}

// `read(place, into, size)` says how much it got. Places are offsets of a file, addresses less the bias of what is loaded.
template <class Read>
code_names::identity identify(Read read, std::uint64_t begins_at, bool is_loaded) noexcept {
  code_names::identity who;
  if (read(begins_at, &who.head, sizeof who.head) != sizeof who.head) return {};
  for (unsigned i = 0; i < who.head.e_phnum && i < 64; i++) {
    ElfW(Phdr) segment;
    const std::uint64_t at = begins_at + who.head.e_phoff + i * sizeof segment;
    if (read(at, &segment, sizeof segment) != sizeof segment) break;
    if (segment.p_type != PT_NOTE) continue;
    unsigned char notes[1024];
    const std::size_t got = read(is_loaded ? segment.p_vaddr : segment.p_offset, notes, std::min(sizeof notes, segment.p_filesz));
    find_build_id({notes, got}, who.build_id);
  }
  return who;
}

code_names::identity identify_loaded(std::uint64_t begins_at, std::uint64_t bias) noexcept {
  // It may be unloaded while we look.
  const auto read = [bias](std::uint64_t place, void* into, std::size_t size) { return read_own_memory(bias + place, into, size); };
  return identify(read, begins_at - bias, true);
}

code_names::identity identify_file(bytes file) noexcept {
  const auto read = [file](std::uint64_t place, void* into, std::size_t size) {
    if (place > file.size()) return std::size_t{0};
    const std::size_t got = std::min<std::size_t>(size, file.size() - place);
    std::memcpy(into, file.data() + place, got);
    return got;
  };
  return identify(read, 0, false);
}

struct symbols {
  std::span<const ElfW(Sym)> all;
  std::uint64_t names_at = 0;  // in the file
  std::uint64_t names_size = 0;

  [[nodiscard]] bool is_function(const ElfW(Sym)& one) const noexcept {
    return (one.st_info & 0xf) == STT_FUNC && one.st_size > 0 && one.st_name < names_size;
  }
};

// Those that are not exported are in `.symtab` alone, which may have been stripped.
symbols symbols_of(bytes file) noexcept {
  const auto head = table_at<ElfW(Ehdr)>(file, 0, sizeof(ElfW(Ehdr)));
  if (head.empty()) return {};
  const auto sections = table_at<ElfW(Shdr)>(file, head[0].e_shoff, std::uint64_t{head[0].e_shnum} * sizeof(ElfW(Shdr)));
  for (const unsigned kind : {SHT_SYMTAB, SHT_DYNSYM}) {
    for (const ElfW(Shdr)& each : sections) {
      if (each.sh_type != kind || each.sh_link >= sections.size()) continue;
      const ElfW(Shdr)& names = sections[each.sh_link];
      const auto text = table_at<char>(file, names.sh_offset, names.sh_size);
      if (text.empty() || text.back() != '\0') continue;
      return {table_at<ElfW(Sym)>(file, each.sh_offset, each.sh_size), names.sh_offset, names.sh_size};
    }
  }
  return {};
}

void* map(std::uint64_t size, int protection, int flags, int fd) noexcept {
  void* const at = reinterpret_cast<void*>(::syscall(SYS_mmap, nullptr, size, protection, MAP_PRIVATE | flags, fd, 0L));
  return at == MAP_FAILED ? nullptr : at;
}

}  // namespace

bool code_names::identity::operator==(const identity& other) const noexcept {
  return std::memcmp(&head, &other.head, sizeof head) == 0 && build_id == other.build_id;
}

code_names::~code_names() {
  for (std::size_t i = 0; i < known_; i++) forget(objects_[i]);
}

void code_names::forget(object& of) noexcept {
  if (of.bytes != nullptr) ::syscall(SYS_munmap, of.bytes, of.size);
  if (of.functions != nullptr) ::syscall(SYS_munmap, of.functions, of.count * sizeof(function));
  of = {};
}

code_names::object* code_names::object_of(std::uint64_t code_at) noexcept {
  dl_find_object found{};
  if (::_dl_find_object(reinterpret_cast<void*>(code_at), &found) != 0) return nullptr;
  const auto loaded_at = reinterpret_cast<std::uint64_t>(found.dlfo_map_start);
  const std::uint64_t bias = found.dlfo_link_map->l_addr;
  const identity who = identify_loaded(header_of(found), bias);
  object* chosen = known_ < objects_.size() ? &objects_[known_] : nullptr;
  for (std::size_t i = 0; i < known_; i++) {
    object& each = objects_[i];
    if (each.loaded_at == loaded_at) {
      chosen = &each;  // of another one, perhaps, which was unloaded since
      if (each.who == who) {
        each.asked = ++asked_;
        return chosen;
      }
      break;
    }
    if (known_ == objects_.size() && (chosen == nullptr || each.asked < chosen->asked)) chosen = &each;
  }
  if (chosen == objects_.data() + known_) known_++;
  forget(*chosen);
  chosen->loaded_at = loaded_at;
  chosen->bias = bias;
  chosen->who = who;
  chosen->asked = ++asked_;
  open(*chosen, found.dlfo_link_map->l_name);
  return chosen;
}

void code_names::open(object& of, const char* path) noexcept {
  char own[512] = "";
  if (path == nullptr || *path == '\0') {
    const ssize_t size = ::readlink("/proc/self/exe", own, sizeof own - 1);
    if (size > 0) own[size] = '\0';
    path = "/proc/self/exe";
  }
  const std::string_view shown = own[0] != '\0' ? own : path;
  const std::string_view name = shown.substr(shown.rfind('/') + 1);
  std::memcpy(of.file.data(), name.data(), std::min(name.size(), of.file.size() - 1));
  const int fd = proc::open(path);
  if (fd < 0) return;
  const auto size = ::syscall(SYS_lseek, fd, 0L, SEEK_END);
  if (size > 0) {
    of.bytes = static_cast<const unsigned char*>(map(static_cast<std::uint64_t>(size), PROT_READ, 0, fd));
    of.size = static_cast<std::size_t>(size);
  }
  proc::close(fd);
  if (of.bytes == nullptr || identify_file({of.bytes, of.size}) != of.who) return;
  index(of);
}

void code_names::index(object& of) noexcept {
  const symbols found = symbols_of({of.bytes, of.size});
  if (found.names_at + found.names_size > std::numeric_limits<std::uint32_t>::max()) return;
  std::size_t count = 0;
  for (const ElfW(Sym)& each : found.all) count += found.is_function(each) ? 1 : 0;
  if (count == 0) return;
  of.functions = static_cast<function*>(map(count * sizeof(function), PROT_READ | PROT_WRITE, MAP_ANONYMOUS, -1));
  if (of.functions == nullptr) return;
  for (const ElfW(Sym)& each : found.all) {
    if (!found.is_function(each)) continue;
    const auto size = static_cast<std::uint32_t>(std::min<std::uint64_t>(each.st_size, std::numeric_limits<std::uint32_t>::max()));
    of.functions[of.count++] = {each.st_value, size, static_cast<std::uint32_t>(found.names_at + each.st_name)};
  }
  std::sort(of.functions, of.functions + of.count, [](const function& a, const function& b) {
    return a.at != b.at ? a.at < b.at : a.name_at < b.name_at;
  });
}

code_names::place code_names::find(std::uint64_t code_at) noexcept {
  object* const in = object_of(code_at);
  if (in == nullptr) return {};
  const std::uint64_t at = code_at - in->bias;
  const auto* const end = std::upper_bound(in->functions, in->functions + in->count, at,
                                           [](std::uint64_t wanted, const function& each) { return wanted < each.at; });
  // One that begins later may have ended before: functions lie within others at times.
  for (const auto* each = end; each != in->functions && end - each < nested_max;) {
    each--;
    if (at - each->at < each->size) return {name_at({in->bytes, in->size}, each->name_at), at - each->at, in->file.data()};
  }
  return {.function = {}, .into = at, .file = in->file.data()};
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
