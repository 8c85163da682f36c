#pragma once

// duration_table: the histograms of one client or one server.
//
// A series is found by a number of 64 bits made of its attributes: who (a server's address, a route), method, status, error.
// Strings are looked at once, when a `who` gets its number. The table is open-addressed and never shrinks; when it holds
// series_max, what is new goes to one series that says so, so a peer that invents hosts or statuses costs no more memory.
//
//   sum of all buckets == requests recorded
//
// Guarded by a lock that is held for one look-up and one addition; the memory of a new series is made outside of it.

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "levity/base/clock.hpp"
#include "levity/base/spin_lock.hpp"
#include "levity/http/durations.hpp"

namespace levity::inline v0::http::detail {

class duration_table {
public:
  using who = std::uint32_t;
  static constexpr std::size_t series_max = 1000;
  static constexpr std::size_t who_max = 500;
  // Nobody in particular: a request without route. The last number is for all that came too late to get one.
  static constexpr who nobody = 0;

  duration_table();

  // A number for an address or a route; `address` and `port` or `route` appear in the series. Allocates. When there are
  // who_max, the number of the overflow.
  who introduce(std::string_view address, std::uint16_t port, std::string_view route);

  // Counts one. `error` is a literal or empty. Allocates when the series is new; what does not fit goes to the overflow.
  void record(who whose, method which, unsigned status, std::string_view error, duration took) noexcept;

  [[nodiscard]] std::vector<duration_series> look() const;

private:
  struct name {
    std::string address;
    std::uint16_t port = 0;
    std::string route;
  };
  struct series {
    std::uint64_t key;
    who whose;
    method which;
    std::uint16_t status;
    std::string_view error;
    std::array<std::uint64_t, duration_bounds.size() + 1> buckets{};
    std::uint64_t count = 0;
    std::int64_t sum_ns = 0;
  };
  static constexpr std::size_t places = 2048;
  static_assert(places > series_max && (places & (places - 1)) == 0);
  static constexpr std::uint64_t overflow_key = ~std::uint64_t{0};

  static void add(series& to, duration took) noexcept;
  // Where the key is, or the free place where it would be. Under the lock.
  std::unique_ptr<series>& find(std::uint64_t key) noexcept;

  mutable levity::detail::spin_lock lock_;
  std::vector<name> names_;                              // guarded by lock_; room for all from the start
  std::unique_ptr<std::unique_ptr<series>[]> table_;     // guarded by lock_
  std::size_t count_ = 0;                                // guarded by lock_
  series overflow_{overflow_key, nobody, method::get, 0, {}};  // guarded by lock_
};

}  // namespace levity::http::detail
