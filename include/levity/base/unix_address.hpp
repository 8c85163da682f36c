#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

namespace levity::inline v0 {

/// The name of a Unix socket: a path, an abstract name (one that has no file and goes with its socket), or none. A value;
/// thread-safe as any value.
class unix_address {
public:
  /// What the kernel has room for.
  static constexpr std::size_t name_max = 107;

  /// No name, as of the two ends of a pair.
  unix_address() = default;

  /// "/run/orders.sock" and "orders.sock" are paths, "@orders" is the abstract name "orders". At most name_max bytes after the @,
  /// at least one. The error says what is wrong with the text.
  static std::expected<unix_address, std::string> parse(std::string_view text);
  /// A path, whatever it begins with; it holds no zero byte.
  static std::expected<unix_address, std::string> path(std::string_view text);
  /// An abstract name of any bytes, without the @.
  static std::expected<unix_address, std::string> abstract(std::string_view name);

  /// Whether it is no name.
  [[nodiscard]] bool is_empty() const noexcept { return size_ == 0; }
  /// Whether it is a file's.
  [[nodiscard]] bool is_path() const noexcept { return size_ != 0 && !abstract_; }
  /// Whether it has no file.
  [[nodiscard]] bool is_abstract() const noexcept { return size_ != 0 && abstract_; }
  /// The path, zero-terminated, or the abstract name.
  [[nodiscard]] std::string_view name() const noexcept { return {name_, size_}; }
  /// As parse() reads it, what cannot be printed as "?"; a path that begins with '@' as "./@...".
  [[nodiscard]] std::string to_string() const;

  /// Whether they are the same name of the same kind; paths are compared as text.
  friend bool operator==(const unix_address& a, const unix_address& b) noexcept {
    return a.abstract_ == b.abstract_ && a.name() == b.name();
  }

private:
  static std::expected<unix_address, std::string> make(std::string_view name, bool abstract);

  char name_[name_max + 1]{};
  std::uint8_t size_ = 0;
  bool abstract_ = false;
};

}  // namespace levity
