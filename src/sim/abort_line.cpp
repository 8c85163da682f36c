#include "sim/abort_line.hpp"

#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstddef>
#include <cstring>

#include "base/system_mutex.hpp"
#include "platform/syscall.hpp"

namespace levity::inline v0::sim {
namespace {

// The line, which the handler reads wherever the signal comes. An abort on another thread in the middle of say() would see a part
// of it: size is 0 meanwhile.
constexpr std::size_t line_max = 16 * 1024;
char line_text[line_max];
volatile std::sig_atomic_t line_size = 0;
struct sigaction handler_before {};

detail::system_mutex speakers;
bool is_spoken_for = false;  // guarded by speakers

void write_line(int number) {
  (void)!detail::kernel::write(STDERR_FILENO, line_text, static_cast<std::size_t>(line_size));
  ::sigaction(number, &handler_before, nullptr);
  (void)std::raise(number);  // comes when this handler has returned
}

}  // namespace

abort_line::abort_line() {
  const detail::system_guard held(speakers);
  if (is_spoken_for) return;
  is_spoken_for = speaks_ = true;
  line_size = 0;
  struct sigaction action {};
  action.sa_handler = &write_line;
  ::sigaction(SIGABRT, &action, &handler_before);
}

abort_line::~abort_line() {
  if (!speaks_) return;
  const detail::system_guard held(speakers);
  is_spoken_for = false;
  ::sigaction(SIGABRT, &handler_before, nullptr);
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
