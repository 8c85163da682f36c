#pragma once

// disk_listener: who is told, in words, what a disk has lost, refused and let wait.

#include <string_view>

#include "levity/base/clock.hpp"

namespace levity::inline v0::sim {

struct disk_listener {
  /// Whether words are worth their making: looking a path up is a walk through all names.
  [[nodiscard]] virtual bool listens() const noexcept = 0;
  /// `detail` is what differs between events that are alike.
  virtual void hear(std::string_view text, std::string_view detail, duration lasts) = 0;

protected:
  ~disk_listener() = default;
};

}  // namespace levity::sim
