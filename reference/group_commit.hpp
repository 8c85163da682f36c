// group_commit.hpp — which records share one write and one fdatasync. Pure bookkeeping: it knows no files and no tasks.
//
//   append()       gives a record its sequence and puts it into the batch that is being filled
//   take_batch()   the writer takes the oldest batch, while none is in flight: one write, one fdatasync
//   committed()    the batch is durable; durable_sequence() advances, whoever waited for it may answer
//   rotate()       closes the batch being filled; from here on records belong to the next generation, whose first batch
//                  begins with the file header
//
// While one batch is in flight all new records collect in the next one. So the batch grows with the load and the cost of
// the fdatasync is shared by whoever came in its time; alone, a record waits for nobody.
//
// Equations (check_invariants)
//   durable_sequence < first of the batch in flight <= ... <= first of the batch being filled <= next_sequence
//   sequences of the batches are adjacent
//
// An fdatasync that failed says nothing about what is on the disk, and a second one may wrongly succeed. So after
// failed() nothing is ever committed again; the service answers 503 to writes and must be restarted.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>

#include "reference/log_format.hpp"

namespace orders {

struct commit_batch {
  std::uint64_t generation = 1;
  std::uint64_t first_sequence = 0;
  std::uint64_t next_sequence = 0;  // one past the last; equal to the first if the batch is a file header alone
  bool opens_log = false;           // its bytes begin with the file header: they belong to offset 0 of the generation's log
  std::string bytes;
};

/// Not thread-safe: the same owner or lock as the book's, because records must be appended in the order in which they
/// are applied.
class group_commit {
public:
  /// `batch_size_max` bounds the bytes that one write carries.
  explicit group_commit(std::uint64_t generation, std::uint64_t next_sequence,
                        std::size_t batch_size_max = std::size_t{4} << 20);

  /// The record's sequence. O(bytes of the record), no allocation in the steady state.
  std::uint64_t append(const log_record& entry);
  /// The number of the new generation. The first batch of it exists even when no record follows.
  std::uint64_t rotate(std::int64_t now_ns);

  /// The oldest batch, if none is in flight, no commit failed and there is one.
  const commit_batch* take_batch();
  void committed();
  void failed() noexcept { failed_ = true; }

  bool has_failed() const noexcept { return failed_; }
  bool in_flight() const noexcept { return in_flight_.has_value(); }
  bool has_batch() const noexcept;
  std::uint64_t durable_sequence() const noexcept { return durable_sequence_; }
  std::uint64_t next_sequence() const noexcept { return next_sequence_; }
  /// That records are appended to now.
  std::uint64_t generation() const noexcept { return generation_; }
  /// Bytes appended and not durable yet: what admission looks at when the disk is slow.
  std::size_t pending_bytes() const noexcept;

  std::optional<std::string> check_invariants() const;

private:
  commit_batch& filling();
  void seal();

  std::uint64_t generation_;
  std::uint64_t next_sequence_;
  std::uint64_t durable_sequence_;
  std::size_t batch_size_max_;
  bool failed_ = false;
  std::deque<commit_batch> waiting_;  // the last one may be filled further unless it is sealed
  bool sealed_ = true;
  std::optional<commit_batch> in_flight_;
  std::string spare_;  // the buffer of the batch before, so that two buffers alternate
};

}  // namespace orders
