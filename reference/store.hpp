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
//   Waiters sit in one list. One that was taken out to be woken may be cancelled at that moment, so list and waiter share what
//   they wait by. Who changes something is not broken off while it waits: what becomes of its record must be told, or found by
//   repeating the request with its key. Who reads leaves the list when it is cancelled: a disk that hangs keeps no reader.
//   An error of write or fdatasync, or no memory for a record that was decided: failed(), all waiters wake with it, writes answer
//   503 from then on, reads of durable orders go on, /healthz turns red with the sentence. Never a second try: the kernel may have
//   dropped the pages.
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
//   5   unlink the older files, as 1 to 4 where files are worked at: freeing a large one may take long and keeps no worker
//   An error in 1 to 4: the .tmp is removed, the service goes on with both logs, one warning; the next try comes when the
//   log has doubled. Recovery reads any chain of logs (snapshot.hpp has what a crash leaves after each step).
//
// Stop
//   no new requests; wait for the compactor (it stops between slices; the .tmp is removed); append mark_record; the writer
//   drains and ends; close. After the mark even a flipped bit in the last batch is known as damage (log_format.hpp).
//
// What an order owes elsewhere (order.hpp) lies in the same log: with the order when it is created, and as a mark when it was made.
// So what is still to be done is found by recovery, and no second journal can disagree with this one.
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
#include <expected>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <levity/levity.hpp>

#include "reference/book.hpp"
#include "reference/group_commit.hpp"
#include "reference/named_file.hpp"
#include "reference/recovery.hpp"
#include "reference/snapshot.hpp"

namespace orders {

struct store_options {
  std::size_t pending_bytes_max = std::size_t{16} << 20;
  std::uint64_t compact_log_size_min = std::uint64_t{64} << 20;
  std::size_t snapshot_slice_orders = 256;
};

/// Is told of the order that it will owe for.
struct debtor {
  /// The order is there, and durable sooner or later, unless the process ends first. Under the store's lock.
  virtual void owe(std::uint64_t order) noexcept = 0;

protected:
  ~debtor() = default;
};

/// Orders that survive. Every answer it gives is durable. Requests from any task; run() by one task of the same runtime;
/// the store outlives both.
class store {
public:
  store(recovered state, std::string directory, store_options options = {});
  store(const store&) = delete;
  store& operator=(const store&) = delete;

  /// The writer and the compactor. Ends after stop(), when all that was accepted is durable, or when writing has failed.
  levity::task<> run();
  /// No more changes: requests that come later are answered 503. Any thread.
  void stop();

  struct placed {
    order_view order;
    bool repeated = false;  // the key had made it before
  };
  /// Errors: book::place's; 503 stopping, too much is waiting for the disk, or the disk has failed.
  /// `owes` is kept with the order until it is settled; `who`, if any, is told of an order that is new, once, before anything can
  /// fail. Not broken off by a cancellation.
  levity::task<std::expected<placed, problem>> place(const new_order& wanted, std::string_view key, owed owes = 0,
                                                     debtor* who = nullptr);
  /// Errors: book::change's; 503 as above.
  levity::task<std::expected<order_view, problem>> change(std::uint64_t id, change_request wanted);
  /// What was owed for an order has been made. Never waits, and hurries nobody: the mark is written with the next order, or by
  /// flush(). One that a crash takes back is made again, which the other side knows by its key.
  void settle(std::uint64_t id, owed made);
  /// Writes marks that wait. Any thread.
  void flush();
  /// The orders behind `after` that owe something, looking at `look_max` orders; `after` moves on, to 0 at the end.
  std::vector<order_view> owing(std::uint64_t& after, std::size_t look_max);
  /// As the book has it now, durable or not: for who knows that it is, and shows it to nobody.
  std::optional<order_view> peek(std::uint64_t id);

  /// Errors: 404. Ends when it is cancelled, even while the disk hangs.
  levity::task<std::expected<order_view, problem>> find(std::uint64_t id);
  /// Errors: book::list's. Ends when it is cancelled, as find() does.
  levity::task<std::expected<book::page, problem>> list(std::string_view customer, std::uint64_t after, std::size_t limit);

  struct figures {
    std::uint64_t orders = 0;
    std::uint64_t durable_sequence = 0;
    std::uint64_t commits = 0;
    std::uint64_t compactions = 0;
    std::uint64_t log_bytes = 0;
    std::size_t waiting = 0;  // requests that wait for the disk
    std::string failure;      // empty while all is well
  };
  figures look();

private:
  // One request that waits for the disk.
  struct durable_wait {
    explicit durable_wait(std::uint64_t of) noexcept : sequence(of) {}
    const std::uint64_t sequence;
    levity::event done;
  };
  class place_in_line;

  levity::task<std::expected<void, problem>> durable(std::uint64_t sequence);
  levity::task<std::expected<void, problem>> durable_for_reader(std::uint64_t sequence);
  [[nodiscard]] bool is_durable(std::uint64_t sequence);
  std::expected<void, problem> told(std::uint64_t sequence);
  levity::task<> wait_in_line(std::uint64_t sequence);
  levity::task<> write_batches();
  levity::task<std::expected<void, std::string>> write_batch(const commit_batch& batch);
  levity::task<> compact_when_large();
  levity::task<std::expected<std::uint64_t, std::string>> compact();
  levity::task<std::expected<std::uint64_t, std::string>> write_snapshot(std::uint64_t generation, snapshot_writer& writer);
  bool is_large() const;
  void append_and_apply(const log_record& entry, std::uint64_t& sequence);
  std::expected<void, problem> may_write() const;
  void give_up(std::string sentence);
  void tell_failure();
  void wake_durable();

  const std::string directory_;
  const store_options options_;
  named_file lock_file_;

  std::mutex lock_;  // never held over an await
  // Guarded by lock_.
  book book_;
  group_commit commit_;
  std::vector<std::shared_ptr<durable_wait>> waiting_;
  std::string failure_;
  bool stopping_ = false;
  figures figures_;
  std::uint64_t compact_above_;  // bytes of the log

  // The writer's.
  levity::file log_;
  std::uint64_t log_generation_;
  std::uint64_t log_offset_;

  levity::event work_;      // the writer has something to do
  levity::event large_;     // the compactor has
  levity::event rotated_;   // a new log's first batch is durable
};

}  // namespace orders
