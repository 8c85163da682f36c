// store.hpp — the store as the service sees it: ask the book, append a record, wait until it is durable.
//
// Why: an order is acknowledged after fdatasync, and an fdatasync costs what 200 requests cost. So requests never wait
// for each other's decisions, only for the disk, and all that come in the time of one fdatasync share the next.
//
// What one request does
//   under the lock (a few µs at most; nothing inside may suspend):
//     1  decide    book.place / book.change: a refusal or a repeat leaves here
//     2  append    sequence = group_commit.append(record)
//     3  apply     book.apply(sequence, record); it cannot fail after a decision under the same lock
//   after the lock:
//     4  wait      until durable_sequence >= sequence, or the store has failed
//     5  answer
//   A record is applied before it is durable, so that the next decision sees it: a second request with the same key finds
//   the first one's order, a second change finds the first one's status.
//
// What a reader may see. Nobody is told what a crash could take back: each view carries the sequence of the record that
// changed it last, and whoever answers with it waits, as in 4, until that one is durable. That is a repeat under an
// idempotency key, GET of an order changed within the last fdatasync, a page that lists one (page::sequence), a 409
// that rests on one. For everything else the sequence is long durable and nobody waits.
//
// The writer, one task
//   loop: batch = take_batch() under the lock; none: sleep until append, rotate or stop wakes it
//         if batch.opens_log: make it the file of its generation (created ahead, below), offset 0; the old one is closed
//         one write of batch.bytes at the offset (a short write goes on with the rest), one fdatasync
//         committed() under the lock; wake every waiter with sequence <= durable_sequence
//   No timer: alone, a record is written at once; under load the batch is what came meanwhile.
//   A batch is one buffer already, so one plain write; writev would only gather what is contiguous.
//   Waiters sit in one list in order of sequence (they join it under the lock that gave them the sequence), so waking is
//   popping from the front. A cancelled waiter leaves the list; its record stays and becomes durable all the same. Its
//   client learns by repeating the request with its key.
//   An error of write or fdatasync: failed(), all waiters wake with it, writes answer 503 from then on, reads of durable
//   orders go on, /healthz turns red with the sentence. Never a second try: the kernel may have dropped the pages.
//   Back pressure: with pending_bytes() above `pending_bytes_max`, writes answer 503 with Retry-After before they decide.
//
// The compactor, one task; at most one compaction at a time
//   when  the log is larger than max(64 MiB, the last snapshot)
//   1   create log G+1 empty, fsync of the directory. Nobody waits for that.
//   1'  rotate() under the lock; its first batch brings the header. Writes go on; the pause is none, because the writer
//       changes files between two batches. Wait until durable_sequence + 1 >= the rotation's first sequence AND the
//       header's batch is committed.
//   2   snapshot_writer.fill under the lock, 256 orders a slice (about 100 µs with cold memory), into a buffer; write it to
//       the .tmp outside the lock; yield. One million orders are 4,000 slices.
//   3   wait until durable_sequence >= included_through, then fdatasync of the .tmp
//   4   rename, fsync of the directory
//   5   unlink the older files: by the blocking pool, since freeing a large file may take long
//   An error in 1 to 4: the .tmp is removed, the service goes on with both logs, one warning; the next try comes when the
//   log has doubled. Recovery reads any chain of logs (snapshot.hpp has what a crash leaves after each step).
//
// Stop
//   no new requests; wait for the compactor (it stops between slices; the .tmp is removed); append mark_record; the writer
//   drains and ends; close. After the mark even a flipped bit in the last batch is known as damage (log_format.hpp).
//
// Locks: one mutex guards book, group_commit and the waiter list. It is never held over an await. Whether the book's
// readers need a shared one is for the profile to say: find is about 0.1 to 0.5 µs, and JSON is written after the lock
// from the view, whose text never moves.
//
// Order of events that must hold, each with the test that shows it
//   acknowledged => durable                     20 x kill -9 under load; power_loss_may_keep_any_sectors_of_the_last_batch
//   seen => durable                             the reader rule above; a store whose fdatasync is held back answers no read
//   batch n+1 written => batch n durable        group_commit: one in flight; a_hole_is_damage_exactly_if_a_later_batch_survived
//   snapshot published => it knows nothing the log may lose      a_crash_after_any_step_of_a_compaction_loses_nothing
//
// Rejected: applying after durability (every decision would need a second table of what is under way); a fixed commit
// interval (a lone request would wait for nobody); one log file a worker (the order of two changes of one order would
// have to be agreed on); O_DSYNC (one flush a write, the same cost, but no say over which records share it).
#pragma once

#include <cstddef>
#include <cstdint>

namespace orders {

struct store_options {
  std::size_t pending_bytes_max = std::size_t{16} << 20;
  std::uint64_t compact_log_size_min = std::uint64_t{64} << 20;
  std::size_t snapshot_slice_orders = 256;
};

}  // namespace orders
