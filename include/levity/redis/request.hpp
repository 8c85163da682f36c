#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>

#include "levity/io/byte_view.hpp"

namespace levity::inline v0::redis {

/// What an argument of a command may be: text, bytes, an integer, a floating-point number. No bool and no char: Redis has neither,
/// and "1" or "true" is for the caller to say.
template <class T>
concept argument = std::convertible_to<const T&, std::string_view> || std::convertible_to<const T&, byte_view> ||
                   (std::is_arithmetic_v<T> && !std::same_as<T, bool> && !std::same_as<T, char>);

/// A command with its arguments, encoded as it is sent: an array of texts, each with its length in front, so that no content can be
/// taken for anything else. A value; the arguments are copied.
class request {
public:
  /// A command, such as "SET", with arguments. Throws std::bad_alloc.
  template <argument... Arguments>
  explicit request(std::string_view name, const Arguments&... arguments) : request(name, sizeof...(Arguments)) {
    (add(arguments), ...);
  }

  /// One more argument. Numbers are written in decimal, floating-point ones with as many digits as tell them apart.
  template <argument Argument>
  request& add(const Argument& one) {
    if constexpr (std::convertible_to<const Argument&, std::string_view>) {
      put(std::string_view(one));
    } else if constexpr (std::floating_point<Argument>) {
      put_real(static_cast<double>(one));
    } else if constexpr (std::is_unsigned_v<Argument>) {
      put_unsigned(one);
    } else if constexpr (std::is_integral_v<Argument>) {
      put_signed(one);
    } else {
      const byte_view bytes = one;
      put({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    }
    return *this;
  }

  /// The command's name, as it was given. Lives as long as the request is neither changed nor moved.
  [[nodiscard]] std::string_view name() const noexcept { return word(0); }
  /// The name (0) or an argument, empty where there is none; as name(). O(index).
  [[nodiscard]] std::string_view word(std::size_t index) const noexcept;
  /// The name and all arguments.
  [[nodiscard]] std::size_t words() const noexcept { return words_; }
  /// Bytes to send, at most: the head counts as its longest.
  [[nodiscard]] std::size_t size() const noexcept { return text_.size(); }
  /// What is sent. Lives as long as the request is neither changed nor moved.
  [[nodiscard]] std::string_view encode() noexcept;

private:
  request(std::string_view name, std::size_t arguments);
  void put(std::string_view text);
  void put_real(double number);
  void put_unsigned(std::uint64_t number);
  void put_signed(std::int64_t number);

  std::string text_;  // begins with room for the head, which is written last
  std::uint32_t words_ = 0;
};

}  // namespace levity::redis
