// The general allocator's way back, for programs that explore: what explored code deletes stays until its execution is over, so
// that no address comes twice in one, and who touches it fails.

#include <cstddef>
#include <cstdlib>
#include <new>

#include "levity/base/explored_atomic.hpp"

namespace {

void give_back(void* memory) noexcept {
  if (memory != nullptr && levity::detail::this_explorer != nullptr) return levity::detail::this_explorer->frees(memory);
  std::free(memory);
}

}  // namespace

void operator delete(void* memory) noexcept { give_back(memory); }
void operator delete[](void* memory) noexcept { give_back(memory); }
void operator delete(void* memory, std::size_t) noexcept { give_back(memory); }
void operator delete[](void* memory, std::size_t) noexcept { give_back(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { give_back(memory); }
void operator delete[](void* memory, std::align_val_t) noexcept { give_back(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { give_back(memory); }
void operator delete[](void* memory, std::size_t, std::align_val_t) noexcept { give_back(memory); }
void operator delete(void* memory, const std::nothrow_t&) noexcept { give_back(memory); }
void operator delete[](void* memory, const std::nothrow_t&) noexcept { give_back(memory); }

namespace levity::inline v0::model::detail {

// Named by the exploration, so that no program of a static library goes without this file.
void watch_freed_memory() noexcept {}

}  // namespace levity::model::detail
