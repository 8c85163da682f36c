#include "model/trace.hpp"

#include <dlfcn.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cctype>
#include <cstdint>
#include <fstream>
#include <string_view>

namespace levity::inline v0::model::detail {
namespace {

const char* name_of(std::memory_order order) noexcept {
  switch (order) {
    case std::memory_order_relaxed: return "relaxed";
    case std::memory_order_consume: return "consume";
    case std::memory_order_acquire: return "acquire";
    case std::memory_order_release: return "release";
    case std::memory_order_acq_rel: return "acq_rel";
    case std::memory_order_seq_cst: return "seq_cst";
  }
  return "?";
}

std::string number(std::uint64_t value, std::uint32_t size) {
  if (size < 8 || value < 1'000'000) return fmt::format("{}", value);
  const auto negative = static_cast<std::int64_t>(value);
  if (negative < 0 && negative > -1'000'000) return fmt::format("{}", negative);
  return fmt::format("{:#x}", value);
}

std::string writer_of(const message& from) {
  if (from.event == memory::before_all) return "at first";
  return fmt::format("{} {}", name_of_thread(from.writer), model::detail::name_of(from.where));
}

// What a load could have read instead: messages that were there, from the oldest one on.
std::string others(const happening& one, const memory& words) {
  std::string text;
  bool reached = false;
  for (unsigned place = 0; place < words.count(one.word); place++) {
    const message& each = words.at(one.word, place);
    reached = reached || each.created == one.oldest;
    if (!reached || each.created >= one.newest_then || each.created == one.message) continue;
    if (!text.empty()) text += ", ";
    text += fmt::format("{} ({})", number(each.value, one.size), writer_of(each));
  }
  return text.empty() ? text : ", not " + text;
}

std::string source_of(const happening& one, const memory& words) {
  for (unsigned place = 0; place < words.count(one.word); place++) {
    const message& each = words.at(one.word, place);
    if (each.created == one.message) return writer_of(each);
  }
  return "?";
}

// `lock_` of `const system_guard guard{all.lock_};`, or of `lock_.lock();`.
std::string mutex_in(std::string_view line) {
  std::size_t end = std::min(line.find(".lock("), line.find(".unlock("));
  if (end == std::string_view::npos && line.find("guard") != std::string_view::npos) end = line.find_last_of("})");
  if (end == std::string_view::npos) return {};
  std::size_t begin = end;
  while (begin > 0 && (std::isalnum(static_cast<unsigned char>(line[begin - 1])) != 0 || line[begin - 1] == '_')) begin--;
  return std::string(line.substr(begin, end - begin));
}

// What a word is called where an operation on it is written: `idle_` of `idle_[worker / 64].fetch_or(`. Empty if it is not seen.
std::string word_in(std::string_view line, happening::kind what) {
  using kind = happening::kind;
  using names = std::array<std::string_view, 3>;
  constexpr names loads{".load("};
  constexpr names stores{".store("};
  constexpr names changes{".exchange(", ".fetch_", ".compare_exchange_"};
  constexpr names waits{".wait(", ".wait_for(", ".notify_"};
  const bool changed = what == kind::change || what == kind::failed || what == kind::spurious;
  const bool waited = what == kind::sleep || what == kind::wakes_up || what == kind::timeout || what == kind::wake;
  if (what == kind::lock || what == kind::unlock) return mutex_in(line);
  for (const std::string_view call : what == kind::load ? loads : what == kind::store ? stores : changed ? changes
                                     : waited           ? waits
                                                        : names{}) {
    std::size_t end = call.empty() ? std::string_view::npos : line.find(call);
    if (end == std::string_view::npos) continue;
    int depth = 0;  // arguments and numbers are no part of the name
    while (end > 0 && (depth > 0 || line[end - 1] == ')' || line[end - 1] == ']')) {
      end--;
      depth += line[end] == ')' || line[end] == ']' ? 1 : line[end] == '(' || line[end] == '[' ? -1 : 0;
    }
    std::size_t begin = end;
    while (begin > 0 && (std::isalnum(static_cast<unsigned char>(line[begin - 1])) != 0 || line[begin - 1] == '_')) begin--;
    return std::string(line.substr(begin, end - begin));
  }
  return {};
}

// Of each word: what it is called where it is first used by a name, with its number if others are called so, too.
std::vector<std::string> names_of_words(const std::vector<happening>& happenings, unsigned count) {
  std::vector<std::string> names(count);
  for (const happening& one : happenings) {
    if (one.word < count && names[one.word].empty()) names[one.word] = word_in(line_at(one.where), one.what);
  }
  std::vector<std::string> shown(count);
  for (unsigned word = 0; word < count; word++) {
    const bool alone = !names[word].empty() && std::count(names.begin(), names.end(), names[word]) == 1;
    shown[word] = alone ? names[word] : names[word].empty() ? fmt::format("w{}", word) : fmt::format("{}.w{}", names[word], word);
  }
  return shown;
}

std::string told(const happening& one, const memory& words, const std::vector<std::string>& names) {
  using kind = happening::kind;
  const char* const order = name_of(one.order);
  const auto word = [&] { return names[one.word]; };
  switch (one.what) {
    case kind::start: return fmt::format("starts {}", name_of_thread(one.other));
    case kind::end: return "ends";
    case kind::join: return fmt::format("joins {}", name_of_thread(one.other));
    case kind::load:
      return fmt::format("{} reads {} [{}]{}, {}", word(), number(one.value, one.size), source_of(one, words),
                         others(one, words), order);
    case kind::store: return fmt::format("{} = {}, {}", word(), number(one.value, one.size), order);
    case kind::change:
      return fmt::format("{} {} -> {} [{}], {}", word(), number(one.value, one.size), number(one.made, one.size),
                         source_of(one, words), order);
    case kind::failed:
      return fmt::format("{} found {} [{}]{}: not exchanged, {}", word(), number(one.value, one.size), source_of(one, words),
                         others(one, words), order);
    case kind::spurious: return fmt::format("{} found {}: fails all the same, {}", word(), number(one.value, one.size), order);
    case kind::fence: return fmt::format("fence, {}", order);
    case kind::compiler_fence: return "compiler fence";
    case kind::barrier: return "barrier of the process";
    case kind::reach: return fmt::format("the barrier reaches {}", name_of_thread(one.other));
    case kind::wait: return fmt::format("waits at {}, which is {}", word(), number(one.value, one.size));
    case kind::no_wait: return fmt::format("does not wait at {}, which is {}", word(), number(one.value, one.size));
    case kind::timeout: return fmt::format("waits at {} until its time is over", word());
    case kind::wake: return one.other == threads_max ? fmt::format("wakes nobody at {}", word())
                                                    : fmt::format("wakes {} at {}", name_of_thread(one.other), word());
    case kind::lock: return fmt::format("locks {}", word());
    case kind::unlock: return fmt::format("unlocks {}", word());
    case kind::no_reason: return fmt::format("waits at {}, and wakes up for no reason", word());
    case kind::sleep: return fmt::format("lets go of the mutex and waits at {}", word());
    case kind::wakes_up: return fmt::format("lets go of the mutex, and wakes up for no reason at {}", word());
    case kind::choice: return fmt::format("chooses {}", one.value);
  }
  return "?";
}

}  // namespace

// A source location is a pointer to what the compiler knows of it; no address of a program has this bit.
static constexpr std::uintptr_t instruction_bit = std::uintptr_t{1} << 63;

std::source_location site_of_instruction(const void* pc) noexcept {
  return std::bit_cast<std::source_location>(reinterpret_cast<std::uintptr_t>(pc) | instruction_bit);
}

std::string name_of(std::source_location where) {
  if (const auto bits = std::bit_cast<std::uintptr_t>(where); (bits & instruction_bit) != 0) {
    const std::uintptr_t pc = bits & ~instruction_bit;
    Dl_info in{};
    if (::dladdr(reinterpret_cast<const void*>(pc), &in) == 0) return fmt::format("{:#x}", pc);
    return fmt::format("{}+{:#x}", in.dli_fname, pc - 1 - reinterpret_cast<std::uintptr_t>(in.dli_fbase));
  }
  std::string_view path = where.file_name();
  const std::size_t file = path.rfind('/');
  const std::size_t folder = file == std::string_view::npos || file == 0 ? std::string_view::npos : path.rfind('/', file - 1);
  if (folder != std::string_view::npos) path = path.substr(folder + 1);
  return fmt::format("{}:{}", path, where.line());
}

std::string line_at(std::source_location where) {
  std::ifstream file(where.file_name());
  std::string line;
  for (std::uint32_t i = 0; i < where.line(); i++) {
    if (!std::getline(file, line)) return {};
  }
  const std::size_t begin = line.find_first_not_of(' ');
  if (begin == std::string::npos) return {};
  const std::size_t comment = line.find("  //");
  return line.substr(begin, (comment == std::string::npos || comment < begin ? line.size() : comment) - begin);
}

std::string trace::text(const memory& words) const {
  std::string text;
  const std::vector<std::string> names = names_of_words(happenings_, words.words());
  for (const happening& one : happenings_) {
    const std::string margin(2 + 4 * static_cast<std::size_t>(one.thread), ' ');
    std::string line = fmt::format("{}{}  {}{}", margin, name_of_thread(one.thread), told(one, words, names),
                                   one.weakened ? " (weakened)" : "");
    if (one.where.line() != 0) line = fmt::format("{:<100}  {}  {}", line, name_of(one.where), line_at(one.where));
    text += line + '\n';
  }
  return text;
}

}  // namespace levity::model::detail
