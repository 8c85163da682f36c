#include "reference/snapshot.hpp"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>

#include "reference/record_file.hpp"

namespace orders {

std::string log_path(const std::string& directory, std::uint64_t generation) {
  return fmt::format("{}/orders.{:010}.log", directory, generation);
}
std::string snapshot_path(const std::string& directory, std::uint64_t generation) {
  return fmt::format("{}/orders.{:010}.snapshot", directory, generation);
}
std::string temporary_path(const std::string& path) { return path + ".tmp"; }

snapshot_writer::snapshot_writer(std::uint64_t generation, std::uint64_t first_sequence, std::int64_t now_ns) noexcept
    : generation_(generation), first_sequence_(first_sequence), now_ns_(now_ns) {}

bool snapshot_writer::fill(const book& book, std::size_t orders_max, std::string& out) {
  if (ended_) return false;
  if (next_id_ == 0) {
    append_file_header(out, {file_kind::snapshot, generation_, first_sequence_, now_ns_, book.size()});
    next_id_ = 1;
  }
  const std::size_t start = out.size();
  for (std::size_t i = 0; i < orders_max && next_id_ <= book.size(); ++i, ++next_id_) {
    append_record(out, generation_, next_id_, 0, snapshot_order_record{*book.find(next_id_), book.key_of(next_id_)});
  }
  checksum_.add(std::string_view(out).substr(start));
  if (next_id_ <= book.size()) return true;
  included_through_ = book.last_sequence();
  append_record(out, generation_, next_id_, 0,
                snapshot_end_record{next_id_ - 1, included_through_, checksum_.value()});
  ended_ = true;
  return false;
}

std::expected<snapshot_info, std::string> load_snapshot(const std::string& path, std::uint64_t generation, book& into) {
  auto file = record_file::open(path);
  if (!file) return std::unexpected(std::move(file.error()));
  const auto invalid = [&](std::string_view why) {
    return std::unexpected(fmt::format("Snapshot {} {}.", path, why));
  };
  const auto header = read_file_header(file->head());
  if (!header) return invalid(header.error());
  if (header->kind != file_kind::snapshot) return invalid("is a log, not a snapshot");
  if (header->generation != generation) return invalid("belongs to another generation than its name says");
  if (header->first_sequence == 0 || header->first_sequence > sequence_max) return invalid("names an impossible first sequence");

  // The number in the header is a hint; an order needs 50 bytes at least.
  into.reserve(std::min(header->orders_expected, file->size() / 50));
  file->start(generation, 1);
  running_checksum checksum;
  for (;;) {
    auto next = file->next();
    if (!next) return std::unexpected(std::move(next.error()));
    if (!*next) {
      return invalid(fmt::format("is damaged at offset {}: {}", file->position(), describe(file->end())));
    }
    const raw_record& raw = **next;
    auto decoded = decode(raw);
    if (!decoded) return invalid(fmt::format("is inconsistent: record {} {}", raw.sequence, decoded.error()));
    if (const auto* end = std::get_if<snapshot_end_record>(&*decoded)) {
      if (end->orders != into.size() || end->checksum != checksum.value()) {
        return invalid("is damaged: count or checksum at its end do not fit to its records");
      }
      if (file->position() != file->size()) return invalid("is damaged: bytes follow its end");
      into.continues_after(header->first_sequence - 1);
      into.replays_until(end->included_through);
      return snapshot_info{header->first_sequence, end->included_through, end->orders};
    }
    if (!std::holds_alternative<snapshot_order_record>(*decoded)) {
      return invalid(fmt::format("is inconsistent: record {} belongs into a log", raw.sequence));
    }
    checksum.add(raw.bytes);
    if (auto applied = into.apply(0, *decoded); !applied) {
      return invalid(fmt::format("is inconsistent at record {}: {}", raw.sequence, applied.error()));
    }
  }
}

std::expected<file_descriptor, std::string> create_log(const std::string& directory, std::uint64_t generation,
                                                       std::uint64_t first_sequence, std::int64_t now_ns) {
  const std::string path = log_path(directory, generation);
  auto file = open_file(path, O_WRONLY | O_CREAT | O_EXCL);
  if (!file) return file;
  std::string header;
  append_file_header(header, {file_kind::log, generation, first_sequence, now_ns, 0});
  auto done = write_at(*file, path, 0, header);
  if (done) done = sync_file(*file, path);
  if (done) done = sync_directory(directory);
  if (!done) return std::unexpected(std::move(done.error()));
  return file;
}

std::expected<void, std::string> write_temporary_snapshot(const std::string& directory, const book& book,
                                                          std::uint64_t generation, std::uint64_t first_sequence,
                                                          std::int64_t now_ns) {
  const std::string path = temporary_path(snapshot_path(directory, generation));
  auto file = open_file(path, O_WRONLY | O_CREAT | O_TRUNC);
  if (!file) return std::unexpected(std::move(file.error()));
  snapshot_writer writer{generation, first_sequence, now_ns};
  std::string slice;
  std::uint64_t offset = 0;
  for (bool more = true; more;) {
    slice.clear();
    more = writer.fill(book, 4096, slice);
    if (auto put = write_at(*file, path, offset, slice); !put) return put;
    offset += slice.size();
  }
  return sync_file(*file, path);
}

std::expected<void, std::string> publish_snapshot(const std::string& directory, std::uint64_t generation) {
  const std::string path = snapshot_path(directory, generation);
  if (auto renamed = rename_file(temporary_path(path), path); !renamed) return renamed;
  return sync_directory(directory);
}

std::expected<void, std::string> remove_older(const std::string& directory, std::uint64_t generation) {
  auto listing = list_directory(directory);
  if (!listing) return std::unexpected(std::move(listing.error()));
  for (const std::uint64_t older : listing->logs) {
    if (older >= generation) continue;
    if (auto removed = remove_file(log_path(directory, older)); !removed) return removed;
  }
  for (const std::uint64_t older : listing->snapshots) {
    if (older >= generation) continue;
    if (auto removed = remove_file(snapshot_path(directory, older)); !removed) return removed;
  }
  return {};
}

std::expected<directory_listing, std::string> list_directory(const std::string& directory) {
  std::error_code error;
  std::filesystem::directory_iterator entries{directory, error};
  directory_listing listing;
  for (; !error && entries != std::filesystem::directory_iterator{}; entries.increment(error)) {
    const std::string name = entries->path().filename().string();
    if (!name.starts_with("orders.")) continue;
    if (name.ends_with(".tmp")) {
      listing.temporaries.push_back(entries->path().string());
      continue;
    }
    std::uint64_t generation = 0;
    const char* const digits = name.data() + 7;
    const auto parsed = std::from_chars(digits, name.data() + name.size(), generation);
    // The name must be the one that we write: log 1 in two spellings would be read twice.
    const std::string path = entries->path().string();
    if (parsed.ec != std::errc{} || generation == 0) continue;
    if (log_path(directory, generation) == path) listing.logs.push_back(generation);
    if (snapshot_path(directory, generation) == path) listing.snapshots.push_back(generation);
  }
  if (error) return std::unexpected(fmt::format("Cannot list {}: {}.", directory, error.message()));
  std::sort(listing.logs.begin(), listing.logs.end());
  std::sort(listing.snapshots.begin(), listing.snapshots.end());
  return listing;
}

}  // namespace orders
