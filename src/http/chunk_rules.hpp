#pragma once

// The rules for the lines between the chunks of a body (RFC 9112 7.1), byte by byte.
//
// Why: llhttp in its default build takes a lone LF or CR, blanks behind a size and extensions without end. A size that
// two readers understand differently moves the end of the message, so only one spelling is let through: hexadecimal
// digits, nothing or `;` and visible text, CR LF; then the data and CR LF.
//
// State      moved by
//   size  -> extension   `;` behind at least one digit
//   size, extension -> size_end   CR
//   size_end -> data     LF, size above 0
//   size_end -> last     LF, size 0: trailer fields follow, which are not judged here
//   data  -> data_cr     all bytes of the chunk
//   data_cr -> data_lf   CR
//   data_lf -> size      LF

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "levity/http/limits.hpp"
#include "levity/http/refusal.hpp"

namespace levity::inline v0::http::detail {

class chunk_rules {
public:
  void begin(const limits& bounds, std::uint64_t body_bytes_max) noexcept;

  // How many bytes at the front of `text` are in order. Stops at the end of a line, of a chunk's data, of `text`, around
  // extensions, and before the first byte that is refused; why() tells which, last() whether the lines are over.
  [[nodiscard]] std::size_t step(std::string_view text) noexcept;

  // Whether the last step was over an extension. It means nothing to anybody here, so the other reader is spared it.
  [[nodiscard]] bool was_extension() const noexcept { return was_extension_; }

  [[nodiscard]] refusal why() const noexcept { return why_; }
  [[nodiscard]] bool last() const noexcept { return state_ == state::last; }
  // All sizes that were announced so far.
  [[nodiscard]] std::uint64_t body_bytes() const noexcept { return body_bytes_; }

private:
  enum class state : std::uint8_t { size, extension, size_end, data, data_cr, data_lf, last };

  [[nodiscard]] refusal take(char c) noexcept;
  [[nodiscard]] refusal size_known() noexcept;

  const limits* limits_ = nullptr;
  std::uint64_t body_bytes_max_ = 0;
  std::uint64_t body_bytes_ = 0;
  std::uint64_t chunk_ = 0;  // size of the chunk, then what is left of it
  std::size_t line_bytes_ = 0;
  std::size_t extension_bytes_ = 0;
  std::uint8_t digits_ = 0;
  state state_ = state::size;
  bool was_extension_ = false;
  refusal why_ = refusal::none;
};

}  // namespace levity::http::detail
