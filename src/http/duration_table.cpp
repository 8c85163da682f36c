#include "http/duration_table.hpp"

#include <new>
#include <utility>

namespace levity::inline v0::http::detail {

namespace {

// The literal of an error is told by its address: there are few, and each has one.
std::uint64_t key_of(std::uint32_t whose, method which, unsigned status, std::string_view error) noexcept {
  std::uint64_t error_bits = 0;
  for (const char c : error) error_bits = error_bits * 31 + static_cast<unsigned char>(c);
  return (std::uint64_t{whose} << 40) | (std::uint64_t{static_cast<unsigned>(which)} << 36) |
         (std::uint64_t{status & 0x3ff} << 26) | (error_bits & 0x3ff'ffff);
}

constexpr std::uint64_t spread(std::uint64_t key) noexcept { return (key * 0x9e37'79b9'7f4a'7c15ULL) >> 40; }

}  // namespace

duration_table::duration_table() : table_(std::make_unique<std::unique_ptr<series>[]>(places)) {
  names_.reserve(who_max + 1);
  names_.emplace_back();
}

// Names are only ever appended, into room that was there from the start: those below a size that was read under the lock can be
// looked at without it.
duration_table::who duration_table::introduce(std::string_view address, std::uint16_t port, std::string_view route) {
  name fresh{std::string(address), port, std::string(route)};
  const name* const known = names_.data();
  std::size_t seen = 1;
  for (;;) {
    lock_.lock();
    const std::size_t size = names_.size();
    if (seen == size) {
      if (size <= who_max) names_.push_back(std::move(fresh));
      lock_.unlock();
      return static_cast<who>(size);
    }
    lock_.unlock();
    for (; seen < size; seen++) {
      if (known[seen].port == port && known[seen].address == address && known[seen].route == route) return static_cast<who>(seen);
    }
  }
}

std::unique_ptr<duration_table::series>& duration_table::find(std::uint64_t key) noexcept {
  std::size_t at = spread(key) & (places - 1);
  while (table_[at] != nullptr && table_[at]->key != key) at = (at + 1) & (places - 1);
  return table_[at];
}

void duration_table::add(series& to, duration took) noexcept {
  const double seconds = std::chrono::duration<double>(took).count();
  to.buckets[duration_bucket(seconds)]++;
  to.count++;
  to.sum_ns += took.count();
}

void duration_table::record(who whose, method which, unsigned status, std::string_view error, duration took) noexcept {
  const std::uint64_t key = key_of(whose, which, status, error);
  std::unique_ptr<series> fresh;
  for (bool tried = false;; tried = true) {
    lock_.lock();
    auto& place = find(key);
    if (place == nullptr && fresh != nullptr && count_ < series_max) {
      place = std::move(fresh);
      count_++;
    }
    if (place != nullptr || whose > who_max || count_ == series_max || tried) {
      add(place != nullptr && whose <= who_max ? *place : overflow_, took);
      return lock_.unlock();
    }
    lock_.unlock();
    fresh.reset(new (std::nothrow) series{key, whose, which, static_cast<std::uint16_t>(status), error});
  }
}

std::vector<duration_series> duration_table::look() const {
  // A few at a time: who counts is not kept waiting.
  constexpr std::size_t slice = 64;
  std::vector<series> copies;
  copies.reserve(series_max + 1);
  for (std::size_t from = 0; from < places; from += slice) {
    lock_.lock();
    for (std::size_t at = from; at < from + slice; at++) {
      if (table_[at] != nullptr && copies.size() < series_max) copies.push_back(*table_[at]);
    }
    lock_.unlock();
  }
  lock_.lock();
  if (overflow_.count > 0) copies.push_back(overflow_);
  lock_.unlock();
  const name* const names = names_.data();
  std::vector<duration_series> out;
  out.reserve(copies.size());
  for (const series& each : copies) {
    duration_series& made = out.emplace_back();
    made.method = each.which;
    made.status = each.status;
    made.error_type = each.error.empty() && each.status >= 500 ? std::to_string(each.status) : std::string(each.error);
    made.overflow = each.key == overflow_key;
    if (const name& of = names[each.whose]; !made.overflow) {
      made.server_address = of.address;
      made.server_port = of.port;
      made.route = of.route;
    }
    made.buckets = each.buckets;
    made.count = each.count;
    made.sum = std::chrono::duration<double>(std::chrono::nanoseconds(each.sum_ns)).count();
  }
  return out;
}

}  // namespace levity::http::detail
