#pragma once

// Faults that a test plans for itself: they end with what it is part of, however that is left.

#include "platform/fault_plan.hpp"

namespace levity::test {

/// While it lives, faults may be installed; none outlives it.
class planned_faults {
public:
  planned_faults() = default;
  planned_faults(const planned_faults&) = delete;
  planned_faults& operator=(const planned_faults&) = delete;
  ~planned_faults() { detail::fault_plan::remove(); }
};

}  // namespace levity::test
