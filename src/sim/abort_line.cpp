#include "sim/abort_line.hpp"

#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstddef>
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

void write_line() { (void)!detail::kernel::write(STDERR_FILENO, line_text, static_cast<std::size_t>(line_size)); }

void answer(int number) {
  write_line();
  for (std::size_t i = 0; i < std::size(answered); i++) {
    if (answered[i] == number) ::sigaction(number, &handlers_before[i], nullptr);
  }
  (void)std::raise(number);  // comes when this handler has returned
}

void answer_exit() {
  if (line_size != 0) write_line();
}

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
}

void abort_line::say(std::string_view line) noexcept {
  if (!speaks_) return;
  line_size = 0;
  const std::size_t size = std::min(line.size(), line_max - 1);
  std::memcpy(line_text, line.data(), size);
  line_text[size] = '\n';
  line_size = static_cast<std::sig_atomic_t>(size + 1);
}

}  // namespace levity::sim
