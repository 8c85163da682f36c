#pragma once

// What settings a program has, said once: name, type, default, unit, bounds, meaning. Parsing, checking, help and printing follow
// from it.
//
//     struct settings {
//       std::string listen = "127.0.0.1:8080";
//       lv::duration timeout = 2s;
//       std::string token;
//     };
//     const auto described = lv::service::config_description<settings>("orders", "takes orders")
//         .field("listen", &settings::listen, {.doc = "where it listens"})
//         .field("timeout", &settings::timeout, {.doc = "for one order", .min = 1ms, .max = 1min, .run_time = true})
//         .field("token", &settings::token, {.doc = "for the stock's API", .secret = true});
//
// The default is what a new object of the type has.

#include <cstdint>
#include <expected>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "levity/base/assert.hpp"
#include "levity/base/clock.hpp"
#include "levity/service/quantity.hpp"

namespace levity::inline v0::service {

/// What is said of a field beside its name and type.
template <class M>
struct field_options {
  std::string doc{};               ///< what it is, for --help
  std::string unit{};              ///< of a number: "connections"
  std::optional<M> min{};          ///< the least value that is accepted
  std::optional<M> max{};          ///< the greatest
  bool secret = false;             ///< never printed, and no flag: a command line is seen by everybody on the machine
  bool run_time = false;           ///< may change while the program runs
  std::expected<void, std::string> (*check)(const M&) = nullptr;  ///< what else must hold; the error is a sentence
};

namespace detail {

template <class T>
using parsed = std::expected<T, std::string>;

// What a TOML value must be.
enum class config_shape : std::uint8_t { text, whole, real, boolean, list };

// One setting, its type forgotten. `whole` is the object that holds it.
struct config_field {
  std::string name;  // dotted
  std::string type;  // for people
  std::string doc, unit, bounds;
  config_shape shape = config_shape::text;
  bool secret = false;
  bool run_time = false;
  std::function<parsed<void>(void* whole, std::span<const std::string> values)> parse;
  std::function<std::string(const void* whole)> show;  // as TOML
  std::function<void(void* to, const void* from)> copy;
  std::function<bool(const void* a, const void* b)> equal;
};

parsed<bool> parse_boolean(std::string_view text);
parsed<std::int64_t> parse_signed(std::string_view text);
parsed<std::uint64_t> parse_unsigned(std::string_view text);
parsed<double> parse_real(std::string_view text);
std::string toml_quoted(std::string_view text);
std::string toml_real(double value);
std::string toml_list(std::span<const std::string> values);
std::string not_between(const std::string& value, const std::string* least, const std::string* most);

template <class M>
struct config_codec;

template <>
struct config_codec<bool> {
  static constexpr config_shape shape = config_shape::boolean;
  static std::string type() { return "true or false"; }
  static parsed<bool> parse(std::string_view text) { return parse_boolean(text); }
  static std::string show(bool value) { return value ? "true" : "false"; }
};

template <class M>
  requires std::is_integral_v<M>
struct config_codec<M> {
  static constexpr config_shape shape = config_shape::whole;
  static std::string type() { return "whole number"; }
  static parsed<M> parse(std::string_view text) {
    if constexpr (std::is_signed_v<M>) {
      return narrow(parse_signed(text));
    } else {
      return narrow(parse_unsigned(text));
    }
  }
  static std::string show(M value) { return std::to_string(value); }

private:
  template <class Wide>
  static parsed<M> narrow(const parsed<Wide>& read) {
    if (!read) return std::unexpected(read.error());
    const std::string least = std::to_string(std::numeric_limits<M>::min()), most = std::to_string(std::numeric_limits<M>::max());
    if (!std::in_range<M>(*read)) return std::unexpected(not_between(std::to_string(*read), &least, &most));
    return static_cast<M>(*read);
  }
};

template <>
struct config_codec<double> {
  static constexpr config_shape shape = config_shape::real;
  static std::string type() { return "number"; }
  static parsed<double> parse(std::string_view text) { return parse_real(text); }
  static std::string show(double value) { return toml_real(value); }
};

template <>
struct config_codec<std::string> {
  static constexpr config_shape shape = config_shape::text;
  static std::string type() { return "text"; }
  static parsed<std::string> parse(std::string_view text) { return std::string(text); }
  static std::string show(const std::string& value) { return toml_quoted(value); }
};

template <>
struct config_codec<duration> {
  static constexpr config_shape shape = config_shape::text;
  static std::string type() { return "duration"; }
  static parsed<duration> parse(std::string_view text) { return parse_duration(text); }
  static std::string show(duration value) { return toml_quoted(to_text(value)); }
};

template <>
struct config_codec<byte_size> {
  static constexpr config_shape shape = config_shape::text;
  static std::string type() { return "size"; }
  static parsed<byte_size> parse(std::string_view text) { return parse_byte_size(text); }
  static std::string show(byte_size value) { return toml_quoted(to_text(value)); }
};

template <>
struct config_codec<std::vector<std::string>> {
  static constexpr config_shape shape = config_shape::list;
  static std::string type() { return "list of texts"; }
  static std::string show(const std::vector<std::string>& value) { return toml_list(value); }
};

// What --help calls a value, and what a sentence about bounds does: without quotes.
std::string plain(std::string toml);
std::string bounds_text(const std::string* least, const std::string* most);

template <class M>
parsed<M> within(parsed<M> read, const field_options<M>& options) {
  if constexpr (config_codec<M>::shape != config_shape::list && !std::is_same_v<M, bool>) {
    if (!read) return read;
    const auto show = [](const std::optional<M>& bound) { return bound ? plain(config_codec<M>::show(*bound)) : std::string(); };
    const std::string least = show(options.min), most = show(options.max);
    if ((options.min && *read < *options.min) || (options.max && *read > *options.max)) {
      return std::unexpected(not_between(plain(config_codec<M>::show(*read)), options.min ? &least : nullptr,
                                         options.max ? &most : nullptr));
    }
  }
  if (read && options.check != nullptr) {
    if (auto good = options.check(*read); !good) return std::unexpected(std::move(good.error()));
  }
  return read;
}

}  // namespace detail

/// The settings of a program as fields of a plain struct T, which can be default-constructed and copied. Made at the start, read by
/// any thread after. Names are words of a-z, 0-9 and _, unique; asserted.
template <class T>
class config_description {
public:
  /// The program's name and, in one line, what it does; for --help. Parts that are sections of another need neither.
  explicit config_description(std::string program = {}, std::string summary = {})
      : program_(std::move(program)), summary_(std::move(summary)) {}

  /// A field of type bool, any integer, double, std::string, duration, byte_size or std::vector<std::string>.
  template <class M>
  config_description& field(std::string name, M T::*member, field_options<std::type_identity_t<M>> options = {}) {
    using codec = detail::config_codec<M>;
    detail::config_field made = describe(std::move(name), codec::type(), codec::shape, member, options);
    made.parse = [member, options](void* whole, std::span<const std::string> values) -> detail::parsed<void> {
      if constexpr (codec::shape == detail::config_shape::list) {
        return put(static_cast<T*>(whole)->*member,
                   detail::within<M>(std::vector<std::string>(values.begin(), values.end()), options));
      } else {
        return put(static_cast<T*>(whole)->*member, detail::within<M>(codec::parse(values[0]), options));
      }
    };
    made.show = [member](const void* whole) { return codec::show(static_cast<const T*>(whole)->*member); };
    if constexpr (codec::shape != detail::config_shape::list && !std::is_same_v<M, bool>) {
      const std::string least = options.min ? detail::plain(codec::show(*options.min)) : std::string();
      const std::string most = options.max ? detail::plain(codec::show(*options.max)) : std::string();
      made.bounds = detail::bounds_text(options.min ? &least : nullptr, options.max ? &most : nullptr);
    }
    return add(std::move(made));
  }

  /// A field that is one of several values, each with its name.
  template <class M>
  config_description& choice(std::string name, M T::*member, std::vector<std::pair<std::string, std::type_identity_t<M>>> names,
                             field_options<std::type_identity_t<M>> options = {}) {
    std::string all;
    for (const auto& each : names) all += (all.empty() ? "" : ", ") + each.first;
    detail::config_field made = describe(std::move(name), "one of " + all, detail::config_shape::text, member, options);
    made.parse = [member, names, all](void* whole, std::span<const std::string> values) -> detail::parsed<void> {
      for (const auto& each : names) {
        if (each.first != values[0]) continue;
        static_cast<T*>(whole)->*member = each.second;
        return {};
      }
      return std::unexpected(detail::toml_quoted(values[0]) + " is none of " + all);
    };
    made.show = [member, names](const void* whole) {
      for (const auto& each : names) {
        if (each.second == static_cast<const T*>(whole)->*member) return detail::toml_quoted(each.first);
      }
      return std::string("\"\"");
    };
    return add(std::move(made));
  }

  /// The fields of a part, which is described on its own; their names get `name.` in front.
  template <class S>
  config_description& section(const std::string& name, S T::*member, const config_description<S>& of) {
    for (detail::config_field each : of.fields()) {
      each.name = name + "." + each.name;
      each.parse = [member, inner = std::move(each.parse)](void* whole, std::span<const std::string> values) {
        return inner(&(static_cast<T*>(whole)->*member), values);
      };
      each.show = [member, inner = std::move(each.show)](const void* whole) {
        return inner(&(static_cast<const T*>(whole)->*member));
      };
      each.copy = [member, inner = std::move(each.copy)](void* to, const void* from) {
        inner(&(static_cast<T*>(to)->*member), &(static_cast<const T*>(from)->*member));
      };
      each.equal = [member, inner = std::move(each.equal)](const void* a, const void* b) {
        return inner(&(static_cast<const T*>(a)->*member), &(static_cast<const T*>(b)->*member));
      };
      add(std::move(each));
    }
    return *this;
  }

  /// What must hold between fields; the error is a sentence. The last one said counts.
  config_description& check(std::function<std::expected<void, std::string>(const T&)> all) {
    check_ = std::move(all);
    return *this;
  }

  /// Not for users.
  [[nodiscard]] const std::vector<detail::config_field>& fields() const noexcept { return fields_; }
  /// Whether the whole is in order.
  [[nodiscard]] std::expected<void, std::string> judge(const T& whole) const {
    return check_ ? check_(whole) : std::expected<void, std::string>{};
  }
  /// As it was given.
  [[nodiscard]] const std::string& program() const noexcept { return program_; }
  /// As it was given.
  [[nodiscard]] const std::string& summary() const noexcept { return summary_; }

private:
  template <class M>
  static detail::parsed<void> put(M& into, detail::parsed<M> read) {
    if (!read) return std::unexpected(std::move(read.error()));
    into = std::move(*read);
    return {};
  }

  template <class M>
  static detail::config_field describe(std::string name, std::string type, detail::config_shape shape, M T::*member,
                                       const field_options<M>& options) {
    detail::config_field made;
    made.name = std::move(name);
    made.type = std::move(type);
    made.shape = shape;
    made.doc = options.doc;
    made.unit = options.unit;
    made.secret = options.secret;
    made.run_time = options.run_time;
    made.copy = [member](void* to, const void* from) { static_cast<T*>(to)->*member = static_cast<const T*>(from)->*member; };
    made.equal = [member](const void* a, const void* b) {
      return static_cast<const T*>(a)->*member == static_cast<const T*>(b)->*member;
    };
    return made;
  }

  config_description& add(detail::config_field made) {
    for (const detail::config_field& each : fields_) LEVITY_ASSERT(each.name != made.name, "a setting is described once");
    fields_.push_back(std::move(made));
    return *this;
  }

  std::string program_, summary_;
  std::vector<detail::config_field> fields_;
  std::function<std::expected<void, std::string>(const T&)> check_;
};

}  // namespace levity::service
