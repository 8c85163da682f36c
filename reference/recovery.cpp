#include "reference/recovery.hpp"

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <optional>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include "reference/record_file.hpp"
#include "reference/snapshot.hpp"

namespace orders {
namespace {

using outcome = std::expected<void, std::string>;

constexpr std::string_view damage_remedy =
    "acknowledged orders may be missing, so the service does not start; restore the data directory from a backup, or "
    "start with --cut-damage to give up everything from there on (it is kept beside as *.damaged)";

// A name beside `path` that no earlier damage has taken.
std::string name_aside(const std::string& path) {
  std::string name = path + ".damaged";
  for (int i = 2; ::access(name.c_str(), F_OK) == 0; ++i) name = fmt::format("{}.damaged.{}", path, i);
  return name;
}

// Puts a file out of the way without losing it.
outcome put_aside(const std::string& path) { return rename_file(path, name_aside(path)); }

class recovery {
public:
  recovery(std::string directory, const recovery_options& options)
      : directory_(std::move(directory)), options_(options) {}

  std::expected<recovered, std::string> run() {
    for (const auto step : {&recovery::lock, &recovery::list, &recovery::load_newest_snapshot, &recovery::replay_logs,
                            &recovery::open_log, &recovery::remove_what_is_old}) {
      if (auto done = (this->*step)(); !done) return std::unexpected(std::move(done.error()));
    }
    return std::move(result_);
  }

private:
  outcome lock() {
    std::error_code error;
    std::filesystem::create_directories(directory_, error);
    if (error) {
      return std::unexpected(fmt::format("Cannot make the data directory {}: {}.", directory_, error.message()));
    }
    const std::string path = directory_ + "/orders.lock";
    auto file = open_file(path, O_RDWR | O_CREAT);
    if (!file) return std::unexpected(std::move(file.error()));
    if (::flock(file->get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno != EWOULDBLOCK) {
        return std::unexpected(fmt::format("Cannot lock {}: {}.", path, std::generic_category().message(errno)));
      }
      std::string owner;
      if (auto read = read_at(*file, path, 0, 20, owner); !read) owner.clear();
      const auto end = owner.find_first_not_of("0123456789");
      owner.resize(end == std::string::npos ? owner.size() : end);
      return std::unexpected(fmt::format("The data directory {} is in use by {}; stop that one first, or choose another "
                                         "directory with --data.",
                                         directory_, owner.empty() ? "another process" : "process " + owner));
    }
    auto done = truncate_file(*file, path, 0);
    if (done) done = write_at(*file, path, 0, fmt::format("{}\n", ::getpid()));
    if (!done) return done;
    result_.lock = std::move(*file);
    return {};
  }

  outcome list() {
    auto listing = list_directory(directory_);
    if (!listing) return std::unexpected(std::move(listing.error()));
    files_ = std::move(*listing);
    for (const std::string& path : files_.temporaries) {
      if (auto removed = remove_file(path); !removed) return removed;
    }
    return {};
  }

  // Sets base_ (the first generation whose log counts) and expected_ (the sequence that comes next).
  outcome load_newest_snapshot() {
    std::vector<std::string> reasons;
    for (auto at = files_.snapshots.rbegin(); at != files_.snapshots.rend(); ++at) {
      book candidate;
      auto loaded = load_snapshot(snapshot_path(directory_, *at), *at, candidate);
      if (!loaded) {
        unusable_.push_back(*at);
        reasons.push_back(std::move(loaded.error()));
        continue;
      }
      result_.orders = std::move(candidate);
      result_.orders_from_snapshot = loaded->orders;
      base_ = *at;
      expected_ = loaded->first_sequence;
      included_through_ = loaded->included_through;
      from_snapshot_ = true;
      break;
    }
    if (reasons.empty()) return {};
    // An older snapshot, or none, does as well if every log since then is still here.
    const bool chain = std::binary_search(files_.logs.begin(), files_.logs.end(), base_);
    if (!chain && !options_.cut_damage) {
      return std::unexpected(fmt::format("{} There is no older one to start from: {}.", reasons.front(), damage_remedy));
    }
    for (const std::string& reason : reasons) {
      result_.warnings.push_back(reason + " It was not used; the orders were read from the files before it.");
    }
    return {};
  }

  outcome replay_logs() {
    std::erase_if(files_.logs, [this](std::uint64_t generation) { return generation < base_; });
    result_.generation = base_;
    if (files_.logs.empty() && !from_snapshot_ && unusable_.empty()) return {};  // a new directory
    bool ended = false;
    for (std::uint64_t generation = base_; !ended; ++generation) {
      if (!std::binary_search(files_.logs.begin(), files_.logs.end(), generation)) {
        auto cut = give_up_from(generation, fmt::format("{} is missing", log_path(directory_, generation)));
        if (!cut) return cut;
        break;
      }
      auto replayed = replay_log(generation, generation == files_.logs.back());
      if (!replayed) return std::unexpected(std::move(replayed.error()));
      ended = *replayed;
    }
    if (expected_ <= included_through_ && !cut_damage_happened_) {
      return give_up_from(result_.generation + 1,
                          fmt::format("{} ends before sequence {}, but the snapshot knows records through {}",
                                      log_path(directory_, result_.generation), expected_, included_through_));
    }
    return {};
  }

  // True if this log is where reading ends.
  std::expected<bool, std::string> replay_log(std::uint64_t generation, bool last) {
    const std::string path = log_path(directory_, generation);
    auto file = record_file::open(path);
    if (!file) return std::unexpected(std::move(file.error()));
    const auto header = read_file_header(file->head());
    const bool fits = header && header->kind == file_kind::log && header->generation == generation &&
                      header->first_sequence == expected_;
    if (!fits) {
      const std::string why = header ? "does not continue the file before it" : std::string(header.error());
      return headless(*file, generation, last, why);
    }

    file->start(generation, expected_);
    for (;;) {
      const std::uint64_t offset = file->position();
      auto next = file->next();
      if (!next) return std::unexpected(std::move(next.error()));
      if (!*next) break;
      const raw_record& raw = **next;
      auto decoded = decode(raw);
      if (!decoded) return inconsistent(*file, generation, offset, std::string(decoded.error()));
      const bool of_snapshot = std::holds_alternative<snapshot_order_record>(*decoded);
      if (of_snapshot) return inconsistent(*file, generation, offset, "it belongs into a snapshot");
      if (auto applied = result_.orders.apply(raw.sequence, *decoded); !applied) {
        return inconsistent(*file, generation, offset, applied.error());
      }
      expected_ = raw.sequence + 1;
      ++result_.records_replayed;
    }
    result_.generation = generation;
    result_.log_offset = file->position();
    if (file->position() == file->size()) return last;

    // The valid prefix ends before the file does.
    auto rest = file->bytes_from(file->position());
    if (!rest) return std::unexpected(std::move(rest.error()));
    const bool unborn_follows = !last && files_.logs.back() == generation + 1 && is_unborn(generation + 1);
    const auto proof = find_proof_of_damage(*rest, generation, expected_);
    if (proof || (!last && !unborn_follows)) {
      const std::string evidence = proof ? fmt::format("acknowledged records follow at offset {}", file->position() + *proof)
                                         : "a later log follows";
      if (auto cut = give_up_from(generation + 1, fmt::format("{} is damaged at offset {} ({}, yet {})", path,
                                                              file->position(), describe(file->end()), evidence),
                                  &*rest);
          !cut) {
        return std::unexpected(std::move(cut.error()));
      }
      return true;
    }
    if (unborn_follows) {
      unborn_ = log_path(directory_, generation + 1);
    }
    cut_ = true;
    result_.warnings.push_back(
        fmt::format("{} was cut at offset {}: {}, so its last {} bytes, which nobody had been promised, were removed.",
                    path, file->position(), describe(file->end()), rest->size()));
    return true;
  }

  // A log whose header does not hold or does not fit. If it is the last one and nothing in it was promised, it was being
  // created when the power failed, and the log before it goes on.
  std::expected<bool, std::string> headless(record_file& file, std::uint64_t generation, bool last,
                                            const std::string& why) {
    auto bytes = file.bytes_from(0);
    if (!bytes) return std::unexpected(std::move(bytes.error()));
    const bool valid_header = read_file_header(file.head()).has_value();
    const bool born_by_snapshot = from_snapshot_ && generation == base_;
    if (last && !valid_header && !born_by_snapshot && !find_proof_of_damage(*bytes, generation, expected_)) {
      unborn_ = file.path();
      if (!bytes->empty()) {
        result_.warnings.push_back(fmt::format("{} was removed: it {}, and nobody had been promised anything in it.",
                                               file.path(), why));
      }
      return true;
    }
    if (auto cut = give_up_from(generation, fmt::format("{} {}", file.path(), why)); !cut) {
      return std::unexpected(std::move(cut.error()));
    }
    return true;
  }

  // No header and not one record: created, never written.
  bool is_unborn(std::uint64_t generation) {
    auto file = record_file::open(log_path(directory_, generation));
    if (!file || read_file_header(file->head())) return false;
    auto bytes = file->bytes_from(0);
    return bytes && !find_proof_of_damage(*bytes, generation, 0);
  }

  std::expected<bool, std::string> inconsistent(const record_file& file, std::uint64_t generation, std::uint64_t offset,
                                                const std::string& why) {
    result_.generation = generation;
    result_.log_offset = offset;
    auto rest = file.bytes_from(offset);
    if (!rest) return std::unexpected(std::move(rest.error()));
    auto cut = give_up_from(generation + 1,
                            fmt::format("{} is inconsistent at offset {} ({})", file.path(), offset, why), &*rest);
    if (!cut) return std::unexpected(std::move(cut.error()));
    return true;
  }

  // Damage. Refuses, or keeps `rest` and every log from `generation` on beside.
  outcome give_up_from(std::uint64_t generation, const std::string& why, const std::string* rest = nullptr) {
    if (!options_.cut_damage) return std::unexpected(fmt::format("{}: {}.", why, damage_remedy));
    cut_damage_happened_ = true;
    result_.warnings.push_back(fmt::format("{}: everything from there on was given up and kept beside as *.damaged.", why));
    if (rest) {
      const std::string path = name_aside(log_path(directory_, result_.generation));
      auto file = open_file(path, O_WRONLY | O_CREAT | O_EXCL);
      if (!file) return std::unexpected(std::move(file.error()));
      auto done = write_at(*file, path, 0, *rest);
      if (done) done = sync_file(*file, path);
      if (!done) return done;
      cut_ = true;
    }
    for (const std::uint64_t later : files_.logs) {
      if (later < generation) continue;
      const std::string path = log_path(directory_, later);
      if (auto aside = put_aside(path); !aside) return aside;
    }
    return sync_directory(directory_);
  }

  outcome open_log() {
    for (const std::uint64_t generation : unusable_) {
      if (auto aside = put_aside(snapshot_path(directory_, generation)); !aside) return aside;
    }
    if (!unborn_.empty()) {
      if (auto removed = remove_file(unborn_); !removed) return removed;
    }
    if (expected_ <= included_through_) return start_over();
    result_.next_sequence = expected_;
    const std::string path = log_path(directory_, result_.generation);
    if (result_.log_offset == 0) {
      auto log = create_log(directory_, result_.generation, expected_, options_.now_ns);
      if (!log) return std::unexpected(std::move(log.error()));
      result_.log = std::move(*log);
      result_.log_offset = file_header_size;
      return {};
    }
    auto log = open_file(path, O_WRONLY);
    if (!log) return std::unexpected(std::move(log.error()));
    result_.log = std::move(*log);
    if (cut_) {
      if (auto done = truncate_file(result_.log, path, result_.log_offset); !done) return done;
    }
    if (auto done = sync_file(result_.log, path); !done) return done;
    return sync_directory(directory_);
  }

  // Damage was given up, and the snapshot knows more than the logs that are left: they would be refused at every further
  // start. What is there becomes a snapshot of its own, with sequences that were never used.
  outcome start_over() {
    base_ = result_.generation + 1;
    expected_ = included_through_ + 1;
    result_.orders.continues_after(expected_ - 1);
    auto log = create_log(directory_, base_, expected_, options_.now_ns);
    if (!log) return std::unexpected(std::move(log.error()));
    auto done = write_temporary_snapshot(directory_, result_.orders, base_, expected_, options_.now_ns);
    if (done) done = publish_snapshot(directory_, base_);
    if (!done) return done;
    result_.log = std::move(*log);
    result_.generation = base_;
    result_.log_offset = file_header_size;
    result_.next_sequence = expected_;
    return {};
  }

  outcome remove_what_is_old() {
    result_.orders.continues_after(expected_ - 1);
    return from_snapshot_ ? remove_older(directory_, base_) : outcome{};
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

std::expected<recovered, std::string> recover(const std::string& directory, const recovery_options& options) {
  return recovery{directory, options}.run();
}

}  // namespace orders
