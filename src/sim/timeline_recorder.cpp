#include "sim/timeline_recorder.hpp"

#include <fmt/format.h>

#include <utility>

#include "reactor/sim/sim_network.hpp"

namespace levity::inline v0::sim {

std::string timeline_recorder::name_of(unsigned site) const { return site < names_.size() ? names_[site] : std::string(); }

duration timeline_recorder::age_at(std::int64_t at_ns) noexcept { return duration(at_ns - detail::sim_network::start_ns); }

void timeline_recorder::named(unsigned site, std::string_view name) {
  if (site >= names_.size()) names_.resize(site + 1);
  names_[site] = name;
}

void timeline_recorder::record(const detail::sim_happening& what) noexcept {
  if (into_ == nullptr) return;
  using kind = detail::sim_happening::kind;
  const std::string other = name_of(what.other);
  // The port of a host and the size of a packet are details: events that differ in these alone are alike.
  const std::string peer = other.empty() ? what.peer.to_string() : other;
  std::string detail = other.empty() ? std::string() : what.peer.to_string();
  const bool has_size = what.what == kind::lost || what.what == kind::duplicated || what.what == kind::held_back ||
                        what.what == kind::dropped;
  if (has_size) detail += fmt::format("{}{} bytes", detail.empty() ? "" : ", ", what.bytes);
  if (!detail.empty()) detail = "(" + detail + ")";
  std::string text;
  switch (what.what) {
    case kind::connected: text = fmt::format("is connected to by {}", peer); break;
    case kind::refused: text = fmt::format("is refused a connection by {}", peer); break;
    case kind::reset: text = fmt::format("has a connection reset by {}", peer); break;
    case kind::timed_out: text = fmt::format("gives up {}, which does not answer", peer); break;
    case kind::lost: text = fmt::format("has a packet to {} lost", peer); break;
    case kind::duplicated: text = fmt::format("has a datagram to {} come twice", peer); break;
    case kind::held_back: text = fmt::format("has a datagram to {} held back", peer); break;
    case kind::dropped: text = fmt::format("has no room for a datagram from {}", peer); break;
    case kind::nobody: text = fmt::format("is told that no socket is at {}", peer); break;
    case kind::unanswered: text = fmt::format("hears nothing of {} when it asks for a connection", peer); break;
  }
  const bool is_connection = what.what == kind::connected || what.what == kind::refused || what.what == kind::reset ||
                             what.what == kind::timed_out;
  tell(is_connection ? happened::connection : happened::segment, what.at, what.at_ns, {.text = text, .detail = detail});
}

void timeline_recorder::tell(happened what, unsigned site, std::int64_t at_ns, const detail::words_of_event& words) {
  if (into_ == nullptr) return;
  into_->add({age_at(at_ns), name_of(site), what, std::string(words.text), words.lasts, std::string(words.detail)});
}

bool timeline_recorder::always_failed(unsigned site, std::int64_t at_ns, std::string_view what, const std::source_location& where) {
  tell(happened::property, site, at_ns, {fmt::format("always \"{}\" is false at {}:{}", what, where.file_name(), where.line())});
  return false;
}

}  // namespace levity::sim
