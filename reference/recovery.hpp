// recovery.hpp — from a data directory to a book that may be served, before the service serves.
//
//   lock       flock on orders.lock: two processes on one directory would write over each other
//   clean      *.tmp are removed: no name promises anything about them
//   snapshot   the newest that holds is loaded; without any, the book starts empty at generation 1
//   replay     every log from that generation on, each beginning where the one before ended
//   cut        a torn tail of the last log (log_format.hpp says what that is) is cut and reported
//   sync       what was read is made durable before anybody is told about it: after a kill it may be in the page cache only
//   remove     files older than the snapshot
//
// Damage (a promise that the files no longer keep) is an error that names file, offset and remedy; no log or
// snapshot is changed then. With cut_damage everything from the damage on is given up, but kept beside as *.damaged.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <vector>

#include "reference/book.hpp"
#include "reference/posix_file.hpp"

namespace orders {

struct recovery_options {
  bool cut_damage = false;
  std::int64_t now_ns = 0;  // written into new files
};

struct recovered {
  file_descriptor lock;  // keep it open as long as the directory is used
  book orders;

  file_descriptor log;  // open for writing; all before log_offset is durable
  std::uint64_t generation = 1;
  std::uint64_t log_offset = 0;
  std::uint64_t next_sequence = 1;

  /// One sentence each: what was cut or put aside and why. Empty after a clean stop.
  std::vector<std::string> warnings;
  std::uint64_t records_replayed = 0;
  std::uint64_t orders_from_snapshot = 0;
};

/// Makes the directory if it does not exist. Blocks. Errors: one sentence with cause and remedy.
std::expected<recovered, std::string> recover(const std::string& directory, const recovery_options& options = {});

}  // namespace orders
