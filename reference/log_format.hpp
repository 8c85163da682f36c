// log_format.hpp — the bytes of the order log and of the snapshot: one file header, then records.
//
// File header, 64 bytes
//   0  magic "LVORDERS"          8  version u32, kind u8 (1 log, 2 snapshot), 3 zero bytes
//   16 generation u64            24 first sequence u64 (of the log; of a snapshot: of the log it precedes)
//   32 written at, ns u64        40 orders expected u64 (a hint to reserve memory; 0 in a log)
//   48 zero u64                  56 checksum u64 (XXH3 of bytes 0..55)
// Record, 24 bytes and its payload
//   0  checksum u64 (XXH3 of bytes 8.., seeded with the generation)
//   8  sequence u64
//   16 payload length u32        20 lag u16        22 type u8        23 zero u8
// Everything is little endian. The seed makes bytes left over from another generation worthless.
//
// Where a log ends. The scanner stops at the first record that does not hold and says where and why. Two different
// things look the same there:
//   torn     power failed while the last batch was on its way: nobody was told that its records are safe. The kernel
//            may have stored any of the batch's sectors, also later ones without earlier ones.
//   damaged  bytes changed that somebody was promised.
// `lag` tells them apart. A record's lag is its distance from the first record of its batch, and a batch is written only
// after the one before it is durable. So a valid record with sequence s and lag g proves that everything below s - g had
// been acknowledged. If such a record follows a hole at sequence e and s - g > e, acknowledged records are missing:
// damaged; that is never cut silently. If none does, the hole lies inside the last batch: torn; it is cut, and reported.
// A mark record is written when the service closes; after it, even a flipped bit in the last batch is known as damage.
//
// Rejected: a commit record after each batch (a second fdatasync, or proof only of the batch before: what lag gives for
// two bytes); padding records to 8 bytes (only the search after damage would gain).
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "reference/order.hpp"

namespace orders {

inline constexpr std::size_t file_header_size = 64;
inline constexpr std::size_t record_header_size = 24;
inline constexpr std::size_t payload_size_max = 8192;
inline constexpr std::size_t record_size_max = record_header_size + payload_size_max;
inline constexpr std::size_t lag_max = 65'535;
inline constexpr std::uint64_t sequence_max = std::uint64_t{1} << 62;  // a million a second for 146,000 years
static_assert(contents_size_max + key_length_max + 64 <= payload_size_max);

enum class file_kind : std::uint8_t { log = 1, snapshot = 2 };

struct file_header {
  file_kind kind = file_kind::log;
  std::uint64_t generation = 1;
  std::uint64_t first_sequence = 1;
  std::int64_t written_at_ns = 0;
  std::uint64_t orders_expected = 0;
};

void append_file_header(std::string& out, const file_header& header);
/// The error says what is wrong, as the second half of a sentence: "is shorter than a header".
std::expected<file_header, std::string_view> read_file_header(std::string_view bytes);

enum class record_type : std::uint8_t {
  create = 1,
  change = 2,
  mark = 3,
  snapshot_order = 4,
  snapshot_end = 5,
  create_owing = 6,  // create with a byte in front: what it owes, not 0
  settle = 7,
};

struct create_record {
  std::uint64_t id = 0;
  std::int64_t created_at_ns = 0;
  std::string_view key;  // empty without an Idempotency-Key
  contents_view contents;
  owed owes = 0;
};
/// What was owed for an order has been made. Harmless if it is lost: the other side knows a repeat by its key.
struct settle_record {
  std::uint64_t id = 0;
  owed made = 0;
};
struct change_record {
  std::uint64_t id = 0;
  std::int64_t updated_at_ns = 0;
  std::uint32_t version = 0;  // after the change
  order_status to = order_status::created;
};
/// Everything before it is durable; the service closed.
struct mark_record {};
struct snapshot_order_record {
  order_view order;
  std::string_view key;
};
struct snapshot_end_record {
  std::uint64_t orders = 0;
  std::uint64_t included_through = 0;  // changes up to this log sequence may be in the snapshot already
  std::uint64_t checksum = 0;          // XXH3 of all bytes from the end of the file header to this record
};

/// Views in a record point into the bytes it was decoded from.
using log_record =
    std::variant<create_record, change_record, mark_record, snapshot_order_record, snapshot_end_record, settle_record>;

void append_record(std::string& out, std::uint64_t generation, std::uint64_t sequence, std::uint16_t lag,
                   const log_record& entry);

struct raw_record {
  std::uint64_t sequence = 0;
  std::uint16_t lag = 0;
  record_type type = record_type::mark;
  std::string_view bytes;  // header and payload
  std::string_view payload() const noexcept { return bytes.substr(record_header_size); }
};

/// The error says what is wrong, as the second half of a sentence. A record whose checksum holds but that cannot be
/// decoded is a defect of the writer, never of the disk.
std::expected<log_record, std::string_view> decode(const raw_record& raw);

enum class scan_end : std::uint8_t {
  complete,      // the bytes end where a record ends
  beyond_end,    // the record is longer than the bytes that are left
  checksum,      // the record's checksum does not hold
  malformed,     // a length, type or reserved byte that no writer writes
  zero_fill,     // the header is all zero: the file was extended, the data did not follow
  sequence_gap,  // a valid record that is not the next one
};
/// As the second half of a sentence: "its checksum does not hold".
std::string_view describe(scan_end end) noexcept;

/// Reads records out of bytes that begin where a record begins.
class scanner {
public:
  scanner(std::string_view bytes, std::uint64_t generation, std::uint64_t next_sequence) noexcept
      : bytes_(bytes), generation_(generation), next_sequence_(next_sequence) {}

  /// The next record, or nothing: then position() and end() say where and why the valid prefix ends.
  std::optional<raw_record> next() noexcept;

  std::size_t position() const noexcept { return position_; }
  std::uint64_t next_sequence() const noexcept { return next_sequence_; }
  scan_end end() const noexcept { return end_; }

private:
  std::string_view bytes_;
  std::uint64_t generation_;
  std::uint64_t next_sequence_;
  std::size_t position_ = 0;
  scan_end end_ = scan_end::complete;
};

/// Looks at every offset of `rest` (what follows the valid prefix) for a record which proves that sequence
/// `missing` had been acknowledged. Its offset in `rest`, or nothing: then cutting `rest` loses no promise.
std::optional<std::size_t> find_proof_of_damage(std::string_view rest, std::uint64_t generation, std::uint64_t missing);

/// The checksum over a snapshot's records.
class running_checksum {
public:
  running_checksum();
  running_checksum(running_checksum&&) noexcept;
  running_checksum& operator=(running_checksum&&) noexcept;
  ~running_checksum();
  void add(std::string_view bytes);
  std::uint64_t value() const;

private:
  struct state;
  state* state_;
};

}  // namespace orders
