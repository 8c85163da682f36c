#pragma once

// A request is a set of views. The parser notes where each part lies; the bytes stay where the connection read them, or in
// the parser when a request came in several reads. Nothing is copied to make a request.

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <string_view>
#include <vector>

#include "levity/http/field.hpp"
#include "levity/http/method.hpp"

namespace levity::inline v0::http {

/// The versions of HTTP that a request may have here.
enum class version : std::uint8_t {
  http_1_0,  ///< closes after the answer unless it asked to keep alive
  http_1_1,  ///< keeps the connection unless it asked to close
};

/// "HTTP/1.0" or "HTTP/1.1".
[[nodiscard]] std::string_view to_string(version which) noexcept;

namespace detail {

// A piece of a text that may move as a whole: where it begins, and its size.
struct piece {
  std::uint32_t at = 0;
  std::uint32_t size = 0;

  [[nodiscard]] std::string_view in(const char* text) const noexcept { return {text + at, size}; }
};

struct field_pieces {
  piece name;
  piece value;
};

// What the rules for a head find in it, whichever side sent it.
struct message_head {
  http::version version = http::version::http_1_1;
  bool chunked = false;
  bool keep_alive = true;
  std::optional<std::uint64_t> content_length;
  std::vector<field_pieces> fields;

protected:
  void clear_message() noexcept;
};

struct request_head : message_head {
  http::method method = http::method::get;
  piece target;
  piece path;  // size 0: the root
  piece query;
  piece host;
  bool expect_continue = false;

  void clear() noexcept;
};

struct response_head : message_head {
  std::uint16_t code = 200;
  bool has_body = false;     // with the request's method taken into account
  bool until_close = false;  // the body ends with the connection

  void clear() noexcept;
};

class request_parser;

}  // namespace detail

/// The fields of a message in the order of the wire. A view.
class field_list {
public:
  /// A place in the range. Gives fields by value: views into the message.
  class iterator {
  public:
    using value_type = field;
    using difference_type = std::ptrdiff_t;

    iterator() = default;
    iterator(const char* text, const detail::field_pieces* at) noexcept : text_(text), at_(at) {}
    field operator*() const noexcept { return {at_->name.in(text_), at_->value.in(text_)}; }
    iterator& operator++() noexcept {
      ++at_;
      return *this;
    }
    iterator operator++(int) noexcept { return {text_, at_++}; }
    friend bool operator==(iterator, iterator) = default;

  private:
    const char* text_ = nullptr;
    const detail::field_pieces* at_ = nullptr;
  };

  /// The fields that lie in `text`. Not for users.
  field_list(const char* text, const std::vector<detail::field_pieces>& fields) noexcept
      : text_(text), first_(fields.data()), size_(fields.size()) {}

  /// The first field.
  [[nodiscard]] iterator begin() const noexcept { return {text_, first_}; }
  /// Behind the last one.
  [[nodiscard]] iterator end() const noexcept { return {text_, first_ + size_}; }
  /// How many fields there are; one that was sent twice counts twice.
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  /// Whether there are none.
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  /// The field at `index`, below size(), in the order of the wire.
  [[nodiscard]] field operator[](std::size_t index) const noexcept { return *iterator(text_, first_ + index); }

  /// The value of the first field of that name; case is ignored. O(number of fields).
  [[nodiscard]] std::optional<std::string_view> find(std::string_view name) const noexcept;

private:
  const char* text_;
  const detail::field_pieces* first_;
  std::size_t size_;
};

/// A request that was read and judged. Its views are valid until the handler has returned; not thread-safe, as any value.
///
/// Everything here has passed the rules of the parser: one Host at most, no control characters, a target without
/// fragment, `%` always followed by two hexadecimal digits. Target, path and query are as they were sent, still encoded.
class request {
public:
  /// What is asked for; HEAD stays HEAD.
  [[nodiscard]] http::method method() const noexcept { return head_.method; }
  /// The version of the request line.
  [[nodiscard]] http::version version() const noexcept { return head_.version; }
  /// The target as it was sent: "/orders?after=7", "http://host/orders" or "*".
  [[nodiscard]] std::string_view target() const noexcept { return head_.target.in(text_); }
  /// Begins with `/`, or is `*` for OPTIONS.
  [[nodiscard]] std::string_view path() const noexcept {
    return head_.path.size == 0 ? std::string_view("/") : head_.path.in(text_);
  }
  /// What follows the first `?`, or empty.
  [[nodiscard]] std::string_view query() const noexcept { return head_.query.in(text_); }
  /// Host and port the request is for: from the target if it names one, else the Host field; empty in HTTP/1.0 without.
  [[nodiscard]] std::string_view host() const noexcept { return head_.host.in(text_); }

  /// The header fields, in the order of the wire.
  [[nodiscard]] field_list fields() const noexcept { return {text_, head_.fields}; }
  /// The value of the first field of that name; case is ignored. O(number of fields).
  [[nodiscard]] std::optional<std::string_view> find(std::string_view name) const noexcept { return fields().find(name); }
  /// Fields after a chunked body, without those that must not stand there (framing, routing, credentials, ...).
  [[nodiscard]] field_list trailers() const noexcept { return {trailer_text_, trailers_}; }

  /// The whole body, without chunk framing; empty while the body is streamed.
  [[nodiscard]] std::string_view body() const noexcept { return body_; }
  /// What Content-Length said; none when chunked or without a body.
  [[nodiscard]] std::optional<std::uint64_t> content_length() const noexcept { return head_.content_length; }
  /// Whether the body comes in chunks, without a length said before.
  [[nodiscard]] bool chunked() const noexcept { return head_.chunked; }
  /// Whether a body follows the head.
  [[nodiscard]] bool has_body() const noexcept { return head_.chunked || head_.content_length.value_or(0) > 0; }

  /// Whether the peer wants to send more requests on this connection.
  [[nodiscard]] bool keep_alive() const noexcept { return head_.keep_alive; }
  /// Whether the peer waits for "100 Continue" before it sends the body.
  [[nodiscard]] bool expect_continue() const noexcept { return head_.expect_continue; }

private:
  friend class detail::request_parser;

  const char* text_ = "";
  const char* trailer_text_ = "";
  std::string_view body_;
  detail::request_head head_;
  std::vector<detail::field_pieces> trailers_;
};

}  // namespace levity::http
