#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string_view>

namespace levity::inline v0::http {

/// The methods that levity knows; a request with any other is answered 501 before a handler sees it.
enum class method : std::uint8_t { get, head, post, put, delete_, connect, options, trace, patch };

/// How many methods there are, for tables with a place for each.
inline constexpr std::size_t method_count = 9;

/// The method as it stands on the wire. Never empty.
[[nodiscard]] std::string_view to_string(method which) noexcept;

/// The method of that name; names are case-sensitive ("get" is none).
[[nodiscard]] std::optional<method> method_from(std::string_view text) noexcept;

/// A set of methods, as in an Allow field. A value of two bytes.
class method_set {
public:
  constexpr method_set() = default;
  /// The set of those.
  constexpr method_set(std::initializer_list<method> methods) {
    for (const method which : methods) insert(which);
  }

  /// Puts one method, or all of another set, in. Idempotent.
  constexpr void insert(method which) noexcept { bits_ = static_cast<std::uint16_t>(bits_ | bit(which)); }
  constexpr void insert(method_set others) noexcept { bits_ = static_cast<std::uint16_t>(bits_ | others.bits_); }
  /// Whether it is in.
  [[nodiscard]] constexpr bool contains(method which) const noexcept { return (bits_ & bit(which)) != 0; }
  /// Whether none is in.
  [[nodiscard]] constexpr bool empty() const noexcept { return bits_ == 0; }
  friend constexpr bool operator==(method_set, method_set) = default;

private:
  static constexpr std::uint16_t bit(method which) noexcept {
    return static_cast<std::uint16_t>(1u << static_cast<unsigned>(which));
  }

  std::uint16_t bits_ = 0;
};

/// The value of an Allow field, in a fixed order: "GET, HEAD, POST". Holds its own bytes.
class allow_text {
public:
  /// Writes the names of `methods` into its own bytes.
  explicit allow_text(method_set methods) noexcept;
  /// The text; valid as long as this.
  [[nodiscard]] std::string_view view() const noexcept { return {text_.data(), size_}; }

private:
  std::array<char, 80> text_{};
  std::size_t size_ = 0;
};

}  // namespace levity::http
