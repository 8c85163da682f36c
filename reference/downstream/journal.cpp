#include "reference/downstream/journal.hpp"

#include <cstdio>
#include <iterator>
#include <utility>

#include <fmt/format.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "reference/named_file.hpp"

namespace orders {
namespace {

using outcome = std::expected<void, std::string>;

constexpr std::size_t checksum_digits = 16;

std::uint64_t checksum(std::string_view text) noexcept { return XXH3_64bits(text.data(), text.size()); }

// The text of a line without its line feed, if the line holds. One checksum has one spelling.
bool read_line(std::string_view line, std::string_view& text) {
  if (line.size() < checksum_digits + 1 || line[checksum_digits] != ' ') return false;
  text = line.substr(checksum_digits + 1);
  return line.substr(0, checksum_digits) == fmt::format("{:016x}", checksum(text));
}

}  // namespace

levity::task<std::expected<journal_start, std::string>> open_journal(std::string path) {
  const std::size_t slash = path.rfind('/');
  const std::string directory = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  auto file = co_await named_file::open(std::move(path), {.read = true, .write = true, .create = true});
  if (!file) co_return std::unexpected(std::move(file.error()));
  const auto size = co_await file->size();
  if (!size) co_return std::unexpected(size.error());
  std::string bytes;
  outcome done = co_await file->read_at(0, static_cast<std::size_t>(*size), bytes);
  if (!done) co_return std::unexpected(std::move(done.error()));
  co_await levity::yield();  // who was told to end meanwhile does

  journal_start start;
  std::string_view rest = bytes;
  for (;;) {
    const std::size_t end = rest.find('\n');
    std::string_view text;
    if (end == std::string_view::npos || !read_line(rest.substr(0, end), text)) break;
    start.lines.emplace_back(text);
    rest.remove_prefix(end + 1);
  }
  start.cut_bytes = rest.size();
  start.size = *size - rest.size();
  if (start.cut_bytes > 0) done = co_await file->truncate(start.size);
  // What was read may be in the page cache only, and is about to be told to others.
  if (done) done = co_await file->sync();
  if (done) done = co_await sync_directory(directory);
  if (!done) co_return std::unexpected(std::move(done.error()));
  co_return std::move(start);
}

journal::ticket journal::append(std::string_view line) { return take_ticket(line, true); }

// Of the batch that is being filled, even if it is empty: it ends after the one in flight.
journal::ticket journal::all_so_far() { return take_ticket({}, false); }

journal::ticket journal::take_ticket(std::string_view line, bool adds) {
  ticket made;
  {
    const std::lock_guard guard{lock_};
    if (failed_ || stopping_) {
      made = std::make_shared<batch>();
      made->failed = true;
      made->ended.set();
      return made;
    }
    made = filling_;
    if (adds) fmt::format_to(std::back_inserter(made->bytes), "{:016x} {}\n", checksum(line), line);
  }
  work_.set();
  return made;
}

levity::task<bool> journal::durable(ticket of) {
  co_await of->ended.wait();
  co_return !of->failed;
}

levity::task<> journal::run() {
  // What was accepted is written even while the service is being cancelled.
  co_await levity::shield([](journal* self) -> levity::task<> {
    for (;;) {
      co_await self->work_.wait();
      self->work_.reset();
      ticket taken;
      bool last = false;
      {
        const std::lock_guard guard{self->lock_};
        last = self->stopping_;
        taken = std::exchange(self->filling_, std::make_shared<batch>());
      }
      bool written = true;
      if (!taken->bytes.empty()) written = co_await self->write(*taken);
      if (!written) {
        const std::lock_guard guard{self->lock_};
        self->failed_ = true;
        self->filling_->failed = true;
        self->filling_->ended.set();
      }
      taken->failed = !written;
      taken->ended.set();
      if (last || !written) co_return;
    }
  }(this));
}

levity::task<bool> journal::write(const batch& filled) {
  if (!file_.is_open()) {
    auto opened = co_await levity::file::open(path_, {.write = true});
    if (!opened) {
      std::fprintf(stderr, "journal \"%s\": %s\n", path_.c_str(), opened.error().message().c_str());
      co_return false;
    }
    file_ = std::move(*opened);
  }
  const auto written = co_await file_.write_durably_at(size_, filled.bytes);
  if (!written) {
    std::fprintf(stderr, "journal \"%s\": %s\n", path_.c_str(), written.error().message().c_str());
    co_return false;
  }
  size_ += filled.bytes.size();
  co_return true;
}

void journal::stop() {
  {
    const std::lock_guard guard{lock_};
    stopping_ = true;
  }
  work_.set();
}

}  // namespace orders
