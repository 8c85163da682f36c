#pragma once

// world_observer: who is told what happens in a world, and may end what is played there. Null where nobody looks, and then all that
// it costs is a branch.

#include <cstdint>
#include <source_location>
#include <string>
#include <string_view>

#include "levity/base/clock.hpp"
#include "levity/sim/fault_plan.hpp"
#include "levity/sim/timeline.hpp"
#include "reactor/sim/sim_network.hpp"

namespace levity::inline v0::detail {

/// What is told of an event of a timeline.
struct words_of_event {
  std::string_view text;
  std::string_view detail{};
  duration lasts{};
};

/// All on the world's thread, or on a program's while the world's waits for it.
struct world_observer : sim_recorder {
  /// A host of the world.
  virtual void named(unsigned site, std::string_view name) = 0;
  virtual void tell(sim::happened what, unsigned site, std::int64_t at_ns, const words_of_event& words) = 0;
  /// Whether anything is done with what it is told.
  [[nodiscard]] virtual bool records() const noexcept = 0;
  /// A fault of a plan begins.
  virtual void met(sim::fault_kind) {}
  /// What runs from here on: a host that lives as long as the world; null: nobody, or the scenario outside of play().
  virtual void runs(const std::string* host, std::int64_t now_ns) noexcept = 0;
  /// False: there is no check that it would fail.
  virtual bool always_failed(unsigned site, std::int64_t at_ns, std::string_view what, const std::source_location& where) = 0;
  virtual void sometimes(unsigned site, std::int64_t at_ns, bool is_true, std::string_view what) = 0;
  /// Asked before each turn: whether the scenario is to be broken off.
  virtual bool wants_end(std::int64_t now_ns) = 0;
  enum class deadlock_is : std::uint8_t { fatal, told, known };
  /// Everything waits for ever. Unless it is fatal the observer wants_end() from now on.
  virtual deadlock_is deadlocked(std::int64_t now_ns) = 0;
  /// The time of the world, where the scenario is outside of its hosts.
  [[nodiscard]] virtual std::int64_t now_ns() const = 0;

protected:
  ~world_observer() = default;
};

/// The one of a world's network; null: nobody looks. Nobody else records what happens in a network of several sites.
[[nodiscard]] inline world_observer* observer_of(const sim_network& of) noexcept {
  return static_cast<world_observer*>(of.recorder());
}

/// Tells it what happens at a site.
inline void tell(const sim_network& in, sim_network::site_number site, sim::happened what, std::string_view text) {
  if (world_observer* by = observer_of(in); by != nullptr) by->tell(what, site, in.now_ns(), {text});
}

/// Where the calling code runs, as far as a world is concerned: a task of a host, or main() of its program; or else, on the thread
/// of a check, the scenario outside of the world's hosts.
struct place_in_world {
  static constexpr unsigned no_site = ~0U;

  world_observer* by = nullptr;  // null: nobody looks, or nobody is to know what is done here
  unsigned site = no_site;
  std::int64_t at_ns = 0;   // by the world's clock
  bool is_cut_off = false;  // of a program that was killed: nothing that it still does is to be known
};

[[nodiscard]] place_in_world this_place();

/// For this thread outside of all hosts; returns who was it before.
world_observer* exchange_thread_observer(world_observer* by) noexcept;

/// Tells the observer of the place at which the calling code is; nobody if there is none.
void tell(sim::happened what, std::string_view text, duration lasts = {});

}  // namespace levity::detail
