#pragma once

// reply_reader: bytes of a server become values, however they are cut.
//
// Why our own: hiredis 0.14, which Debian 12 has, knows RESP2 alone; and its reader copies what it is fed into a buffer of its own
// before it looks at it. This one looks at the bytes where they were received and copies what becomes a value, once.
//
//   state          what comes next                                   leaves it
//   line           a type and the rest of its line, up to CR LF      a whole line was read
//   bulk           so many bytes of a text, and CR LF                the last of them came
//   broken         nothing: the peer has broken the protocol         never
//
// Values that are not complete are on a stack, outermost first. A complete value goes into the one below it, or is the reply. What
// a
// `|` line announces is such a value, too, but it counts as no element: it waits in `about` for the value that follows.
//
// Strict: a line ends with CR LF and holds neither; numbers are decimal and fit; a verbatim text has its format; no length is
// unknown in advance (the streamed types of RESP3, which no server sends). Bounded: what the values take is charged before it is
// taken, by reply_limits::bytes_max, each element by its own size, so that a short line cannot ask for much; depth; lines.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "levity/io/byte_view.hpp"
#include "levity/redis/options.hpp"
#include "levity/redis/value.hpp"

namespace levity::inline v0::redis::detail {

class reply_reader {
public:
  enum class verdict : std::uint8_t {
    needs_more,  // all bytes were consumed, and no value is complete
    complete,    // take() it; bytes may be left
    broken,      // why() says what was wrong; there is no way on
  };

  explicit reply_reader(const reply_limits& bounds = {}) noexcept : bounds_(bounds) {}

  /// Goes on with `bytes`, and takes those that it has consumed off their front. Throws std::bad_alloc.
  verdict feed(byte_view& bytes);
  /// The value that is complete.
  [[nodiscard]] value take() noexcept;
  /// Nothing of a next value has come.
  [[nodiscard]] bool is_idle() const noexcept { return state_ == state::line && open_.empty() && line_.empty() && about_.empty(); }
  /// A literal.
  [[nodiscard]] const char* why() const noexcept { return why_; }

private:
  enum class state : std::uint8_t { line, bulk, broken };
  struct aggregate {
    value_kind kind;
    bool is_attribute;
    std::size_t left;
    std::vector<value> elements;
    std::vector<value> about;  // attributes of the next element
  };

  verdict feed_line(byte_view& bytes);
  verdict feed_bulk(byte_view& bytes);
  verdict read_line(std::string_view line);
  verdict begin_bulk(char type, std::string_view length);
  verdict begin_aggregate(char type, std::string_view length);
  verdict complete_text();
  verdict add(value one);
  verdict break_off(const char* why) noexcept;
  bool charge(std::size_t bytes) noexcept;

  const reply_limits bounds_;
  state state_ = state::line;
  char bulk_type_ = 0;
  std::size_t bulk_left_ = 0;  // with the CR LF behind it
  std::size_t charged_ = 0;
  const char* why_ = "";
  std::string line_;  // the part of a line that came in an earlier piece
  std::string bulk_;
  std::vector<aggregate> open_;
  std::vector<value> about_;  // attributes of the reply
  value done_;
};

}  // namespace levity::redis::detail
