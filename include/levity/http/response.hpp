#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "levity/http/field_lines.hpp"
#include "levity/http/status.hpp"

namespace levity::inline v0::http {

/// An answer in the making. Meant to be reused: clear() keeps its memory, so that answering allocates nothing in steady state.
/// Framing (Content-Length, Transfer-Encoding, Connection) and Date belong to the connection: it adds them itself.
class response {
public:
  /// 200, no fields, no body; keeps memory.
  void clear() noexcept;

  /// The status as it is set; 200 from the start.
  [[nodiscard]] http::status status() const noexcept { return status_; }
  /// Sets the status line's code.
  void set_status(http::status which) noexcept { status_ = which; }

  /// Sets a field, in the place of all fields of that name. False, and nothing changed, when the name is not a token or the
  /// value has CR, LF, NUL or another control character (somebody tries to smuggle in a field), or when the field is one
  /// that the connection writes itself.
  bool set(std::string_view name, std::string_view value) { return fields_.set(name, value); }
  /// The same, beside the fields of that name: for Set-Cookie.
  bool add(std::string_view name, std::string_view value) { return fields_.add(name, value); }
  /// Removes all fields of that name.
  void remove(std::string_view name) noexcept { fields_.remove(name); }
  /// The value of the first field of that name; valid until the next change of a field.
  [[nodiscard]] std::optional<std::string_view> find(std::string_view name) const noexcept { return fields_.find(name); }
  /// All fields as they go over the wire, each line with its CRLF.
  [[nodiscard]] std::string_view field_lines() const noexcept { return fields_.text(); }

  /// Copies the body into memory that is reused.
  void set_body(std::string_view bytes);
  /// The body is somebody else's memory, which must live until the answer was written. No copy.
  void set_body_view(std::string_view bytes) noexcept;
  /// The memory that is reused, emptied, to write a body into; it is the body from here on.
  [[nodiscard]] std::string& body_buffer() noexcept;
  /// The body as it is set; valid until the next change of it.
  [[nodiscard]] std::string_view body() const noexcept { return viewed_ ? view_ : std::string_view(own_); }

  /// Ends the connection after this answer.
  void close() noexcept { close_ = true; }
  /// Whether close() was called.
  [[nodiscard]] bool closes() const noexcept { return close_; }

  /// Frees the memory that clear() keeps.
  void release() noexcept;

private:
  http::field_lines fields_;
  std::string own_;
  std::string_view view_;
  http::status status_ = http::status::ok;
  bool viewed_ = false;
  bool close_ = false;
};

}  // namespace levity::http
