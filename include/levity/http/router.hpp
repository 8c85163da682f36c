#pragma once

// Which route a request takes. Pure: routes are numbers, what they mean is the caller's business.
//
// Routes lie in a tree of path segments. A request walks it from the left; at each segment the literal child is tried before
// the parameter, so "/orders/latest" beats "/orders/{id}" no matter which was added first, and the first difference from
// the left decides between two patterns that both match. A path that matches without its method is still looked for
// elsewhere: 405 means that no matching route has the method. Each node is visited at most once per match.
//
// Segments are compared as they are on the wire, still encoded: "/a%2Fb" is one segment, and "/%6frders" is not "/orders". Values
// are decoded after that, by route_match::decode(), as a server does: so what was one segment stays one value.

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "levity/http/method.hpp"

namespace levity::inline v0::http {

/// One `{name}` of a pattern and what stands there in the path; never empty.
struct path_parameter {
  std::string_view name;   ///< as in the pattern, without braces
  std::string_view value;  ///< for a handler of a server decoded; as router::match() gives it, as in the path
};

/// What a router says about a request. The names are views into the router, the values into the path, or what decode() was given.
/// What a handler gets is decoded: of "/files/a%2Fb" the value is "a/b", any bytes but NUL. It may be "..": look before it becomes
/// part of a path or URL.
class route_match {
public:
  /// The most parameters that one pattern may have; a longer one is refused by router::add().
  static constexpr std::size_t parameters_max = 8;

  /// What became of the search.
  enum class outcome : std::uint8_t {
    found,               ///< a route matches path and method
    not_found,           ///< no route matches the path; 404
    method_not_allowed,  ///< routes match the path, none of them has the method; 405
  };

  /// What became of the search.
  [[nodiscard]] outcome kind() const noexcept { return kind_; }
  /// Whether a route was found.
  explicit operator bool() const noexcept { return kind_ == outcome::found; }
  /// The number that was given to the route; only when found.
  [[nodiscard]] std::size_t route() const noexcept { return route_; }
  /// All parameters, in the order of the path.
  [[nodiscard]] std::span<const path_parameter> parameters() const noexcept { return {parameters_.data(), count_}; }
  /// The value of that parameter; empty when the pattern has none of that name.
  [[nodiscard]] std::string_view parameter(std::string_view name) const noexcept;
  /// Decodes the values, once, into `kept`, which is overwritten and must stay as it is while they are read. False, and the values
  /// as they were, when one has a `%` without two hexadecimal digits behind it, or %00. Allocates only when `kept` must grow.
  [[nodiscard]] bool decode(std::string& kept);
  /// What a 405 must name in Allow; empty unless method_not_allowed.
  [[nodiscard]] method_set allowed() const noexcept { return allowed_; }

private:
  friend class router;

  outcome kind_ = outcome::not_found;
  method_set allowed_;
  std::uint8_t count_ = 0;
  std::size_t route_ = 0;
  std::array<path_parameter, parameters_max> parameters_{};
};

/// A table of routes. Adding is for the start of a program; match() may be called by any number of threads once nobody adds.
class router {
public:
  router();
  router(router&&) noexcept;
  router& operator=(router&&) noexcept;
  ~router();

  /// Adds a route: `pattern` begins with `/`, its segments are literals or `{name}` ("/orders/{id}/items"). The error is a
  /// sentence: the pattern cannot be read, or a route with the same method and shape is there already.
  [[nodiscard]] std::expected<void, std::string> add(method which, std::string_view pattern, std::size_t route);

  /// The route of a request. HEAD takes the GET route where it has none of its own. Allocates nothing; O(segments) for
  /// routes without overlapping patterns.
  [[nodiscard]] route_match match(method which, std::string_view path) const noexcept;

  /// How many routes there are.
  [[nodiscard]] std::size_t size() const noexcept { return count_; }

private:
  struct node;
  struct walk;

  std::unique_ptr<node> root_;
  std::size_t count_ = 0;
};

}  // namespace levity::http
