#include "story/record.hpp"

#include "load/engine.hpp"

#include <algorithm>
#include <cmath>

namespace levity::story {

std::uint32_t latencies::value_at(double share) {
  if (us_.empty()) return 0;
  if (!sorted_) std::sort(us_.begin(), us_.end());
  sorted_ = true;
  const double rank = std::ceil(share * static_cast<double>(us_.size()));
  return us_[static_cast<std::size_t>(std::clamp(rank, 1.0, static_cast<double>(us_.size()))) - 1];
}

record::record(const std::vector<fault_window>& script, double duration_s)
    : script_(script), windows_(static_cast<std::size_t>(std::ceil(duration_s * 1e9 / window_ns))), faults_(script.size()) {}

void record::add(question asked, answer_kind kind, std::int64_t intended_ns, std::int64_t end_ns) {
  const auto at = static_cast<std::size_t>(std::max<std::int64_t>(0, end_ns - start_ns_) / window_ns);
  if (at >= windows_.size()) windows_.resize(at + 1);
  const auto kind_at = static_cast<std::size_t>(kind);
  const auto asked_at = static_cast<std::size_t>(asked);
  const std::int64_t took_ns = end_ns - intended_ns;
  ++windows_[at].answers[kind_at];
  windows_[at].latency[asked_at].add(took_ns);
  const auto note = [&](fault_record& in) {
    ++in.answers[kind_at];
    in.latency[asked_at].add(took_ns);
    in.all.add(took_ns);
  };
  note(whole_);
  const double intended_s = static_cast<double>(intended_ns - start_ns_) / 1e9;
  for (std::size_t i = 0; i < script_.size(); ++i)
    if (script_[i].holds(intended_s)) note(faults_[i]);
}

answer_kind kind_of(load::failure outcome, const load::response_view& answer) {
  const int status = answer.status();
  if (status == 429 || status == 503) return answer_kind::refused;
  if (status >= 200 && status < 500 && answer.header("X-Levity-Degraded")) return answer_kind::degraded;
  return outcome == load::failure::none ? answer_kind::ok : answer_kind::failed;
}

bool recorded_traffic::next(load::request_id id, load::request_out& out) {
  if (id == 0) {
    const std::int64_t now = load::now_ns();
    record_.begin(now);
    started_.set_value(now);
  }
  const bool more = traffic_.next(id, out);
  asked_.push_back(out.bytes.starts_with("POST ") ? question::order : question::look);
  return more;
}

load::failure recorded_traffic::answered(load::request_id id, const load::response_view& answer) {
  const load::failure outcome = traffic_.answered(id, answer);
  const std::int64_t now = load::now_ns();
  record_.add(asked_[id], kind_of(outcome, answer), now - answer.corrected_ns, now);
  return outcome;
}

void recorded_traffic::unwritten(std::int64_t intended_ns, std::int64_t end_ns, load::failure) {
  // What it would have asked for is not known; it waited in the line of all.
  record_.add(question::look, answer_kind::failed, intended_ns, end_ns);
}

}  // namespace levity::story
