#include "reference/recovery.hpp"

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>
#include <variant>

#include <fmt/format.h>

#include <levity/base/process_id.hpp>

#include "reference/record_file.hpp"
#include "reference/snapshot.hpp"

namespace orders {
namespace {

using outcome = std::expected<void, std::string>;

constexpr std::string_view damage_remedy =
    "acknowledged orders may be missing, so the service does not start; restore the data directory from a backup, or "
    "start with --cut-damage to give up everything from there on (it is kept beside as *.damaged)";

// A name beside `path` that no earlier damage has taken.
levity::task<std::expected<std::string, std::string>> name_aside(std::string path) {
  std::string name = path + ".damaged";
  for (int i = 2;; ++i) {
    const auto taken = co_await is_there(name);
    if (!taken) co_return std::unexpected(taken.error());
    if (!*taken) co_return std::move(name);
    name = fmt::format("{}.damaged.{}", path, i);
  }
}

// Puts a file out of the way without losing it.
levity::task<outcome> put_aside(std::string path) {
  auto name = co_await name_aside(path);
  if (!name) co_return std::unexpected(std::move(name.error()));
  co_return co_await rename_file(std::move(path), std::move(*name));
}

// What the lock file says of who has it: a process's number, in the width of the longest, so that every start writes as much.
constexpr std::size_t owner_size = 11;

std::string owner_text() { return fmt::format("{:>{}}\n", levity::process_id(), owner_size - 1); }

std::string read_owner(std::string_view text) {
  const auto begin = std::min(text.find_first_not_of(' '), text.size());
  const auto end = std::min(text.find_first_not_of("0123456789", begin), text.size());
  return begin == end ? "another process" : fmt::format("process {}", text.substr(begin, end - begin));
}

class recovery {
public:
  recovery(std::string directory, recovery_options options) : directory_(std::move(directory)), options_(options) {}

  levity::task<std::expected<recovered, std::string>> run() {
    outcome done = co_await lock();
    if (done) done = co_await list();
    if (done) done = co_await load_newest_snapshot();
    if (done) done = co_await replay_logs();
    if (done) done = co_await open_log();
    if (done) done = co_await remove_what_is_old();
    if (!done) {
      co_await result_.lock.close();
      co_return std::unexpected(std::move(done.error()));
    }
    co_return std::move(result_);
  }

private:
  levity::task<outcome> lock() {
    const auto made = co_await make_directories(directory_);
    if (!made) {
      co_return std::unexpected(fmt::format("Cannot make the data directory {}: {}.", directory_, cause_of(made.error())));
    }
    auto file = co_await named_file::open(directory_ + "/orders.lock", {.read = true, .write = true, .create = true});
    if (!file) co_return std::unexpected(std::move(file.error()));
    const auto locked = file->try_lock();
    if (!locked && locked.error() != levity::io_failure::would_block) {
      co_return std::unexpected(fmt::format("Cannot lock {}: {}.", file->path(), cause_of(locked.error())));
    }
    if (!locked) {
      std::string owner;
      const auto read = co_await file->read_at(0, owner_size, owner);
      if (!read) owner.clear();
      co_return std::unexpected(fmt::format("The data directory {} is in use by {}; stop that one first, or choose another "
                                            "directory with --data.",
                                            directory_, read_owner(owner)));
    }
    result_.lock = std::move(*file);
    outcome done = co_await result_.lock.truncate(0);
    if (done) done = co_await result_.lock.write_at(0, owner_text());
    co_return done;
  }

  levity::task<outcome> list() {
    auto listing = co_await list_directory(directory_);
    if (!listing) co_return std::unexpected(std::move(listing.error()));
    files_ = std::move(*listing);
    for (const std::string& path : files_.temporaries) {
      auto removed = co_await remove_file(path);
      if (!removed) co_return removed;
    }
    co_return outcome{};
  }

  // Sets base_ (the first generation whose log counts) and expected_ (the sequence that comes next).
  levity::task<outcome> load_newest_snapshot() {
    std::vector<std::string> reasons;
    for (std::size_t left = files_.snapshots.size(); left > 0; --left) {
      const std::uint64_t generation = files_.snapshots[left - 1];
      book candidate;
      auto loaded = co_await load_snapshot(snapshot_path(directory_, generation), generation, candidate);
      if (!loaded) {
        unusable_.push_back(generation);
        reasons.push_back(std::move(loaded.error()));
        continue;
      }
      result_.orders = std::move(candidate);
      result_.orders_from_snapshot = loaded->orders;
      base_ = generation;
      expected_ = loaded->first_sequence;
      included_through_ = loaded->included_through;
      from_snapshot_ = true;
      break;
    }
    if (reasons.empty()) co_return outcome{};
    // An older snapshot, or none, does as well if every log since then is still here.
    const bool chain = std::binary_search(files_.logs.begin(), files_.logs.end(), base_);
    if (!chain && !options_.cut_damage) {
      co_return std::unexpected(
          fmt::format("{} There is no older one to start from: {}.", reasons.front(), damage_remedy));
    }
    for (const std::string& reason : reasons) {
      result_.warnings.push_back(reason + " It was not used; the orders were read from the files before it.");
    }
    co_return outcome{};
  }

  levity::task<outcome> replay_logs() {
    std::erase_if(files_.logs, [this](std::uint64_t generation) { return generation < base_; });
    result_.generation = base_;
    if (files_.logs.empty() && !from_snapshot_ && unusable_.empty()) co_return outcome{};  // a new directory
    bool ended = false;
    for (std::uint64_t generation = base_; !ended; ++generation) {
      if (!std::binary_search(files_.logs.begin(), files_.logs.end(), generation)) {
        std::string why = fmt::format("{} is missing", log_path(directory_, generation));
        auto cut = co_await give_up_from(generation, std::move(why));
        if (!cut) co_return cut;
        break;
      }
      auto replayed = co_await replay_log(generation, generation == files_.logs.back());
      if (!replayed) co_return std::unexpected(std::move(replayed.error()));
      ended = *replayed;
    }
    if (expected_ <= included_through_ && !cut_damage_happened_) {
      std::string why = fmt::format("{} ends before sequence {}, but the snapshot knows records through {}",
                                    log_path(directory_, result_.generation), expected_, included_through_);
      co_return co_await give_up_from(result_.generation + 1, std::move(why));
    }
    co_return outcome{};
  }

  // A record that holds and does not fit to what came before it.
  struct misfit {
    std::uint64_t offset = 0;
    std::string why;
  };

  // Applies what is in the window of the file.
  std::optional<misfit> replay_window(record_file& file) {
    for (;;) {
      const std::uint64_t offset = file.position();
      const auto raw = file.next();
      if (!raw) return std::nullopt;
      const auto decoded = decode(*raw);
      if (!decoded) return misfit{offset, std::string(decoded.error())};
      if (std::holds_alternative<snapshot_order_record>(*decoded)) return misfit{offset, "it belongs into a snapshot"};
      const auto applied = result_.orders.apply(raw->sequence, *decoded);
      if (!applied) return misfit{offset, std::string(applied.error())};
      expected_ = raw->sequence + 1;
      ++result_.records_replayed;
    }
  }

  // True if this log is where reading ends.
  levity::task<std::expected<bool, std::string>> replay_log(std::uint64_t generation, bool last) {
    const std::string path = log_path(directory_, generation);
    auto file = co_await record_file::open(path);
    if (!file) co_return std::unexpected(std::move(file.error()));
    const auto header = read_file_header(file->head());
    const bool fits = header && header->kind == file_kind::log && header->generation == generation &&
                      header->first_sequence == expected_;
    if (!fits) {
      std::string why = header ? "does not continue the file before it" : std::string(header.error());
      co_return co_await headless(*file, generation, last, std::move(why));
    }

    file->start(generation, expected_);
    for (bool more = true; more;) {
      auto found = replay_window(*file);
      if (found) co_return co_await inconsistent(*file, generation, std::move(*found));
      const auto read = co_await file->read_on();
      if (!read) co_return std::unexpected(read.error());
      more = *read;
    }
    result_.generation = generation;
    result_.log_offset = file->position();
    if (file->position() == file->size()) co_return last;

    // The valid prefix ends before the file does.
    const auto rest = co_await file->bytes_from(file->position());
    if (!rest) co_return std::unexpected(rest.error());
    bool unborn_follows = false;
    if (!last && files_.logs.back() == generation + 1) unborn_follows = co_await is_unborn(generation + 1);
    const auto proof = find_proof_of_damage(*rest, generation, expected_);
    if (proof || (!last && !unborn_follows)) {
      const std::string evidence = proof ? fmt::format("acknowledged records follow at offset {}", file->position() + *proof)
                                         : "a later log follows";
      std::string why = fmt::format("{} is damaged at offset {} ({}, yet {})", path, file->position(), describe(file->end()),
                                    evidence);
      auto cut = co_await give_up_from(generation + 1, std::move(why), &*rest);
      if (!cut) co_return std::unexpected(std::move(cut.error()));
      co_return true;
    }
    if (unborn_follows) {
      unborn_ = log_path(directory_, generation + 1);
    }
    cut_ = true;
    result_.warnings.push_back(
        fmt::format("{} was cut at offset {}: {}, so its last {} bytes, which nobody had been promised, were removed.",
                    path, file->position(), describe(file->end()), rest->size()));
    co_return true;
  }

  // A log whose header does not hold or does not fit. If it is the last one and nothing in it was promised, it was being
  // created when the power failed, and the log before it goes on.
  levity::task<std::expected<bool, std::string>> headless(record_file& file, std::uint64_t generation, bool last,
                                                          std::string why) {
    const auto bytes = co_await file.bytes_from(0);
    if (!bytes) co_return std::unexpected(bytes.error());
    const bool valid_header = read_file_header(file.head()).has_value();
    const bool born_by_snapshot = from_snapshot_ && generation == base_;
    if (last && !valid_header && !born_by_snapshot && !find_proof_of_damage(*bytes, generation, expected_)) {
      unborn_ = file.path();
      if (!bytes->empty()) {
        result_.warnings.push_back(fmt::format("{} was removed: it {}, and nobody had been promised anything in it.",
                                               file.path(), why));
      }
      co_return true;
    }
    auto cut = co_await give_up_from(generation, fmt::format("{} {}", file.path(), why));
    if (!cut) co_return std::unexpected(std::move(cut.error()));
    co_return true;
  }

  // No header and not one record: created, never written.
  levity::task<bool> is_unborn(std::uint64_t generation) {
    auto file = co_await record_file::open(log_path(directory_, generation));
    if (!file || read_file_header(file->head())) co_return false;
    const auto bytes = co_await file->bytes_from(0);
    co_return bytes && !find_proof_of_damage(*bytes, generation, 0);
  }

  levity::task<std::expected<bool, std::string>> inconsistent(record_file& file, std::uint64_t generation, misfit found) {
    result_.generation = generation;
    result_.log_offset = found.offset;
    const auto rest = co_await file.bytes_from(found.offset);
    if (!rest) co_return std::unexpected(rest.error());
    std::string why = fmt::format("{} is inconsistent at offset {} ({})", file.path(), found.offset, found.why);
    auto cut = co_await give_up_from(generation + 1, std::move(why), &*rest);
    if (!cut) co_return std::unexpected(std::move(cut.error()));
    co_return true;
  }

  // Damage. Refuses, or keeps `rest` and every log from `generation` on beside.
  levity::task<outcome> give_up_from(std::uint64_t generation, std::string why, const std::string* rest = nullptr) {
    if (!options_.cut_damage) co_return std::unexpected(fmt::format("{}: {}.", why, damage_remedy));
    cut_damage_happened_ = true;
    result_.warnings.push_back(fmt::format("{}: everything from there on was given up and kept beside as *.damaged.", why));
    if (rest) {
      auto path = co_await name_aside(log_path(directory_, result_.generation));
      if (!path) co_return std::unexpected(std::move(path.error()));
      auto file = co_await named_file::open(std::move(*path), {.write = true, .create = true, .exclusive = true});
      if (!file) co_return std::unexpected(std::move(file.error()));
      outcome done = co_await file->write_at(0, *rest);
      if (done) done = co_await file->sync();
      if (!done) co_return done;
      cut_ = true;
    }
    for (const std::uint64_t later : files_.logs) {
      if (later < generation) continue;
      auto aside = co_await put_aside(log_path(directory_, later));
      if (!aside) co_return aside;
    }
    co_return co_await sync_directory(directory_);
  }

  levity::task<outcome> open_log() {
    for (const std::uint64_t generation : unusable_) {
      auto aside = co_await put_aside(snapshot_path(directory_, generation));
      if (!aside) co_return aside;
    }
    if (!unborn_.empty()) {
      auto removed = co_await remove_file(unborn_);
      if (!removed) co_return removed;
    }
    if (expected_ <= included_through_) co_return co_await start_over();
    result_.next_sequence = expected_;
    if (result_.log_offset == 0) {
      auto log = co_await create_log(directory_, result_.generation, expected_, options_.now_ns);
      if (!log) co_return std::unexpected(std::move(log.error()));
      result_.log = std::move(*log);
      result_.log_offset = file_header_size;
      co_return outcome{};
    }
    auto log = co_await named_file::open(log_path(directory_, result_.generation), {.write = true});
    if (!log) co_return std::unexpected(std::move(log.error()));
    result_.log = std::move(*log);
    outcome done;
    if (cut_) done = co_await result_.log.truncate(result_.log_offset);
    if (done) done = co_await result_.log.sync();
    if (done) done = co_await sync_directory(directory_);
    co_return done;
  }

  // Damage was given up, and the snapshot knows more than the logs that are left: they would be refused at every further
  // start. What is there becomes a snapshot of its own, with sequences that were never used.
  levity::task<outcome> start_over() {
    base_ = result_.generation + 1;
    expected_ = included_through_ + 1;
    result_.orders.continues_after(expected_ - 1);
    auto log = co_await create_log(directory_, base_, expected_, options_.now_ns);
    if (!log) co_return std::unexpected(std::move(log.error()));
    outcome done = co_await write_temporary_snapshot(directory_, result_.orders, base_, expected_, options_.now_ns);
    if (done) done = co_await publish_snapshot(directory_, base_);
    if (!done) co_return done;
    result_.log = std::move(*log);
    result_.generation = base_;
    result_.log_offset = file_header_size;
    result_.next_sequence = expected_;
    co_return outcome{};
  }

  levity::task<outcome> remove_what_is_old() {
    result_.orders.continues_after(expected_ - 1);
    if (!from_snapshot_) co_return outcome{};
    co_return co_await remove_older(directory_, base_);
  }

  std::string directory_;
  recovery_options options_;
  recovered result_;

  directory_listing files_;
  std::vector<std::uint64_t> unusable_;  // snapshots that do not hold
  bool from_snapshot_ = false;
  std::uint64_t base_ = 1;
  std::uint64_t expected_ = 1;
  std::uint64_t included_through_ = 0;
  bool cut_ = false;                  // the log ends at log_offset, the file later
  std::string unborn_;                // path of a last log that was created and never written
  bool cut_damage_happened_ = false;
};

}  // namespace

levity::task<std::expected<recovered, std::string>> recover(std::string directory, recovery_options options) {
  recovery steps{std::move(directory), options};
  co_return co_await steps.run();
}

}  // namespace orders
