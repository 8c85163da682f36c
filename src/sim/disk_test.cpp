// The simulated disk: held against the kernel's file systems while it runs, and against what a sync promises when it crashes.

#include "sim/disk.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <functional>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "levity/base/rng.hpp"
#include "levity/io/detail/file_operation.hpp"
#include "tests/support/temporary_folder.hpp"

namespace {

namespace lv = levity;
using levity::detail::file_operation;
using levity::sim::disk;
using levity::test::temporary_folder;
using kind = file_operation::kind;

// Operations as numbers, on a disk or on the kernel's.
class calls {
public:
  explicit calls(disk& on) : perform_([&on](const file_operation& each) { return on.perform(each); }) {}
  explicit calls(std::string below) : below_(std::move(below)), perform_(&levity::detail::perform) {}

  [[nodiscard]] std::int64_t open(const std::string& path, int flags, unsigned mode = 0644) const {
    return by_path(kind::open, path, {}, flags, mode);
  }
  [[nodiscard]] std::int64_t write(std::int64_t fd, std::uint64_t offset, std::string_view text) const {
    return by_fd(kind::write, fd, offset, text.size(), 0, const_cast<char*>(text.data()));
  }
  [[nodiscard]] std::int64_t read(std::int64_t fd, std::uint64_t offset, std::span<char> into) const {
    return by_fd(kind::read, fd, offset, into.size(), 0, into.data());
  }
  [[nodiscard]] std::int64_t sync(std::int64_t fd) const { return by_fd(kind::sync, fd); }
  [[nodiscard]] std::int64_t sync_data(std::int64_t fd) const { return by_fd(kind::sync_data, fd); }
  [[nodiscard]] std::int64_t truncate(std::int64_t fd, std::uint64_t size) const { return by_fd(kind::truncate, fd, size); }
  [[nodiscard]] std::int64_t allocate(std::int64_t fd, std::uint64_t offset, std::uint64_t size, int flags) const {
    return by_fd(kind::allocate, fd, offset, size, flags);
  }
  std::int64_t close(std::int64_t fd) const { return by_fd(kind::close, fd); }
  [[nodiscard]] std::int64_t rename(const std::string& from, const std::string& to) const {
    return by_path(kind::rename, from, below_ + to);
  }
  [[nodiscard]] std::int64_t unlink(const std::string& path) const { return by_path(kind::unlink, path); }
  [[nodiscard]] std::int64_t make_directory(const std::string& path) const {
    return by_path(kind::make_directory, path, {}, 0, 0777);
  }
  [[nodiscard]] std::int64_t remove_directory(const std::string& path) const { return by_path(kind::remove_directory, path); }
  [[nodiscard]] std::int64_t link(const std::string& path, const std::string& made) const {
    return by_path(kind::link, path, below_ + made);
  }
  [[nodiscard]] std::int64_t symlink(const std::string& target, const std::string& made) const {
    file_operation operation;
    const std::string at = below_ + made;
    operation.what = kind::symlink;
    operation.path = target.c_str();
    operation.other_path = at.c_str();
    return perform_(operation);
  }
  [[nodiscard]] std::int64_t status(const std::string& path, bool follow, struct statx& into) const {
    const std::string at = below_ + path;
    file_operation operation;
    operation.what = kind::status;
    operation.path = at.c_str();
    operation.flags = follow ? 0 : AT_SYMLINK_NOFOLLOW;
    operation.bytes = reinterpret_cast<std::byte*>(&into);
    operation.size = sizeof into;
    return perform_(operation);
  }

  // Names and types, or how that failed.
  [[nodiscard]] std::map<std::string, int> list(const std::string& path, std::size_t room = 4096) const {
    std::map<std::string, int> found;
    const std::int64_t fd = open(path, O_RDONLY | O_DIRECTORY);
    if (fd < 0) return {{"", static_cast<int>(fd)}};
    std::vector<char> bytes(room);
    std::int64_t got = 0;
    while ((got = by_fd(kind::list, fd, 0, bytes.size(), 0, bytes.data())) > 0) {
      for (std::int64_t at = 0; at < got;) {
        const auto* each = reinterpret_cast<const dirent64*>(bytes.data() + at);
        EXPECT_TRUE(found.emplace(each->d_name, each->d_type).second) << each->d_name << " is told twice";
        at += each->d_reclen;
      }
    }
    EXPECT_EQ(got, 0);
    EXPECT_EQ(close(fd), 0);
    return found;
  }
  [[nodiscard]] std::string contents(const std::string& path) const {
    const std::int64_t fd = open(path, O_RDONLY);
    if (fd < 0) return "<" + std::to_string(fd) + ">";
    std::string all;
    std::vector<char> bytes(1 << 15);
    std::int64_t got = 0;
    while ((got = read(fd, all.size(), bytes)) > 0) all.append(bytes.data(), static_cast<std::size_t>(got));
    EXPECT_EQ(close(fd), 0);
    return all;
  }
  void sync_directory(const std::string& path) const {
    const std::int64_t fd = open(path, O_RDONLY | O_DIRECTORY);
    EXPECT_EQ(sync(fd), 0);
    EXPECT_EQ(close(fd), 0);
  }
  void put(const std::string& path, std::string_view text, bool syncs) const {
    const std::int64_t fd = open(path, O_WRONLY | O_CREAT | O_TRUNC);
    EXPECT_GE(fd, 0);
    EXPECT_EQ(write(fd, 0, text), static_cast<std::int64_t>(text.size()));
    if (syncs) {
      EXPECT_EQ(sync(fd), 0);
    }
    EXPECT_EQ(close(fd), 0);
  }

private:
  std::int64_t by_path(kind what, const std::string& path, const std::string& other = {}, int flags = 0, unsigned mode = 0) const {
    const std::string at = below_ + path;
    file_operation operation;
    operation.what = what;
    operation.path = at.c_str();
    operation.other_path = other.c_str();
    operation.flags = flags;
    operation.mode = mode;
    return perform_(operation);
  }
  std::int64_t by_fd(kind what, std::int64_t fd, std::uint64_t offset = 0, std::uint64_t size = 0, int flags = 0,
                     char* bytes = nullptr) const {
    file_operation operation;
    operation.what = what;
    operation.fd = static_cast<std::int32_t>(fd);
    operation.offset = offset;
    operation.size = size;
    operation.flags = flags;
    operation.bytes = reinterpret_cast<std::byte*>(bytes);
    return perform_(operation);
  }

  std::string below_;
  std::function<std::int64_t(const file_operation&)> perform_;
};

std::string random_text(lv::rng& random, std::size_t size) {
  std::string text(size, '\0');
  const auto base = random();
  for (std::size_t i = 0; i < size; i++) text[i] = static_cast<char>('a' + (base + i * 7 + i / 64) % 26);
  return text;
}

// ---- as the kernel's --------------------------------------------------------------------------------------------------------

class both {
public:
  both(std::string folder, std::uint64_t seed) : disk_(seed), ours_(disk_), theirs_(std::move(folder)), random_(seed) {}

  void run(int operations) {
    same("mkdir", [](const calls& on) { return on.make_directory("/p"); });
    same("mkdir", [](const calls& on) { return on.make_directory("/p/q"); });
    for (int i = 0; i < operations && !testing::Test::HasFailure(); i++) one();
    for (const auto& [theirs, ours] : open_) EXPECT_EQ(theirs_.close(theirs), ours_.close(ours));
    compare_below("");
    EXPECT_GT(succeeded, 0);
  }

  int succeeded = 0;

private:
  std::string path() {
    static const char* const names[] = {"a", "b", "c", "d", "e"};
    std::string made = "/p/q";
    const std::uint64_t depth = 1 + random_.below(100) / 55 + random_.below(100) / 85;
    for (std::uint64_t i = 0; i < depth; i++) {
      made += '/';
      const std::uint64_t which = random_.below(60);
      made += which == 0 ? "." : which == 1 ? ".." : names[random_.below(5)];
    }
    if (random_.below(25) == 0) made += '/';
    return made;
  }

  template <class F>
  std::int64_t same(const std::string& what, F&& on) {
    const std::int64_t theirs = on(theirs_);
    const std::int64_t ours = on(ours_);
    EXPECT_EQ(theirs, ours) << what;
    if (ours >= 0) succeeded++;
    return ours;
  }

  void one() {
    const std::uint64_t what = random_.below(100);
    const std::string at = path();
    const std::string to = path();
    if (what < 22) {
      static const int accesses[] = {O_RDONLY, O_WRONLY, O_RDWR, O_RDWR};
      int flags = accesses[random_.below(4)];
      if (random_.below(4) != 0) flags |= O_CREAT;
      if (random_.below(6) == 0) flags |= O_EXCL;
      if (random_.below(6) == 0) flags |= O_TRUNC;
      if (random_.below(5) == 0) flags |= O_APPEND;
      if (random_.below(12) == 0) flags |= O_NOFOLLOW;
      if ((flags & O_CREAT) == 0 && random_.below(6) == 0) flags |= O_DIRECTORY;
      const std::int64_t theirs = theirs_.open(at, flags);
      const std::int64_t ours = ours_.open(at, flags);
      EXPECT_EQ(std::min<std::int64_t>(theirs, 0), std::min<std::int64_t>(ours, 0)) << "open " << at << " " << flags;
      if (theirs < 0 || ours < 0) return;
      EXPECT_GE(ours, 1'000'000);
      succeeded++;
      open_.emplace_back(theirs, ours);
    } else if (what < 29) {
      same("mkdir " + at, [&](const calls& on) { return on.make_directory(at); });
    } else if (what < 33) {
      same("rmdir " + at, [&](const calls& on) { return on.remove_directory(at); });
    } else if (what < 39) {
      same("unlink " + at, [&](const calls& on) { return on.unlink(at); });
    } else if (what < 49) {
      same("rename " + at + " " + to, [&](const calls& on) { return on.rename(at, to); });
    } else if (what < 53) {
      same("link " + at + " " + to, [&](const calls& on) { return on.link(at, to); });
    } else if (what < 57) {
      static const char* const targets[] = {"a", "b", "c", "a/b", "./c", "d/a", ".", "e/"};
      const char* target = targets[random_.below(8)];
      same("symlink " + to, [&](const calls& on) { return on.symlink(target, to); });
    } else if (what < 62) {
      struct statx ours {};
      struct statx theirs {};
      const bool follow = random_.below(2) == 0;
      const std::int64_t failed = theirs_.status(at, follow, theirs);
      EXPECT_EQ(failed, ours_.status(at, follow, ours)) << "status " << at;
      if (failed == 0) same_status(ours, theirs, at);
    } else if (what < 65) {
      const std::size_t room = 64 + random_.below(200);
      EXPECT_EQ(theirs_.list(at, room), ours_.list(at, room)) << "list " << at;
    } else if (!open_.empty()) {
      on_descriptor(what);
    }
  }

  void on_descriptor(std::uint64_t what) {
    const std::size_t which = random_.below(open_.size());
    const auto [theirs, ours] = open_[which];
    const std::uint64_t offset = random_.below(20'000);
    const std::uint64_t size = random_.below(3) == 0 ? random_.below(6000) : random_.below(600);
    if (what < 78) {
      const std::string text = random_text(random_, size);
      same("write", [&](const calls& on) { return on.write(&on == &ours_ ? ours : theirs, offset, text); });
    } else if (what < 86) {
      std::string their_text(size, '?');
      std::string our_text(size, '?');
      EXPECT_EQ(theirs_.read(theirs, offset, their_text), ours_.read(ours, offset, our_text));
      EXPECT_EQ(their_text, our_text);
    } else if (what < 90) {
      EXPECT_EQ(theirs_.truncate(theirs, offset), ours_.truncate(ours, offset));
    } else if (what < 94) {
      static const int modes[] = {0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE};
      const int mode = modes[random_.below(3)];
      EXPECT_EQ(theirs_.allocate(theirs, offset, size, mode), ours_.allocate(ours, offset, size, mode)) << mode;
    } else if (what < 96) {
      EXPECT_EQ(theirs_.sync(theirs), ours_.sync(ours));
    } else if (what < 97) {
      EXPECT_EQ(theirs_.sync_data(theirs), ours_.sync_data(ours));
    } else {
      EXPECT_EQ(theirs_.close(theirs), ours_.close(ours));
      open_.erase(open_.begin() + static_cast<std::ptrdiff_t>(which));
    }
  }

  static void same_status(const struct statx& ours, const struct statx& theirs, const std::string& at) {
    EXPECT_EQ(ours.stx_mode, theirs.stx_mode) << at;
    if (S_ISDIR(ours.stx_mode)) return;
    EXPECT_EQ(ours.stx_size, theirs.stx_size) << at;
    EXPECT_EQ(ours.stx_nlink, theirs.stx_nlink) << at;
  }

  void compare_below(const std::string& folder) {
    const auto names = ours_.list(folder + "/");
    EXPECT_EQ(names, theirs_.list(folder + "/")) << folder;
    for (const auto& [name, type] : names) {
      if (name == "." || name == "..") continue;
      const std::string at = folder + "/" + name;
      struct statx ours {};
      struct statx theirs {};
      EXPECT_EQ(ours_.status(at, false, ours), 0);
      EXPECT_EQ(theirs_.status(at, false, theirs), 0);
      same_status(ours, theirs, at);
      if (type == DT_DIR) compare_below(at);
      if (type == DT_REG) {
        EXPECT_EQ(ours_.contents(at), theirs_.contents(at)) << at;
      }
    }
  }

  disk disk_;
  calls ours_;
  calls theirs_;
  lv::rng random_;
  std::vector<std::pair<std::int64_t, std::int64_t>> open_;
};

TEST(disk, does_what_the_kernel_does_and_answers_as_it_does) {
  const mode_t before = ::umask(022);
  const temporary_folder all = temporary_folder::in_memory();
  const calls kernel(all.path());
  int succeeded = 0;
  for (std::uint64_t seed = 1; seed <= 2500 && !HasFailure(); seed++) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const std::string name = "/" + std::to_string(seed);
    ASSERT_EQ(kernel.make_directory(name), 0);
    both pair(all.path() + name, seed);
    pair.run(30);
    succeeded += pair.succeeded;
    std::filesystem::remove_all(all.path() + name);
  }
  EXPECT_GT(succeeded, 2500 * 4);  // not all of it is refused
  ::umask(before);
}

// ---- what a crash leaves ----------------------------------------------------------------------------------------------------

// A file as it was at its last sync and each time it was changed since; and so the names of a directory.
struct file_history {
  std::vector<std::string> versions;
  std::int64_t fd = -1;
};

class oracle {
public:
  explicit oracle(std::uint64_t seed) : disk_(seed), on_(disk_), random_(seed * 31) {}

  void round() {
    const std::uint64_t operations = 1 + random_.below(14);
    for (std::uint64_t i = 0; i < operations; i++) one();
    disk_.crash();
    check();
  }

  [[nodiscard]] const levity::sim::crash_tally& tally() const { return disk_.crashes(); }

private:
  static constexpr std::size_t head = 512;  // holds the file's number, written and synced before it is used

  static std::string number_text(int number) {
    std::string text = std::to_string(number);
    text.resize(head, '#');
    return text;
  }

  void one() {
    const std::uint64_t what = random_.below(20);
    const std::string name(1, static_cast<char>('a' + random_.below(4)));
    const auto named = names_.back().find(name);
    if (named == names_.back().end()) {
      if (what > 10) return;
      const int number = ++last_;
      file_history& made = files_[number];
      made.fd = on_.open("/" + name, O_RDWR | O_CREAT | O_EXCL);
      ASSERT_GE(made.fd, 0);
      made.versions = {number_text(number)};
      EXPECT_EQ(on_.write(made.fd, 0, made.versions.front()), static_cast<std::int64_t>(head));
      EXPECT_EQ(on_.sync_data(made.fd), 0);
      change_names([&](auto& names) { names[name] = number; });
      return;
    }
    file_history& file = files_[named->second];
    if (file.fd < 0) file.fd = on_.open("/" + name, O_RDWR);
    ASSERT_GE(file.fd, 0);
    std::string now = file.versions.back();
    if (what < 9) {
      const std::size_t offset = head + random_.below(3000);
      const std::string text = random_text(random_, 1 + random_.below(2000));
      if (now.size() < offset + text.size()) now.resize(offset + text.size());
      now.replace(offset, text.size(), text);
      EXPECT_EQ(on_.write(file.fd, offset, text), static_cast<std::int64_t>(text.size()));
      file.versions.push_back(now);
    } else if (what < 11) {
      now.resize(head + random_.below(4000));
      EXPECT_EQ(on_.truncate(file.fd, now.size()), 0);
      file.versions.push_back(now);
    } else if (what < 12) {
      const std::size_t offset = head + random_.below(3000);
      const std::size_t size = 1 + random_.below(5000);
      EXPECT_EQ(on_.allocate(file.fd, offset, size, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE), 0);
      for (std::size_t i = offset; i < std::min(offset + size, now.size()); i++) now[i] = '\0';
      file.versions.push_back(now);
    } else if (what < 15) {
      EXPECT_EQ(random_.below(2) == 0 ? on_.sync(file.fd) : on_.sync_data(file.fd), 0);
      file.versions = {now};
    } else if (what < 16) {
      EXPECT_EQ(on_.unlink("/" + name), 0);
      change_names([&](auto& names) { names.erase(name); });
    } else if (what < 18) {
      const std::string to(1, static_cast<char>('a' + random_.below(4)));
      EXPECT_EQ(on_.rename("/" + name, "/" + to), 0);
      if (to == name) return;
      change_names([&](auto& names) {
        names[to] = names[name];
        names.erase(name);
      });
    } else {
      on_.sync_directory("/");
      names_ = {names_.back()};
    }
  }

  template <class F>
  void change_names(F&& change) {
    auto next = names_.back();
    change(next);
    names_.push_back(std::move(next));
  }

  void check() {
    std::map<std::string, int> found;
    for (const auto& [name, type] : on_.list("/")) {
      if (name != "." && name != "..") found[name] = std::stoi(on_.contents("/" + name));
    }
    EXPECT_NE(std::find(names_.begin(), names_.end(), found), names_.end()) << "names that the directory never had";
    std::map<int, file_history> left;
    for (const auto& [name, number] : found) {
      const std::string now = on_.contents("/" + name);
      check(files_.at(number).versions, now);
      left[number].versions = {now};
    }
    names_ = {found};
    files_ = std::move(left);
  }

  static void check(const std::vector<std::string>& versions, const std::string& now) {
    const auto has_size = [&](const std::string& each) { return each.size() == now.size(); };
    EXPECT_TRUE(std::any_of(versions.begin(), versions.end(), has_size)) << "a size that the file never had: " << now.size();
    if (versions.size() == 1) {
      EXPECT_TRUE(now == versions.front()) << "what was synced is lost";
    }
    for (std::size_t at = 0; at < now.size(); at += 512) {
      const std::size_t size = std::min<std::size_t>(512, now.size() - at);
      // Or what a truncation, which may be there when a change before it is lost, has made of one.
      const auto has_sector = [&](const std::string& each) {
        return std::any_of(versions.begin(), versions.end(), [&](const std::string& cut) {
          const std::size_t end = std::min(each.size(), cut.size());
          std::string sector = at < end ? each.substr(at, std::min(size, end - at)) : std::string();
          sector.resize(size);
          return now.compare(at, size, sector) == 0;
        });
      };
      EXPECT_TRUE(std::any_of(versions.begin(), versions.end(), has_sector)) << "a sector that the file never had at " << at;
    }
  }

  disk disk_;
  calls on_;
  lv::rng random_;
  int last_ = 0;
  std::map<int, file_history> files_;
  std::vector<std::map<std::string, int>> names_{{}};
};

TEST(disk, what_was_synced_survives_every_crash_and_everything_else_may_be_lost_in_every_way) {
  levity::sim::crash_tally all;
  int crashes = 0;
  for (std::uint64_t seed = 1; seed <= 600 && !HasFailure(); seed++) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    oracle run(seed);
    for (int i = 0; i < 10 && !HasFailure(); i++, crashes++) run.round();
    all.kept += run.tally().kept;
    all.lost += run.tally().lost;
    all.torn += run.tally().torn;
    all.reordered += run.tally().reordered;
    all.sizes_lost += run.tally().sizes_lost;
    all.entries_lost += run.tally().entries_lost;
    all.removals_undone += run.tally().removals_undone;
    all.renames_undone += run.tally().renames_undone;
  }
  EXPECT_GE(crashes, 5000);
  EXPECT_GT(all.kept, 100u);
  EXPECT_GT(all.lost, 100u);
  EXPECT_GT(all.torn, 100u);
  EXPECT_GT(all.reordered, 100u);
  EXPECT_GT(all.sizes_lost, 100u);
  EXPECT_GT(all.entries_lost, 100u);
  EXPECT_GT(all.removals_undone, 100u);
  EXPECT_GT(all.renames_undone, 100u);
}

// The way to replace a file, with steps left out. Returns what is there after a crash; empty: no file, or an empty one.
struct steps {
  bool sync_file = true;
  bool sync_folder = true;
  int of = 4;  // so many are made: write, sync, rename, sync of the directory
};

std::string replaced(std::uint64_t seed, steps made) {
  disk on(seed);
  const calls by(on);
  on.install("/data/state", std::string(1500, 'o'));
  const std::int64_t fd = by.open("/data/state.tmp", O_WRONLY | O_CREAT | O_TRUNC);
  EXPECT_EQ(by.write(fd, 0, std::string(1700, 'n')), 1700);
  if (made.of > 1 && made.sync_file) {
    EXPECT_EQ(by.sync_data(fd), 0);
  }
  EXPECT_EQ(by.close(fd), 0);
  if (made.of > 2) {
    EXPECT_EQ(by.rename("/data/state.tmp", "/data/state"), 0);
  }
  if (made.of > 3 && made.sync_folder) by.sync_directory("/data");
  on.crash();
  return on.contents("/data/state").value_or("");
}

TEST(disk, a_file_that_is_replaced_with_every_sync_is_old_or_new_at_any_crash_and_new_in_the_end) {
  const std::string old_text(1500, 'o');
  const std::string new_text(1700, 'n');
  int seen_old = 0;
  int seen_new = 0;
  for (std::uint64_t seed = 1; seed <= 1000 && !HasFailure(); seed++) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    EXPECT_TRUE(replaced(seed, {}) == new_text);
    for (int of = 1; of < 4; of++) {
      const std::string left = replaced(seed, {.of = of});
      EXPECT_TRUE(left == old_text || left == new_text) << of;
      (left == old_text ? seen_old : seen_new)++;
    }
  }
  EXPECT_GT(seen_old, 0);
  EXPECT_GT(seen_new, 0);
}

TEST(disk, a_replacement_without_the_sync_of_its_directory_may_be_undone_but_is_whole) {
  int undone = 0;
  for (std::uint64_t seed = 1; seed <= 300; seed++) {
    const std::string left = replaced(seed, {.sync_folder = false});
    if (left == std::string(1500, 'o')) {
      undone++;
    } else {
      EXPECT_TRUE(left == std::string(1700, 'n'));
    }
  }
  EXPECT_GT(undone, 0);
}

TEST(disk, a_replacement_without_the_sync_of_the_file_may_lose_both) {
  int lost = 0;
  for (std::uint64_t seed = 1; seed <= 300; seed++) {
    const std::string left = replaced(seed, {.sync_file = false});
    if (left != std::string(1500, 'o') && left != std::string(1700, 'n')) lost++;
  }
  EXPECT_GT(lost, 0);
}

TEST(disk, a_new_file_that_is_synced_is_gone_without_the_sync_of_its_directory) {
  int gone = 0;
  for (std::uint64_t seed = 1; seed <= 100; seed++) {
    disk on(seed);
    calls(on).put("/log", "line", true);
    on.crash();
    if (!on.contents("/log")) gone++;
  }
  EXPECT_GT(gone, 0);
  EXPECT_LT(gone, 100);
}

TEST(disk, what_moves_between_directories_is_in_one_of_them_after_a_crash) {
  int in_old = 0;
  int in_new = 0;
  for (std::uint64_t seed = 1; seed <= 600 && !HasFailure(); seed++) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    disk on(seed);
    const calls by(on);
    on.install("/a/sub/file", "x");
    on.install("/b/other", "y");
    EXPECT_EQ(by.rename("/a/sub/file", "/b/file"), 0);
    if (seed % 3 == 0) {
      EXPECT_EQ(by.remove_directory("/a/sub"), 0);
    }
    if (seed % 3 == 1) {
      EXPECT_EQ(by.rename("/a/sub", "/b/sub"), 0);
      EXPECT_EQ(by.rename("/a", "/b/sub/a"), 0);
    }
    if (seed % 5 == 0) by.sync_directory("/b");
    on.crash();
    const bool is_new = on.contents("/b/file").has_value();
    const bool is_old = on.contents("/a/sub/file").has_value() || on.contents("/b/sub/file").has_value();
    EXPECT_NE(is_new, is_old);
    if (seed % 5 == 0) {
      EXPECT_TRUE(is_new);
    }
    (is_new ? in_new : in_old)++;
    EXPECT_EQ(on.contents("/b/other").value_or(""), "y");
  }
  EXPECT_GT(in_old, 0);
  EXPECT_GT(in_new, 0);
}

TEST(disk, one_of_two_names_that_is_removed_takes_the_file_with_it_at_no_crash) {
  for (std::uint64_t seed = 1; seed <= 300; seed++) {
    disk on(seed);
    const calls by(on);
    on.install("/a/file", "x");
    on.install("/b/other", "y");
    EXPECT_EQ(by.link("/a/file", "/b/file"), 0);
    EXPECT_EQ(by.unlink("/a/file"), 0);
    on.crash();
    EXPECT_TRUE(on.contents("/a/file") || on.contents("/b/file")) << seed;
  }
}

TEST(disk, descriptors_and_locks_die_with_a_crash_and_with_the_process_whose_bytes_stay) {
  disk on(1);
  const calls by(on);
  on.install("/d/file", "before");
  const std::int64_t first = by.open("/d/file", O_RDWR);
  const std::int64_t second = by.open("/d/file", O_RDWR);
  EXPECT_EQ(on.try_lock(static_cast<std::int32_t>(first)), 0);
  EXPECT_EQ(on.try_lock(static_cast<std::int32_t>(first)), 0);
  EXPECT_EQ(on.try_lock(static_cast<std::int32_t>(second)), -EWOULDBLOCK);
  EXPECT_EQ(by.write(first, 0, "after!"), 6);
  on.end_process();
  EXPECT_EQ(by.sync(first), -EBADF);
  EXPECT_EQ(on.contents("/d/file").value_or(""), "after!");
  const std::int64_t third = by.open("/d/file", O_RDWR);
  EXPECT_NE(third, first);
  EXPECT_EQ(on.try_lock(static_cast<std::int32_t>(third)), 0);
  on.crash();
  EXPECT_EQ(by.close(third), -EBADF);
  const std::int64_t fourth = by.open("/d/file", O_RDWR);
  EXPECT_EQ(on.try_lock(static_cast<std::int32_t>(fourth)), 0);
  EXPECT_EQ(by.close(fourth), 0);
}

TEST(disk, a_file_without_a_name_lives_until_it_is_closed_and_takes_its_room_so_long) {
  disk on(1);
  const calls by(on);
  const std::int64_t fd = by.open("/file", O_RDWR | O_CREAT);
  EXPECT_EQ(by.write(fd, 0, std::string(10'000, 'x')), 10'000);
  EXPECT_EQ(by.unlink("/file"), 0);
  EXPECT_EQ(on.used_bytes(), 3u * 4096);
  std::string back(10, '?');
  EXPECT_EQ(by.read(fd, 9'990, back), 10);
  EXPECT_EQ(back, "xxxxxxxxxx");
  EXPECT_EQ(by.close(fd), 0);
  EXPECT_EQ(on.used_bytes(), 0u);
}

// ---- faults -----------------------------------------------------------------------------------------------------------------

TEST(disk, a_full_disk_takes_what_fits_then_nothing_and_again_when_there_is_room) {
  disk on(1);
  const calls by(on);
  on.faults.capacity_bytes = 4 * 4096;
  const std::int64_t fd = by.open("/file", O_RDWR | O_CREAT);
  EXPECT_EQ(by.allocate(fd, 0, 5 * 4096, 0), -ENOSPC);
  EXPECT_EQ(by.write(fd, 0, std::string(100'000, 'x')), 4 * 4096);
  EXPECT_EQ(by.write(fd, 4 * 4096, "y"), -ENOSPC);
  EXPECT_EQ(by.write(fd, 0, "over what is there"), 18);
  const std::int64_t other = by.open("/other", O_RDWR | O_CREAT);
  EXPECT_EQ(by.write(other, 0, "y"), -ENOSPC);
  EXPECT_EQ(by.allocate(fd, 0, 4096, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE), 0);
  EXPECT_EQ(by.allocate(other, 0, 100, 0), 0);
  EXPECT_EQ(by.write(fd, 0, "y"), -ENOSPC);
  EXPECT_EQ(by.write(other, 0, "y"), 1) << "what was reserved is there";
  EXPECT_EQ(by.truncate(fd, 0), 0);
  EXPECT_EQ(on.used_bytes(), 4096u);
  EXPECT_EQ(by.close(fd), 0);
  EXPECT_EQ(by.close(other), 0);
}

TEST(disk, a_sync_that_fails_is_told_to_each_open_file_once_and_its_bytes_are_never_written) {
  for (std::uint64_t seed = 1; seed <= 50; seed++) {
    disk on(seed);
    const calls by(on);
    on.install("/file", std::string(1024, 'o'));
    const std::int64_t fd = by.open("/file", O_RDWR);
    const std::int64_t other = by.open("/file", O_RDWR);
    EXPECT_EQ(by.write(fd, 0, std::string(512, 'n')), 512);
    on.faults.syncs_fail_next = 1;
    EXPECT_EQ(by.sync(fd), -EIO);
    EXPECT_EQ(by.sync(fd), 0) << "taken for clean";
    EXPECT_EQ(by.sync(other), -EIO);
    EXPECT_EQ(by.sync(other), 0);
    EXPECT_EQ(by.contents("/file"), std::string(512, 'n') + std::string(512, 'o')) << "the cache has it still";
    EXPECT_EQ(by.write(fd, 512, std::string(512, 'm')), 512);
    EXPECT_EQ(by.sync_data(fd), 0);
    on.crash();
    EXPECT_EQ(by.contents("/file"), std::string(512, 'o') + std::string(512, 'm'));
  }
}

TEST(disk, reads_and_writes_fail_and_are_short_as_often_as_they_shall) {
  disk on(7);
  const calls by(on);
  const std::int64_t fd = by.open("/file", O_RDWR | O_CREAT);
  on.faults.writes_fail_next = 2;
  EXPECT_EQ(by.write(fd, 0, "text"), -EIO);
  EXPECT_EQ(by.write(fd, 0, "text"), -EIO);
  EXPECT_EQ(by.write(fd, 0, "text"), 4);
  std::string back(4, '?');
  on.faults.reads_fail_next = 1;
  EXPECT_EQ(by.read(fd, 0, back), -EIO);
  EXPECT_EQ(by.read(fd, 0, back), 4);
  on.faults.write_fails_ppm = 250'000;
  on.faults.short_ppm = 250'000;
  int failed = 0;
  int cut = 0;
  for (int i = 0; i < 400; i++) {
    const std::int64_t written = by.write(fd, 0, "0123456789");
    if (written == -EIO) failed++;
    if (written > 0 && written < 10) cut++;
    EXPECT_TRUE(written == -EIO || (written > 0 && written <= 10));
  }
  EXPECT_NEAR(failed, 100, 50);
  EXPECT_NEAR(cut, 75, 50);
  const std::int64_t log = by.open("/log", O_WRONLY | O_APPEND | O_CREAT);
  on.faults.write_fails_ppm = 0;
  for (int i = 0; i < 100; i++) EXPECT_EQ(by.write(log, 0, "0123456789"), 10) << "an append is one write";
}

TEST(disk, one_that_is_read_only_refuses_every_change_with_EROFS) {
  disk on(1);
  const calls by(on);
  on.install("/d/file", "text");
  const std::int64_t before = by.open("/d/file", O_RDWR);
  on.faults.read_only = true;
  EXPECT_EQ(by.open("/d/file", O_RDWR), -EROFS);
  EXPECT_EQ(by.open("/d/new", O_WRONLY | O_CREAT), -EROFS);
  EXPECT_EQ(by.write(before, 0, "x"), -EROFS);
  EXPECT_EQ(by.truncate(before, 0), -EROFS);
  EXPECT_EQ(by.make_directory("/e"), -EROFS);
  EXPECT_EQ(by.make_directory("/d"), -EEXIST);
  EXPECT_EQ(by.rename("/d/file", "/d/other"), -EROFS);
  EXPECT_EQ(by.unlink("/d/file"), -EROFS);
  EXPECT_EQ(by.remove_directory("/d"), -EROFS);
  EXPECT_EQ(by.symlink("x", "/s"), -EROFS);
  EXPECT_EQ(by.contents("/d/file"), "text");
}

TEST(disk, what_is_installed_makes_nothing_else_durable) {
  int lost = 0;
  for (std::uint64_t seed = 1; seed <= 50; seed++) {
    disk on(seed);
    const calls by(on);
    on.install("/d/before", "text");
    by.close(by.open("/d/pending", O_WRONLY | O_CREAT));
    EXPECT_EQ(by.rename("/d/before", "/d/after"), 0);
    on.install("/d/installed", "more");
    on.crash();
    EXPECT_EQ(by.contents("/d/installed"), "more");
    lost += on.contents("/d/pending") ? 0 : 1;
    EXPECT_NE(on.contents("/d/before").has_value(), on.contents("/d/after").has_value());
  }
  EXPECT_GT(lost, 5);
}

TEST(disk, what_is_installed_where_names_are_pending_survives) {
  for (std::uint64_t seed = 1; seed <= 50; seed++) {
    disk on(seed);
    const calls by(on);
    on.install("/d/file", "old");
    EXPECT_EQ(by.unlink("/d/file"), 0);
    on.install("/d/file", "new");
    EXPECT_EQ(by.make_directory("/e"), 0);
    on.install("/e/file", "in a directory that is not durable");
    on.crash();
    EXPECT_EQ(by.contents("/d/file"), "new");
    EXPECT_EQ(by.contents("/e/file"), "in a directory that is not durable");
  }
}

TEST(disk, a_socket_is_a_name_as_any_other_until_a_crash_takes_it_whatever_was_synced) {
  for (std::uint64_t seed = 1; seed <= 20; seed++) {
    disk under_test(seed);
    const calls on(under_test);
    EXPECT_EQ(under_test.make_socket("/run/a.sock", -1), -ENOENT);
    ASSERT_EQ(on.make_directory("/run"), 0);
    const std::int64_t made = under_test.make_socket("/run/a.sock", 0600);
    ASSERT_GT(made, 0);
    EXPECT_EQ(under_test.make_socket("/run/a.sock", -1), -EADDRINUSE);
    EXPECT_EQ(on.list("/run").at("a.sock"), DT_SOCK);
    struct statx told;
    ASSERT_EQ(on.status("/run/a.sock", true, told), 0);
    EXPECT_EQ(told.stx_mode, S_IFSOCK | 0600);
    EXPECT_EQ(on.open("/run/a.sock", O_RDWR), -ENXIO);
    on.put("/run/file", "text", true);
    EXPECT_EQ(under_test.find_socket("/run/file", true), -ENOTSOCK);
    ASSERT_EQ(on.symlink("/run/a.sock", "/run/link"), 0);
    EXPECT_EQ(under_test.find_socket("/run/link", true), made);
    EXPECT_EQ(under_test.find_socket("/run/link", false), -ENOTSOCK);
    ASSERT_EQ(on.rename("/run/a.sock", "/run/b.sock"), 0);
    EXPECT_EQ(under_test.find_socket("/run/a.sock", true), -ENOENT);
    EXPECT_EQ(under_test.find_socket("/run/b.sock", true), made);
    under_test.end_process();
    EXPECT_EQ(under_test.find_socket("/run/b.sock", true), made) << "who made it is gone, and it is not";
    EXPECT_EQ(under_test.remove_socket("/run/b.sock"), 0);
    const std::int64_t again = under_test.make_socket("/run/b.sock", -1);
    EXPECT_GT(again, made) << "a number is never another's";

    on.sync_directory("/");
    on.sync_directory("/run");
    under_test.crash();
    EXPECT_EQ(under_test.find_socket("/run/b.sock", true), -ENOENT) << "seed " << seed;
    EXPECT_EQ(on.contents("/run/file"), "text");
    EXPECT_GT(under_test.make_socket("/run/b.sock", -1), again);
  }
}

TEST(disk, descriptors_of_two_disks_differ_and_a_number_rests_before_it_is_given_again) {
  disk one(1);
  disk other(1, {}, 1'000'000 + (1 << 20));
  const calls by_one(one);
  const calls by_other(other);
  const std::int64_t kept = by_one.open("/kept", O_RDWR | O_CREAT);
  EXPECT_EQ(kept, 1'000'000);
  EXPECT_EQ(by_other.open("/kept", O_RDWR | O_CREAT), 1'000'000 + (1 << 20));
  EXPECT_EQ(by_other.write(kept, 0, "x"), -EBADF);
  std::int64_t last = 0;
  for (int i = 0; i < (1 << 20) + 10; i++) {
    last = by_one.open("/kept", O_RDONLY);
    ASSERT_GT(last, kept);
    ASSERT_LT(last, 1'000'000 + (1 << 20));
    by_one.close(last);
  }
  EXPECT_LT(last, kept + 20) << "from the beginning again";
}

TEST(disk, a_direct_transfer_is_aligned_in_the_file_in_size_and_in_memory) {
  disk on(1);
  const calls by(on);
  alignas(512) static char bytes[2048] = {};
  const std::int64_t fd = by.open("/file", O_RDWR | O_CREAT | O_DIRECT);
  EXPECT_EQ(by.write(fd, 0, std::string_view(bytes, 1024)), 1024);
  EXPECT_EQ(by.write(fd, 0, std::string_view(bytes + 8, 1024)), -EINVAL);
  EXPECT_EQ(by.write(fd, 8, std::string_view(bytes, 1024)), -EINVAL);
  EXPECT_EQ(by.write(fd, 0, std::string_view(bytes, 1000)), -EINVAL);
  EXPECT_EQ(by.read(fd, 0, std::span(bytes, 512)), 512);
  EXPECT_EQ(by.read(fd, 0, std::span(bytes + 256, 512)), -EINVAL);
}

// ---- determinism ------------------------------------------------------------------------------------------------------------

std::uint64_t hash_of(std::uint64_t seed) {
  std::uint64_t hash = 0;
  disk on(seed, [&hash](std::uint64_t word) { hash = (hash ^ word) * 0x100000001b3; });
  on.faults.short_ppm = 100'000;
  on.faults.sync_fails_ppm = 50'000;
  const calls by(on);
  lv::rng random(99);  // the same operations for every seed
  for (int i = 0; i < 200; i++) {
    const std::string name = "/" + std::to_string(random.below(6));
    const std::int64_t fd = by.open(name, O_RDWR | O_CREAT);
    (void)by.write(fd, random.below(4000), random_text(random, 1 + random.below(3000)));
    if (random.below(3) == 0) (void)by.sync(fd);
    if (random.below(4) == 0) (void)by.rename(name, "/" + std::to_string(random.below(6)));
    if (random.below(30) == 0) on.crash();
    by.close(fd);
  }
  return hash;
}

TEST(disk, equal_seeds_tell_equal_traces_and_others_do_not) {
  std::set<std::uint64_t> seen;
  for (std::uint64_t seed = 1; seed <= 20; seed++) {
    const std::uint64_t hash = hash_of(seed);
    EXPECT_EQ(hash, hash_of(seed));
    seen.insert(hash);
  }
  EXPECT_EQ(seen.size(), 20u);
}

class words final : public levity::sim::disk_listener {
public:
  [[nodiscard]] bool listens() const noexcept override { return is_listening; }
  void hear(std::string_view text, std::string_view detail, lv::duration) override {
    texts.emplace_back(text);
    details.emplace_back(detail);
  }

  bool is_listening = true;
  std::vector<std::string> texts;
  std::vector<std::string> details;
};

TEST(disk, a_crash_tells_which_bytes_of_which_file_it_took) {
  std::set<std::string> ends;
  std::set<std::string> middles;
  for (std::uint64_t seed = 1; seed <= 400; seed++) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    words heard;
    disk on(seed);
    on.listener = &heard;
    on.install("/log", std::string(1024, 'a'));
    const calls to(on);
    const std::int64_t fd = to.open("/log", O_RDWR);
    const bool is_at_the_end = seed % 2 == 0;
    const std::string more(is_at_the_end ? 60 : 1024, 'b');
    EXPECT_EQ(to.write(fd, is_at_the_end ? 1024 : 0, more), static_cast<std::int64_t>(more.size()));
    EXPECT_TRUE(heard.texts.empty()) << heard.texts.front();
    on.crash();
    const std::string now = to.contents("/log");
    std::string expected;
    if (is_at_the_end) {
      const bool is_short = now.size() == 1024;
      if (is_short) expected = "loses 1024..1083 of /log, which is 1024 bytes long, not 1084";
      if (!is_short && now[1024] == '\0') expected = "loses 1024..1083 of /log";
      ends.insert(expected);
    } else {
      const bool first = now[0] == 'a';
      const bool second = now[512] == 'a';
      if (first && !second) expected = "loses 0..511 of /log";
      if (!first && second) expected = "loses 512..1023 of /log";
      if (first && second) expected = "loses 0..1023 of /log";
      middles.insert(expected);
      if (first != second) {
        EXPECT_EQ(heard.details, std::vector<std::string>{"(a write is torn)"});
      }
    }
    EXPECT_EQ(heard.texts, expected.empty() ? std::vector<std::string>() : std::vector<std::string>{expected});
  }
  EXPECT_EQ(ends.size(), 3u) << "all, nothing and zeros are left";
  EXPECT_EQ(middles.size(), 4u);
}

TEST(disk, a_crash_tells_which_names_it_took_and_which_it_brought_back) {
  std::set<std::string> all;
  for (std::uint64_t seed = 1; seed <= 100; seed++) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    words heard;
    disk on(seed);
    on.listener = &heard;
    on.install("/data/gone", "x");
    on.install("/data/old", "x");
    const calls to(on);
    EXPECT_GE(to.open("/data/log.2", O_RDWR | O_CREAT), 0);
    EXPECT_EQ(to.unlink("/data/gone"), 0);
    EXPECT_EQ(to.rename("/data/old", "/data/new"), 0);
    on.crash();
    std::vector<std::string> expected;
    const std::map<std::string, int> now = to.list("/data");
    if (!now.contains("log.2")) expected.emplace_back("loses the entry /data/log.2");
    if (now.contains("gone")) expected.emplace_back("has /data/gone again, for its removal is lost");
    if (now.contains("old")) expected.emplace_back("has /data/old again, for its renaming to /data/new is lost");
    EXPECT_EQ(heard.texts, expected);
    all.insert(expected.begin(), expected.end());
  }
  EXPECT_EQ(all.size(), 3u);
}

TEST(disk, a_crash_tells_no_more_than_a_page) {
  std::size_t most = 0;
  for (std::uint64_t seed = 1; seed <= 100; seed++) {
    words heard;
    disk on(seed);
    on.listener = &heard;
    const calls to(on);
    for (int i = 0; i < 40; i++) EXPECT_GE(to.open("/" + std::to_string(i), O_RDWR | O_CREAT), 0);
    on.crash();
    const std::size_t lost = 40 - (to.list("/").size() - 2);
    most = std::max(most, lost);
    ASSERT_EQ(heard.texts.size(), lost <= 16 ? lost : 17);
    if (lost > 16) {
      EXPECT_EQ(heard.texts.back(), "loses " + std::to_string(lost - 16) + " things more");
    }
  }
  EXPECT_EQ(most, 40u);
}

TEST(disk, what_fails_says_what_it_was) {
  words heard;
  disk on(1);
  on.listener = &heard;
  const calls to(on);
  EXPECT_EQ(to.make_directory("/data"), 0);
  const std::int64_t fd = to.open("/data/log", O_RDWR | O_CREAT);
  EXPECT_EQ(to.write(fd, 0, "text"), 4);
  std::vector<char> room(4);
  for (const bool listens : {true, false}) {
    heard.is_listening = listens;
    on.faults.reads_fail_next = on.faults.writes_fail_next = on.faults.syncs_fail_next = 1;
    EXPECT_EQ(to.read(fd, 0, room), -EIO);
    EXPECT_EQ(to.write(fd, 0, "text"), -EIO);
    EXPECT_EQ(to.sync(fd), -EIO);
    on.faults.capacity_bytes = 0;
    EXPECT_EQ(to.write(fd, 1 << 20, "text"), -ENOSPC);
    EXPECT_EQ(to.allocate(fd, 1 << 20, 4096, 0), -ENOSPC);
    on.faults.syncs_fail_next = 1;
    const std::int64_t folder = to.open("/data", O_RDONLY | O_DIRECTORY);
    EXPECT_EQ(to.sync(folder), -EIO);
    EXPECT_EQ(to.close(folder), 0);
  }
  EXPECT_EQ(heard.texts, (std::vector<std::string>{"a read of /data/log fails", "a write of /data/log fails",
                                                   "a sync of /data/log fails; what it was to make durable never will be",
                                                   "a write of /data/log finds no room",
                                                   "an allocation of /data/log finds no room", "a sync of /data fails"}));
  EXPECT_EQ(to.unlink("/data/log"), 0);
  heard.is_listening = true;
  heard.texts.clear();
  EXPECT_EQ(to.write(fd, 1 << 20, "text"), -ENOSPC);
  EXPECT_EQ(heard.texts, std::vector<std::string>{"a write of a file without a name finds no room"});
}

}  // namespace
