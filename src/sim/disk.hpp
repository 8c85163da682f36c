#pragma once

// disk: a file system in memory that loses in a crash what a real one may lose.
//
// Why: a program that forgets a sync works on every machine that never loses power. This disk keeps its promises to the letter
// and not one more: what was synced is there after a crash; of the rest an arbitrary part is.
//
// Two versions of everything stand beside each other: `now`, which operations see (the page cache), and `on_disk`. What is in the
// first and not yet in the second is a list of changes.
//
//   of a file's bytes   changes {data, hole, room, size}, in order
//   of names            name_ops, one list for all directories, in order; each touches one directory, a rename up to two
//
//   state of a change        moved by
//   pending                  write, truncate, allocate / create, rename, unlink, link, mkdir, ...
//   pending -> on the disk   a sync that began after it; the kernel by itself, when very many are pending; a crash that keeps it
//   pending -> lost          a crash; a sync that fails (of bytes: the page is taken for clean then)
//
// What a crash decides, drawn from the seed
//   bytes   each change of data is kept, lost or torn: a data change holds the whole sectors of 512 bytes that it touched as they
//           were then, and a sector is kept or lost. So what is left of a sector is always some state that it once had, a later
//           change may be there and an earlier one not, and no sector is ever a mixture that no cache ever held, but for the zeros
//           that a truncation leaves behind the end.
//   size    of a file's changes of its size the first n. Bytes behind the end that came of it are gone; bytes that were lost before
//           it are zeros. Behind a truncation that was lost nothing is kept: its blocks were not free yet.
//   names   of each directory's operations the first n. A rename from one directory to another is in both or in neither. After
//           everything that was done to names before comes the move of a directory (else it could end up inside itself) and the
//           removal of one name of several (else all could be lost); the removal of a directory after all that was done in it.
//   A file whose names are gone is gone. Descriptors and locks are, too.
//
// What a sync covers
//   of a file        its bytes and size; nothing of the directory that names it
//   of a directory   its names, and what a rename ties to them; nothing of the bytes of the files
// A Unix socket has a name here, and nothing else. Its file is as one in a /run that lies in memory: a crash takes it, whatever was
// synced.
//
// A sync that takes time covers what had been done when it began, and is durable when it ends: begin_sync(), end_sync().
//
// Everything is walked in the order of numbers or names. Nothing here is shared: a simulated world has one thread.

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "levity/base/rng.hpp"
#include "levity/io/detail/file_operation.hpp"
#include "levity/sim/disk_faults.hpp"
#include "reactor/sim/socket_files.hpp"
#include "sim/disk_listener.hpp"

namespace levity::inline v0::sim {

class disk_backend;

/// What all crashes of a disk have done.
struct crash_tally {
  std::uint64_t kept = 0;       // changes of bytes, as a whole
  std::uint64_t lost = 0;
  std::uint64_t torn = 0;
  std::uint64_t reordered = 0;  // kept or torn, while an earlier one of the file is lost
  std::uint64_t sizes_lost = 0;
  std::uint64_t entries_lost = 0;  // names that were made
  std::uint64_t removals_undone = 0;
  std::uint64_t renames_undone = 0;
};

class disk final : public detail::socket_files {
public:
  using trace_sink = std::function<void(std::uint64_t)>;

  /// `trace` is told a word for each effect: two runs did the same if and only if (up to 2^-64) they told the same words.
  /// Its descriptors are 2^20 numbers from `first_fd` on.
  explicit disk(std::uint64_t seed, trace_sink trace = {}, std::int32_t first_fd = 1'000'000);
  disk(const disk&) = delete;
  disk& operator=(const disk&) = delete;
  ~disk();

  disk_faults faults;
  /// What the times of files are taken from, in nanoseconds since 1970. Null: a count of operations.
  std::function<std::int64_t()> wall_clock;
  /// Told of what a crash took, up to a bound, of operations that fail by `faults`, and of syncs that are late. Null: nobody.
  disk_listener* listener = nullptr;

  /// Carries an operation out, as detail::perform() does; it takes no time.
  std::int64_t perform(const detail::file_operation& operation);

  struct inode;
  struct open_file;
  /// A sync under way.
  struct sync_ticket {
    std::shared_ptr<open_file> of;
    std::uint64_t covers = 0;  // changes up to this number
  };
  /// 0 or a negative errno, and then there is nothing to end.
  [[nodiscard]] std::int64_t begin_sync(std::int32_t fd, sync_ticket& ticket);
  [[nodiscard]] std::int64_t end_sync(const sync_ticket& ticket);
  /// It will take so long: of interest where that is very long.
  void tell_time(const sync_ticket& ticket, std::int64_t takes_ns) const;

  // As those of detail::file_backend.
  [[nodiscard]] std::int64_t size_of(std::int32_t fd) const;
  [[nodiscard]] std::int64_t status_of(std::int32_t fd, struct statx& into) const;
  [[nodiscard]] std::int64_t try_lock(std::int32_t fd);

  // As those of detail::socket_files; they take no time.
  std::int64_t make_socket(const char* path, int mode) override;
  [[nodiscard]] std::int64_t find_socket(const char* path, bool follow) const override;
  std::int64_t remove_socket(const char* path) override { return unlink(path); }

  /// How long this operation, or the sync that is left of it, will take.
  [[nodiscard]] std::int64_t draw_latency(const detail::file_operation& operation);
  /// Whether what takes time takes effect in the beginning, not at its end.
  [[nodiscard]] bool draw_early();

  /// Operations by a disk_backend do not end any more, until go_on().
  void hang() noexcept { hangs_ = true; }
  void go_on();
  [[nodiscard]] bool hangs() const noexcept { return hangs_; }

  /// The machine loses its power: see above. Who uses the disk is cut off first.
  void crash();
  /// The process ends, the machine does not: descriptors and locks are gone, and nothing else. Who uses the disk is cut off first.
  void end_process();
  [[nodiscard]] const crash_tally& crashes() const noexcept { return tally_; }

  // From outside: durable at once, no fault concerns it.
  /// Makes or replaces a file, with its directories.
  void install(std::string_view path, std::string_view text);
  /// Of a file, as operations see it.
  [[nodiscard]] std::optional<std::string> contents(std::string_view path) const;
  [[nodiscard]] std::uint64_t used_bytes() const noexcept;

private:
  friend class disk_backend;
  using inode_ref = std::shared_ptr<inode>;
  struct change;
  struct name_op;
  struct place;
  struct loss;
  using losses = std::vector<loss>;
  using byte_ranges = std::vector<std::pair<std::uint64_t, std::uint64_t>>;  // from the first to behind the last

  // Paths.
  [[nodiscard]] std::int64_t walk(const inode_ref& from, std::string_view path, int& links_left, place& found) const;
  [[nodiscard]] std::int64_t resolve(const inode_ref& from, std::string_view path, bool follow, int& links_left,
                                     inode_ref& found) const;
  [[nodiscard]] std::int64_t find(const char* path, bool follow, inode_ref& found) const;
  [[nodiscard]] std::int64_t find_parent(const char* path, place& found) const;
  [[nodiscard]] static inode_ref child_of(const inode_ref& folder, std::string_view name);
  [[nodiscard]] inode_ref parent_of(const inode_ref& folder) const;

  // Operations.
  std::int64_t carry_out(const detail::file_operation& operation);
  std::int64_t open(const char* path, int flags, unsigned mode);
  std::int64_t open_found(const inode_ref& found, int flags, bool made);
  std::int64_t read(const detail::file_operation& operation);
  std::int64_t write(const detail::file_operation& operation);
  std::int64_t sync(std::int32_t fd);
  std::int64_t truncate(std::int32_t fd, std::uint64_t size);
  std::int64_t close(std::int32_t fd);
  std::int64_t rename(const char* from, const char* to);
  std::int64_t unlink(const char* path);
  std::int64_t allocate(const detail::file_operation& operation);
  std::int64_t make_directory(const char* path, unsigned mode);
  std::int64_t remove_directory(const char* path);
  std::int64_t link(const char* existing, const char* made);
  std::int64_t symlink(const char* target, const char* made);
  std::int64_t status(const char* path, int flags, std::span<std::byte> into) const;
  std::int64_t list(std::int32_t fd, std::span<std::byte> into);

  [[nodiscard]] open_file* opened(std::int32_t fd) const;
  [[nodiscard]] std::int64_t place_for_new(const char* path, bool directory, place& at) const;
  inode_ref make(const place& at, unsigned mode, std::string target = {});
  void describe(const inode& what, struct statx& into) const;
  void resize(inode& file, std::uint64_t size);
  void changed_data(inode& file, std::uint64_t offset, std::uint64_t size);
  void add(inode& file, change made);
  void add(name_op made);
  [[nodiscard]] bool is_pending(const inode_ref& folder, std::string_view name) const;
  void let_go(const inode_ref& unnamed);
  void settle_bytes(inode& file, std::uint64_t covers);
  void settle_names(const inode_ref& folder, std::uint64_t covers);
  [[nodiscard]] bool strikes(std::uint32_t ppm, std::uint32_t& next);
  [[nodiscard]] std::uint64_t cut_short(std::uint64_t size, bool direct);
  [[nodiscard]] std::uint64_t room_left() const noexcept;
  void recount(inode& file, std::uint64_t pages_before);
  [[nodiscard]] std::int64_t now() const;

  // Crashes. Losses are written down where they are not null.
  void lose_names(losses* into);
  void lose_bytes(inode& file);
  void stand_up(losses* into);
  void close_all();

  // Words.
  [[nodiscard]] bool is_heard() const noexcept { return listener != nullptr && listener->listens(); }
  [[nodiscard]] std::string path_of(const inode& wanted) const;
  void tell_failure(std::string_view what, const inode& of, std::string_view why) const;
  [[nodiscard]] loss loss_of(const name_op& undone) const;
  void add_loss_of(const inode& file, const byte_ranges& touched, const std::string& path, std::uint64_t torn,
                   losses& into) const;

  template <class... Words>
  void note(const Words&... words);

  rng chance_of_faults_;
  rng chance_of_time_;
  rng chance_of_crashes_;
  trace_sink trace_;
  disk_backend* user_ = nullptr;
  bool hangs_ = false;
  std::uint64_t operations_ = 0;
  std::uint64_t last_change_ = 0;
  std::uint64_t last_inode_ = 0;
  std::uint64_t pages_ = 0;  // of all files that have a name or a descriptor
  const std::int32_t first_fd_;
  std::int32_t next_fd_;
  crash_tally tally_;
  std::map<std::uint64_t, inode*> inodes_;  // all that live
  inode_ref root_;
  std::vector<name_op> name_ops_;
  std::map<std::int32_t, std::shared_ptr<open_file>> open_;
};

}  // namespace levity::sim
