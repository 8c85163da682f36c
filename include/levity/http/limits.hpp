#pragma once

#include <cstddef>
#include <cstdint>

namespace levity::inline v0::http {

/// What one message may weigh. A request beyond a limit is refused with the status named here; an answer is not read further.
struct limits {
  std::size_t head_bytes = 64 * 1024;             ///< first line and fields; 431
  std::size_t fields = 100;                       ///< header fields, and trailer fields by themselves; 431
  std::size_t target_bytes = 8 * 1024;            ///< the request target; 414
  std::uint64_t body_bytes = 1024 * 1024;         ///< the body without its chunk framing; 413
  std::size_t trailer_bytes = 8 * 1024;           ///< all trailer fields of a chunked body; 431
  std::size_t chunk_line_bytes = 256;             ///< one chunk size with its extensions; 400
  std::size_t chunk_extension_bytes = 16 * 1024;  ///< all chunk extensions of a body; 400
  std::size_t interim_answers = 8;                ///< 1xx before an answer; of clients alone
};

}  // namespace levity::http
