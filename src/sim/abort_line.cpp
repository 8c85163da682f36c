#include "sim/abort_line.hpp"

#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <utility>

#include "base/system_mutex.hpp"
#include "platform/syscall.hpp"

namespace levity::inline v0::sim {
namespace {

// The line, which the handler reads wherever the signal comes. An abort on another thread in the middle of say() would see a part
// of it: size is 0 meanwhile.
constexpr std::size_t line_max = 16 * 1024;
char line_text[line_max];
volatile std::sig_atomic_t line_size = 0;
volatile std::sig_atomic_t before_size = 0;  // of it, before the place
const char* volatile place_host = nullptr;   // null: there is no place
volatile std::int64_t place_age_ns = 0;

// SIGABRT is answered before whoever has been there; the others are left to whoever is.
constexpr int answered[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL};
struct sigaction handlers_before[std::size(answered)] {};
bool is_answered[std::size(answered)] = {};

// A stack that has run over is no place for a handler.
constexpr std::size_t stack_size = 64 * 1024;
alignas(16) char stack_bytes[stack_size];
bool has_stack = false;  // guarded by speakers

detail::system_mutex speakers;
bool is_spoken_for = false;  // guarded by speakers

void write_text(const char* text, std::size_t size) { (void)!detail::kernel::write(STDERR_FILENO, text, size); }

// ", 1.204567 s after the world's beginning, on host desk". No function that formats is one for handlers of signals.
class spoken_place {
public:
  spoken_place(const char* host, std::int64_t age_ns) {
    const auto age_us = static_cast<std::uint64_t>(age_ns) / 1000;
    add(", ");
    add_number(age_us / 1'000'000, 1);
    add(".");
    add_number(age_us % 1'000'000, 6);
    add(" s after the world's beginning, on host ");
    add(host);
  }
  void write() const { write_text(bytes_, size_); }

private:
  void add(const char* text) {
    while (*text != '\0' && size_ < sizeof bytes_) bytes_[size_++] = *text++;
  }
  void add_number(std::uint64_t number, unsigned digits_min) {
    char digits[21];
    std::size_t first = sizeof digits;
    digits[--first] = '\0';
    for (unsigned count = 0; number != 0 || count < digits_min; count++, number /= 10) {
      digits[--first] = static_cast<char>('0' + number % 10);
    }
    add(digits + first);
  }

  char bytes_[256];
  std::size_t size_ = 0;
};

void write_line() {
  if (line_size == 0) return;
  const auto before = static_cast<std::size_t>(before_size);
  const char* const host = place_host;
  write_text(line_text, before);
  if (host != nullptr) spoken_place(host, place_age_ns).write();
  write_text(line_text + before, static_cast<std::size_t>(line_size) - before);
}

void answer(int number) {
  write_line();
  for (std::size_t i = 0; i < std::size(answered); i++) {
    if (answered[i] == number) ::sigaction(number, &handlers_before[i], nullptr);
  }
  (void)std::raise(number);  // comes when this handler has returned
}

void answer_exit() { write_line(); }

}  // namespace

abort_line::abort_line() {
  const detail::system_guard held(speakers);
  if (is_spoken_for) return;
  is_spoken_for = speaks_ = true;
  line_size = 0;
  [[maybe_unused]] static const int is_registered = std::atexit(&answer_exit);
  stack_t before{};
  if (::sigaltstack(nullptr, &before) == 0 && (before.ss_flags & SS_DISABLE) != 0) {
    stack_t own{};
    own.ss_sp = stack_bytes;
    own.ss_size = stack_size;
    has_stack = ::sigaltstack(&own, nullptr) == 0;
  }
  struct sigaction action {};
  action.sa_handler = &answer;
  action.sa_flags = SA_ONSTACK;
  for (std::size_t i = 0; i < std::size(answered); i++) {
    ::sigaction(answered[i], nullptr, &handlers_before[i]);
    const bool is_free = (handlers_before[i].sa_flags & SA_SIGINFO) == 0 && handlers_before[i].sa_handler == SIG_DFL;
    is_answered[i] = answered[i] == SIGABRT || is_free;
    if (is_answered[i]) ::sigaction(answered[i], &action, nullptr);
  }
}

abort_line::~abort_line() {
  if (!speaks_) return;
  const detail::system_guard held(speakers);
  is_spoken_for = false;
  for (std::size_t i = 0; i < std::size(answered); i++) {
    if (is_answered[i]) ::sigaction(answered[i], &handlers_before[i], nullptr);
  }
  if (std::exchange(has_stack, false)) {
    stack_t none{};
    none.ss_flags = SS_DISABLE;
    ::sigaltstack(&none, nullptr);
  }
  line_size = 0;
  place_host = nullptr;
}

void abort_line::say(std::string_view before, std::string_view behind) noexcept {
  if (!speaks_) return;
  line_size = 0;
  const std::size_t first = std::min(before.size(), line_max - 1);
  const std::size_t rest = std::min(behind.size(), line_max - 1 - first);
  std::memcpy(line_text, before.data(), first);
  std::memcpy(line_text + first, behind.data(), rest);
  line_text[first + rest] = '\n';
  before_size = static_cast<std::sig_atomic_t>(first);
  line_size = static_cast<std::sig_atomic_t>(first + rest + 1);
}

void abort_line::runs(const std::string* host, std::int64_t age_ns) noexcept {
  if (!speaks_) return;
  place_age_ns = age_ns;
  place_host = host != nullptr ? host->c_str() : nullptr;
}

}  // namespace levity::sim
