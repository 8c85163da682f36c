#pragma once

#include <array>
#include <cstddef>

#include "levity/task/detail/record.hpp"

namespace levity::inline v0::detail {

/// The tasks that one poll made ready, in the order of their events. All of them are pushed where any worker may take them
/// before the first one runs.
struct ready_batch {
  static constexpr std::size_t capacity = 1024;

  std::array<task_record*, capacity> records;
  std::size_t count = 0;

  [[nodiscard]] std::size_t room() const noexcept { return capacity - count; }
  void add(task_record& record) noexcept { records[count++] = &record; }
};

}  // namespace levity::detail
