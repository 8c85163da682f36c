#include "sim/disk.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <initializer_list>
#include <set>
#include <utility>

#include "levity/base/assert.hpp"
#include "reactor/sim/byte_words.hpp"
#include "sim/disk_backend.hpp"
#include "sim/sparse_bytes.hpp"

namespace levity::inline v0::sim {

using detail::file_operation;

namespace {

constexpr std::uint64_t sector_bytes = 512;
constexpr std::uint64_t file_max = std::uint64_t{16} << 40;  // as ext4's
constexpr std::uint64_t transfer_max = 0x7ffff000;          // of one call, as the kernel's
constexpr std::int32_t fds_max = 1 << 20;
constexpr std::uintptr_t direct_alignment = 512;
constexpr unsigned umask_bits = 022;
constexpr int links_max = 40;
// What is pending beyond these the kernel has written by itself meanwhile.
constexpr std::uint64_t pending_bytes_max = std::uint64_t{64} << 20;
constexpr std::size_t pending_max = 1 << 16;
constexpr std::int64_t late_ns = 50'000'000;  // of a sync: what a usual disk never takes
constexpr std::size_t losses_max = 16;        // that are told of a crash
constexpr std::size_t ranges_max = 4;         // of a file

constexpr std::uint64_t down(std::uint64_t value, std::uint64_t to) noexcept { return value / to * to; }
constexpr std::uint64_t up(std::uint64_t value, std::uint64_t to) noexcept { return (value + to - 1) / to * to; }

// What O_DIRECT asks of a transfer.
bool is_aligned(std::uint64_t offset, std::uint64_t size, const std::byte* bytes) noexcept {
  return offset % sector_bytes == 0 && size % sector_bytes == 0 && reinterpret_cast<std::uintptr_t>(bytes) % direct_alignment == 0;
}

constexpr std::uint64_t mixed(std::uint64_t sum, std::uint64_t word) noexcept {
  sum = (sum ^ word) * 0x9e3779b97f4a7c15;
  return sum ^ (sum >> 29);
}

std::uint64_t sum_of(std::span<const std::byte> bytes) noexcept {
  std::uint64_t sum = bytes.size();
  detail::each_word(bytes, [&sum](std::uint64_t word) noexcept { sum = mixed(sum, word); });
  return sum;
}

std::uint64_t sum_of(std::string_view text) noexcept { return sum_of(std::as_bytes(std::span(text))); }
std::uint64_t sum_of(const char* text) noexcept { return text == nullptr ? 0 : sum_of(std::string_view(text)); }

std::string_view without_slashes(std::string_view path) noexcept {
  path.remove_prefix(std::min(path.find_first_not_of('/'), path.size()));
  return path;
}

}  // namespace

// What a file has become in memory, and is not yet on the disk.
struct disk::change {
  enum class kind : std::uint8_t { data, hole, room, size };

  kind what;
  std::uint64_t offset = 0;
  std::uint64_t size = 0;        // of a hole or room; of the file
  std::vector<std::byte> bytes;  // data: whole sectors, as they were when it was made
  std::uint64_t number = 0;

  void apply(sparse_bytes& to) const {
    switch (what) {
      case kind::data: return to.write(offset, bytes);
      case kind::hole: return to.punch(offset, size);
      case kind::room: return to.allocate(offset, size);
      case kind::size: return to.resize(size);
    }
  }
};

struct disk::inode : std::enable_shared_from_this<inode> {
  inode(std::map<std::uint64_t, inode*>& list, std::uint64_t its_number, unsigned its_mode)
      : all(list), number(its_number), mode(its_mode) {
    all.emplace(number, this);
  }
  inode(const inode&) = delete;
  inode& operator=(const inode&) = delete;
  ~inode() { all.erase(number); }

  [[nodiscard]] bool is_directory() const noexcept { return S_ISDIR(mode); }
  [[nodiscard]] bool is_symlink() const noexcept { return S_ISLNK(mode); }
  [[nodiscard]] bool is_socket() const noexcept { return S_ISSOCK(mode); }
  [[nodiscard]] bool is_there() const noexcept { return links > 0 || opens > 0; }

  // Whole sectors that changes concern which a crash may lose.
  [[nodiscard]] byte_ranges touched() const {
    byte_ranges found;
    for (const change& each : pending) {
      if (each.what == change::kind::data) found.emplace_back(each.offset, each.offset + each.bytes.size());
      if (each.what == change::kind::hole) found.emplace_back(each.offset, each.offset + each.size);
    }
    std::ranges::sort(found);
    byte_ranges merged;
    for (const auto& each : found) {
      if (merged.empty() || merged.back().second < each.first) {
        merged.push_back(each);
      } else {
        merged.back().second = std::max(merged.back().second, each.second);
      }
    }
    return merged;
  }

  std::map<std::uint64_t, inode*>& all;
  const std::uint64_t number;
  unsigned mode;
  unsigned links = 0;  // names, in memory
  unsigned opens = 0;
  std::int64_t modified_ns = 0;

  // A file's.
  sparse_bytes now;
  sparse_bytes on_disk;
  std::vector<change> pending;
  std::uint64_t pending_bytes = 0;
  std::uint64_t sync_failures = 0;  // each open file is told of each once
  const open_file* locked_by = nullptr;

  // A directory's.
  std::map<std::string, inode_ref, std::less<>> names;
  std::map<std::string, inode_ref, std::less<>> names_on_disk;
  std::weak_ptr<inode> parent;

  std::string target;  // a symbolic link's
};

struct disk::open_file {
  inode_ref file;
  bool reads = false;
  bool writes = false;
  bool appends = false;
  bool direct = false;
  bool syncs = false;  // after each write
  std::uint64_t failures_seen = 0;
  // Of a directory: what was in it when it was first read.
  bool has_listing = false;
  std::vector<std::string> listing;
  std::size_t listed = 0;
};

// What was done to names: whole or not at all.
struct disk::name_op {
  enum class kind : std::uint8_t { make, remove, rename };
  struct effect {
    inode_ref folder;
    std::string name;
    inode_ref now;  // null: none
  };

  kind what;
  bool needs_all = false;  // that was done to names before
  std::vector<effect> effects;
  inode_ref emptied = nullptr;  // a directory that goes: not before all that was in it has gone
  std::uint64_t number = 0;

  // Calls `visit(folder)` once for each directory of whose operations it is one.
  template <class Visit>
  void each_folder(Visit&& visit) const {
    const inode_ref& first = effects.front().folder;
    visit(first);
    if (effects.back().folder != first) visit(effects.back().folder);
    if (emptied != nullptr) visit(emptied);
  }

  void apply() const {
    for (const effect& each : effects) {
      if (each.now != nullptr) {
        each.folder->names_on_disk.insert_or_assign(each.name, each.now);
      } else {
        each.folder->names_on_disk.erase(each.name);
      }
    }
  }
};

// Where the last component of a path stands.
struct disk::place {
  enum class kind : std::uint8_t { name, root, dot, parent };

  inode_ref folder;
  std::string name;
  kind last = kind::root;
  bool slash = false;  // behind it
};

// What a crash took, in words.
struct disk::loss {
  std::string text;
  std::string detail = {};
};

template <class... Words>
void disk::note(const Words&... words) {
  if (!trace_) return;
  std::uint64_t sum = 0;
  ((sum = mixed(sum, static_cast<std::uint64_t>(words))), ...);
  trace_(sum);
}

disk::disk(std::uint64_t seed, trace_sink trace, std::int32_t first_fd)
    : chance_of_faults_(seed ^ 0x6661756c7473), chance_of_time_(seed ^ 0x74696d65), chance_of_crashes_(seed ^ 0x63726173686573),
      trace_(std::move(trace)), first_fd_(first_fd), next_fd_(first_fd) {
  root_ = std::make_shared<inode>(inodes_, ++last_inode_, S_IFDIR | 0755u);
  root_->links = 1;
  root_->parent = root_;
}

disk::~disk() {
  LEVITY_ASSERT(user_ == nullptr, "a simulated disk outlives who uses it");
  open_.clear();
  name_ops_.clear();
  // In memory one directory may stand inside another, and on the disk the other way round.
  std::vector<inode_ref> all;
  for (const auto& [number, each] : inodes_) all.push_back(each->shared_from_this());
  for (const inode_ref& each : all) {
    each->names.clear();
    each->names_on_disk.clear();
  }
}

// ---- paths ----------------------------------------------------------------------------------------------------------------

disk::inode_ref disk::child_of(const inode_ref& folder, std::string_view name) {
  const auto found = folder->names.find(name);
  return found == folder->names.end() ? nullptr : found->second;
}

disk::inode_ref disk::parent_of(const inode_ref& folder) const {
  inode_ref parent = folder->parent.lock();
  return parent != nullptr ? parent : root_;
}

// Goes to the directory in which the last component stands.
std::int64_t disk::walk(const inode_ref& from, std::string_view path, int& links_left, place& found) const {
  if (path.empty()) return -ENOENT;
  if (path.size() >= PATH_MAX) return -ENAMETOOLONG;
  found = {path.front() == '/' ? root_ : from, {}, place::kind::root, false};
  for (path = without_slashes(path); !path.empty();) {
    const std::string_view name = path.substr(0, path.find('/'));
    const std::string_view rest = without_slashes(path.substr(name.size()));
    const auto kind = name == "." ? place::kind::dot : name == ".." ? place::kind::parent : place::kind::name;
    if (name.size() > NAME_MAX) return -ENAMETOOLONG;
    if (rest.empty()) {
      found.name = name;
      found.last = kind;
      found.slash = path.size() > name.size();
      return 0;
    }
    if (kind == place::kind::parent) found.folder = parent_of(found.folder);
    if (kind == place::kind::name) {
      inode_ref next = child_of(found.folder, name);
      if (next == nullptr) return -ENOENT;
      if (next->is_symlink()) {
        if (links_left-- <= 0) return -ELOOP;
        const std::string target = next->target;
        if (const std::int64_t failed = resolve(found.folder, target, true, links_left, next); failed != 0) return failed;
      }
      if (!next->is_directory()) return -ENOTDIR;
      found.folder = std::move(next);
    }
    path = rest;
  }
  return 0;
}

std::int64_t disk::resolve(const inode_ref& from, std::string_view path, bool follow, int& links_left, inode_ref& found) const {
  place at;
  if (const std::int64_t failed = walk(from, path, links_left, at); failed != 0) return failed;
  switch (at.last) {
    case place::kind::root:
    case place::kind::dot: found = at.folder; return 0;
    case place::kind::parent: found = parent_of(at.folder); return 0;
    case place::kind::name: break;
  }
  found = child_of(at.folder, at.name);
  if (found == nullptr) return -ENOENT;
  if (found->is_symlink() && (follow || at.slash)) {
    if (links_left-- <= 0) return -ELOOP;
    const std::string target = found->target;
    if (const std::int64_t failed = resolve(at.folder, target, true, links_left, found); failed != 0) return failed;
  }
  return at.slash && !found->is_directory() ? -ENOTDIR : 0;
}

std::int64_t disk::find(const char* path, bool follow, inode_ref& found) const {
  int links_left = links_max;
  return resolve(root_, path, follow, links_left, found);
}

std::int64_t disk::find_parent(const char* path, place& found) const {
  int links_left = links_max;
  return walk(root_, path, links_left, found);
}

// ---- what changes ---------------------------------------------------------------------------------------------------------

std::int64_t disk::now() const { return wall_clock ? wall_clock() : static_cast<std::int64_t>(operations_ * 1000); }

std::uint64_t disk::used_bytes() const noexcept { return pages_ * sparse_bytes::page_bytes; }

std::uint64_t disk::room_left() const noexcept {
  const std::uint64_t all = faults.capacity_bytes / sparse_bytes::page_bytes;
  return all > pages_ ? all - pages_ : 0;
}

void disk::recount(inode& file, std::uint64_t pages_before) { pages_ = pages_ - pages_before + file.now.pages(); }

// A name or a descriptor of it is gone. What is on the disk stays as long as a crash may bring the name back.
void disk::let_go(const inode_ref& unnamed) {
  if (unnamed->is_there()) return;
  pages_ -= unnamed->now.pages();
  unnamed->now = {};
}

void disk::add(inode& file, change made) {
  made.number = ++last_change_;
  file.pending_bytes += made.bytes.size();
  file.pending.push_back(std::move(made));
  if (file.pending.size() > pending_max || file.pending_bytes > pending_bytes_max) {
    settle_bytes(file, file.pending[file.pending.size() / 2].number);
  }
}

void disk::add(name_op made) {
  made.number = ++last_change_;
  const std::int64_t at = now();
  for (const name_op::effect& each : made.effects) each.folder->modified_ns = at;
  name_ops_.push_back(std::move(made));
  if (name_ops_.size() <= pending_max) return;
  const auto half = name_ops_.begin() + static_cast<std::ptrdiff_t>(name_ops_.size() / 2);
  for (auto each = name_ops_.begin(); each != half; ++each) each->apply();
  name_ops_.erase(name_ops_.begin(), half);
}

void disk::changed_data(inode& file, std::uint64_t offset, std::uint64_t size) {
  if (size == 0) return;
  const std::uint64_t from = down(offset, sector_bytes);
  change made{change::kind::data, from, 0, std::vector<std::byte>(up(offset + size, sector_bytes) - from)};
  file.now.read(from, made.bytes);
  add(file, std::move(made));
}

void disk::resize(inode& file, std::uint64_t size) {
  const std::uint64_t before = file.now.pages();
  file.now.resize(size);
  recount(file, before);
  file.modified_ns = now();
  add(file, {change::kind::size, 0, size, {}});
}

// What was changed up to this number is on the disk.
void disk::settle_bytes(inode& file, std::uint64_t covers) {
  auto each = file.pending.begin();
  for (; each != file.pending.end() && each->number <= covers; ++each) {
    each->apply(file.on_disk);
    file.pending_bytes -= each->bytes.size();
  }
  file.pending.erase(file.pending.begin(), each);
}

// A directory's names are on the disk, and what has to be there before them, or with them.
void disk::settle_names(const inode_ref& folder, std::uint64_t covers) {
  std::set<const inode*> concerned{folder.get()};
  bool all = false;
  std::vector<bool> goes(name_ops_.size());
  for (std::size_t i = name_ops_.size(); i-- > 0;) {
    const name_op& op = name_ops_[i];
    if (op.number > covers) continue;
    bool concerns = all;
    op.each_folder([&](const inode_ref& each) { concerns = concerns || concerned.contains(each.get()); });
    if (!concerns) continue;
    goes[i] = true;
    op.each_folder([&](const inode_ref& each) { concerned.insert(each.get()); });
    all = all || op.needs_all;
  }
  std::vector<name_op> stay;
  for (std::size_t i = 0; i < name_ops_.size(); i++) {
    if (goes[i]) {
      name_ops_[i].apply();
    } else {
      stay.push_back(std::move(name_ops_[i]));
    }
  }
  name_ops_ = std::move(stay);
}

bool disk::strikes(std::uint32_t ppm, std::uint32_t& next) {
  if (next > 0) {
    next--;
    return true;
  }
  return ppm > 0 && chance_of_faults_.below(1'000'000) < ppm;
}

std::uint64_t disk::cut_short(std::uint64_t size, bool direct) {
  if (faults.short_ppm == 0 || size < 2 || chance_of_faults_.below(1'000'000) >= faults.short_ppm) return size;
  const std::uint64_t less = 1 + chance_of_faults_.below(size - 1);
  if (!direct) return less;
  return less < sector_bytes ? size : down(less, sector_bytes);
}

// ---- operations -----------------------------------------------------------------------------------------------------------

std::int64_t disk::perform(const file_operation& operation) {
  operations_++;
  const std::int64_t result = carry_out(operation);
  std::uint64_t moved = 0;
  if (operation.what == file_operation::kind::write && !operation.is_sync() && result > 0) {
    moved = sum_of(std::span(operation.bytes, static_cast<std::size_t>(result)));
  }
  note(operation.what, operation.is_sync(), sum_of(operation.path), sum_of(operation.other_path), operation.fd, operation.flags,
       operation.offset, operation.size, result, moved);
  return result;
}

std::int64_t disk::carry_out(const file_operation& operation) {
  switch (operation.what) {
    case file_operation::kind::open: return open(operation.path, operation.flags, operation.mode);
    case file_operation::kind::read: return read(operation);
    case file_operation::kind::write: return operation.is_sync() ? sync(operation.fd) : write(operation);
    case file_operation::kind::sync:
    case file_operation::kind::sync_data: return sync(operation.fd);
    case file_operation::kind::truncate: return truncate(operation.fd, operation.offset);
    case file_operation::kind::close: return close(operation.fd);
    case file_operation::kind::rename: return rename(operation.path, operation.other_path);
    case file_operation::kind::unlink: return unlink(operation.path);
    case file_operation::kind::allocate: return allocate(operation);
    case file_operation::kind::make_directory: return make_directory(operation.path, operation.mode);
    case file_operation::kind::remove_directory: return remove_directory(operation.path);
    case file_operation::kind::link: return link(operation.path, operation.other_path);
    case file_operation::kind::symlink: return symlink(operation.path, operation.other_path);
    case file_operation::kind::status:
      return status(operation.path, operation.flags, std::span(operation.bytes, operation.size));
    case file_operation::kind::list: return list(operation.fd, std::span(operation.bytes, operation.size));
  }
  return -EINVAL;
}

disk::open_file* disk::opened(std::int32_t fd) const {
  const auto found = open_.find(fd);
  return found == open_.end() ? nullptr : found->second.get();
}

disk::inode_ref disk::make(const place& at, unsigned mode, std::string target) {
  inode_ref made = std::make_shared<inode>(inodes_, ++last_inode_, mode);
  made->links = 1;
  made->modified_ns = now();
  made->target = std::move(target);
  if (made->is_directory()) made->parent = at.folder;
  at.folder->names.emplace(at.name, made);
  add({name_op::kind::make, false, {{at.folder, at.name, made}}});
  return made;
}

std::int64_t disk::open(const char* path, int flags, unsigned mode) {
  if ((flags & O_ACCMODE) == O_ACCMODE) return -EINVAL;
  if ((flags & O_TMPFILE) == O_TMPFILE) return -EOPNOTSUPP;
  if ((flags & O_CREAT) == 0) {
    inode_ref found;
    const std::int64_t failed = find(path, (flags & O_NOFOLLOW) == 0, found);
    return failed != 0 ? failed : open_found(found, flags, false);
  }
  if ((flags & O_DIRECTORY) != 0) return -EINVAL;
  std::string target = path;
  inode_ref from = root_;
  for (int links_left = links_max;;) {
    place at;
    if (const std::int64_t failed = walk(from, target, links_left, at); failed != 0) return failed;
    if (at.last != place::kind::name) return (flags & O_EXCL) != 0 ? -EEXIST : -EISDIR;
    if (at.slash) return -EISDIR;
    const inode_ref found = child_of(at.folder, at.name);
    if (found == nullptr) {
      if (faults.read_only) return -EROFS;
      return open_found(make(at, S_IFREG | (mode & 07777u & ~umask_bits)), flags, true);
    }
    if (!found->is_symlink() || (flags & (O_EXCL | O_NOFOLLOW)) != 0) {
      if ((flags & O_EXCL) != 0) return -EEXIST;
      return found->is_directory() ? -EISDIR : open_found(found, flags, false);
    }
    if (links_left-- <= 0) return -ELOOP;
    target = found->target;
    from = at.folder;
  }
}

std::int64_t disk::open_found(const inode_ref& found, int flags, bool made) {
  const int access = flags & O_ACCMODE;
  const bool changes = access != O_RDONLY || (flags & O_TRUNC) != 0;
  if ((flags & O_DIRECTORY) != 0 && !found->is_directory()) return -ENOTDIR;
  if (found->is_symlink()) return -ELOOP;
  if (found->is_socket()) return -ENXIO;
  if (found->is_directory() && changes) return -EISDIR;
  if (changes && !made && faults.read_only) return -EROFS;
  if (!made && (flags & O_TRUNC) != 0) resize(*found, 0);
  auto file = std::make_shared<open_file>();
  file->file = found;
  file->reads = access != O_WRONLY;
  file->writes = access != O_RDONLY;
  file->appends = (flags & O_APPEND) != 0;
  file->direct = (flags & O_DIRECT) != 0;
  file->syncs = (flags & (O_SYNC | O_DSYNC)) != 0;
  file->failures_seen = found->sync_failures;
  found->opens++;
  // Not the lowest one that is free: a number that a program uses after its close shall be nobody's for long.
  if (open_.size() == static_cast<std::size_t>(fds_max)) return -EMFILE;
  for (;; next_fd_++) {
    if (next_fd_ == first_fd_ + fds_max) next_fd_ = first_fd_;
    if (!open_.contains(next_fd_)) break;
  }
  const std::int32_t fd = next_fd_++;
  open_.emplace(fd, std::move(file));
  return fd;
}

std::int64_t disk::read(const file_operation& operation) {
  const open_file* from = opened(operation.fd);
  if (from == nullptr || !from->reads) return -EBADF;
  if (from->file->is_directory()) return -EISDIR;
  if (static_cast<std::int64_t>(operation.offset) < 0) return -EINVAL;
  std::uint64_t size = std::min(operation.size, transfer_max);
  if (from->direct && !is_aligned(operation.offset, size, operation.bytes)) return -EINVAL;
  const sparse_bytes& bytes = from->file->now;
  if (operation.offset >= bytes.size()) return 0;
  size = std::min(size, bytes.size() - operation.offset);
  if (size == 0) return 0;
  if (strikes(faults.read_fails_ppm, faults.reads_fail_next)) {
    tell_failure("a read of", *from->file, "fails");
    return -EIO;
  }
  size = cut_short(size, from->direct);
  bytes.read(operation.offset, std::span(operation.bytes, size));
  return static_cast<std::int64_t>(size);
}

std::int64_t disk::write(const file_operation& operation) {
  const auto found = open_.find(operation.fd);
  if (found == open_.end() || !found->second->writes) return -EBADF;
  const std::shared_ptr<open_file> to = found->second;
  inode& file = *to->file;
  std::uint64_t offset = operation.offset;
  std::uint64_t size = std::min(operation.size, transfer_max);
  if (static_cast<std::int64_t>(offset) < 0) return -EINVAL;
  if (to->appends) offset = file.now.size();
  if (to->direct && !is_aligned(offset, size, operation.bytes)) return -EINVAL;
  if (size == 0) return 0;
  if (faults.read_only) return -EROFS;
  if (offset >= file_max) return -EFBIG;
  size = std::min(size, file_max - offset);
  if (strikes(faults.write_fails_ppm, faults.writes_fail_next)) {
    tell_failure("a write of", file, "fails");
    return -EIO;
  }
  if (!to->appends) size = cut_short(size, to->direct);
  const std::uint64_t wanted = std::exchange(size, file.now.fitting(offset, size, room_left()));
  if (size < wanted) tell_failure("a write of", file, "finds no room");
  if (to->direct) size = down(size, sector_bytes);
  if (size == 0) return -ENOSPC;
  const std::uint64_t before = file.now.pages();
  file.now.write(offset, std::span<const std::byte>(operation.bytes, size));
  recount(file, before);
  file.modified_ns = now();
  const bool grows = offset + size > file.now.size();
  if (grows) file.now.resize(offset + size);
  changed_data(file, offset, size);
  if (grows) add(file, {change::kind::size, 0, offset + size, {}});
  if (to->syncs) {
    if (const std::int64_t failed = end_sync({to, last_change_}); failed != 0) return failed;
  }
  return static_cast<std::int64_t>(size);
}

std::int64_t disk::begin_sync(std::int32_t fd, sync_ticket& ticket) {
  const auto found = open_.find(fd);
  if (found == open_.end()) return -EBADF;
  ticket = {found->second, last_change_};
  note(fd, last_change_);
  return 0;
}

std::int64_t disk::end_sync(const sync_ticket& ticket) {
  inode& file = *ticket.of->file;
  const bool fails = strikes(faults.sync_fails_ppm, faults.syncs_fail_next);
  note(file.number, ticket.covers, fails);
  if (file.is_directory()) {
    if (fails) {
      tell_failure("a sync of", file, "fails");
      return -EIO;  // the journal may bring them yet
    }
    settle_names(ticket.of->file, ticket.covers);
    return 0;
  }
  if (fails) {
    tell_failure("a sync of", file, "fails; what it was to make durable never will be");
    std::erase_if(file.pending, [&](const change& each) {
      const bool goes = each.number <= ticket.covers && each.what != change::kind::size;
      if (goes) file.pending_bytes -= each.bytes.size();
      return goes;
    });
    file.sync_failures++;
  } else {
    settle_bytes(file, ticket.covers);
  }
  return std::exchange(ticket.of->failures_seen, file.sync_failures) == file.sync_failures ? 0 : -EIO;
}

std::int64_t disk::sync(std::int32_t fd) {
  sync_ticket ticket;
  const std::int64_t failed = begin_sync(fd, ticket);
  return failed != 0 ? failed : end_sync(ticket);
}

std::int64_t disk::truncate(std::int32_t fd, std::uint64_t size) {
  const open_file* of = opened(fd);
  if (static_cast<std::int64_t>(size) < 0) return -EINVAL;
  if (of == nullptr) return -EBADF;
  if (!of->writes || of->file->is_directory()) return -EINVAL;
  if (size > file_max) return -EFBIG;
  if (faults.read_only) return -EROFS;
  resize(*of->file, size);
  return 0;
}

std::int64_t disk::close(std::int32_t fd) {
  const auto found = open_.find(fd);
  if (found == open_.end()) return -EBADF;
  const std::shared_ptr<open_file> gone = std::move(found->second);
  open_.erase(found);
  if (gone->file->locked_by == gone.get()) gone->file->locked_by = nullptr;
  gone->file->opens--;
  let_go(gone->file);
  return 0;
}

std::int64_t disk::rename(const char* from, const char* to) {
  place old_at;
  place new_at;
  if (const std::int64_t failed = find_parent(from, old_at); failed != 0) return failed;
  if (const std::int64_t failed = find_parent(to, new_at); failed != 0) return failed;
  if (old_at.last != place::kind::name || new_at.last != place::kind::name) return -EBUSY;
  if (faults.read_only) return -EROFS;
  const inode_ref moved = child_of(old_at.folder, old_at.name);
  const inode_ref replaced = child_of(new_at.folder, new_at.name);
  if (moved == nullptr) return -ENOENT;
  if (!moved->is_directory() && (old_at.slash || new_at.slash)) return -ENOTDIR;
  const bool leaves = old_at.folder != new_at.folder;
  const auto holds = [this](const inode_ref& outer, inode_ref inner) {
    while (inner != outer && inner != root_) inner = parent_of(inner);
    return inner == outer;
  };
  if (leaves && holds(moved, new_at.folder)) return -EINVAL;
  if (leaves && replaced != nullptr && holds(replaced, old_at.folder)) return -ENOTEMPTY;
  if (moved == replaced) return 0;
  if (replaced != nullptr) {
    if (moved->is_directory() && !replaced->is_directory()) return -ENOTDIR;
    if (!moved->is_directory() && replaced->is_directory()) return -EISDIR;
    if (!replaced->names.empty()) return -ENOTEMPTY;
  }
  old_at.folder->names.erase(old_at.name);
  new_at.folder->names.insert_or_assign(new_at.name, moved);
  if (moved->is_directory()) moved->parent = new_at.folder;
  const bool has_others = replaced != nullptr && !replaced->is_directory() && replaced->links > 1;
  add({name_op::kind::rename, has_others || (leaves && moved->is_directory()),
       {{old_at.folder, old_at.name, nullptr}, {new_at.folder, new_at.name, moved}},
       replaced != nullptr && replaced->is_directory() ? replaced : nullptr});
  if (replaced != nullptr) {
    replaced->links--;
    let_go(replaced);
  }
  return 0;
}

std::int64_t disk::unlink(const char* path) {
  place at;
  if (const std::int64_t failed = find_parent(path, at); failed != 0) return failed;
  if (at.last != place::kind::name) return -EISDIR;
  if (faults.read_only) return -EROFS;
  const inode_ref gone = child_of(at.folder, at.name);
  if (gone == nullptr) return -ENOENT;
  if (gone->is_directory()) return -EISDIR;
  if (at.slash) return -ENOTDIR;
  at.folder->names.erase(at.name);
  add({name_op::kind::remove, gone->links > 1, {{at.folder, at.name, nullptr}}});
  gone->links--;
  let_go(gone);
  return 0;
}

std::int64_t disk::allocate(const file_operation& operation) {
  const open_file* of = opened(operation.fd);
  if (of == nullptr) return -EBADF;
  const std::uint64_t offset = operation.offset;
  const std::uint64_t size = operation.size;
  if (static_cast<std::int64_t>(offset) < 0 || static_cast<std::int64_t>(size) <= 0) return -EINVAL;
  constexpr int punches = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  if (operation.flags != 0 && operation.flags != FALLOC_FL_KEEP_SIZE && operation.flags != punches) return -EOPNOTSUPP;
  if (!of->writes) return -EBADF;
  if (offset > file_max || size > file_max - offset) return -EFBIG;
  if (faults.read_only) return -EROFS;
  inode& file = *of->file;
  const std::uint64_t before = file.now.pages();
  if (operation.flags == punches) {
    const std::uint64_t end = std::min(offset + size, up(file.now.size(), sparse_bytes::page_bytes));
    if (offset >= end) return 0;
    file.now.punch(offset, end - offset);
    recount(file, before);
    const std::uint64_t first = std::min(up(offset, sector_bytes), end);
    const std::uint64_t last = std::max(down(end, sector_bytes), first);
    changed_data(file, offset, first - offset);
    if (last > first) add(file, {change::kind::hole, first, last - first, {}});
    changed_data(file, last, end - last);
  } else {
    if (size / sparse_bytes::page_bytes > room_left() + before || file.now.fitting(offset, size, room_left()) < size) {
      tell_failure("an allocation of", file, "finds no room");
      return -ENOSPC;
    }
    file.now.allocate(offset, size);
    recount(file, before);
    add(file, {change::kind::room, offset, size, {}});
    if (operation.flags == 0 && offset + size > file.now.size()) resize(file, offset + size);
  }
  file.modified_ns = now();
  return 0;
}

std::int64_t disk::place_for_new(const char* path, bool directory, place& at) const {
  if (const std::int64_t failed = find_parent(path, at); failed != 0) return failed;
  if (at.last != place::kind::name || child_of(at.folder, at.name) != nullptr) return -EEXIST;
  if (at.slash && !directory) return -ENOENT;
  return faults.read_only ? -EROFS : 0;
}

std::int64_t disk::make_directory(const char* path, unsigned mode) {
  place at;
  if (const std::int64_t failed = place_for_new(path, true, at); failed != 0) return failed;
  make(at, S_IFDIR | (mode & 01777u & ~umask_bits));
  return 0;
}

std::int64_t disk::remove_directory(const char* path) {
  place at;
  if (const std::int64_t failed = find_parent(path, at); failed != 0) return failed;
  switch (at.last) {
    case place::kind::root: return -EBUSY;
    case place::kind::dot: return -EINVAL;
    case place::kind::parent: return -ENOTEMPTY;
    case place::kind::name: break;
  }
  if (faults.read_only) return -EROFS;
  const inode_ref gone = child_of(at.folder, at.name);
  if (gone == nullptr) return -ENOENT;
  if (!gone->is_directory()) return -ENOTDIR;
  if (!gone->names.empty()) return -ENOTEMPTY;
  at.folder->names.erase(at.name);
  add({name_op::kind::remove, false, {{at.folder, at.name, nullptr}}, gone});
  gone->links--;
  return 0;
}

std::int64_t disk::link(const char* existing, const char* made) {
  inode_ref found;
  place at;
  if (const std::int64_t failed = find(existing, false, found); failed != 0) return failed;
  if (const std::int64_t failed = place_for_new(made, false, at); failed != 0) return failed;
  if (found->is_directory()) return -EPERM;
  at.folder->names.emplace(at.name, found);
  found->links++;
  add({name_op::kind::make, false, {{at.folder, at.name, found}}});
  return 0;
}

std::int64_t disk::symlink(const char* target, const char* made) {
  if (*target == '\0') return -ENOENT;
  if (std::strlen(target) >= PATH_MAX) return -ENAMETOOLONG;
  place at;
  if (const std::int64_t failed = place_for_new(made, false, at); failed != 0) return failed;
  make(at, S_IFLNK | 0777u, target);
  return 0;
}

std::int64_t disk::make_socket(const char* path, int mode) {
  place at;
  const std::int64_t failed = place_for_new(path, false, at);
  if (failed != 0) return failed == -EEXIST ? -EADDRINUSE : failed;
  const unsigned permissions = mode >= 0 ? static_cast<unsigned>(mode) & 07777u : 0777u & ~umask_bits;
  const inode_ref made = make(at, S_IFSOCK | permissions);
  note(sum_of(path), made->number);
  return static_cast<std::int64_t>(made->number);
}

std::int64_t disk::find_socket(const char* path, bool follow) const {
  inode_ref found;
  if (const std::int64_t failed = find(path, follow, found); failed != 0) return failed;
  return found->is_socket() ? static_cast<std::int64_t>(found->number) : -ENOTSOCK;
}

void disk::describe(const inode& what, struct statx& into) const {
  into = {};
  into.stx_mask = STATX_BASIC_STATS;
  into.stx_mode = static_cast<std::uint16_t>(what.mode);
  into.stx_ino = what.number;
  into.stx_nlink = what.links;
  into.stx_blksize = sparse_bytes::page_bytes;
  into.stx_size = what.is_symlink() ? what.target.size() : what.is_directory() ? sparse_bytes::page_bytes : what.now.size();
  into.stx_blocks = what.now.pages() * (sparse_bytes::page_bytes / sector_bytes);
  if (what.is_directory()) {
    const auto is_directory = [](const auto& each) { return each.second->is_directory(); };
    into.stx_nlink = what.links == 0 ? 0
                                     : 2 + static_cast<std::uint32_t>(
                                               std::count_if(what.names.begin(), what.names.end(), is_directory));
  }
  into.stx_mtime.tv_sec = what.modified_ns / 1'000'000'000;
  into.stx_mtime.tv_nsec = static_cast<std::uint32_t>(what.modified_ns % 1'000'000'000);
  into.stx_atime = into.stx_ctime = into.stx_mtime;
#ifdef STATX_DIOALIGN
  if (S_ISREG(what.mode)) {
    into.stx_mask |= STATX_DIOALIGN;
    into.stx_dio_mem_align = into.stx_dio_offset_align = sector_bytes;
  }
#endif
}

std::int64_t disk::status(const char* path, int flags, std::span<std::byte> into) const {
  inode_ref found;
  if (const std::int64_t failed = find(path, (flags & AT_SYMLINK_NOFOLLOW) == 0, found); failed != 0) return failed;
  struct statx told;
  describe(*found, told);
  std::memcpy(into.data(), &told, std::min(into.size(), sizeof told));
  return 0;
}

// The order is drawn, since a file system has none. Names that have come since the first read are not told, those that are gone
// neither.
std::int64_t disk::list(std::int32_t fd, std::span<std::byte> into) {
  open_file* of = opened(fd);
  if (of == nullptr) return -EBADF;
  if (!of->file->is_directory()) return -ENOTDIR;
  if (of->file->links == 0) return -ENOENT;
  if (!of->has_listing) {
    of->has_listing = true;
    for (const auto& [name, each] : of->file->names) of->listing.push_back(name);
    for (std::size_t i = of->listing.size(); i > 1; i--) std::swap(of->listing[i - 1], of->listing[chance_of_faults_.below(i)]);
    for (const std::string& each : of->listing) note(sum_of(std::string_view(each)));
    of->listing.insert(of->listing.begin(), std::initializer_list<std::string>{".", ".."});
  }
  std::size_t used = 0;
  for (; of->listed < of->listing.size(); of->listed++) {
    const std::string& name = of->listing[of->listed];
    const inode_ref each = name == "." ? of->file : name == ".." ? parent_of(of->file) : child_of(of->file, name);
    if (each == nullptr) continue;
    const std::size_t size = up(offsetof(dirent64, d_name) + name.size() + 1, alignof(dirent64));
    if (used + size > into.size()) return used == 0 ? -EINVAL : static_cast<std::int64_t>(used);
    dirent64 head{};
    head.d_ino = each->number;
    head.d_off = static_cast<off64_t>(of->listed + 1);
    head.d_reclen = static_cast<std::uint16_t>(size);
    head.d_type = static_cast<unsigned char>(IFTODT(each->mode));
    std::memset(into.data() + used, 0, size);
    std::memcpy(into.data() + used, &head, offsetof(dirent64, d_name));
    std::memcpy(into.data() + used + offsetof(dirent64, d_name), name.data(), name.size());
    used += size;
  }
  return static_cast<std::int64_t>(used);
}

std::int64_t disk::size_of(std::int32_t fd) const {
  const open_file* of = opened(fd);
  if (of == nullptr) return -EBADF;
  return static_cast<std::int64_t>(of->file->is_directory() ? sparse_bytes::page_bytes : of->file->now.size());
}

std::int64_t disk::status_of(std::int32_t fd, struct statx& into) const {
  const open_file* of = opened(fd);
  if (of == nullptr) return -EBADF;
  describe(*of->file, into);
  return 0;
}

std::int64_t disk::try_lock(std::int32_t fd) {
  const open_file* of = opened(fd);
  if (of == nullptr) return -EBADF;
  const open_file*& holder = of->file->locked_by;
  const std::int64_t result = holder == nullptr || holder == of ? 0 : -EWOULDBLOCK;
  if (result == 0) holder = of;
  note(fd, result);
  return result;
}

// ---- time -----------------------------------------------------------------------------------------------------------------

std::int64_t disk::draw_latency(const file_operation& operation) {
  const bool syncs = operation.is_sync() || operation.what == file_operation::kind::sync ||
                     operation.what == file_operation::kind::sync_data;
  const std::int64_t fixed = syncs ? faults.sync_latency.count() : faults.latency.count();
  const std::int64_t jitter = syncs ? faults.sync_latency_jitter.count() : faults.latency_jitter.count();
  const std::int64_t drawn =
      jitter <= 0 ? fixed : fixed + static_cast<std::int64_t>(chance_of_time_.below(static_cast<std::uint64_t>(jitter) + 1));
  note(drawn);
  return drawn;
}

bool disk::draw_early() {
  const bool is_early = chance_of_time_.below(2) == 0;
  note(is_early);
  return is_early;
}

void disk::go_on() {
  hangs_ = false;
  if (user_ != nullptr) user_->go_on();
}

// ---- crashes --------------------------------------------------------------------------------------------------------------

void disk::close_all() {
  while (!open_.empty()) close(open_.begin()->first);
}

void disk::end_process() {
  if (user_ != nullptr) user_->cut_off();
  note(open_.size());
  close_all();
}

void disk::crash() {
  if (user_ != nullptr) user_->cut_off();
  note(last_change_, open_.size());
  close_all();
  losses found;
  losses* const into = is_heard() ? &found : nullptr;
  lose_names(into);
  stand_up(into);
  for (std::size_t i = 0; i < std::min(found.size(), losses_max); i++) listener->hear(found[i].text, found[i].detail, {});
  if (found.size() > losses_max) listener->hear(fmt::format("loses {} things more", found.size() - losses_max), {}, {});
}

void disk::lose_names(losses* into) {
  struct fate {
    std::uint64_t operations = 0;
    std::uint64_t kept = 0;
    std::uint64_t seen = 0;
    bool ended = false;
  };
  std::map<std::uint64_t, fate> fates;
  for (const name_op& op : name_ops_) op.each_folder([&](const inode_ref& each) { fates[each->number].operations++; });
  for (auto& [number, of] : fates) {
    switch (chance_of_crashes_.below(3)) {
      case 0: of.kept = of.operations; break;
      case 1: break;
      default: of.kept = chance_of_crashes_.below(of.operations + 1);
    }
  }
  bool all_so_far = true;
  for (const name_op& op : name_ops_) {
    bool stays = all_so_far || !op.needs_all;
    op.each_folder([&](const inode_ref& each) {
      fate& of = fates[each->number];
      stays = stays && !of.ended && of.seen++ < of.kept;
    });
    note(op.number, stays);
    if (stays) {
      op.apply();
      continue;
    }
    all_so_far = false;
    if (into != nullptr) into->push_back(loss_of(op));
    op.each_folder([&](const inode_ref& each) { fates[each->number].ended = true; });
    switch (op.what) {
      case name_op::kind::make: tally_.entries_lost++; break;
      case name_op::kind::remove: tally_.removals_undone++; break;
      case name_op::kind::rename: tally_.renames_undone++; break;
    }
  }
  name_ops_.clear();
}

void disk::lose_bytes(inode& file) {
  enum class mood : std::uint8_t { all, none, first, each };
  const auto how = static_cast<mood>(chance_of_crashes_.below(4));
  const std::size_t count = file.pending.size();
  const std::size_t first = chance_of_crashes_.below(count + 1);
  // Of sizes as many, or as many as it comes: the size of bytes that are lost, no size for those that are there.
  std::size_t sizes = how == mood::all ? count : how == mood::none ? 0 : how == mood::first ? first : count;
  if (how != mood::all && chance_of_crashes_.below(2) == 0) sizes = chance_of_crashes_.below(count + 1);
  enum class fate : std::uint8_t { kept, lost, torn };
  const auto drawn = [&](std::size_t i) {
    switch (how) {
      case mood::all: return fate::kept;
      case mood::none: return fate::lost;
      case mood::first: return i < first ? fate::kept : i == first ? fate::torn : fate::lost;
      case mood::each: break;
    }
    const std::uint64_t number = chance_of_crashes_.below(8);
    return number < 3 ? fate::kept : number < 6 ? fate::lost : fate::torn;
  };
  std::uint64_t limit = UINT64_MAX;  // behind it a lost truncation left no room
  std::uint64_t size = file.on_disk.size();
  bool something_lost = false;
  for (std::size_t i = 0; i < count; i++) {
    const change& each = file.pending[i];
    fate is = fate::kept;
    if (each.what == change::kind::size) {
      if (i >= sizes) is = fate::lost;
      if (is == fate::lost) tally_.sizes_lost++;
      if (is == fate::lost && each.size < size) limit = std::min(limit, up(each.size, sector_bytes));
      size = each.size;
      if (is == fate::kept) each.apply(file.on_disk);
    } else if (each.what == change::kind::data) {
      is = drawn(i);
      std::uint64_t sectors_kept = 0;
      std::uint64_t which = 0;
      for (std::uint64_t at = 0; at < each.bytes.size(); at += sector_bytes) {
        if (each.offset + at >= limit || is == fate::lost || (is == fate::torn && chance_of_crashes_.below(2) == 0)) continue;
        file.on_disk.write(each.offset + at, std::span(each.bytes).subspan(at, sector_bytes));
        sectors_kept++;
        which = mixed(which, at + 1);
      }
      is = sectors_kept == 0 ? fate::lost : sectors_kept * sector_bytes == each.bytes.size() ? fate::kept : fate::torn;
      (is == fate::kept ? tally_.kept : is == fate::lost ? tally_.lost : tally_.torn)++;
      if (is == fate::lost) something_lost = true;
      if (is != fate::lost && something_lost) tally_.reordered++;
      note(each.number, is, sectors_kept, which);
      continue;
    } else {
      is = drawn(i) == fate::kept && each.offset + each.size <= limit ? fate::kept : fate::lost;
      if (is == fate::kept) each.apply(file.on_disk);
    }
    note(each.number, is);
  }
  file.on_disk.trim();
  file.pending.clear();
  file.pending_bytes = 0;
}

// What is on the disk is all there is from here on.
void disk::stand_up(losses* into) {
  std::vector<inode_ref> all;
  for (const auto& [number, each] : inodes_) all.push_back(each->shared_from_this());
  for (const inode_ref& each : all) each->links = 0;
  std::vector<inode_ref> to_visit{root_};
  std::map<const inode*, std::string> paths;  // for words alone
  root_->links = 1;
  while (!to_visit.empty()) {
    const inode_ref folder = std::move(to_visit.back());
    to_visit.pop_back();
    std::erase_if(folder->names_on_disk, [](const auto& each) { return each.second->is_socket(); });
    for (const auto& [name, each] : folder->names_on_disk) {
      each->links++;
      if (into != nullptr) paths.try_emplace(each.get(), paths[folder.get()] + "/" + name);
      if (!each->is_directory()) continue;
      LEVITY_ASSERT(each->links == 1, "a directory of a simulated disk has one name");
      each->parent = folder;
      to_visit.push_back(each);
    }
  }
  pages_ = 0;
  for (const inode_ref& each : all) {
    if (each->links == 0) {
      each->names.clear();
      each->names_on_disk.clear();
      continue;
    }
    if (!each->pending.empty()) {
      const byte_ranges touched = into != nullptr ? each->touched() : byte_ranges();
      const auto torn_before = tally_.torn;
      lose_bytes(*each);
      if (into != nullptr) add_loss_of(*each, touched, paths[each.get()], tally_.torn - torn_before, *into);
    }
    each->now = each->on_disk;
    each->names = each->names_on_disk;
    each->sync_failures = 0;
    pages_ += each->now.pages();
  }
}

// ---- words ----------------------------------------------------------------------------------------------------------------

std::string disk::path_of(const inode& wanted) const {
  if (&wanted == root_.get()) return "/";
  std::vector<std::pair<const inode*, std::string>> to_visit{{root_.get(), ""}};
  while (!to_visit.empty()) {
    const auto [folder, path] = std::move(to_visit.back());
    to_visit.pop_back();
    for (const auto& [name, each] : folder->names) {
      std::string at = path + "/" + name;
      if (each.get() == &wanted) return at;
      if (each->is_directory()) to_visit.emplace_back(each.get(), std::move(at));
    }
  }
  return "a file without a name";
}

void disk::tell_failure(std::string_view what, const inode& of, std::string_view why) const {
  if (is_heard()) listener->hear(fmt::format("{} {} {}", what, path_of(of), why), {}, {});
}

void disk::tell_time(const sync_ticket& ticket, std::int64_t takes_ns) const {
  if (takes_ns < late_ns || !is_heard()) return;
  const double takes_ms = static_cast<double>(takes_ns) / 1e6;
  listener->hear(fmt::format("a sync of {} is late", path_of(*ticket.of->file)), fmt::format("(it takes {:.1f} ms)", takes_ms),
                 duration(takes_ns));
}

disk::loss disk::loss_of(const name_op& undone) const {
  const auto path = [&](const name_op::effect& of) {
    return of.folder == root_ ? "/" + of.name : path_of(*of.folder) + "/" + of.name;
  };
  const std::string first = path(undone.effects.front());
  switch (undone.what) {
    case name_op::kind::make: return {"loses the entry " + first};
    case name_op::kind::remove: return {"has " + first + " again, for its removal is lost"};
    case name_op::kind::rename: return {"has " + first + " again, for its renaming to " + path(undone.effects.back()) + " is lost"};
  }
  return {};
}

// Where what is there differs from what was in memory: a write that is lost is none if a later one has the same bytes.
void disk::add_loss_of(const inode& file, const byte_ranges& touched, const std::string& path, std::uint64_t torn,
                       losses& into) const {
  const std::uint64_t had_size = file.now.size();
  const std::uint64_t has_size = file.on_disk.size();
  byte_ranges lost;
  for (const auto& each : touched) {
    for (std::uint64_t at = each.first; at < std::min(each.second, had_size); at += sector_bytes) {
      std::array<std::byte, sector_bytes> had{};
      std::array<std::byte, sector_bytes> has{};
      file.now.read(at, had);
      file.on_disk.read(at, has);
      const auto is_lost = [&](std::uint64_t i) { return had[i] != has[i] || at + i >= has_size; };
      std::uint64_t first = 0;
      std::uint64_t last = std::min(sector_bytes, had_size - at);  // behind it
      while (first < last && !is_lost(first)) first++;
      if (first == last) continue;
      while (!is_lost(last - 1)) last--;
      if (!lost.empty() && lost.back().second == at + first) {
        lost.back().second = at + last;
      } else {
        lost.emplace_back(at + first, at + last);
      }
    }
  }
  if (lost.empty() && had_size == has_size) return;
  std::string text;
  for (std::size_t i = 0; i < std::min(lost.size(), ranges_max); i++) {
    text += fmt::format("{}{}..{}", i == 0 ? "loses " : ", ", lost[i].first, lost[i].second - 1);
  }
  if (lost.size() > ranges_max) text += fmt::format(" and {} pieces more", lost.size() - ranges_max);
  text += lost.empty() ? "has " + path : " of " + path;
  if (had_size != has_size) text += fmt::format("{} {} bytes long, not {}", lost.empty() ? "" : ", which is", has_size, had_size);
  // How many are there or lost as a whole would not be what a reader of the file finds: a size that is lost takes bytes along.
  std::string of_torn = torn == 0 ? "" : torn == 1 ? "(a write is torn)" : fmt::format("({} writes are torn)", torn);
  into.push_back({std::move(text), std::move(of_torn)});
}

// ---- from outside ---------------------------------------------------------------------------------------------------------

bool disk::is_pending(const inode_ref& folder, std::string_view name) const {
  return std::ranges::any_of(name_ops_, [&](const name_op& op) {
    return std::ranges::any_of(op.effects, [&](const name_op::effect& each) { return each.folder == folder && each.name == name; });
  });
}

void disk::install(std::string_view path, std::string_view text) {
  inode_ref folder = root_;
  for (path = without_slashes(path); !path.empty();) {
    const std::string_view name = path.substr(0, path.find('/'));
    const std::string_view rest = without_slashes(path.substr(name.size()));
    inode_ref next = child_of(folder, name);
    // What the program has done to other names stays as it is; what it has done to this one comes first.
    const bool is_entangled = is_pending(folder, name);
    if (next == nullptr) {
      next = make({folder, std::string(name), place::kind::name, false}, rest.empty() ? S_IFREG | 0644u : S_IFDIR | 0755u);
    }
    LEVITY_ASSERT(next->is_directory() != rest.empty(), "a file is installed where a directory is, or below a file");
    if (is_entangled) {
      settle_names(folder, last_change_);
    } else if (!name_ops_.empty() && name_ops_.back().number == last_change_ && is_pending(folder, name)) {
      name_ops_.back().apply();
      name_ops_.pop_back();
    }
    folder = std::move(next);
    path = rest;
  }
  LEVITY_ASSERT(!folder->is_directory(), "a file is installed by its path");
  resize(*folder, 0);
  const std::uint64_t before = folder->now.pages();
  folder->now.write(0, std::as_bytes(std::span(text)));
  recount(*folder, before);
  changed_data(*folder, 0, text.size());
  resize(*folder, text.size());
  settle_bytes(*folder, last_change_);
  note(folder->number, sum_of(text));
}

std::optional<std::string> disk::contents(std::string_view path) const {
  inode_ref found;
  int links_left = links_max;
  if (resolve(root_, path, true, links_left, found) != 0 || found->is_directory() || found->is_socket()) {
    return std::nullopt;
  }
  std::string text(found->now.size(), '\0');
  found->now.read(0, std::as_writable_bytes(std::span(text)));
  return text;
}

}  // namespace levity::sim
