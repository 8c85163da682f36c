#include "platform/fault_plan.hpp"

#include <liburing.h>

#include <algorithm>
#include <charconv>
#include <utility>

namespace levity::inline v0::detail {

namespace kernel {

constinit atomic<std::uint64_t> planned_calls{0};

}  // namespace kernel

namespace {

using kernel::call;

constexpr auto calls = static_cast<std::size_t>(call::count);

constexpr std::uint64_t bit(call which) noexcept { return std::uint64_t{1} << static_cast<unsigned>(which); }

// What can happen to a call.
enum : unsigned {
  interrupted = 1 << 0,       // EINTR instead of the call
  interrupted_late = 1 << 1,  // EINTR although the call has done its work
  refused_now = 1 << 2,       // EAGAIN: by a descriptor that is watched
  refused_free = 1 << 3,      // EAGAIN: no event is owed, the caller tries another way or again
  cut = 1 << 4,               // fewer bytes
  cut_to_one = 1 << 5,        // one item
  no_descriptor = 1 << 6,     // EMFILE, ENFILE
  no_memory = 1 << 7,         // ENOMEM
  no_buffers = 1 << 8,        // ENOBUFS
  cancelled_by_none = 1 << 9,
  busy = 1 << 10,
  awaits_event = 1 << 11,  // a cut owes an event where the descriptor is watched
  no_thread = 1 << 12,     // EAGAIN: the limit of threads is reached
  lost_page = 1 << 13,     // EIO
};

struct traits {
  const char* name;
  unsigned may;
};

constexpr unsigned receives = interrupted | refused_now | cut | awaits_event | no_memory;
constexpr unsigned writes = interrupted | refused_now | cut | awaits_event;
constexpr unsigned sends = writes | no_memory | no_buffers;
constexpr unsigned opens = no_descriptor | no_memory;

constexpr std::array<traits, calls> table{{
    {"read", receives},
    {"write", writes},
    {"bell", interrupted},
    {"readv", receives},
    {"writev", writes},
    {"recv", receives},
    {"send", sends},
    {"recvmsg", interrupted | refused_now | no_memory},
    {"sendmsg", sends},
    {"recvmmsg", interrupted | refused_now | cut_to_one | no_memory},
    {"sendmmsg", interrupted | refused_now | cut_to_one | no_memory | no_buffers},
    {"accept", interrupted | refused_now | opens | no_buffers},
    {"connect", interrupted_late | no_memory | no_buffers},
    {"socket", opens | no_buffers},
    {"bind", no_memory},
    {"listen", 0},
    {"getsockopt", no_memory},
    {"setsockopt", no_memory},
    {"getsockname", no_buffers},
    {"getpeername", no_buffers},
    {"shutdown", 0},
    {"close", interrupted_late},
    {"epoll_create", opens},
    {"epoll_ctl", no_memory},
    {"epoll_wait", interrupted | cut_to_one},
    {"poll", interrupted | no_memory},
    {"eventfd", opens},
    {"timerfd", opens},
    {"signalfd", opens},
    {"open", interrupted | opens},
    {"pread", interrupted | cut},
    {"pwrite", interrupted | cut},
    {"preadv2", interrupted | refused_free | cut},
    {"fsync", interrupted | lost_page},
    {"truncate", interrupted},
    {"stat", no_memory},
    {"rename", no_memory},
    {"unlink", no_memory},
    {"pipe", no_descriptor},
    {"fcntl", no_descriptor},
    {"flock", interrupted},
    {"splice", interrupted | refused_now | cut | no_memory},
    {"sendfile", interrupted | refused_now | cut | no_memory},
    {"mmap", no_memory},
    {"munmap", no_memory},
    {"madvise", no_memory},
    {"mbind", no_memory},
    {"pidfd", opens},
    {"waitid", interrupted},
    {"cachestat", 0},
    {"inotify", opens},
    {"thread", no_thread},
    {"ring_setup", opens},
    {"ring_enter", interrupted | refused_free | busy},
    {"ring_operation", interrupted | refused_free | cut | cancelled_by_none},
}};

constexpr unsigned may(call which) noexcept { return table[static_cast<std::size_t>(which)].may; }

// Whose sizes are bytes of files: what is aligned stays so, for files that are read past the page cache.
constexpr std::uint64_t file_calls = bit(call::pread) | bit(call::pwrite) | bit(call::preadv2) | bit(call::ring_operation);

struct fault {
  const char* name;
  unsigned needs;               // any of these
  int code;                     // 0: no error
  std::uint64_t usually;        // the calls it happens to without an @; 0: all that can
};

constexpr fault faults[] = {
    {"eintr", interrupted | interrupted_late, EINTR, 0},
    {"nothread", no_thread, EAGAIN, 0},
    {"eagain", refused_now | refused_free, EAGAIN, 0},
    {"short", cut, 0, 0},
    {"batch", cut_to_one, 0, 0},
    {"ecanceled", cancelled_by_none, ECANCELED, 0},
    {"ebusy", busy, EBUSY, 0},
    {"emfile", no_descriptor, EMFILE, bit(call::accept)},
    {"enfile", no_descriptor, ENFILE, bit(call::accept)},
    {"enomem", no_memory, ENOMEM, bit(call::accept)},
    {"enobufs", no_buffers, ENOBUFS, bit(call::accept)},
    {"eio", lost_page, EIO, 0},
};

std::uint64_t calls_that(unsigned needs) noexcept {
  std::uint64_t all = 0;
  for (std::size_t i = 0; i < calls; i++) {
    if ((table[i].may & needs) != 0) all |= std::uint64_t{1} << i;
  }
  return all;
}

// ---- the plan --------------------------------------------------------------------------------------------------------------

constexpr int no_call = -1;

struct rule {
  atomic<const fault*> what{nullptr};  // null for the one call of install_one()
  atomic<int> code{0};
  atomic<std::uint64_t> concerns{0};  // bits of calls; 0: the rule is none
  atomic<std::uint32_t> period{0};
  atomic<std::uint64_t> the_one{0};  // the number of the only call it strikes; 0: by period
  atomic<std::uint64_t> seen{0};
  atomic<std::uint64_t> struck{0};
  atomic<int> struck_call{no_call};
  atomic<std::uint32_t> numbers[calls] = {};
};

constinit rule rules[fault_plan::rules_max];
constinit atomic<std::uint64_t> seed{0};
constinit atomic<unsigned> completions{0};
constinit atomic<unsigned> buffers{0};
constinit atomic<std::uint64_t> overflows{0};   // a queue of that many completions had no room
constinit atomic<std::uint64_t> buffer_rings{0};  // buffer rings made that small

// A loop on one thread that tries again gets through.
constinit thread_local std::array<std::array<std::uint8_t, calls>, fault_plan::rules_max> in_a_row{};

// Who watches a descriptor, and for what; from the first epoll_ctl under a plan that owes events.
struct watch {
  atomic<int> epoll_fd{-1};
  atomic<std::uint32_t> events{0};
  atomic<std::uint64_t> data{0};
};
constexpr int watched_max = 8192;
constinit watch watches[watched_max];

watch* watch_of(int fd) noexcept {
  if (fd < 0 || fd >= watched_max) return nullptr;
  watch& one = watches[fd];
  return one.epoll_fd.load(std::memory_order_relaxed) >= 0 ? &one : nullptr;
}

// The event that an invented refusal owes.
bool raise_event(const watch& at, int fd) noexcept {
  epoll_event event{};
  event.events = at.events.load(std::memory_order_relaxed);
  event.data.u64 = at.data.load(std::memory_order_relaxed);
  return ::epoll_ctl(at.epoll_fd.load(std::memory_order_relaxed), EPOLL_CTL_MOD, fd, &event) == 0;
}

std::uint64_t mixed(std::uint64_t value) noexcept {  // the finaliser of splitmix64
  value += 0x9e3779b97f4a7c15;
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
  value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
  return value ^ (value >> 31);
}

// What is left of a transfer: one byte as often as not, something in between otherwise. The same size when it cannot be cut.
std::size_t shortened(call which, std::size_t size, std::uint64_t draw) noexcept {
  std::size_t unit = 1;
  if ((bit(which) & file_calls) != 0) {
    constexpr std::size_t page = 4096;
    constexpr std::size_t sector = 512;  // what most disks ask for
    unit = size % page == 0 ? page : size % sector == 0 ? sector : 1;
  }
  const std::size_t units = size / unit;
  if (units < 2) return size;
  return (draw & 1) != 0 ? unit : (1 + (draw >> 1) % (units - 1)) * unit;
}

// One rule looks at one call. Returns an errno, `passes` when it does nothing, `made_short` when it has cut `size`.
constexpr int passes = 0;
constexpr int made_short = -1;

int look(rule& by, std::size_t index, call which, int fd, std::size_t& size) noexcept {
  if ((by.concerns.load(std::memory_order_relaxed) & bit(which)) == 0) return passes;
  const int code = by.code.load(std::memory_order_relaxed);
  const watch* watched = watch_of(fd);
  if (code == EAGAIN && (may(which) & (refused_free | no_thread)) == 0 && watched == nullptr) return passes;
  if (code == 0 && size < 2) return passes;
  const std::uint64_t seen = by.seen.fetch_add(1, std::memory_order_relaxed) + 1;
  if (const std::uint64_t the_one = by.the_one.load(std::memory_order_relaxed); the_one != 0) {
    if (seen != the_one) return passes;
    by.struck.fetch_add(1, std::memory_order_relaxed);
    by.struck_call.store(static_cast<int>(which), std::memory_order_relaxed);
    return code;
  }
  const auto at = static_cast<std::size_t>(which);
  const std::uint32_t number = by.numbers[at].fetch_add(1, std::memory_order_relaxed);
  const std::uint64_t draw = mixed(seed.load(std::memory_order_relaxed) ^ mixed(index << 40 ^ at << 32 ^ number));
  std::uint8_t& row = in_a_row[index][at];
  const bool hit = (draw >> 32) % by.period.load(std::memory_order_relaxed) == 0;
  if (!hit || (code != 0 && row >= fault_plan::in_a_row_max)) {
    row = 0;
    return passes;
  }
  if (code == 0) {
    const std::size_t less = (may(which) & cut_to_one) != 0 ? 1 : shortened(which, size, draw);
    if (less == size) return passes;
    if ((may(which) & awaits_event) != 0 && watched != nullptr && !raise_event(*watched, fd)) return passes;
    size = less;
    by.struck.fetch_add(1, std::memory_order_relaxed);
    return made_short;
  }
  if (code == EAGAIN && watched != nullptr && !raise_event(*watched, fd)) return passes;
  row++;
  by.struck.fetch_add(1, std::memory_order_relaxed);
  return code;
}

int look_all(call which, int fd, std::size_t& size) noexcept {
  for (std::size_t i = 0; i < fault_plan::rules_max; i++) {
    const int found = look(rules[i], i, which, fd, size);
    if (found > 0) return found;
  }
  return passes;
}

void clear(rule& one) noexcept {
  one.concerns.store(0, std::memory_order_relaxed);
  one.what.store(nullptr, std::memory_order_relaxed);
  one.code.store(0, std::memory_order_relaxed);
  one.period.store(1, std::memory_order_relaxed);
  one.the_one.store(0, std::memory_order_relaxed);
  one.seen.store(0, std::memory_order_relaxed);
  one.struck.store(0, std::memory_order_relaxed);
  one.struck_call.store(no_call, std::memory_order_relaxed);
  for (auto& number : one.numbers) number.store(0, std::memory_order_relaxed);
}

// Tells the calls which of them are concerned.
void publish() noexcept {
  std::uint64_t all = 0;
  for (rule& one : rules) {
    const std::uint64_t concerns = one.concerns.load(std::memory_order_relaxed);
    const int code = one.code.load(std::memory_order_relaxed);
    if (concerns != 0 && (code == 0 || code == EAGAIN)) all |= bit(call::epoll_ctl) | bit(call::close);  // the watches
    if ((concerns & bit(call::fsync)) != 0) all |= bit(call::ring_operation);
    all |= concerns;
  }
  if (completions.load(std::memory_order_relaxed) != 0 || buffers.load(std::memory_order_relaxed) != 0) {
    all |= bit(call::ring_setup);
  }
  kernel::planned_calls.store(all, std::memory_order_relaxed);
}

std::optional<std::uint64_t> number_in(std::string_view text) noexcept {
  std::uint64_t value = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failed != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<call> call_named(std::string_view name) noexcept {
  for (std::size_t i = 0; i < calls; i++) {
    if (name == table[i].name) return static_cast<call>(i);
  }
  return std::nullopt;
}

const fault* fault_named(std::string_view name) noexcept {
  for (const fault& one : faults) {
    if (name == one.name) return &one;
  }
  return nullptr;
}

// One word of a plan's text; false when it cannot be read.
bool add_word(std::string_view word, std::size_t& used) noexcept {
  const std::size_t equals = word.find('=');
  if (equals == std::string_view::npos) return false;
  const std::optional<std::uint64_t> value = number_in(word.substr(equals + 1));
  if (!value || *value > 0xffff'ffff) return false;
  std::string_view name = word.substr(0, equals);
  if (name == "seed") return seed.store(*value, std::memory_order_relaxed), true;
  if (*value == 0) return false;
  if (name == "completions") return completions.store(static_cast<unsigned>(*value), std::memory_order_relaxed), true;
  if (name == "buffers") return buffers.store(static_cast<unsigned>(*value), std::memory_order_relaxed), true;
  std::optional<call> only;
  if (const std::size_t sign = name.find('@'); sign != std::string_view::npos) {
    only = call_named(name.substr(sign + 1));
    if (!only) return false;
    name = name.substr(0, sign);
  }
  const fault* what = fault_named(name);
  if (what == nullptr || used == fault_plan::rules_max) return false;
  const std::uint64_t possible = calls_that(what->needs);
  const std::uint64_t concerns = only ? bit(*only) & possible : what->usually != 0 ? what->usually : possible;
  if (concerns == 0) return false;  // a call to which this cannot happen
  rule& one = rules[used++];
  one.what.store(what, std::memory_order_relaxed);
  one.code.store(what->code, std::memory_order_relaxed);
  one.period.store(static_cast<std::uint32_t>(*value), std::memory_order_relaxed);
  one.concerns.store(concerns, std::memory_order_relaxed);
  return true;
}

}  // namespace

void fault_plan::remove() noexcept {
  kernel::planned_calls.store(0, std::memory_order_relaxed);
  for (rule& one : rules) clear(one);
  in_a_row = {};
  seed.store(0, std::memory_order_relaxed);
  completions.store(0, std::memory_order_relaxed);
  buffers.store(0, std::memory_order_relaxed);
  overflows.store(0, std::memory_order_relaxed);
  buffer_rings.store(0, std::memory_order_relaxed);
}

std::optional<std::string> fault_plan::install(std::string_view text) {
  remove();
  std::size_t used = 0;
  while (!text.empty()) {
    const std::string_view word = text.substr(0, text.find(','));
    if (!add_word(word, used)) {
      remove();
      return std::string(word);
    }
    text.remove_prefix(std::min(word.size() + 1, text.size()));
  }
  publish();
  return std::nullopt;
}

void fault_plan::install_one(int code, std::uint64_t number, std::optional<call> only) noexcept {
  remove();
  std::uint64_t possible = 0;
  for (const fault& one : faults) {
    if (one.code == code) possible = calls_that(one.needs);
  }
  rules[0].code.store(code, std::memory_order_relaxed);
  rules[0].the_one.store(number, std::memory_order_relaxed);
  rules[0].concerns.store(only ? bit(*only) : possible, std::memory_order_relaxed);
  publish();
}

void fault_plan::restart() noexcept {
  in_a_row = {};
  for (rule& one : rules) {
    for (auto& number : one.numbers) number.store(0, std::memory_order_relaxed);
  }
}

std::array<fault_plan::tally, fault_plan::tallies_max> fault_plan::tallies() noexcept {
  std::array<tally, tallies_max> all;
  std::size_t used = 0;
  for (const rule& one : rules) {
    const fault* what = one.what.load(std::memory_order_relaxed);
    if (what == nullptr) continue;
    all[used++] = {what->name, one.struck.load(std::memory_order_relaxed), one.seen.load(std::memory_order_relaxed)};
  }
  if (completions.load(std::memory_order_relaxed) != 0) all[used++] = {"completions", overflows.load(std::memory_order_relaxed), 0};
  if (buffers.load(std::memory_order_relaxed) != 0) all[used++] = {"buffers", buffer_rings.load(std::memory_order_relaxed), 0};
  return all;
}

std::optional<call> fault_plan::struck_call() noexcept {
  const int found = rules[0].struck_call.load(std::memory_order_relaxed);
  if (found == no_call) return std::nullopt;
  return static_cast<call>(found);
}

// ---- what is done to calls ---------------------------------------------------------------------------------------------------

namespace kernel {

const char* name_of(call which) noexcept { return table[static_cast<std::size_t>(which)].name; }

bool struck(call which, int fd, std::size_t& size) noexcept {
  const int code = look_all(which, fd, size);
  if (code == passes) return false;
  errno = code;
  return true;
}

namespace {

std::size_t bytes_of(const iovec* pieces, int count) noexcept {
  std::size_t all = 0;
  for (int i = 0; i < count; i++) all += pieces[i].iov_len;
  return all;
}

// The first piece that has bytes, and no more than `size` of them.
iovec beginning(const iovec* pieces, int count, std::size_t size) noexcept {
  iovec first{};
  for (int i = 0; i < count && first.iov_len == 0; i++) first = pieces[i];
  first.iov_len = std::min(first.iov_len, size);
  return first;
}

ssize_t vector_call(call which, int fd, const iovec* pieces, int count, off_t offset, int flags) noexcept {
  switch (which) {
    case call::readv: return ::readv(fd, pieces, count);
    case call::writev: return ::writev(fd, pieces, count);
    default: return ::preadv2(fd, pieces, count, offset, flags);
  }
}

}  // namespace

ssize_t planned_vector(call which, int fd, const iovec* pieces, int count, off_t offset, int flags) noexcept {
  const std::size_t whole = bytes_of(pieces, count);
  std::size_t size = whole;
  if (struck(which, fd, size)) return -1;
  if (size == whole) return vector_call(which, fd, pieces, count, offset, flags);
  const iovec first = beginning(pieces, count, size);
  return vector_call(which, fd, &first, 1, offset, flags);
}

ssize_t planned_message(call which, int fd, const msghdr* message, int flags) noexcept {
  const auto count = static_cast<int>(message->msg_iovlen);
  const std::size_t whole = bytes_of(message->msg_iov, count);
  std::size_t size = whole;
  if (struck(which, fd, size)) return -1;
  if (size == whole) return ::sendmsg(fd, message, flags);
  iovec first = beginning(message->msg_iov, count, size);
  msghdr less = *message;
  less.msg_iov = &first;
  less.msg_iovlen = 1;
  return ::sendmsg(fd, &less, flags);
}

ssize_t planned_splice(int from, loff_t* from_offset, int to, loff_t* to_offset, std::size_t size, unsigned flags) noexcept {
  if (struck(call::splice, watch_of(from) != nullptr ? from : to, size)) return -1;
  return ::splice(from, from_offset, to, to_offset, size, flags);
}

int planned_connect(int fd, const sockaddr* to, socklen_t size) noexcept {
  std::size_t whole = 0;
  const int code = look_all(call::connect, -1, whole);
  if (code != passes && code != EINTR) {
    errno = code;
    return -1;
  }
  const int result = ::connect(fd, to, size);
  // A signal ends the wait, not the attempt.
  if (code == EINTR && (result == 0 || errno == EINPROGRESS)) {
    errno = EINTR;
    return -1;
  }
  return result;
}

int planned_epoll_ctl(int epoll_fd, int what, int fd, epoll_event* event) noexcept {
  if (what == EPOLL_CTL_ADD && strikes(call::epoll_ctl)) return -1;  // to let go needs no memory
  const int result = ::epoll_ctl(epoll_fd, what, fd, event);
  if (result != 0 || fd < 0 || fd >= watched_max) return result;
  watch& one = watches[fd];
  if (what == EPOLL_CTL_DEL) {
    one.epoll_fd.store(-1, std::memory_order_relaxed);
  } else {
    one.events.store(event->events, std::memory_order_relaxed);
    one.data.store(event->data.u64, std::memory_order_relaxed);
    one.epoll_fd.store(epoll_fd, std::memory_order_relaxed);
  }
  return result;
}

int planned_close(int fd) noexcept {
  if (fd >= 0 && fd < watched_max) watches[fd].epoll_fd.store(-1, std::memory_order_relaxed);
  const int result = ::close(fd);
  if (result != 0) return result;
  std::size_t whole = 0;
  return struck(call::close, -1, whole) ? -1 : 0;
}

unsigned planned_entries(bool of_completions, unsigned wanted) noexcept {
  const unsigned planned = (of_completions ? completions : buffers).load(std::memory_order_relaxed);
  if (planned == 0) return wanted;
  if (!of_completions) buffer_rings.fetch_add(1, std::memory_order_relaxed);
  return std::min(planned, wanted);
}

void note_overflow() noexcept { overflows.fetch_add(1, std::memory_order_relaxed); }

// ---- the ring ------------------------------------------------------------------------------------------------------------

namespace {

// An operation that fails by plan becomes a NOP (but for an interrupted close, which is carried out), and its user data a mark that
// leads here.
struct lie {
  atomic<bool> taken{false};
  atomic<std::uint64_t> user_data{0};
  atomic<std::int32_t> result{0};
};
constexpr std::size_t lies_max = 256;
constinit lie lies[lies_max];
constexpr std::uint64_t mark = std::uint64_t{0xfa17} << 48;  // no address and no small number begins so
constexpr std::uint64_t mark_mask = std::uint64_t{0xffff} << 48;

bool tell(io_uring_sqe& entry, std::int32_t result) noexcept {
  for (std::size_t i = 0; i < lies_max; i++) {
    bool expected = false;
    if (!lies[i].taken.compare_exchange_strong(expected, true, std::memory_order_relaxed, std::memory_order_relaxed)) continue;
    lies[i].user_data.store(entry.user_data, std::memory_order_relaxed);
    lies[i].result.store(result, std::memory_order_relaxed);
    entry.user_data = mark | i;
    return true;
  }
  return false;
}

bool syncs(const io_uring_sqe& entry) noexcept {
  return entry.opcode == IORING_OP_FSYNC || (entry.opcode == IORING_OP_WRITE && (entry.rw_flags & RWF_DSYNC) != 0);
}

enum class shape { other, transfer, whole, close };

shape shape_of(unsigned opcode) noexcept {
  switch (opcode) {
    case IORING_OP_READ:
    case IORING_OP_WRITE:
    case IORING_OP_SEND: return shape::transfer;
    case IORING_OP_FSYNC:
    case IORING_OP_OPENAT:
    case IORING_OP_RENAMEAT:
    case IORING_OP_UNLINKAT:
    case IORING_OP_MKDIRAT:
    case IORING_OP_STATX:
    case IORING_OP_RECV:
    case IORING_OP_RECVMSG:
    case IORING_OP_SENDMSG:
    case IORING_OP_ACCEPT:
    case IORING_OP_CONNECT: return shape::whole;
    case IORING_OP_CLOSE: return shape::close;
    default: return shape::other;
  }
}

}  // namespace

void strike_submission(void* raw) noexcept {
  auto& entry = *static_cast<io_uring_sqe*>(raw);
  const shape is = shape_of(entry.opcode);
  if (is == shape::other || (entry.user_data & mark_mask) == mark) return;
  // The eight bytes of an event descriptor come whole or not at all.
  const bool cuttable = is == shape::transfer && entry.len > 8;
  std::size_t size = cuttable ? entry.len : 0;
  int code = look_all(call::ring_operation, -1, size);
  if (code == passes && syncs(entry)) {
    std::size_t whole = 0;
    code = look_all(call::fsync, -1, whole);
  }
  if (code == passes) {
    if (cuttable) entry.len = static_cast<std::uint32_t>(size);
    return;
  }
  if (!tell(entry, -code) || (is == shape::close && code == EINTR)) return;  // an interrupted close has closed
  const std::uint64_t user_data = entry.user_data;
  io_uring_prep_nop(&entry);
  entry.user_data = user_data;
}

void restore_completion(std::uint64_t& user_data, std::int32_t& result) noexcept {
  if ((user_data & mark_mask) != mark) return;
  lie& told = lies[user_data & ~mark_mask];
  user_data = told.user_data.load(std::memory_order_relaxed);
  result = told.result.load(std::memory_order_relaxed);
  told.taken.store(false, std::memory_order_relaxed);
}

}  // namespace kernel

}  // namespace levity::detail
