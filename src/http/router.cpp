#include "levity/http/router.hpp"

#include <algorithm>

#include "http/char_class.hpp"
#include "levity/http/field.hpp"
#include "levity/http/query.hpp"

namespace levity::inline v0::http {

namespace {

constexpr std::size_t no_route = static_cast<std::size_t>(-1);

// The segment at the front of `rest`, which is taken off together with its slash. "/a/b" -> "a", "/b".
std::string_view take_segment(std::string_view& rest) noexcept {
  const std::string_view behind_slash = rest.substr(1);
  const std::size_t end = std::min(behind_slash.find('/'), behind_slash.size());
  rest = behind_slash.substr(end);
  return behind_slash.substr(0, end);
}

std::unexpected<std::string> bad_pattern(std::string_view pattern, std::string_view why) {
  return std::unexpected("the pattern \"" + std::string(pattern) + "\" " + std::string(why));
}

}  // namespace

struct router::node {
  // A route that ends here.
  struct leaf {
    std::size_t route = no_route;
    std::string pattern;
    std::vector<std::string> names;
  };
  struct child {
    std::string segment;
    std::unique_ptr<node> below;
  };

  std::vector<child> literals;
  std::unique_ptr<node> parameter;
  std::array<std::unique_ptr<leaf>, method_count> leaves;
  method_set methods;  // with HEAD where GET is

  [[nodiscard]] const node* literal(std::string_view segment) const noexcept {
    for (const child& each : literals) {
      if (each.segment == segment) return each.below.get();
    }
    return nullptr;
  }

  [[nodiscard]] const leaf* leaf_for(method which) const noexcept {
    const auto* found = leaves[static_cast<std::size_t>(which)].get();
    if (found == nullptr && which == method::head) found = leaves[static_cast<std::size_t>(method::get)].get();
    return found;
  }
};

struct router::walk {
  method wanted;
  std::array<std::string_view, route_match::parameters_max> values{};
  std::size_t count = 0;
  method_set methods{};
  const node::leaf* found = nullptr;

  // Depth is bounded by the patterns: the tree has no node below the longest of them.
  bool descend(const node& here, std::string_view rest) noexcept {
    if (rest.empty()) {
      methods.insert(here.methods);
      found = here.leaf_for(wanted);
      return found != nullptr;
    }
    const std::string_view segment = take_segment(rest);
    if (const node* below = here.literal(segment); below != nullptr && descend(*below, rest)) return true;
    if (here.parameter == nullptr || segment.empty()) return false;
    values[count++] = segment;
    if (descend(*here.parameter, rest)) return true;
    --count;
    return false;
  }
};

router::router() : root_(std::make_unique<node>()) {}
router::router(router&&) noexcept = default;
router& router::operator=(router&&) noexcept = default;
router::~router() = default;

std::string_view route_match::parameter(std::string_view name) const noexcept {
  for (const path_parameter& each : parameters()) {
    if (each.name == name) return each.value;
  }
  return {};
}

bool route_match::decode(std::string& kept) {
  const std::span<path_parameter> values{parameters_.data(), count_};
  const auto is_encoded = [](const path_parameter& each) { return each.value.find('%') != std::string_view::npos; };
  std::size_t size = 0;
  for (const path_parameter& each : values) size += is_encoded(each) ? each.value.size() : 0;
  kept.clear();
  if (size == 0) return true;
  kept.reserve(size);  // decoded they are no longer, so it does not move any more
  std::array<std::string_view, parameters_max> decoded;
  for (std::size_t i = 0; i < values.size(); i++) {
    decoded[i] = values[i].value;
    if (!is_encoded(values[i])) continue;
    const std::size_t at = kept.size();
    if (!percent_decode(values[i].value, kept)) return false;
    decoded[i] = {kept.data() + at, kept.size() - at};
  }
  for (std::size_t i = 0; i < values.size(); i++) values[i].value = decoded[i];
  return true;
}

std::expected<void, std::string> router::add(method which, std::string_view pattern, std::size_t route) {
  if (!pattern.starts_with('/')) return bad_pattern(pattern, "must begin with \"/\"");
  if (route == no_route) return bad_pattern(pattern, "has the greatest number as its route; that one means none");

  // Read it whole before the tree is touched, so that a refused pattern leaves no trace.
  auto fresh = std::make_unique<node::leaf>();
  fresh->route = route;
  fresh->pattern = pattern;
  std::size_t depth = 0;
  for (std::string_view rest = pattern; !rest.empty();) {
    const std::string_view segment = take_segment(rest);
    if (++depth > 64) return bad_pattern(pattern, "has more than 64 segments; shorten it");
    const bool opens = segment.find('{') != std::string_view::npos;
    if (!opens && segment.find('}') == std::string_view::npos) {
      const bool readable = std::all_of(segment.begin(), segment.end(),
                                        [](char c) { return c == '%' || detail::is(c, detail::path_char); });
      if (!readable) return bad_pattern(pattern, "has a character that no request path has; percent-encode it");
      continue;
    }
    const std::string_view name = segment.size() > 2 ? segment.substr(1, segment.size() - 2) : std::string_view();
    if (!segment.starts_with('{') || !segment.ends_with('}') || !is_token(name)) {
      return bad_pattern(pattern, "has braces that are not a whole segment; write a parameter as \"/{name}\"");
    }
    if (std::find(fresh->names.begin(), fresh->names.end(), name) != fresh->names.end()) {
      return bad_pattern(pattern, "names the parameter \"" + std::string(name) + "\" twice; give each its own name");
    }
    if (fresh->names.size() == route_match::parameters_max) {
      return bad_pattern(pattern, "has more than 8 parameters; shorten it");
    }
    fresh->names.emplace_back(name);
  }

  node* here = root_.get();
  for (std::string_view rest = pattern; !rest.empty();) {
    const std::string_view segment = take_segment(rest);
    if (segment.starts_with('{')) {
      if (here->parameter == nullptr) here->parameter = std::make_unique<node>();
      here = here->parameter.get();
      continue;
    }
    auto found = std::find_if(here->literals.begin(), here->literals.end(),
                              [segment](const node::child& each) { return each.segment == segment; });
    if (found == here->literals.end()) {
      found = here->literals.insert(found, {std::string(segment), std::make_unique<node>()});
    }
    here = found->below.get();
  }
  auto& place = here->leaves[static_cast<std::size_t>(which)];
  if (place != nullptr) {
    return std::unexpected(std::string(to_string(which)) + " \"" + std::string(pattern) +
                           "\" takes the same requests as the route \"" + place->pattern +
                           "\", which was added before; remove one of them");
  }
  place = std::move(fresh);
  here->methods.insert(which);
  if (which == method::get) here->methods.insert(method::head);
  ++count_;
  return {};
}

route_match router::match(method which, std::string_view path) const noexcept {
  route_match result;
  if (!path.starts_with('/')) return result;
  walk search{which};
  if (search.descend(*root_, path)) {
    result.kind_ = route_match::outcome::found;
    result.route_ = search.found->route;
    result.count_ = static_cast<std::uint8_t>(search.count);
    for (std::size_t i = 0; i < search.count; ++i) result.parameters_[i] = {search.found->names[i], search.values[i]};
  } else if (!search.methods.empty()) {
    result.kind_ = route_match::outcome::method_not_allowed;
    result.allowed_ = search.methods;
  }
  return result;
}

}  // namespace levity::http
