// snapshot.hpp — the whole book in one file, so that a restart reads orders instead of their history.
//
// Names in the data directory; G is a generation, 10 digits
//   orders.G.log            what happened since generation G began
//   orders.G.snapshot       the book when generation G began (none for the first)
//   orders.G.snapshot.tmp   a snapshot that is being written; worthless after a crash
//
// Compaction, and what a crash after each step leaves. Recovery reads the newest snapshot that holds and every log from
// its generation on.
//   1  rotate: log G+1 is created, its header durable, its name durable; writes go there from a batch boundary on
//      (sequence S); everything below S is durable in log G           -> snapshot G, log G, log G+1: all is there
//   2  snapshot G+1 is written to its .tmp name, in slices between requests        -> as 1; the .tmp is removed
//   3  the log is durable through `included_through` (below), then fsync of .tmp   -> as 1
//   4  rename to orders.(G+1).snapshot, fsync of the directory -> either as 1, or snapshot G+1 and log G+1: all is there
//   5  log G and snapshot G are removed, in any order                      -> any of them may be left; nobody reads them
// A log file that was created but whose header never became durable (crash inside step 1) holds nothing that was
// promised; recovery removes it.
//
// The snapshot is not one moment: orders change while it is written in slices, and each order is written as it is when
// its slice comes. That is enough, because an order's version only grows: replaying log G+1 over the snapshot skips
// changes whose version the order has already. `included_through`, in the snapshot's last record, is the last sequence
// that may be inside; only up to there is skipping allowed, beyond it the replay is strict. Since the snapshot is
// published only after the log is durable through there, it never knows what the log has lost.
//
// Rejected: a copy of the book at one moment (a stall of 100 ms or twice the memory); fork (copies page tables of the
// whole process, and a child of a threaded program may call nothing); saving old versions on first write (a table and a
// branch in every write for an exactness that nothing needs).
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <vector>

#include <levity/levity.hpp>

#include "reference/book.hpp"
#include "reference/log_format.hpp"
#include "reference/named_file.hpp"

namespace orders {

std::string log_path(const std::string& directory, std::uint64_t generation);
std::string snapshot_path(const std::string& directory, std::uint64_t generation);
std::string temporary_path(const std::string& path);

/// Makes the bytes of a snapshot, a slice at a time. It does no I/O.
class snapshot_writer {
public:
  /// `first_sequence` is the first of log `generation`.
  snapshot_writer(std::uint64_t generation, std::uint64_t first_sequence, std::int64_t now_ns) noexcept;

  /// Appends the next orders, at most `orders_max` (about 0.1 µs each), to `out`. False once all is appended. The book
  /// may change between two calls, not during one.
  bool fill(const book& book, std::size_t orders_max, std::string& out);
  /// After fill returned false: publish only when the log is durable through this sequence.
  std::uint64_t included_through() const noexcept { return included_through_; }

private:
  std::uint64_t generation_;
  std::uint64_t first_sequence_;
  std::int64_t now_ns_;
  std::uint64_t next_id_ = 0;  // 0: the header comes next
  std::uint64_t included_through_ = 0;
  bool ended_ = false;
  running_checksum checksum_;
};

struct snapshot_info {
  std::uint64_t first_sequence = 0;
  std::uint64_t included_through = 0;
  std::uint64_t orders = 0;
};

/// Fills `into`, which must be empty. After an error, `into` holds a part and is worthless. Errors: one sentence. Throws
/// `cancelled` if the task was.
levity::task<std::expected<snapshot_info, std::string>> load_snapshot(std::string path, std::uint64_t generation, book& into);

// The steps of a compaction. The first three are recovery's and the tests': the service takes them between requests (store.hpp).
// Errors: one sentence.

/// Step 1. The log must be durable and end before `first_sequence`.
levity::task<std::expected<named_file, std::string>> create_log(std::string directory, std::uint64_t generation,
                                                                std::uint64_t first_sequence, std::int64_t now_ns);
/// Steps 2 and 3. The log must be durable through book.last_sequence(); the book does not change meanwhile.
levity::task<std::expected<void, std::string>> write_temporary_snapshot(std::string directory, const book& book,
                                                                        std::uint64_t generation, std::uint64_t first_sequence,
                                                                        std::int64_t now_ns);
/// Step 4.
levity::task<std::expected<void, std::string>> publish_snapshot(std::string directory, std::uint64_t generation);
/// Step 5. Throws `cancelled` if the task was.
levity::task<std::expected<void, std::string>> remove_older(std::string directory, std::uint64_t generation);

/// What the names in a data directory say, sorted.
struct directory_listing {
  std::vector<std::uint64_t> logs;       // generations
  std::vector<std::uint64_t> snapshots;  // generations
  std::vector<std::string> temporaries;  // paths
};
/// Errors: one sentence. Throws `cancelled` if the task was.
levity::task<std::expected<directory_listing, std::string>> list_directory(std::string directory);

}  // namespace orders
