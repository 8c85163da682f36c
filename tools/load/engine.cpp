#include "load/engine.hpp"

#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <barrier>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <fstream>
#include <limits>
#include <thread>
#include <vector>

namespace levity::load {

namespace {

constexpr std::int64_t never = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t retry_after_ns = 20'000'000;
constexpr std::int64_t live_interval_ns = 1'000'000'000;
constexpr std::int64_t drain_after_stop_ns_max = 1'000'000'000;
constexpr std::size_t connecting_at_first_max = 64;  // stays below the backlog of a modest listener
constexpr std::size_t read_bytes = std::size_t{128} << 10;
constexpr std::uint64_t stop_tag = ~std::uint64_t{0};

enum class link : std::uint8_t { closed, connecting, idle, busy };

struct connection {
  int fd = -1;
  link state = link::closed;
  std::uint32_t generation = 0;  // of the socket; a late event of an earlier one is told by it
  std::uint32_t next = 0;        // neighbours in the one list this connection is in
  std::uint32_t previous = 0;
  std::int64_t since_ns = 0;  // of the state: connect begun, or closed
  request_id id = 0;
  std::int64_t intended_ns = 0;
  std::int64_t sent_ns = 0;
  std::string out;
  std::size_t out_at = 0;
  std::size_t out_size = 0;
  response_reader reader;
  std::uint64_t echo_stamp = 0;
  std::size_t echo_got = 0;
  bool served = false;  // this socket has brought a whole answer
};

// A ring of connections by index; its anchor lies behind the last connection. First in, first out.
class ring_list {
public:
  ring_list(std::vector<connection>& all, std::uint32_t anchor) : all_(all), anchor_(anchor) {
    all_[anchor].next = all_[anchor].previous = anchor;
  }
  [[nodiscard]] bool empty() const { return all_[anchor_].next == anchor_; }
  [[nodiscard]] std::uint32_t front() const { return all_[anchor_].next; }
  [[nodiscard]] std::size_t size() const { return size_; }

  void push_back(std::uint32_t at) {
    const std::uint32_t last = all_[anchor_].previous;
    all_[at].previous = last;
    all_[at].next = anchor_;
    all_[last].next = at;
    all_[anchor_].previous = at;
    ++size_;
  }
  void remove(std::uint32_t at) {
    all_[all_[at].previous].next = all_[at].next;
    all_[all_[at].next].previous = all_[at].previous;
    --size_;
  }

private:
  std::vector<connection>& all_;
  std::uint32_t anchor_;
  std::size_t size_ = 0;
};

// All and stolen processor time of the machine, in ticks of the kernel's accounting.
struct machine_time {
  std::uint64_t all = 0;
  std::uint64_t stolen = 0;

  static machine_time read() {
    machine_time time;
    std::ifstream file("/proc/stat");
    std::string name;
    file >> name;
    std::uint64_t ticks = 0;
    for (int column = 1; column <= 8 && file >> ticks; ++column) {
      time.all += ticks;
      if (column == 8) time.stolen = ticks;
    }
    return time;
  }
};

std::int64_t thread_cpu_ns() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return time.tv_sec * 1'000'000'000LL + time.tv_nsec;
}

failure failure_of(int error) {
  switch (error) {
    case ECONNRESET:
    case EPIPE:
    case ECONNABORTED:
      return failure::reset;
    case ETIMEDOUT:
      return failure::timeout;
    default:
      return failure::refused;
  }
}

class engine {
public:
  engine(const engine_options& options, workload* traffic, std::size_t shard, std::size_t connections)
      : options_(options),
        traffic_(traffic),
        shard_(shard),
        count_(static_cast<std::uint32_t>(connections)),
        all_(connections + 4),
        closed_(all_, count_),
        connecting_(all_, count_ + 1),
        idle_(all_, count_ + 2),
        busy_(all_, count_ + 3),
        buffer_(read_bytes) {
    if (options_.where.kind == protocol::echo) {
      pattern_.resize(options_.echo_bytes);
      std::uint64_t word = 0x9E3779B97F4A7C15ULL;
      for (char& byte : pattern_) {
        word ^= word << 13;
        word ^= word >> 7;
        word ^= word << 17;
        byte = static_cast<char>(word);
      }
    }
  }

  ~engine() {
    for (std::uint32_t at = 0; at < count_; ++at)
      if (all_[at].fd >= 0) ::close(all_[at].fd);
    if (poll_ >= 0) ::close(poll_);
  }

  engine(const engine&) = delete;
  engine& operator=(const engine&) = delete;

  // Opens all connections, a few at a time. An error when none could be opened.
  std::expected<void, std::string> connect_all();

  // The run itself; `start_ns` is when the first request of all threads is due.
  void drive(std::int64_t start_ns);

  [[nodiscard]] tally& result() { return tally_; }

private:
  void open(std::uint32_t at);
  void opened(std::uint32_t at);
  void connect_failed(std::uint32_t at, int error);
  void close(std::uint32_t at);
  void lost(std::uint32_t at, failure why);

  void release_due();
  void dispatch(std::int64_t now);
  bool send_next(std::uint32_t at, std::int64_t now);
  void flush(std::uint32_t at);

  void wait_and_handle(std::int64_t until_ns);
  void handle(std::uint32_t at, std::uint32_t events);
  void read_all(std::uint32_t at, bool until_the_end);
  bool take_bytes(std::uint32_t at, std::string_view bytes);
  bool take_echo(connection& peer, std::string_view bytes);
  void finish(std::uint32_t at, failure outcome);

  void expire(std::int64_t now);
  void fail_oldest_queued(failure why, std::int64_t now);
  void count_end(std::int64_t intended_ns, std::int64_t sent_ns, std::int64_t end_ns, failure outcome, int status);
  void publish(std::int64_t now);
  void stop(std::int64_t now);

  [[nodiscard]] std::uint64_t queued() const { return due_ - sent_; }
  [[nodiscard]] bool may_send(std::int64_t now) const {
    if (options_.closed) return !ending_ && now < end_ns_;
    return sent_ < due_;
  }
  [[nodiscard]] bool counted(std::int64_t intended_ns) const { return intended_ns >= tally_.begin_ns; }

  const engine_options& options_;
  workload* traffic_;
  std::size_t shard_;
  std::uint32_t count_;
  std::vector<connection> all_;
  ring_list closed_;
  ring_list connecting_;
  ring_list idle_;
  ring_list busy_;
  std::vector<char> buffer_;
  std::string pattern_;
  int poll_ = -1;
  int connect_error_ = 0;

  schedule plan_;
  std::uint64_t plan_size_ = 0;
  std::uint64_t due_ = 0;   // requests whose time has come; closed loop: equal to sent_
  std::uint64_t sent_ = 0;  // of those, handed to a connection or given up
  std::int64_t end_ns_ = never;
  std::int64_t stop_at_ns_ = never;
  std::int64_t publish_at_ns_ = never;
  std::int64_t waited_ns_ = 0;  // inside of epoll
  bool running_ = false;
  bool ending_ = false;

  tally tally_;
  live_board::interval interval_;
};

std::expected<void, std::string> engine::connect_all() {
  poll_ = epoll_create1(EPOLL_CLOEXEC);
  if (poll_ < 0) return std::unexpected(fmt::format("epoll is not available: {}", std::strerror(errno)));
  if (options_.stop_fd >= 0) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = stop_tag;
    epoll_ctl(poll_, EPOLL_CTL_ADD, options_.stop_fd, &event);
  }
  const std::int64_t give_up_ns = now_ns() + options_.timeout_ns;
  std::uint32_t tried = 0;
  while (tried < count_ || !connecting_.empty()) {
    while (tried < count_ && connecting_.size() < connecting_at_first_max && !ending_) open(tried++);
    if (ending_) tried = count_;
    if (connecting_.empty()) continue;
    if (now_ns() >= give_up_ns || ending_) break;
    wait_and_handle(std::min(give_up_ns, now_ns() + 100'000'000));
  }
  if (ending_) return std::unexpected("stopped before all connections were open");
  if (!idle_.empty()) return {};
  const std::string why = connect_error_ != 0 ? std::strerror(connect_error_) : "no answer in time";
  return std::unexpected(fmt::format("no connection to {}:{} could be opened: {}; is the server up and listening there?",
                                     options_.where.host, options_.where.port, why));
}

void engine::drive(std::int64_t start_ns) {
  // Without this the kernel may be 50 us late on purpose, on every wait.
  prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
  const std::int64_t cpu_before = thread_cpu_ns();
  tally_.begin_ns = start_ns + options_.warmup_ns;
  end_ns_ = start_ns + options_.duration_ns;
  if (!options_.closed) {
    plan_ = schedule(start_ns, options_.rate, options_.duration_ns, shard_, options_.threads, options_.tick_ns);
    plan_size_ = plan_.size();
  }
  if (options_.board != nullptr) publish_at_ns_ = start_ns + live_interval_ns;
  running_ = true;
  while (now_ns() < start_ns) wait_and_handle(start_ns);
  waited_ns_ = 0;
  const std::int64_t began_ns = now_ns();

  for (;;) {
    release_due();
    const std::int64_t now = now_ns();
    expire(now);
    if (now >= publish_at_ns_) publish(now);
    const bool all_due = options_.closed ? ending_ || now >= end_ns_ : due_ >= plan_size_;
    if (all_due && queued() == 0 && busy_.empty()) break;
    if (now >= stop_at_ns_) {
      tally_.interrupted = true;
      break;
    }

    std::int64_t until = publish_at_ns_;
    if (!options_.closed && due_ < plan_size_) until = std::min(until, plan_.at_ns(due_));
    if (options_.closed && now < end_ns_) until = std::min(until, end_ns_);
    if (queued() > 0) until = std::min(until, plan_.at_ns(sent_) + options_.timeout_ns);
    if (!busy_.empty()) until = std::min(until, all_[busy_.front()].intended_ns + options_.timeout_ns);
    if (!connecting_.empty()) until = std::min(until, all_[connecting_.front()].since_ns + options_.timeout_ns);
    if (!closed_.empty()) until = std::min(until, all_[closed_.front()].since_ns + retry_after_ns);
    until = std::min(until, stop_at_ns_);
    wait_and_handle(until);
  }
  const auto elapsed = static_cast<double>(std::max<std::int64_t>(1, now_ns() - began_ns));
  tally_.busy_share = std::max(0.0, 1.0 - static_cast<double>(waited_ns_) / elapsed);
  if (options_.board != nullptr) publish(now_ns());
  // An early end (the workload had nothing more, or somebody pressed Ctrl-C) ends the measured time with the last answer.
  if (!ending_) tally_.finish_ns = std::max(tally_.finish_ns, end_ns_);
  tally_.finish_ns = std::max(tally_.finish_ns, tally_.begin_ns);
  tally_.cpu_ns = thread_cpu_ns() - cpu_before;
}

void engine::open(std::uint32_t at) {
  connection& peer = all_[at];
  const auto* address = reinterpret_cast<const sockaddr*>(&options_.where.address);
  peer.fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  ++peer.generation;
  peer.served = false;
  peer.state = link::connecting;
  peer.since_ns = now_ns();
  connecting_.push_back(at);
  if (peer.fd < 0) {
    connect_failed(at, errno);
    return;
  }
  const int one = 1;
  setsockopt(peer.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  epoll_event event{};
  event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  event.data.u64 = (std::uint64_t{peer.generation} << 32) | at;
  if (connect(peer.fd, address, options_.where.address_size) < 0 && errno != EINPROGRESS) {
    connect_failed(at, errno);
    return;
  }
  if (epoll_ctl(poll_, EPOLL_CTL_ADD, peer.fd, &event) < 0) connect_failed(at, errno);
}

void engine::opened(std::uint32_t at) {
  ++tally_.connects;
  connecting_.remove(at);
  all_[at].state = link::idle;
  idle_.push_back(at);
  if (running_) dispatch(now_ns());
}

void engine::connect_failed(std::uint32_t at, int error) {
  connect_error_ = error;
  close(at);
  if (!running_) return;
  // Who waited the longest for a connection is told that there is none; the others go on waiting for the next try.
  const std::int64_t now = now_ns();
  if (queued() > 0) {
    fail_oldest_queued(failure::refused, now);
  } else if (options_.closed && may_send(now)) {
    count_end(now, now, now, failure::refused, 0);
  }
}

void engine::close(std::uint32_t at) {
  connection& peer = all_[at];
  switch (peer.state) {
    case link::connecting:
      connecting_.remove(at);
      break;
    case link::idle:
      idle_.remove(at);
      break;
    case link::busy:
      busy_.remove(at);
      break;
    case link::closed:
      return;
  }
  if (peer.fd >= 0) ::close(peer.fd);
  peer.fd = -1;
  peer.state = link::closed;
  peer.since_ns = now_ns();
  closed_.push_back(at);
}

// A connection that was open is gone: end its request and dial again, at once if it was of any use. A server that hangs up on
// every newcomer must not be met by a storm of connects.
void engine::lost(std::uint32_t at, failure why) {
  if (all_[at].state == link::busy) finish(at, why);
  if (all_[at].state != link::closed) close(at);
  if (running_ && !ending_ && all_[at].served) {
    closed_.remove(at);
    open(at);
  }
}

void engine::release_due() {
  if (options_.closed) {
    dispatch(now_ns());
    return;
  }
  while (due_ < plan_size_) {
    const std::int64_t at = plan_.at_ns(due_);
    const std::int64_t now = now_ns();
    if (now < at) return;
    ++due_;
    if (counted(at)) {
      ++tally_.planned;
      tally_.lag_ns.record(static_cast<std::uint64_t>(now - at));
    }
    dispatch(now);
    tally_.queue_max = std::max(tally_.queue_max, queued());
  }
}

void engine::dispatch(std::int64_t now) {
  bool fresh = true;
  while (!idle_.empty() && may_send(now)) {
    if (!fresh) now = now_ns();
    fresh = false;
    if (!send_next(idle_.front(), now)) return;
  }
}

// False when the workload has nothing more to send.
bool engine::send_next(std::uint32_t at, std::int64_t now) {
  connection& peer = all_[at];
  peer.id = tally_.sent;
  peer.out.clear();
  peer.out_at = 0;
  if (options_.where.kind == protocol::echo) {
    peer.echo_stamp = (peer.id + 1) * 0x9E3779B97F4A7C15ULL;
    peer.echo_got = 0;
    peer.out_size = pattern_.size();
  } else {
    request_out out{peer.out};
    if (!traffic_->next(peer.id, out)) {
      ending_ = true;
      plan_size_ = due_ = sent_;
      return false;
    }
    peer.out_size = peer.out.size();
    peer.reader.start(out.to_head);
  }
  peer.intended_ns = options_.closed ? now : plan_.at_ns(sent_);
  peer.sent_ns = now;
  ++tally_.sent;
  ++sent_;
  if (options_.closed) {
    due_ = sent_;
    if (counted(now)) ++tally_.planned;
  }
  idle_.remove(at);
  busy_.push_back(at);
  peer.state = link::busy;
  flush(at);
  return true;
}

void engine::flush(std::uint32_t at) {
  connection& peer = all_[at];
  while (peer.out_at < peer.out_size) {
    ssize_t written = 0;
    if (options_.where.kind == protocol::echo) {
      // The pattern is shared by all messages; only the stamp at its front tells them apart.
      const std::size_t stamp_size = std::min(sizeof peer.echo_stamp, peer.out_size);
      std::array<iovec, 2> parts{};
      std::size_t used = 0;
      if (peer.out_at < stamp_size)
        parts[used++] = {reinterpret_cast<char*>(&peer.echo_stamp) + peer.out_at, stamp_size - peer.out_at};
      const std::size_t body_at = std::max(peer.out_at, stamp_size);
      if (body_at < peer.out_size) parts[used++] = {pattern_.data() + body_at, peer.out_size - body_at};
      msghdr message{};
      message.msg_iov = parts.data();
      message.msg_iovlen = used;
      written = sendmsg(peer.fd, &message, MSG_NOSIGNAL);
    } else {
      written = send(peer.fd, peer.out.data() + peer.out_at, peer.out_size - peer.out_at, MSG_NOSIGNAL);
    }
    if (written < 0) {
      if (errno == EINTR) continue;
      // On any other error the kernel also reports the socket as readable; reading finds out what the peer had said before.
      return;
    }
    peer.out_at += static_cast<std::size_t>(written);
    tally_.bytes_sent += static_cast<std::uint64_t>(written);
  }
}

void engine::wait_and_handle(std::int64_t until_ns) {
  std::array<epoll_event, 256> events;
  timespec timeout{};
  timespec* limit = nullptr;
  const std::int64_t before = now_ns();
  if (until_ns != never) {
    const std::int64_t left = options_.spin ? 0 : std::max<std::int64_t>(0, until_ns - before);
    timeout.tv_sec = left / 1'000'000'000;
    timeout.tv_nsec = left % 1'000'000'000;
    limit = &timeout;
  }
  const int count = epoll_pwait2(poll_, events.data(), static_cast<int>(events.size()), limit, nullptr);
  waited_ns_ += now_ns() - before;
  for (int i = 0; i < count; ++i) {
    const epoll_event& event = events[static_cast<std::size_t>(i)];
    const std::uint64_t tag = event.data.u64;
    if (tag == stop_tag) {
      stop(now_ns());
      continue;
    }
    const auto at = static_cast<std::uint32_t>(tag);
    if (all_[at].generation != tag >> 32 || all_[at].state == link::closed) continue;
    handle(at, event.events);
    if (running_) release_due();  // a long batch must not make the schedule wait
  }
}

void engine::handle(std::uint32_t at, std::uint32_t events) {
  connection& peer = all_[at];
  if (peer.state == link::connecting) {
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(peer.fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) {
      connect_failed(at, error);
      return;
    }
    if ((events & EPOLLOUT) == 0) return;
    opened(at);  // the same event may carry what the peer said, or that it hung up
  }
  if ((events & EPOLLOUT) != 0 && peer.state == link::busy && peer.out_at < peer.out_size) flush(at);
  if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0)
    read_all(at, (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0);
}

// Edge-triggered: read until the kernel has nothing left. A short read says so without another call, unless the end of the
// stream is known to follow.
void engine::read_all(std::uint32_t at, bool until_the_end) {
  connection& peer = all_[at];
  for (;;) {
    const ssize_t got = recv(peer.fd, buffer_.data(), buffer_.size(), 0);
    if (got > 0) {
      tally_.bytes_received += static_cast<std::uint64_t>(got);
      const std::uint32_t generation = peer.generation;
      if (!take_bytes(at, {buffer_.data(), static_cast<std::size_t>(got)})) return;
      if (peer.generation != generation || peer.state == link::closed) return;
      if (static_cast<std::size_t>(got) < buffer_.size() && !until_the_end) return;
      continue;
    }
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
    if (got < 0) {
      lost(at, failure_of(errno));
    } else if (peer.state == link::busy && options_.where.kind == protocol::http && peer.reader.end()) {
      finish(at, failure::none);  // closes: such an answer never keeps the connection
    } else {
      lost(at, failure::eof);
    }
    return;
  }
}

// False when the connection was given up.
bool engine::take_bytes(std::uint32_t at, std::string_view bytes) {
  connection& peer = all_[at];
  if (peer.state != link::busy) {  // nobody asked for these
    ++tally_.ended[static_cast<std::size_t>(failure::bad_response)];
    lost(at, failure::bad_response);
    return false;
  }
  if (options_.where.kind == protocol::echo) {
    if (!take_echo(peer, bytes)) {
      lost(at, failure::mismatch);
      return false;
    }
    if (peer.echo_got == peer.out_size) finish(at, failure::none);
    return true;
  }
  const std::size_t used = peer.reader.feed(bytes);
  if (peer.reader.failed() || (peer.reader.complete() && used < bytes.size())) {
    lost(at, failure::bad_response);
    return false;
  }
  if (peer.reader.complete()) finish(at, failure::none);
  return true;
}

bool engine::take_echo(connection& peer, std::string_view bytes) {
  if (bytes.size() > peer.out_at - peer.echo_got) return false;  // more than was sent
  const std::size_t stamp_size = std::min(sizeof peer.echo_stamp, peer.out_size);
  while (!bytes.empty()) {
    const bool in_stamp = peer.echo_got < stamp_size;
    const char* expected = in_stamp ? reinterpret_cast<const char*>(&peer.echo_stamp) + peer.echo_got
                                    : pattern_.data() + peer.echo_got;
    const std::size_t size = std::min(bytes.size(), (in_stamp ? stamp_size : peer.out_size) - peer.echo_got);
    if (std::memcmp(bytes.data(), expected, size) != 0) return false;
    peer.echo_got += size;
    bytes.remove_prefix(size);
  }
  return true;
}

// The request of a busy connection has ended. Afterwards the connection is idle, or closed (and dialled again) when it
// cannot carry another one.
void engine::finish(std::uint32_t at, failure outcome) {
  connection& peer = all_[at];
  const std::int64_t now = now_ns();
  const bool http = options_.where.kind == protocol::http;
  const bool whole = outcome == failure::none;
  peer.served = peer.served || whole;
  int status = 0;
  if (http) {
    response_view answer;
    answer.outcome = outcome;
    answer.message = whole ? &peer.reader : nullptr;
    answer.corrected_ns = now - peer.intended_ns;
    answer.service_ns = now - peer.sent_ns;
    status = answer.status();
    outcome = traffic_->answered(peer.id, answer);
  }
  count_end(peer.intended_ns, peer.sent_ns, now, outcome, status);
  const bool reusable = whole && peer.out_at == peer.out_size && (!http || peer.reader.keep_alive());
  busy_.remove(at);
  peer.state = link::idle;
  idle_.push_back(at);
  if (reusable) {
    dispatch(now);
  } else if (whole) {
    lost(at, failure::none);
  } else {
    close(at);
  }
}

void engine::expire(std::int64_t now) {
  while (!busy_.empty() && all_[busy_.front()].intended_ns + options_.timeout_ns <= now)
    lost(busy_.front(), failure::timeout);
  while (queued() > 0 && plan_.at_ns(sent_) + options_.timeout_ns <= now) fail_oldest_queued(failure::unsent, now);
  while (!connecting_.empty() && all_[connecting_.front()].since_ns + options_.timeout_ns <= now)
    connect_failed(connecting_.front(), ETIMEDOUT);
  while (!closed_.empty() && all_[closed_.front()].since_ns + retry_after_ns <= now) {
    const std::uint32_t at = closed_.front();
    closed_.remove(at);
    open(at);
  }
}

void engine::fail_oldest_queued(failure why, std::int64_t now) {
  const std::int64_t intended = plan_.at_ns(sent_);
  ++sent_;
  if (traffic_ != nullptr) traffic_->unwritten(intended, now, why);
  count_end(intended, 0, now, why, 0);
}

// `sent_ns` is 0 for a request that was never sent.
void engine::count_end(std::int64_t intended_ns, std::int64_t sent_ns, std::int64_t end_ns, failure outcome, int status) {
  const bool failed = outcome != failure::none;
  ++interval_.ended;
  if (failed) ++interval_.failed;
  if (!counted(intended_ns)) {
    ++tally_.warmup_ended;
    if (failed) ++tally_.warmup_failed;
    return;
  }
  ++tally_.ended[static_cast<std::size_t>(outcome)];
  if (status >= 100 && status < 600) ++tally_.status_classes[static_cast<std::size_t>(status / 100)];
  tally_.finish_ns = std::max(tally_.finish_ns, end_ns);
  // A refused or broken request ends fast; counted among the latencies it would flatter them. One that ran into its
  // timeout waited at least that long; left out, the worst would be missing.
  if (outcome == failure::refused || outcome == failure::reset || outcome == failure::eof) return;
  const auto corrected = static_cast<std::uint64_t>(std::max<std::int64_t>(0, end_ns - intended_ns));
  tally_.corrected_ns.record(corrected);
  if (options_.board != nullptr) interval_.corrected_ns.record(corrected);
  if (sent_ns != 0) tally_.service_ns.record(static_cast<std::uint64_t>(std::max<std::int64_t>(0, end_ns - sent_ns)));
}

void engine::publish(std::int64_t now) {
  interval_.queued = queued();
  interval_.in_flight = busy_.size();
  options_.board->add(interval_);
  interval_.clear();
  while (publish_at_ns_ <= now) publish_at_ns_ += live_interval_ns;
}

void engine::stop(std::int64_t now) {
  epoll_ctl(poll_, EPOLL_CTL_DEL, options_.stop_fd, nullptr);
  ending_ = true;
  if (!running_) return;
  tally_.interrupted = true;
  end_ns_ = std::min(end_ns_, now);
  plan_size_ = due_ = sent_;  // what still waits in the queue was not refused by anybody: it is not counted
  stop_at_ns_ = now + std::min(options_.timeout_ns, drain_after_stop_ns_max);
}

}  // namespace

std::int64_t now_ns() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1'000'000'000LL + time.tv_nsec;
}

std::uint64_t raise_file_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  getrlimit(RLIMIT_NOFILE, &limit);
  return limit.rlim_cur;
}

std::expected<tally, std::string> run_load(const engine_options& options, const workload_factory& make) {
  const std::size_t threads = std::min(options.threads, options.connections);
  engine_options shared = options;
  shared.threads = threads;

  std::int64_t start_ns = 0;
  // All threads measure the same interval; it begins when the slowest has its connections.
  std::barrier ready(static_cast<std::ptrdiff_t>(threads),
                     [&start_ns]() noexcept { start_ns = now_ns() + 2'000'000; });
  const machine_time before = machine_time::read();
  std::vector<tally> parts(threads);
  std::vector<std::string> errors(threads);
  {
    std::vector<std::jthread> running;
    for (std::size_t index = 0; index < threads; ++index) {
      running.emplace_back([&, index] {
        const std::unique_ptr<workload> traffic = make(index);
        const std::size_t share = options.connections / threads + (index < options.connections % threads ? 1 : 0);
        engine one(shared, traffic.get(), index, share);
        const auto connected = one.connect_all();
        if (!connected) errors[index] = connected.error();
        ready.arrive_and_wait();
        if (!connected) return;
        one.drive(start_ns);
        parts[index] = std::move(one.result());
      });
    }
  }
  for (const auto& error : errors)
    if (!error.empty()) return std::unexpected(error);
  tally sum;
  for (const auto& part : parts) sum.merge(part);
  const machine_time after = machine_time::read();
  if (after.all > before.all)
    sum.stolen_share = static_cast<double>(after.stolen - before.stolen) / static_cast<double>(after.all - before.all);
  return sum;
}

}  // namespace levity::load
