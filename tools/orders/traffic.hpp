// traffic.hpp -- customers of the order service: they order, pay, look and list, and remember every promise.
#pragma once

#include "load/workload.hpp"
#include "orders/ledger.hpp"

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

namespace levity::orders {

/// The first contradictions in words, all of them as a number.
class complaints {
public:
  static constexpr std::size_t kept_max = 8;
  void add(std::string sentence) {
    ++count_;
    if (kept_.size() < kept_max) kept_.push_back(std::move(sentence));
  }
  void merge(const complaints& other) {
    count_ += other.count_;
    for (const auto& sentence : other.kept_)
      if (kept_.size() < kept_max) kept_.push_back(sentence);
  }
  [[nodiscard]] std::uint64_t count() const { return count_; }
  [[nodiscard]] const std::vector<std::string>& kept() const { return kept_; }

private:
  std::uint64_t count_ = 0;
  std::vector<std::string> kept_;
};

/// How many requests of each kind were sent.
struct traffic_counts {
  std::uint64_t created = 0, repeated = 0, changed = 0, refused_changes = 0, read = 0, listed = 0;
  void merge(const traffic_counts& other) {
    created += other.created;
    repeated += other.repeated;
    changed += other.changed;
    refused_changes += other.refused_changes;
    read += other.read;
    listed += other.listed;
  }
};

/// Of the writes, most are new orders, about a sixth change an own order (one in twenty of these illegally, which must be
/// answered by 409), some repeat an acknowledged POST with its key. Of the reads, one in twenty is a list.
class mixed_traffic final : public load::workload {
public:
  /// Makes the orders `shard`, `shard + shards`, ... of the maker. `writes` is a share 0..1.
  mixed_traffic(const order_maker& maker, std::string authority, double writes, std::uint64_t shard, std::uint64_t shards);

  bool next(load::request_id id, load::request_out& out) override;
  load::failure answered(load::request_id id, const load::response_view& answer) override;

  [[nodiscard]] ledger& orders() { return ledger_; }
  [[nodiscard]] const complaints& wrong() const { return wrong_; }
  [[nodiscard]] const traffic_counts& counts() const { return counts_; }

private:
  enum class kind : std::uint8_t { create, repeat, change, refused_change, read, list };
  struct pending {
    kind what = kind::read;
    std::uint64_t number = 0;  // of the maker (create) or index into the ledger
    std::uint64_t version = 0;
    std::string status;        // the change asked for
  };

  std::uint64_t dice();
  std::size_t pick();
  void write_create(std::uint64_t number, load::request_out& out);
  bool write_change(pending& sent, load::request_out& out);
  void write_get(const std::string& path, load::request_out& out);

  load::failure fail(std::string sentence);
  load::failure check_created(const pending& sent, const load::response_view& answer);
  load::failure check_changed(const pending& sent, const load::response_view& answer);
  load::failure check_read(const pending& sent, const load::response_view& answer);
  load::failure check_list(const pending& sent, const load::response_view& answer);

  const order_maker& maker_;
  std::string tail_;  // header lines that every request ends with
  double writes_;
  std::uint64_t next_number_;
  std::uint64_t shards_;
  std::uint64_t state_;
  std::unordered_map<load::request_id, pending> pending_;
  ledger ledger_;
  complaints wrong_;
  traffic_counts counts_;
};

/// Reads every order of a ledger back, then repeats every `repeat_each`-th POST with its key: the same order must come.
class read_back final : public load::workload {
public:
  read_back(const order_maker& maker, std::string authority, const ledger& orders, std::uint64_t repeats);

  bool next(load::request_id id, load::request_out& out) override;
  load::failure answered(load::request_id id, const load::response_view& answer) override;

  [[nodiscard]] const complaints& missing() const { return missing_; }
  [[nodiscard]] const complaints& differing() const { return differing_; }
  [[nodiscard]] const complaints& unread() const { return unread_; }
  [[nodiscard]] std::uint64_t compared() const { return compared_; }
  [[nodiscard]] std::uint64_t repeated() const { return repeated_; }

private:
  [[nodiscard]] const entry& entry_of(load::request_id id) const;

  const order_maker& maker_;
  std::string tail_;
  const ledger& ledger_;
  std::uint64_t repeats_;
  complaints missing_;
  complaints differing_;
  complaints unread_;
  std::uint64_t compared_ = 0;
  std::uint64_t repeated_ = 0;
};

}  // namespace levity::orders
