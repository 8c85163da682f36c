#include "levity/resilience/retry_budget.hpp"

#include <algorithm>
#include <bit>

namespace levity::inline v0 {
namespace {

retry_budget::options clamped(retry_budget::options how) noexcept {
  how.share_max = how.share_max > 0 ? std::min(how.share_max, 1.0) : 0;  // not a number: nothing
  how.window = std::clamp<duration>(how.window, std::chrono::seconds(1), std::chrono::hours(1));
  return how;
}

// By cells that are numbered from 1 on, the last `cells` of them.
template <class Slices>
std::uint64_t spent_over(const Slices& in, std::uint64_t cells, std::uint64_t newest) noexcept {
  std::uint64_t sum = 0;
  for (std::uint64_t back = 0; back < cells && back < newest; back++) {
    const auto& each = in[(newest - back) % in.size()];
    if (each.number == newest - back) sum += each.count;
  }
  return sum;
}

template <class Slices>
void spend(Slices& in, std::uint64_t cell) noexcept {
  auto& here = in[cell % in.size()];
  if (here.number != cell) here = {cell, 0};
  here.count++;
}

template <class Slices>
bool take_one_back(Slices& in, std::uint64_t cell) noexcept {
  auto& here = in[cell % in.size()];
  if (here.number != cell || here.count == 0) return false;
  here.count--;
  return true;
}

std::uint64_t cells_that_cover(std::uint64_t span_ns, std::uint64_t cell_ns) noexcept {
  return (span_ns + cell_ns - 1) / cell_ns + 1;  // the one that runs has only just begun, perhaps
}

}  // namespace

retry_budget::retry_budget(const options& how) noexcept : how_(clamped(how)) {
  const auto window_ns = static_cast<std::uint64_t>(how_.window.count());
  const std::uint64_t cell_ns = std::bit_floor(window_ns / 16);
  cell_shift_ = std::countr_zero(cell_ns);
  request_cells_ = window_ns / cell_ns;
  spent_cells_ = cells_that_cover(window_ns, cell_ns);
}

void retry_budget::begin_cell(atomic<std::uint64_t>& word, std::uint64_t cell) noexcept {
  const std::uint64_t tag = cell & tag_mask;
  std::uint64_t seen = word.load(std::memory_order_relaxed);
  for (;;) {
    // Newer than ours: another thread's clock is ahead, and it has begun the cell that follows here.
    const bool begun =
        static_cast<std::int32_t>(static_cast<std::uint32_t>(seen >> tag_shift) - static_cast<std::uint32_t>(tag)) >= 0 &&
        seen != 0;
    const std::uint64_t wanted = begun ? seen + 1 : tag << tag_shift | 1;
    if (word.compare_exchange_weak(seen, wanted, std::memory_order_relaxed, std::memory_order_relaxed)) return;
  }
}

std::uint64_t retry_budget::requests_over(std::uint64_t cells, std::uint64_t newest) const noexcept {
  std::uint64_t sum = 0;
  for (std::uint64_t back = 0; back < cells && back < newest; back++) {
    const std::uint64_t cell = newest - back;
    const std::uint64_t word = requests_[cell % cells_max].load(std::memory_order_relaxed);
    if (word >> tag_shift == (cell & tag_mask)) sum += word & tag_mask;
  }
  return sum;
}

bool retry_budget::try_spend(time_point now) noexcept {
  const std::uint64_t cell = cell_of(now);
  const auto requests = static_cast<double>(requests_over(request_cells_, cell));
  lock_.lock();
  // The newest that anybody has spent in counts as now: a thread whose clock is behind gains nothing by it.
  const std::uint64_t newest = newest_spent_ = std::max(newest_spent_, cell);
  const std::uint64_t newest_of_second = newest_of_second_ = std::max(newest_of_second_, cell_of(now, second_shift));
  const auto spent = static_cast<double>(spent_over(spent_, spent_cells_, newest));
  const bool within =
      spent + 1 <= how_.share_max * requests || spent_over(second_, second_cells, newest_of_second) < how_.per_second_min;
  if (!within) refused_total_++;
  const bool granted = within || how_.mode == policy_mode::observe;
  // What is only observed and would have been refused is not counted: it would stand against all that come after it.
  if (within) {
    spend(spent_, newest);
    spend(second_, newest_of_second);
    spent_total_++;
  }
  lock_.unlock();
  return granted;
}

void retry_budget::take_back(time_point spent_at) noexcept {
  const std::uint64_t cell = cell_of(spent_at);
  lock_.lock();
  if (take_one_back(spent_, cell)) {
    static_cast<void>(take_one_back(second_, cell_of(spent_at, second_shift)));
    spent_total_--;
  }
  lock_.unlock();
}

retry_budget::counts retry_budget::counts_at(time_point now) const noexcept {
  const std::uint64_t cell = cell_of(now);
  const std::uint64_t requests = requests_over(request_cells_, cell);
  lock_.lock();
  const counts seen{requests, spent_over(spent_, spent_cells_, cell), spent_total_, refused_total_};
  lock_.unlock();
  return seen;
}

}  // namespace levity
