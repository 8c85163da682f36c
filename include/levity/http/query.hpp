#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace levity::inline v0::http {

/// Whether `+` stands for a blank: yes in a query that a form wrote, no in a path.
enum class plus : bool { is_plus, is_blank };

/// Appends `text` with its %XX decoded to `out`. False, and `out` as it was, when a `%` is not followed by two hexadecimal
/// digits or stands for NUL. Allocates only when `out` must grow.
[[nodiscard]] bool percent_decode(std::string_view text, std::string& out, plus reading = plus::is_plus);

/// One `name=value` of a query, still encoded; a piece without `=` has an empty value.
struct query_pair {
  std::string_view name;   ///< before the first `=`
  std::string_view value;  ///< after it

  friend bool operator==(const query_pair&, const query_pair&) = default;
};

/// The pairs of a query in order; empty pieces ("a=1&&b=2") are skipped. A view: `query` must outlive it.
class query_pairs {
public:
  /// The pairs of `query`, the part of a target behind its `?`.
  explicit constexpr query_pairs(std::string_view query) noexcept : query_(query) {}

  /// A place in the range; an input iterator that cuts the next pair out when it is advanced.
  class iterator {
  public:
    using value_type = query_pair;
    using difference_type = std::ptrdiff_t;

    iterator() = default;
    explicit iterator(std::string_view rest) noexcept : rest_(rest) { ++*this; }

    const query_pair& operator*() const noexcept { return pair_; }
    const query_pair* operator->() const noexcept { return &pair_; }
    iterator& operator++() noexcept;
    void operator++(int) noexcept { ++*this; }
    friend bool operator==(const iterator& at, std::nullptr_t) noexcept { return at.ended_; }

  private:
    std::string_view rest_;
    query_pair pair_;
    bool ended_ = false;
  };

  /// The first pair.
  [[nodiscard]] iterator begin() const noexcept { return iterator(query_); }
  /// The end: iterators compare equal to it.
  [[nodiscard]] static std::nullptr_t end() noexcept { return nullptr; }

private:
  std::string_view query_;
};

/// The still encoded value of the first pair with that name. Names are compared as they are written.
[[nodiscard]] std::optional<std::string_view> query_value(std::string_view query, std::string_view name) noexcept;

}  // namespace levity::http
