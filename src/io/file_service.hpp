#pragma once

// file_service: carries a runtime's file operations out by the means its options allow, chosen when the first one comes.
//
//   automatic  the ring thread; where the kernel refuses io_uring, threads, and one line says why
//   ring       the ring thread or nothing: operations fail with the kernel's refusal
//
// Beside the ring thread, a transfer of a worker that has nothing else to do goes over a ring of its reactor (file_line.hpp).
//
//   blocking   threads
//   here       on the calling thread, in order (simulated runtimes)
//
// Edges
//   E78  decide() -> submit(), which finds a choice: the ring thread, or its refusal.

#include <memory>
#include <vector>

#include "base/system_mutex.hpp"
#include "io/file_line.hpp"
#include "io/ring_thread.hpp"
#include "levity/base/atomic.hpp"
#include "levity/io/detail/file_operation.hpp"
#include "levity/io/file_means.hpp"
#include "levity/task/detail/executor.hpp"

namespace levity::inline v0::detail {

class file_service final : public file_backend {
public:
  file_service(executor& runs, file_means means, bool simulated) noexcept;
  ~file_service();

  void submit(file_operation& operation) noexcept override;

private:
  enum class carrier : unsigned char { undecided, ring, threads, here, refused };

  carrier decide() noexcept;
  void offload(file_operation& operation) noexcept;
  bool submit_here(file_operation& operation) noexcept;
  file_line* line_of(reactor& home, const poll_lease& held) noexcept;

  executor& runs_;
  const file_means means_;
  system_mutex deciding_;
  atomic<carrier> carrier_{carrier::undecided};
  int refusal_ = 0;
  std::unique_ptr<ring_thread> ring_;
  atomic<bool> has_lines_{true};  // until one is refused
  std::vector<std::unique_ptr<file_line>> lines_;  // under deciding_; above the ring thread, which they may hand operations to
};

}  // namespace levity::detail
