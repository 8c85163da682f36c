// recovery.hpp — from a data directory to a book that may be served, inside the main task and before the service serves.
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
//
// Who is told to end meanwhile ends: between two windows of a file a cancelled recovery is broken off, which leaves what a kill at
// that point leaves, and that is what every recovery begins with. No record has a task of its own: tasks are for windows.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <vector>

#include <levity/levity.hpp>

#include "reference/book.hpp"
#include "reference/named_file.hpp"

namespace orders {

struct recovery_options {
  bool cut_damage = false;
  std::int64_t now_ns = 0;  // written into new files
};

struct recovered {
  named_file lock;  // keep it open as long as the directory is used
  book orders;

  named_file log;  // open for writing; all before log_offset is durable
  std::uint64_t generation = 1;
  std::uint64_t log_offset = 0;
  std::uint64_t next_sequence = 1;

  /// One sentence each: what was cut or put aside and why. Empty after a clean stop.
  std::vector<std::string> warnings;
  std::uint64_t records_replayed = 0;
  std::uint64_t orders_from_snapshot = 0;
};

/// Makes the directory if it does not exist. Errors: one sentence with cause and remedy; the lock is given up then. Throws
/// `cancelled` if the task was.
levity::task<std::expected<recovered, std::string>> recover(std::string directory, recovery_options options = {});

}  // namespace orders
