#include "reference/store.hpp"

#include <algorithm>
#include <cstdio>
#include <iterator>
#include <memory>
#include <optional>
#include <utility>

#include "reference/snapshot.hpp"
#include "reference/wall_time.hpp"

namespace orders {
namespace {

problem unavailable(std::string detail) { return {503, "Service Unavailable", std::move(detail), {}}; }

// Step 1, before anybody writes to it. One of that name is left of a compaction that did not come so far.
levity::task<std::expected<void, std::string>> prepare_log(std::string directory, std::uint64_t generation) {
  const auto created =
      co_await named_file::open(log_path(directory, generation), {.write = true, .create = true, .truncate = true});
  if (!created) co_return std::unexpected(created.error());
  co_return co_await sync_directory(std::move(directory));
}

// Steps 4 and 5.
levity::task<std::expected<void, std::string>> publish_and_tidy(std::string directory, std::uint64_t generation) {
  auto renamed = co_await publish_snapshot(directory, generation);
  if (!renamed) co_return renamed;
  co_return co_await remove_older(std::move(directory), generation);
}

}  // namespace

store::store(recovered state, std::string directory, store_options options)
    : directory_(std::move(directory)),
      options_(options),
      lock_file_(std::move(state.lock)),
      book_(std::move(state.orders)),
      commit_(state.generation, state.next_sequence),
      compact_above_(options.compact_log_size_min),
      log_(std::move(state.log).release()),
      log_generation_(state.generation),
      log_offset_(state.log_offset) {}

// ---- requests --------------------------------------------------------------------------------------------------------

// Under the lock: whether a change may be decided at all.
std::expected<void, problem> store::may_write() const {
  if (!failure_.empty()) return std::unexpected(unavailable("Orders cannot be written: " + failure_));
  if (stopping_) return std::unexpected(unavailable("The service is stopping; repeat the request with the same key."));
  if (commit_.pending_bytes() > options_.pending_bytes_max) {
    return std::unexpected(unavailable("The disk is slower than the orders come; repeat the request later."));
  }
  return {};
}

// Under the lock, after a decision under the same lock: it cannot fail, but for want of memory. Then log and book may know half of
// it, and nothing more is written.
void store::append_and_apply(const log_record& entry, std::uint64_t& sequence) {
  try {
    sequence = commit_.append(entry);
    const auto applied = book_.apply(sequence, entry);
    LEVITY_ASSERT(applied.has_value(), "a record that was just decided fits to the book");
  } catch (...) {
    commit_.failed();
    failure_ = "no memory";
    work_.set();
    throw;
  }
}

levity::task<std::expected<store::placed, problem>> store::place(const new_order& wanted, std::string_view key, owed owes,
                                                                 debtor* who) {
  placed answer;
  {
    const std::lock_guard guard{lock_};
    auto decided = book_.place(wanted, key, wall_ns());
    if (!decided) co_return std::unexpected(std::move(decided.error()));
    if (const auto* existing = std::get_if<order_view>(&*decided)) {
      answer = {*existing, true};
    } else {
      if (auto may = may_write(); !may) co_return std::unexpected(std::move(may.error()));
      auto& record = std::get<create_record>(*decided);
      record.owes = owes;
      std::uint64_t sequence = 0;
      append_and_apply(record, sequence);
      if (who != nullptr) who->owe(record.id);
      answer = {*book_.find(record.id), false};
    }
  }
  if (!answer.repeated) work_.set();
  if (auto kept = co_await durable(answer.order.sequence); !kept) co_return std::unexpected(std::move(kept.error()));
  co_return answer;
}

levity::task<std::expected<order_view, problem>> store::change(std::uint64_t id, change_request wanted) {
  std::expected<order_view, problem> answer;
  std::uint64_t seen = 0;  // what the answer rests on
  {
    const std::lock_guard guard{lock_};
    if (auto may = may_write(); !may) co_return std::unexpected(std::move(may.error()));
    auto decided = book_.change(id, wanted, wall_ns());
    if (decided) {
      append_and_apply(*decided, seen);
      answer = *book_.find(id);
    } else {
      answer = std::unexpected(std::move(decided.error()));
      if (const auto current = book_.find(id)) seen = current->sequence;
    }
  }
  if (answer) work_.set();
  if (auto kept = co_await durable(seen); !kept) co_return std::unexpected(std::move(kept.error()));
  co_return answer;
}

void store::settle(std::uint64_t id, owed made) {
  const std::lock_guard guard{lock_};
  if (!failure_.empty() || stopping_) return;
  std::uint64_t sequence = 0;
  append_and_apply(settle_record{id, made}, sequence);
}

void store::flush() { work_.set(); }

std::vector<order_view> store::owing(std::uint64_t& after, std::size_t look_max) {
  std::vector<order_view> found;
  const std::lock_guard guard{lock_};
  const std::uint64_t last = std::min<std::uint64_t>(book_.size(), after + look_max);
  for (std::uint64_t id = after + 1; id <= last; id++) {
    const auto order = book_.find(id);
    if (order->owes != 0) found.push_back(*order);
  }
  after = last == book_.size() ? 0 : last;
  return found;
}

std::optional<order_view> store::peek(std::uint64_t id) {
  const std::lock_guard guard{lock_};
  return book_.find(id);
}

levity::task<std::expected<order_view, problem>> store::find(std::uint64_t id) {
  std::optional<order_view> found;
  {
    const std::lock_guard guard{lock_};
    found = book_.find(id);
  }
  if (!found) co_return std::unexpected(unknown_order(order_id_text(id)));
  if (auto kept = co_await durable_for_reader(found->sequence); !kept) co_return std::unexpected(std::move(kept.error()));
  co_return *found;
}

levity::task<std::expected<book::page, problem>> store::list(std::string_view customer, std::uint64_t after,
                                                             std::size_t limit) {
  std::expected<book::page, problem> page;
  {
    const std::lock_guard guard{lock_};
    page = book_.list(customer, after, limit);
  }
  if (!page) co_return page;
  if (auto kept = co_await durable_for_reader(page->sequence); !kept) co_return std::unexpected(std::move(kept.error()));
  co_return page;
}

// Nobody is told what a crash could take back: waits until `sequence` is durable. Bounded by the disk alone.
levity::task<std::expected<void, problem>> store::durable(std::uint64_t sequence) {
  if (!is_durable(sequence)) co_await levity::shield(wait_in_line(sequence));
  co_return told(sequence);
}

levity::task<std::expected<void, problem>> store::durable_for_reader(std::uint64_t sequence) {
  if (!is_durable(sequence)) co_await wait_in_line(sequence);
  co_return told(sequence);
}

bool store::is_durable(std::uint64_t sequence) {
  const std::lock_guard guard{lock_};
  return sequence <= commit_.durable_sequence();
}

std::expected<void, problem> store::told(std::uint64_t sequence) {
  const std::lock_guard guard{lock_};
  if (sequence <= commit_.durable_sequence()) return {};
  return std::unexpected(unavailable("Whether the order was written is not known: " + failure_));
}

// Leaves the line with its frame. Among some thousands that wait, finding it takes microseconds.
class store::place_in_line {
public:
  explicit place_in_line(store& in, std::uint64_t sequence) : in_(in) {
    auto own = std::make_shared<durable_wait>(sequence);
    const std::lock_guard guard{in.lock_};
    if (sequence <= in.commit_.durable_sequence() || !in.failure_.empty()) return;
    in.waiting_.push_back(own);
    own_ = std::move(own);
  }
  place_in_line(const place_in_line&) = delete;
  place_in_line& operator=(const place_in_line&) = delete;
  ~place_in_line() {
    if (own_ == nullptr) return;
    const std::lock_guard guard{in_.lock_};
    std::erase(in_.waiting_, own_);
  }

  /// What it waits by; null if there is nothing to wait for.
  [[nodiscard]] levity::event* done() noexcept { return own_ != nullptr ? &own_->done : nullptr; }
  /// It was taken out of the line.
  void was_woken() noexcept { own_ = nullptr; }

private:
  store& in_;
  std::shared_ptr<durable_wait> own_;
};

levity::task<> store::wait_in_line(std::uint64_t sequence) {
  place_in_line own{*this, sequence};
  levity::event* const done = own.done();
  if (done == nullptr) co_return;
  co_await done->wait();
  own.was_woken();
}

void store::stop() {
  {
    const std::lock_guard guard{lock_};
    stopping_ = true;
  }
  work_.set();
  large_.set();
  rotated_.set();
}

store::figures store::look() {
  const std::lock_guard guard{lock_};
  figures now = figures_;
  now.orders = book_.size();
  now.durable_sequence = commit_.durable_sequence();
  now.waiting = waiting_.size();
  now.failure = failure_;
  return now;
}

// ---- the writer ------------------------------------------------------------------------------------------------------

levity::task<> store::run() {
  levity::scope parts;
  parts.spawn("order log writer", [](store* self) { return self->write_batches(); }, this);
  parts.spawn("order log compactor", [](store* self) { return self->compact_when_large(); }, this);
  co_await parts.join();
}

levity::task<> store::write_batches() {
  // Orders that were accepted are written even while the service is being cancelled.
  co_await levity::shield([](store* self) -> levity::task<> {
    bool marked = false;
    for (;;) {
      co_await self->work_.wait();
      self->work_.reset();
      for (;;) {
        const commit_batch* batch;
        {
          const std::lock_guard guard{self->lock_};
          batch = self->commit_.take_batch();
          if (batch == nullptr && self->stopping_ && !marked && self->failure_.empty()) {
            // The closing mark: after it even a flipped bit in the last batch is known as damage.
            marked = true;
            std::uint64_t sequence = 0;
            self->append_and_apply(mark_record{}, sequence);
            batch = self->commit_.take_batch();
          }
        }
        if (batch == nullptr) break;
        const bool opens_log = batch->opens_log;
        bool large = false;
        auto written = co_await self->write_batch(*batch);
        if (!written) {
          self->give_up(std::move(written.error()));
          co_return;
        }
        {
          const std::lock_guard guard{self->lock_};
          self->commit_.committed();
          self->figures_.commits++;
          self->figures_.log_bytes = self->log_offset_;
          large = self->is_large();
        }
        self->wake_durable();
        if (opens_log) self->rotated_.set();
        if (large) self->large_.set();
      }
      bool has_failed = false;
      {
        const std::lock_guard guard{self->lock_};
        has_failed = !self->failure_.empty();
        if (self->stopping_ && marked && !self->commit_.has_batch()) co_return;
      }
      if (has_failed) {
        self->tell_failure();
        co_return;
      }
    }
  }(this));
}

levity::task<std::expected<void, std::string>> store::write_batch(const commit_batch& batch) {
  if (batch.opens_log) {
    log_ = {};
    log_generation_ = batch.generation;
    log_offset_ = 0;
  }
  const std::string path = log_path(directory_, log_generation_);
  const auto failed = [&path](const levity::io_error& error) {
    return std::unexpected("\"" + path + "\": " + error.message());
  };
  if (!log_.is_open()) {
    auto opened = co_await levity::file::open(path, {.write = true});
    if (!opened) co_return failed(opened.error());
    log_ = std::move(*opened);
  }
  if (auto written = co_await log_.write_durably_at(log_offset_, batch.bytes); !written) co_return failed(written.error());
  log_offset_ += batch.bytes.size();
  co_return std::expected<void, std::string>{};
}

void store::give_up(std::string sentence) {
  {
    const std::lock_guard guard{lock_};
    commit_.failed();
    failure_ = std::move(sentence);
  }
  tell_failure();
}

void store::tell_failure() {
  wake_durable();
  large_.set();
  rotated_.set();
}

void store::wake_durable() {
  std::vector<std::shared_ptr<durable_wait>> woken;
  {
    const std::lock_guard guard{lock_};
    const std::uint64_t durable = failure_.empty() ? commit_.durable_sequence() : ~std::uint64_t{0};
    const auto still = std::partition(waiting_.begin(), waiting_.end(),
                                      [durable](const auto& each) { return each->sequence > durable; });
    woken.assign(std::move_iterator(still), std::move_iterator(waiting_.end()));
    waiting_.erase(still, waiting_.end());
  }
  for (const auto& each : woken) each->done.set();
}

// ---- the compactor ---------------------------------------------------------------------------------------------------

// Under the lock.
bool store::is_large() const { return figures_.log_bytes > compact_above_; }

levity::task<> store::compact_when_large() {
  for (;;) {
    co_await large_.wait();
    large_.reset();
    {
      const std::lock_guard guard{lock_};
      if (stopping_ || !failure_.empty()) co_return;
      if (!is_large()) continue;  // said while the log before was still being written
    }
    auto compacted = co_await compact();
    const std::lock_guard guard{lock_};
    if (!compacted) {
      std::fprintf(stderr, "orders: the log was not compacted and grows on: %s\n", compacted.error().c_str());
      compact_above_ = 2 * std::max(compact_above_, figures_.log_bytes);
    } else if (*compacted > 0) {
      figures_.compactions++;
      compact_above_ = std::max(options_.compact_log_size_min, *compacted);
    }
  }
}

// The bytes of the snapshot; 0 if the store stopped or failed first.
levity::task<std::expected<std::uint64_t, std::string>> store::compact() {
  // 1: the new log exists before anybody writes to it. Only rotate() below moves the generation.
  std::uint64_t next = 0;
  {
    const std::lock_guard guard{lock_};
    next = commit_.generation() + 1;
  }
  auto made = co_await prepare_log(directory_, next);
  if (!made) co_return std::unexpected(std::move(made.error()));

  // 1': writes go there from a batch boundary on. Not after the closing mark: nobody would write the header then.
  std::uint64_t first_sequence = 0;
  bool rotates = false;
  rotated_.reset();
  {
    const std::lock_guard guard{lock_};
    rotates = !stopping_ && failure_.empty();
    if (rotates) {
      commit_.rotate(wall_ns());
      first_sequence = commit_.next_sequence();
    }
  }
  if (!rotates) {
    auto removed = co_await remove_file(log_path(directory_, next));
    if (!removed) co_return std::unexpected(std::move(removed.error()));
    co_return 0;
  }
  work_.set();
  co_await rotated_.wait();

  // 2 to 4, and away with what a snapshot left unfinished.
  snapshot_writer writer{next, first_sequence, wall_ns()};
  auto written = co_await write_snapshot(next, writer);
  if (written && *written > 0) co_return written;
  auto removed = co_await remove_file(temporary_path(snapshot_path(directory_, next)));
  if (written && !removed) co_return std::unexpected(std::move(removed.error()));
  co_return written;
}

levity::task<std::expected<std::uint64_t, std::string>> store::write_snapshot(std::uint64_t generation,
                                                                              snapshot_writer& writer) {
  const std::string path = temporary_path(snapshot_path(directory_, generation));
  const auto failed = [&path](const levity::io_error& error) {
    return std::unexpected("\"" + path + "\": " + error.message());
  };
  auto file = co_await levity::file::open(path, {.write = true, .create = true, .truncate = true});
  if (!file) co_return failed(file.error());
  std::string slices;
  std::uint64_t offset = 0;
  for (bool more = true; more;) {
    {
      const std::lock_guard guard{lock_};
      if (stopping_ || !failure_.empty()) co_return 0;
      more = writer.fill(book_, options_.snapshot_slice_orders, slices);
    }
    constexpr std::size_t write_bytes = std::size_t{1} << 20;
    if (slices.size() >= write_bytes || !more) {
      if (auto written = co_await file->write_at(offset, slices); !written) co_return failed(written.error());
      offset += slices.size();
      slices.clear();
    }
    if (more) co_await levity::yield();
  }
  flush();  // a mark may be the last of it, and hurries nobody
  if (auto kept = co_await durable(writer.included_through()); !kept) co_return 0;
  if (auto synced = co_await file->sync_data(); !synced) co_return failed(synced.error());
  auto published = co_await publish_and_tidy(directory_, generation);
  if (!published) co_return std::unexpected(std::move(published.error()));
  co_return offset;
}

}  // namespace orders
