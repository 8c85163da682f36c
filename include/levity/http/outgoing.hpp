#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "levity/base/clock.hpp"
#include "levity/base/error.hpp"
#include "levity/http/field_lines.hpp"
#include "levity/http/method.hpp"
#include "levity/http/url.hpp"
#include "levity/io/byte_view.hpp"
#include "levity/task/task.hpp"

namespace levity::inline v0::http {

/// Gives the next part of a request's body; an empty one ends it. The view stays valid until the next call. An error ends the
/// request, an exception travels through it. Called by one task at a time, which is not the one that sent the request.
using body_source = std::function<task<io_result<byte_view>>()>;

/// A request in the making, for a client. Meant to be reused: clear() keeps its memory. Framing (Content-Length, Transfer-Encoding,
/// Connection) belongs to the client. Not thread-safe, as any value.
class outgoing {
public:
  /// A GET of nowhere; set_url() before it is sent.
  outgoing() = default;
  /// A request of that method to `target`, an absolute URL; what is wrong with it is said when it is sent.
  outgoing(http::method which, std::string_view target) : method_(which) { set_url(target); }

  /// As new; keeps memory.
  void clear() noexcept;

  /// What is asked for. CONNECT is refused when it is sent.
  void set_method(http::method which) noexcept { method_ = which; }
  /// As it is set; GET from the start.
  [[nodiscard]] http::method method() const noexcept { return method_; }
  /// The absolute URL that it goes to.
  void set_url(std::string_view target) { url_ = url::parse(target); }
  void set_url(const url& target) { url_ = target; }
  /// The URL, or the sentence that says what is wrong with it.
  [[nodiscard]] const std::expected<url, std::string>& target() const noexcept { return url_; }

  /// Sets a field, in the place of all fields of that name. False, and nothing changed, when the name is not a token, the value has
  /// a control character, or the field is one that the client writes itself or cannot keep the promise of (Expect, Upgrade, TE).
  /// Host may be set: it then stands in the place of the URL's.
  bool set(std::string_view name, std::string_view value) { return may_be_sent(name) && fields_.set(name, value); }
  /// The same, beside the fields of that name.
  bool add(std::string_view name, std::string_view value) { return may_be_sent(name) && fields_.add(name, value); }
  /// Removes all fields of that name.
  void remove(std::string_view name) noexcept { fields_.remove(name); }
  /// The value of the first field of that name; valid until the next change of a field.
  [[nodiscard]] std::optional<std::string_view> find(std::string_view name) const noexcept { return fields_.find(name); }
  /// All fields.
  [[nodiscard]] const field_lines& fields() const noexcept { return fields_; }

  /// Copies the body into memory that is reused.
  void set_body(std::string_view bytes);
  /// The body is somebody else's memory, which must live until the request has ended. No copy.
  void set_body_view(std::string_view bytes) noexcept;
  /// The body is asked for piece by piece while it is sent: in chunks, or with Content-Length if its length is known. Such a
  /// request is never repeated, not even after a redirect.
  void set_body_source(body_source from, std::optional<std::uint64_t> length = {});
  /// The body will be written by exchange::write(): for client::open() alone. In chunks, or with Content-Length.
  void stream_body(std::optional<std::uint64_t> length = {}) noexcept;
  /// No body, which is also how it begins.
  void drop_body() noexcept;

  /// From the call to the last byte of the answer, redirects and waiting for a connection included; else the client's default. A
  /// nearer deadline around the call counts before it.
  void set_timeout(duration whole) noexcept { timeout_ = whole; }
  /// It may take as long as it takes; a deadline around the call still counts.
  void no_deadline() noexcept { timeout_ = duration::max(); }
  /// How many redirects are followed; else the client's default.
  void set_redirects(unsigned most) noexcept { redirects_ = most; }
  /// How large the answer's body may be where it is read whole; else the client's default.
  void set_answer_max(std::uint64_t bytes) noexcept { answer_max_ = bytes; }

  /// Whether doing it twice is doing it once (RFC 9110 9.2.2): GET, HEAD, PUT, DELETE, OPTIONS, TRACE, and whatever has a field
  /// Idempotency-Key.
  [[nodiscard]] bool idempotent() const noexcept;

  /// Where its body comes from.
  enum class body_kind : std::uint8_t { none, bytes, source, streamed };
  /// What was set last.
  [[nodiscard]] body_kind body_comes_from() const noexcept { return kind_; }
  /// The body's bytes; empty when it is not of that kind.
  [[nodiscard]] std::string_view body() const noexcept { return viewed_ ? view_ : std::string_view(own_); }
  /// Who gives the body; empty when it is not of that kind.
  [[nodiscard]] const body_source& source() const noexcept { return source_; }
  /// How long a body is that is not here yet, if that is known.
  [[nodiscard]] std::optional<std::uint64_t> announced_length() const noexcept { return length_; }
  /// How long it may take, if that was set for this request alone; duration::max(): for ever.
  [[nodiscard]] std::optional<duration> timeout() const noexcept { return timeout_; }
  /// How many redirects may be followed, if that was set.
  [[nodiscard]] std::optional<unsigned> redirects() const noexcept { return redirects_; }
  /// How large its answer's body may be, if that was set.
  [[nodiscard]] std::optional<std::uint64_t> answer_max() const noexcept { return answer_max_; }

private:
  static bool may_be_sent(std::string_view name) noexcept;

  http::method method_ = http::method::get;
  body_kind kind_ = body_kind::none;
  bool viewed_ = false;
  std::expected<url, std::string> url_ = std::unexpected(std::string("no URL was set"));
  field_lines fields_;
  std::string own_;
  std::string_view view_;
  body_source source_;
  std::optional<std::uint64_t> length_;
  std::optional<duration> timeout_;
  std::optional<unsigned> redirects_;
  std::optional<std::uint64_t> answer_max_;
};

}  // namespace levity::http
