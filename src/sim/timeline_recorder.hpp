#pragma once

// timeline_recorder: puts what happens in a world into a timeline, in words.

#include <string>
#include <vector>

#include "levity/sim/timeline.hpp"
#include "sim/world_observer.hpp"

namespace levity::inline v0::sim {

class timeline_recorder : public detail::world_observer {
public:
  /// `into` may be null: then nothing is recorded.
  explicit timeline_recorder(timeline* into) noexcept : into_(into) {}
  virtual ~timeline_recorder() = default;

  void record(const detail::sim_happening& what) noexcept override;
  void named(unsigned site, std::string_view name) override;
  void tell(happened what, unsigned site, std::int64_t at_ns, const detail::words_of_event& words) override;
  [[nodiscard]] bool records() const noexcept override { return into_ != nullptr; }
  void runs(const std::string*, std::int64_t) noexcept override {}
  bool always_failed(unsigned site, std::int64_t at_ns, std::string_view what, const std::source_location& where) override;
  void sometimes(unsigned, std::int64_t, bool, std::string_view) override {}
  bool wants_end(std::int64_t) override { return false; }
  deadlock_is deadlocked(std::int64_t) override { return deadlock_is::fatal; }
  [[nodiscard]] std::int64_t now_ns() const override { return 0; }  // it is no observer of a thread

protected:
  [[nodiscard]] std::string name_of(unsigned site) const;
  [[nodiscard]] static duration age_at(std::int64_t at_ns) noexcept;

private:
  timeline* const into_;
  std::vector<std::string> names_;  // by site
};

}  // namespace levity::sim
