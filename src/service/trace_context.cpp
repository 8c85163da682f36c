#include "levity/service/trace_context.hpp"

#include "base/spin_guard.hpp"
#include "levity/base/random_seed.hpp"

namespace levity::inline v0::service {
namespace {

constexpr char digits[] = "0123456789abcdef";

// -1: no lower-case hexadecimal digit.
constexpr int value_of(char c) noexcept {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

// False where a digit is none. `text` has two for each byte.
template <std::size_t size>
bool read_bytes(std::string_view text, std::array<std::uint8_t, size>& into) noexcept {
  int wrong = 0;
  for (std::size_t at = 0; at < size; at++) {
    const int high = value_of(text[2 * at]), low = value_of(text[2 * at + 1]);
    wrong |= high | low;
    into[at] = static_cast<std::uint8_t>((high << 4 | low) & 0xff);
  }
  return wrong >= 0;
}

template <std::size_t size>
bool is_zero(const std::array<std::uint8_t, size>& bytes) noexcept {
  for (const std::uint8_t each : bytes) {
    if (each != 0) return false;
  }
  return true;
}

template <std::size_t size>
std::array<char, 2 * size> text_of(const std::array<std::uint8_t, size>& bytes) noexcept {
  std::array<char, 2 * size> text{};
  for (std::size_t at = 0; at < size; at++) {
    text[2 * at] = digits[bytes[at] >> 4];
    text[2 * at + 1] = digits[bytes[at] & 15];
  }
  return text;
}

// Never all zero.
template <std::size_t size>
void draw(std::array<std::uint8_t, size>& bytes, rng& chance) noexcept {
  do {
    for (std::size_t at = 0; at < size; at += 8) {
      const std::uint64_t word = chance();
      for (std::size_t i = 0; i < 8; i++) bytes[at + i] = static_cast<std::uint8_t>(word >> (8 * i));
    }
  } while (is_zero(bytes));
}

}  // namespace

std::optional<trace_context> trace_context::parse(std::string_view text) noexcept {
  constexpr std::size_t size = 55;
  if (text.size() < size || text[2] != '-' || text[35] != '-' || text[52] != '-') return std::nullopt;
  std::array<std::uint8_t, 1> version{}, flags{};
  trace_context read;
  if (!read_bytes(text.substr(0, 2), version) || !read_bytes(text.substr(3, 32), read.trace) ||
      !read_bytes(text.substr(36, 16), read.span) || !read_bytes(text.substr(53, 2), flags)) {
    return std::nullopt;
  }
  if (version[0] == 0xff || is_zero(read.trace) || is_zero(read.span)) return std::nullopt;
  if (version[0] == 0 ? text.size() != size : text.size() > size && text[size] != '-') return std::nullopt;
  read.flags = version[0] == 0 ? flags[0] : flags[0] & 1;  // what other bits mean there, nobody knows yet
  return read;
}

trace_context trace_context::begin(rng& chance, std::uint8_t flags) noexcept {
  trace_context made;
  draw(made.trace, chance);
  draw(made.span, chance);
  made.flags = flags;
  return made;
}

trace_context trace_context::child(rng& chance) const noexcept {
  trace_context made = *this;
  do draw(made.span, chance);
  while (made.span == span);
  return made;
}

std::array<char, 32> trace_context::trace_text() const noexcept { return text_of(trace); }
std::array<char, 16> trace_context::span_text() const noexcept { return text_of(span); }

std::string trace_context::traceparent() const {
  std::string text = "00-";
  const auto of_trace = trace_text();
  const auto of_span = span_text();
  text.append(of_trace.data(), of_trace.size());
  text += '-';
  text.append(of_span.data(), of_span.size());
  text += '-';
  text += digits[flags >> 4];
  text += digits[flags & 15];
  return text;
}

const task_local<trace_context> current_trace{"trace"};
const task_local<std::string> current_request_id{"request"};

bool is_request_id(std::string_view text) noexcept {
  if (text.empty() || text.size() > 128) return false;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (!plain && std::string_view("-_.:/+=@").find(c) == std::string_view::npos) return false;
  }
  return true;
}

id_source::id_source() : chance_(random_seed()) {}

std::string id_source::request_id() {
  std::array<std::uint8_t, 16> bytes{};
  {
    const levity::detail::spin_guard held(lock_);
    draw(bytes, chance_);
  }
  const auto text = text_of(bytes);
  return {text.data(), text.size()};
}

trace_context id_source::begin_trace(std::uint8_t flags) noexcept {
  const levity::detail::spin_guard held(lock_);
  return trace_context::begin(chance_, flags);
}

trace_context id_source::follow(std::string_view traceparent) noexcept {
  const auto sent = trace_context::parse(traceparent);
  const levity::detail::spin_guard held(lock_);
  return sent ? sent->child(chance_) : trace_context::begin(chance_);
}

}  // namespace levity::service
