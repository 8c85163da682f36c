#include "model/trace.hpp"

#include <dlfcn.h>
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <initializer_list>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "model/source_line.hpp"

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

// 2,480
std::string in_thousands(std::size_t value) {
  std::string text = std::to_string(value);
  for (std::size_t i = text.size(); i > 3; i -= 3) text.insert(i - 3, ",");
  return text;
}

std::string writer_of(const message& from) {
  if (from.event == memory::before_all) return "at first";
  const std::string place = is_said(from.where) ? " " + model::detail::name_of(from.where) : std::string{};
  return name_of_thread(from.writer) + place;
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

// What a word, or plain data, is called where `one` has happened to it. Empty if it is not seen.
std::string name_at(const happening& one, source_lines& sources) {
  using kind = happening::kind;
  const std::string_view line = sources.at(one.where);
  const auto called = [&](std::initializer_list<std::string_view> calls) {
    return name_of_called(line, one.where.column(), calls);
  };
  switch (one.what) {
    case kind::load: return called({"load"});
    case kind::promise: return called({"load", "exchange", "fetch_", "compare_exchange_"});
    case kind::store: return called({"store"});
    case kind::change:
    case kind::failed:
    case kind::spurious: return called({"exchange", "fetch_", "compare_exchange_"});
    case kind::wait:
    case kind::no_wait:
    case kind::no_reason:
    case kind::timeout:
    case kind::wake:
    case kind::sleep:
    case kind::wakes_up: return called({"futex_", "wait", "notify_"});
    case kind::lock:
    case kind::unlock: return name_of_guarded(line, one.where.column());
    case kind::read: return called({"get", "read"});
    case kind::write: return called({"set", "write"});
    default: return {};
  }
}

// Of each word, and behind them of all plain data: what it is called where it is first used by a name, with its number if others
// are called so, too.
std::vector<std::string> names_of_all(const std::vector<happening>& happenings, unsigned words, unsigned data,
                                      source_lines& sources) {
  std::vector<std::string> names(words + data);
  for (const happening& one : happenings) {
    if (one.word < names.size() && names[one.word].empty()) names[one.word] = name_at(one, sources);
  }
  std::vector<std::string> shown(names.size());
  for (unsigned i = 0; i < names.size(); i++) {
    const std::string number = i < words ? fmt::format("w{}", i) : fmt::format("d{}", i - words);
    const bool alone = !names[i].empty() && std::count(names.begin(), names.end(), names[i]) == 1;
    shown[i] = alone ? names[i] : names[i].empty() ? number : names[i] + "." + number;
  }
  return shown;
}

// Gives plain data the numbers behind those of the words, in the order in which it is touched. Returns how much there is.
unsigned number_data(std::vector<happening>& happenings, unsigned words) {
  std::unordered_map<std::uint32_t, std::uint32_t> numbers;
  for (happening& one : happenings) {
    if (one.what != happening::kind::read && one.what != happening::kind::write) continue;
    one.word = numbers.try_emplace(one.word, words + numbers.size()).first->second;
  }
  return static_cast<unsigned>(numbers.size());
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
    case kind::promise: return fmt::format("{} comes late, and will have read {}", word(), number(one.value, one.size));
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
    case kind::read: return fmt::format("reads {}", word());
    case kind::write: return fmt::format("writes {}", word());
  }
  return "?";
}

// Lines one below the other. Where some come again and again, as those of a loop that spins do, they stand there once.
std::string folded(const std::vector<std::string>& lines) {
  constexpr std::size_t together_max = 32;
  std::string text;
  for (std::size_t at = 0; at < lines.size();) {
    std::size_t together = 1;
    std::size_t again = 0;  // lines that are those before them once more, `together` at a time
    for (std::size_t some = 1; some <= together_max; some++) {
      std::size_t same = 0;
      while (at + some + same < lines.size() && lines[at + some + same] == lines[at + same]) same++;
      if (same -= same % some; same > again) {
        together = some;
        again = same;
      }
    }
    if (again < 3) together = 1, again = 0;
    for (std::size_t i = at; i < at + together; i++) text += lines[i] + '\n';
    if (again != 0) {
      text += fmt::format("  ... the {} above, {} more times\n", together == 1 ? "line" : fmt::format("{} lines", together),
                          in_thousands(again / together));
    }
    at += together + again;
  }
  return text;
}

}  // namespace

// A source location is a pointer to what the compiler knows of it; no address of a program has this bit.
static constexpr std::uintptr_t instruction_bit = std::uintptr_t{1} << 63;

std::source_location site_of_instruction(const void* pc) noexcept {
  return std::bit_cast<std::source_location>(reinterpret_cast<std::uintptr_t>(pc) | instruction_bit);
}

static bool is_instruction(std::source_location where) noexcept {
  return (std::bit_cast<std::uintptr_t>(where) & instruction_bit) != 0;
}

bool is_said(std::source_location where) noexcept { return is_instruction(where) || where.line() != 0; }

std::string name_of(std::source_location where) {
  if (is_instruction(where)) {
    const std::uintptr_t pc = std::bit_cast<std::uintptr_t>(where) & ~instruction_bit;
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

std::string at(std::source_location where) { return is_said(where) ? " at " + name_of(where) : std::string{}; }

std::string trace::text(const memory& words) const {
  std::vector<happening> all = happenings_;
  const unsigned data = number_data(all, words.words());
  source_lines sources;
  const std::vector<std::string> names = names_of_all(all, words.words(), data, sources);
  std::vector<std::string> lines;
  for (const happening& one : all) {
    const std::string margin(2 + 4 * static_cast<std::size_t>(one.thread), ' ');
    std::string line = fmt::format("{}{}  {}{}", margin, name_of_thread(one.thread), told(one, words, names),
                                   one.weakened ? " (weakened)" : "");
    if (is_said(one.where)) line = fmt::format("{:<100}  {}  {}", line, name_of(one.where), sources.code_at(one.where));
    lines.push_back(std::move(line));
  }
  return folded(lines);
}

}  // namespace levity::model::detail
