#include "reference/snapshot.hpp"

#include <algorithm>
#include <charconv>
#include <optional>
#include <system_error>
#include <utility>
#include <variant>

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

namespace {

using outcome = std::expected<void, std::string>;

// Takes a snapshot's records into a book.
class snapshot_reader {
public:
  snapshot_reader(record_file& from, std::uint64_t first_sequence, book& into)
      : file_(from), first_sequence_(first_sequence), into_(into) {}

  // What the window of the file holds: a second half of a sentence if something is wrong with it.
  std::expected<void, std::string> take() {
    while (const auto raw = file_.next()) {
      if (info_) return std::unexpected("is damaged: bytes follow its end");
      if (auto taken = take(*raw); !taken) return taken;
    }
    return {};
  }
  // After the end of the file.
  std::expected<snapshot_info, std::string> end() {
    if (!info_) {
      return std::unexpected(fmt::format("is damaged at offset {}: {}", file_.position(), describe(file_.end())));
    }
    if (file_.position() != file_.size()) return std::unexpected("is damaged: bytes follow its end");
    into_.continues_after(info_->first_sequence - 1);
    into_.replays_until(info_->included_through);
    return *info_;
  }

private:
  std::expected<void, std::string> take(const raw_record& raw) {
    const auto decoded = decode(raw);
    if (!decoded) return std::unexpected(fmt::format("is inconsistent: record {} {}", raw.sequence, decoded.error()));
    if (const auto* end = std::get_if<snapshot_end_record>(&*decoded)) {
      if (end->orders != into_.size() || end->checksum != checksum_.value()) {
        return std::unexpected("is damaged: count or checksum at its end do not fit to its records");
      }
      info_ = snapshot_info{first_sequence_, end->included_through, end->orders};
      return {};
    }
    if (!std::holds_alternative<snapshot_order_record>(*decoded)) {
      return std::unexpected(fmt::format("is inconsistent: record {} belongs into a log", raw.sequence));
    }
    checksum_.add(raw.bytes);
    if (auto applied = into_.apply(0, *decoded); !applied) {
      return std::unexpected(fmt::format("is inconsistent at record {}: {}", raw.sequence, applied.error()));
    }
    return {};
  }

  record_file& file_;
  const std::uint64_t first_sequence_;
  book& into_;
  running_checksum checksum_;
  std::optional<snapshot_info> info_;
};

// As a second half of a sentence.
std::expected<void, std::string> fits(const std::expected<file_header, std::string_view>& header, std::uint64_t generation) {
  if (!header) return std::unexpected(std::string(header.error()));
  if (header->kind != file_kind::snapshot) return std::unexpected("is a log, not a snapshot");
  if (header->generation != generation) return std::unexpected("belongs to another generation than its name says");
  if (header->first_sequence == 0 || header->first_sequence > sequence_max) {
    return std::unexpected("names an impossible first sequence");
  }
  return {};
}

}  // namespace

levity::task<std::expected<snapshot_info, std::string>> load_snapshot(std::string path, std::uint64_t generation, book& into) {
  auto file = co_await record_file::open(path);
  if (!file) co_return std::unexpected(std::move(file.error()));
  const auto invalid = [&path](std::string_view why) { return std::unexpected(fmt::format("Snapshot {} {}.", path, why)); };
  const auto header = read_file_header(file->head());
  if (const auto good = fits(header, generation); !good) co_return invalid(good.error());

  // The number in the header is a hint; an order needs 50 bytes at least.
  into.reserve(std::min(header->orders_expected, file->size() / 50));
  file->start(generation, 1);
  snapshot_reader reader{*file, header->first_sequence, into};
  for (bool more = true; more;) {
    if (const auto taken = reader.take(); !taken) co_return invalid(taken.error());
    const auto read = co_await file->read_on();
    if (!read) co_return std::unexpected(read.error());
    more = *read;
  }
  const auto ended = reader.end();
  if (!ended) co_return invalid(ended.error());
  co_return *ended;
}

levity::task<std::expected<named_file, std::string>> create_log(std::string directory, std::uint64_t generation,
                                                                std::uint64_t first_sequence, std::int64_t now_ns) {
  auto file = co_await named_file::open(log_path(directory, generation), {.write = true, .create = true, .exclusive = true});
  if (!file) co_return std::unexpected(std::move(file.error()));
  std::string header;
  append_file_header(header, {file_kind::log, generation, first_sequence, now_ns, 0});
  outcome done = co_await file->write_at(0, header);
  if (done) done = co_await file->sync();
  if (done) done = co_await sync_directory(directory);
  if (!done) co_return std::unexpected(std::move(done.error()));
  co_return std::move(*file);
}

levity::task<std::expected<void, std::string>> write_temporary_snapshot(std::string directory, const book& book,
                                                                        std::uint64_t generation, std::uint64_t first_sequence,
                                                                        std::int64_t now_ns) {
  std::string path = temporary_path(snapshot_path(directory, generation));
  auto file = co_await named_file::open(std::move(path), {.write = true, .create = true, .truncate = true});
  if (!file) co_return std::unexpected(std::move(file.error()));
  snapshot_writer writer{generation, first_sequence, now_ns};
  std::string slice;
  std::uint64_t offset = 0;
  for (bool more = true; more;) {
    slice.clear();
    more = writer.fill(book, 4096, slice);
    auto put = co_await file->write_at(offset, slice);
    if (!put) co_return std::unexpected(std::move(put.error()));
    offset += slice.size();
  }
  co_return co_await file->sync();
}

levity::task<std::expected<void, std::string>> publish_snapshot(std::string directory, std::uint64_t generation) {
  const std::string path = snapshot_path(directory, generation);
  auto renamed = co_await rename_file(temporary_path(path), path);
  if (!renamed) co_return std::unexpected(std::move(renamed.error()));
  co_return co_await sync_directory(directory);
}

levity::task<std::expected<void, std::string>> remove_older(std::string directory, std::uint64_t generation) {
  auto listing = co_await list_directory(directory);
  if (!listing) co_return std::unexpected(std::move(listing.error()));
  std::vector<std::string> older;
  for (const std::uint64_t each : listing->logs) {
    if (each < generation) older.push_back(log_path(directory, each));
  }
  for (const std::uint64_t each : listing->snapshots) {
    if (each < generation) older.push_back(snapshot_path(directory, each));
  }
  for (const std::string& path : older) {
    auto removed = co_await remove_file(path);
    if (!removed) co_return std::unexpected(std::move(removed.error()));
  }
  co_return outcome{};
}

levity::task<std::expected<directory_listing, std::string>> list_directory(std::string directory) {
  directory_listing listing;
  auto names = levity::list_directory(directory);
  for (auto each = co_await names.next(); each; each = co_await names.next()) {
    if (!*each) {
      if (each->error() == levity::io_failure::cancelled) co_await levity::yield();  // throws
      co_return std::unexpected(fmt::format("Cannot list {}: {}.", directory, cause_of(each->error())));
    }
    const std::string& name = (*each)->name;
    if (!name.starts_with("orders.")) continue;
    const std::string path = directory + "/" + name;
    if (name.ends_with(".tmp")) {
      listing.temporaries.push_back(path);
      continue;
    }
    std::uint64_t generation = 0;
    const char* const digits = name.data() + 7;
    const auto parsed = std::from_chars(digits, name.data() + name.size(), generation);
    // The name must be the one that we write: log 1 in two spellings would be read twice.
    if (parsed.ec != std::errc{} || generation == 0) continue;
    if (log_path(directory, generation) == path) listing.logs.push_back(generation);
    if (snapshot_path(directory, generation) == path) listing.snapshots.push_back(generation);
  }
  // A directory gives them in no order, and another one each time.
  std::sort(listing.logs.begin(), listing.logs.end());
  std::sort(listing.snapshots.begin(), listing.snapshots.end());
  std::sort(listing.temporaries.begin(), listing.temporaries.end());
  co_return std::move(listing);
}

}  // namespace orders
