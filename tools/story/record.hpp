// record.hpp -- what the customers met, tenth of a second by tenth of a second: how many answers of which kind, how late.
//
// An answer belongs to the window in which it came; the latency of a fault is that of the requests that were meant to be sent while
// it lasted, whenever their answers came: otherwise the worst of them would be counted to the calm behind it.
#pragma once

#include "load/workload.hpp"
#include "orders/traffic.hpp"
#include "story/script.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <future>
#include <string_view>
#include <vector>

namespace levity::story {

enum class answer_kind : std::uint8_t {
  ok,
  degraded,  ///< good, and says by X-Levity-Degraded that it is less than usual
  refused,   ///< 429 or 503
  failed,    ///< anything else: broken, out of time, another 5xx, wrong
};
inline constexpr std::size_t answer_kinds = 4;
inline constexpr std::array<std::string_view, answer_kinds> answer_names{"ok", "degraded", "refused", "failed"};

/// What is asked for: a new order, whose way leads over payment and inventory, or anything else.
enum class question : std::uint8_t { order, look };
inline constexpr std::size_t questions = 2;

/// Latencies in microseconds, exact. Not thread-safe.
class latencies {
public:
  void add(std::int64_t ns) {
    us_.push_back(static_cast<std::uint32_t>(std::clamp<std::int64_t>(ns / 1'000, 0, max_us)));
    sorted_ = false;
  }
  void add(const latencies& others) {
    us_.insert(us_.end(), others.us_.begin(), others.us_.end());
    sorted_ = false;
  }
  /// The smallest value that `share` of them do not exceed, 0 without any. Sorts.
  [[nodiscard]] std::uint32_t value_at(double share);
  [[nodiscard]] std::size_t size() const { return us_.size(); }

private:
  static constexpr std::int64_t max_us = 4'000'000'000;
  std::vector<std::uint32_t> us_;
  bool sorted_ = false;
};

struct window {
  std::array<std::uint32_t, answer_kinds> answers{};
  std::array<latencies, questions> latency;
};

/// What became of the requests that were meant to be sent while a fault lasted.
struct fault_record {
  std::array<std::uint64_t, answer_kinds> answers{};
  std::array<latencies, questions> latency;
  latencies all;

  [[nodiscard]] std::uint64_t sum() const { return answers[0] + answers[1] + answers[2] + answers[3]; }
  [[nodiscard]] double share(answer_kind kind) const {
    return sum() == 0 ? 0 : static_cast<double>(answers[static_cast<std::size_t>(kind)]) / static_cast<double>(sum());
  }
};

/// One run's. Not thread-safe: the generator thread's, and read when that has ended.
class record {
public:
  static constexpr std::int64_t window_ns = 100'000'000;

  record(const std::vector<fault_window>& script, double duration_s);

  void begin(std::int64_t start_ns) { start_ns_ = start_ns; }
  void add(question asked, answer_kind kind, std::int64_t intended_ns, std::int64_t end_ns);

  [[nodiscard]] std::int64_t start_ns() const { return start_ns_; }
  [[nodiscard]] std::vector<window>& windows() { return windows_; }
  [[nodiscard]] fault_record& during(std::size_t fault) { return faults_[fault]; }
  [[nodiscard]] fault_record& whole() { return whole_; }

private:
  const std::vector<fault_window>& script_;
  std::int64_t start_ns_ = 0;
  std::vector<window> windows_;  // grows behind the duration as far as answers come
  std::vector<fault_record> faults_;
  fault_record whole_;
};

/// Mixed traffic that is written down. `started` is fulfilled when the first request is sent.
class recorded_traffic final : public load::workload {
public:
  recorded_traffic(orders::mixed_traffic& traffic, record& into, std::promise<std::int64_t>& started)
      : traffic_(traffic), record_(into), started_(started) {}

  bool next(load::request_id id, load::request_out& out) override;
  load::failure answered(load::request_id id, const load::response_view& answer) override;
  void unwritten(std::int64_t intended_ns, std::int64_t end_ns, load::failure why) override;

private:
  orders::mixed_traffic& traffic_;
  record& record_;
  std::promise<std::int64_t>& started_;
  std::vector<question> asked_;  // by request_id
};

/// What an answer counts as, `outcome` being what the traffic has judged.
[[nodiscard]] answer_kind kind_of(load::failure outcome, const load::response_view& answer);

}  // namespace levity::story
