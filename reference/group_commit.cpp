#include "reference/group_commit.hpp"

#include <fmt/format.h>

namespace orders {

group_commit::group_commit(std::uint64_t generation, std::uint64_t next_sequence, std::size_t batch_size_max)
    : generation_(generation), next_sequence_(next_sequence), durable_sequence_(next_sequence - 1),
      batch_size_max_(batch_size_max) {}

commit_batch& group_commit::filling() {
  if (!sealed_ && (waiting_.back().bytes.size() >= batch_size_max_ ||
                   next_sequence_ - waiting_.back().first_sequence > lag_max)) {
    seal();
  }
  if (sealed_) {
    commit_batch batch;
    batch.generation = generation_;
    batch.first_sequence = batch.next_sequence = next_sequence_;
    batch.bytes = std::move(spare_);
    batch.bytes.clear();
    waiting_.push_back(std::move(batch));
    sealed_ = false;
  }
  return waiting_.back();
}

void group_commit::seal() { sealed_ = true; }

std::uint64_t group_commit::append(const log_record& entry) {
  commit_batch& batch = filling();
  const std::uint64_t sequence = next_sequence_++;
  append_record(batch.bytes, generation_, sequence, static_cast<std::uint16_t>(sequence - batch.first_sequence), entry);
  batch.next_sequence = next_sequence_;
  return sequence;
}

std::uint64_t group_commit::rotate(std::int64_t now_ns) {
  seal();
  ++generation_;
  commit_batch& batch = filling();
  batch.opens_log = true;
  append_file_header(batch.bytes, {file_kind::log, generation_, next_sequence_, now_ns, 0});
  return generation_;
}

bool group_commit::has_batch() const noexcept { return !waiting_.empty(); }

const commit_batch* group_commit::take_batch() {
  if (failed_ || in_flight_ || waiting_.empty()) return nullptr;
  in_flight_ = std::move(waiting_.front());
  waiting_.pop_front();
  if (waiting_.empty()) sealed_ = true;
  return &*in_flight_;
}

void group_commit::committed() {
  if (failed_ || !in_flight_) return;
  durable_sequence_ = in_flight_->next_sequence - 1;
  // A buffer that one burst made large is not kept.
  if (in_flight_->bytes.capacity() <= batch_size_max_ * 2) spare_ = std::move(in_flight_->bytes);
  in_flight_.reset();
}

std::size_t group_commit::pending_bytes() const noexcept {
  std::size_t sum = in_flight_ ? in_flight_->bytes.size() : 0;
  for (const commit_batch& batch : waiting_) sum += batch.bytes.size();
  return sum;
}

std::optional<std::string> group_commit::check_invariants() const {
  std::uint64_t expected = durable_sequence_ + 1;
  const auto wrong = [&](const commit_batch& batch) {
    return batch.first_sequence != expected || batch.next_sequence < batch.first_sequence ||
           (batch.next_sequence == batch.first_sequence && !batch.opens_log);
  };
  if (in_flight_) {
    if (wrong(*in_flight_)) return fmt::format("the batch in flight does not begin at {}", expected);
    expected = in_flight_->next_sequence;
  }
  for (const commit_batch& batch : waiting_) {
    if (wrong(batch)) return fmt::format("a batch does not begin at {}", expected);
    expected = batch.next_sequence;
  }
  if (expected != next_sequence_) return fmt::format("batches end at {}, sequences at {}", expected, next_sequence_);
  return std::nullopt;
}

}  // namespace orders
