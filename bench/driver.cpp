// driver - load for the servers of the bench: a closed loop or a fixed rate, every byte of every answer checked.
//
// It connects once to each target and keeps the connections, so that the harness can alternate between two servers in
// short halves (ABBA) without paying for 2,000 handshakes each time.
//
// The generator never sleeps while it drives. A sleeping client would have to be woken by the server's own write, and
// that wake-up (several microseconds on a virtual machine) would be counted as the server's cost, on both sides of a
// ratio: it would make every ratio look better than it is.
//
// The server's CPU time is read while it has nothing to do, before the first request and after the last answer of a
// half: the kernel brings the clock of a thread that runs on another CPU up to date only at ticks (4 ms at HZ=250),
// that of a thread that sleeps is exact.
//
// With --anew 1 each request has a connection of its own: connect, request, answer, end by the client, end by the server.
//
//   driver --target PORT:PID [--target PORT:PID ...] --connections N (--size BYTES | --http PATH) [--cpu N] [--anew 1]
//          [--mode saturated|rate:PER_SECOND --seconds S]
//
// Without --mode it takes lines "run TARGET MODE SECONDS" from standard input. Each half answers with one JSON line.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <memory>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace {

[[noreturn, gnu::format(printf, 1, 2)]] void fail(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  std::fputs("driver: ", stderr);
  std::vfprintf(stderr, format, arguments);
  std::fputc('\n', stderr);
  va_end(arguments);
  std::exit(1);
}

std::int64_t now_ns(clockid_t clock = CLOCK_MONOTONIC) {
  timespec now{};
  if (clock_gettime(clock, &now) != 0) fail("cannot read a clock (is the server gone?): %s", std::strerror(errno));
  return now.tv_sec * 1'000'000'000 + now.tv_nsec;
}

struct options {
  struct target {
    std::uint16_t port;
    pid_t pid;
  };
  std::vector<target> targets;
  std::size_t connections = 1;
  std::size_t size = 64;
  std::string http_path;
  int cpu = -1;
  bool anew = false;
  std::string mode;
  double seconds = 1;
};

struct load_mode {
  double per_second = 0;  // 0: saturated

  static load_mode parse(const std::string& text) {
    if (text == "saturated") return {};
    constexpr std::string_view prefix = "rate:";
    if (!text.starts_with(prefix)) fail("mode '%s' is neither saturated nor rate:PER_SECOND", text.c_str());
    const double rate = std::strtod(text.c_str() + prefix.size(), nullptr);
    if (!(rate > 0)) fail("'%s' is no rate", text.c_str());
    return {rate};
  }
};

struct connection {
  int fd = -1;
  bool busy = false;
  bool ending = false;
  std::uint32_t sequence = 0;
  std::size_t received = 0;
  std::int64_t due_ns = 0;
};

// One exchange on a connection: what to send, and whether what comes back is right.
class protocol {
public:
  virtual ~protocol() = default;
  virtual std::string_view request(std::size_t index, const connection& to) = 0;
  // Bytes of an answer; true when the answer is complete.
  virtual bool receive(std::size_t index, connection& from, std::string_view bytes) = 0;
  [[nodiscard]] virtual std::size_t response_size() const = 0;
};

// The first 8 bytes name connection and sequence number, the rest is a fixed pattern.
class echo_protocol : public protocol {
public:
  explicit echo_protocol(std::size_t size) : message_(size, '\0') {
    for (std::size_t i = 0; i < size; i++) message_[i] = static_cast<char>(i * 131 + 17);
  }

  std::string_view request(std::size_t index, const connection& to) override { return expected(index, to); }

  bool receive(std::size_t index, connection& from, std::string_view bytes) override {
    const std::string_view all = expected(index, from);
    if (from.received + bytes.size() > all.size() ||
        std::memcmp(all.data() + from.received, bytes.data(), bytes.size()) != 0) {
      fail("connection %zu: the echo of request %u differs from what was sent", index, from.sequence);
    }
    from.received += bytes.size();
    return from.received == all.size();
  }

  [[nodiscard]] std::size_t response_size() const override { return message_.size(); }

private:
  std::string_view expected(std::size_t index, const connection& to) {
    const std::uint64_t head = index << 32 | to.sequence;
    std::memcpy(message_.data(), &head, std::min(sizeof head, message_.size()));
    return message_;
  }

  std::string message_;
};

// A keep-alive GET. The first answer is the model: every other one must be as long and, but for a Date header, the
// same.
class http_protocol : public protocol {
public:
  explicit http_protocol(const std::string& path)
      : request_("GET " + path +
                 " HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: bench\r\nAccept: application/json\r\n\r\n") {}

  std::string_view request(std::size_t, const connection&) override { return request_; }

  bool receive(std::size_t index, connection& from, std::string_view bytes) override {
    if (partial_.size() <= index) partial_.resize(index + 1);
    if (from.received == 0 && bytes == model_) return true;
    std::string& got = partial_[index];
    got += bytes;
    from.received = got.size();
    const std::size_t head = got.find("\r\n\r\n");
    if (head == std::string::npos) return false;
    if (!got.starts_with("HTTP/1.1 200 ")) fail("an answer is not 200: %.*s", 60, got.c_str());
    const std::size_t at = std::min(got.find("ontent-Length: "), got.find("ontent-length: "));
    if (at > head) fail("an answer has no Content-Length");
    const std::size_t whole = head + 4 + std::strtoull(got.c_str() + at + 15, nullptr, 10);
    if (got.size() > whole) fail("an answer has bytes behind its end");
    if (got.size() < whole) return false;
    if (!model_.empty() && (model_.size() != whole || model_.substr(model_head_) != got.substr(head))) {
      fail("an answer differs from the first one in length or body");
    }
    model_ = got;
    model_head_ = head;
    got.clear();
    return true;
  }

  [[nodiscard]] std::size_t response_size() const override { return model_.size(); }

private:
  std::string request_;
  std::string model_;
  std::size_t model_head_ = 0;
  std::vector<std::string> partial_;
};

struct half_result {
  std::uint64_t requests = 0;
  double seconds = 0;
  std::int64_t server_cpu_ns = 0;
  std::int64_t late_ns_max = 0;  // fixed rate: how far a request left behind its time
};

// The connections to one server.
class target {
public:
  target(const options::target& at, std::size_t count, bool anew, protocol& speaks)
      : protocol_(speaks), connections_(count), port_(at.port), anew_(anew) {
    if (clock_getcpuclockid(at.pid, &server_clock_) != 0) fail("no process %d", static_cast<int>(at.pid));
    epoll_ = epoll_create1(EPOLL_CLOEXEC);
    for (std::size_t i = 0; i < count && !anew; i++) open(i);
  }

  half_result run(load_mode mode, double seconds) {
    half_result result;
    free_.clear();
    free_head_ = 0;
    for (std::size_t i = connections_.size(); i-- > 0;) free_.push_back(i);
    std::rotate(free_.begin(), free_.begin() + static_cast<std::ptrdiff_t>(turn_++ % free_.size()), free_.end());

    wait_until_idle();
    const std::int64_t cpu_from = now_ns(server_clock_);
    const std::int64_t from = now_ns();
    const std::int64_t until = from + std::llround(seconds * 1e9);
    std::uint64_t sent = 0;
    const double period_ns = mode.per_second > 0 ? 1e9 / mode.per_second : 0;
    std::int64_t now = from;
    std::int64_t last_answer = from;
    while (now < until || in_flight_ > 0) {
      while (now < until && !free_.empty()) {
        if (period_ns > 0) {
          const std::int64_t due = from + std::llround(static_cast<double>(sent) * period_ns);
          if (due > now) break;
          result.late_ns_max = std::max(result.late_ns_max, now - due);
        }
        send(take_free());
        sent++;
      }
      const std::uint64_t before = result.requests;
      receive(result);
      now = now_ns();
      if (result.requests != before) last_answer = now;
      if (now > until && now - last_answer > 5'000'000'000) fail("%zu requests were never answered", in_flight_);
    }
    result.seconds = static_cast<double>(std::min(last_answer, until) - from) / 1e9;
    wait_until_idle();
    result.server_cpu_ns = now_ns(server_clock_) - cpu_from;
    return result;
  }

private:
  void open(std::size_t index) {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    if (anew_) {
      // From many addresses: a connection that has ended keeps its port for a minute.
      const int one = 1;
      setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
      address.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + static_cast<std::uint32_t>(opened_++ % 200));
      if (bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) fail("cannot bind: %s", std::strerror(errno));
    }
    address.sin_port = htons(port_);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
      fail("cannot connect to port %u: %s", port_, std::strerror(errno));
    }
    const int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    connections_[index].fd = fd;
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = index;
    epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event);
  }

  // First in, first out, so that a fixed rate goes over all connections.
  std::size_t take_free() {
    const std::size_t index = free_[free_head_++];
    if (free_head_ == free_.size()) {
      free_.clear();
      free_head_ = 0;
    } else if (free_head_ >= 4096) {
      free_.erase(free_.begin(), free_.begin() + static_cast<std::ptrdiff_t>(free_head_));
      free_head_ = 0;
    }
    return index;
  }

  void send(std::size_t index) {
    connection& to = connections_[index];
    to.sequence++;
    to.received = 0;
    to.busy = true;
    in_flight_++;
    if (anew_) open(index);
    const std::string_view bytes = protocol_.request(index, to);
    const ssize_t n = ::send(to.fd, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n != static_cast<ssize_t>(bytes.size())) {
      fail("connection %zu took %zd of %zu bytes: %s", index, n, bytes.size(), n < 0 ? std::strerror(errno) : "short");
    }
  }

  void receive(half_result& result) {
    std::array<epoll_event, 256> ready;
    const int count = epoll_wait(epoll_, ready.data(), static_cast<int>(ready.size()), 0);
    for (int i = 0; i < count; i++) {
      const std::size_t index = ready[static_cast<std::size_t>(i)].data.u64;
      connection& from = connections_[index];
      const ssize_t n = recv(from.fd, buffer_.data(), buffer_.size(), MSG_DONTWAIT);
      if (n < 0 && errno == EAGAIN) continue;
      if (from.ending) {
        if (n != 0) fail("connection %zu: no end, but %zd bytes", index, n);
        close(from.fd);
        from.ending = false;
      } else {
        if (n <= 0) fail("connection %zu was closed by the server", index);
        if (!from.busy) fail("connection %zu: bytes that nobody asked for", index);
        if (!protocol_.receive(index, from, {buffer_.data(), static_cast<std::size_t>(n)})) continue;
        if (anew_) {
          from.ending = true;
          shutdown(from.fd, SHUT_WR);
          continue;
        }
      }
      from.busy = false;
      from.received = 0;
      in_flight_--;
      result.requests++;
      free_.push_back(index);
    }
  }

  // Long enough for a server to go to sleep after its last answer: its clock must stand still.
  void wait_until_idle() {
    std::int64_t before = now_ns(server_clock_);
    for (int i = 0; i < 500; i++) {
      const timespec pause{0, 2'000'000};
      nanosleep(&pause, nullptr);
      const std::int64_t after = now_ns(server_clock_);
      if (i > 0 && after == before) return;
      before = after;
    }
  }

  protocol& protocol_;
  std::vector<connection> connections_;
  std::vector<std::size_t> free_;
  std::size_t free_head_ = 0;
  std::size_t in_flight_ = 0;
  std::size_t turn_ = 0;
  std::array<char, 65536> buffer_;
  clockid_t server_clock_{};
  std::uint16_t port_;
  bool anew_;
  std::uint64_t opened_ = 0;
  int epoll_ = -1;
};

options parse(int argc, char** argv) {
  options parsed;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view name = argv[i];
    const char* value = argv[i + 1];
    if (name == "--target") {
      unsigned port = 0;
      int pid = 0;
      if (std::sscanf(value, "%u:%d", &port, &pid) != 2) fail("'%s' is not PORT:PID", value);
      parsed.targets.push_back({static_cast<std::uint16_t>(port), pid});
    } else if (name == "--connections") {
      parsed.connections = std::strtoull(value, nullptr, 10);
    } else if (name == "--size") {
      parsed.size = std::strtoull(value, nullptr, 10);
    } else if (name == "--http") {
      parsed.http_path = value;
    } else if (name == "--cpu") {
      parsed.cpu = std::atoi(value);
    } else if (name == "--anew") {
      parsed.anew = std::atoi(value) != 0;
    } else if (name == "--mode") {
      parsed.mode = value;
    } else if (name == "--seconds") {
      parsed.seconds = std::strtod(value, nullptr);
    } else {
      fail("unknown option %s", argv[i]);
    }
  }
  if (argc % 2 == 0) fail("option %s has no value", argv[argc - 1]);
  if (parsed.targets.empty() || parsed.connections == 0) fail("needs --target PORT:PID and --connections");
  if (parsed.size < 8) fail("--size is at least 8");
  return parsed;
}

void run_and_print(target& at, std::size_t index, load_mode mode, double seconds, const protocol& speaks) {
  const half_result half = at.run(mode, seconds);
  std::printf(
      "{\"target\": %zu, \"requests\": %llu, \"seconds\": %.6f, \"server_cpu_ns\": %lld, \"late_us_max\": %lld, "
      "\"response_bytes\": %zu}\n",
      index, static_cast<unsigned long long>(half.requests), half.seconds, static_cast<long long>(half.server_cpu_ns),
      static_cast<long long>(half.late_ns_max / 1000), speaks.response_size());
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  const options wanted = parse(argc, argv);
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  if (wanted.cpu >= 0) {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(static_cast<unsigned>(wanted.cpu), &one);
    if (sched_setaffinity(0, sizeof one, &one) != 0) fail("cannot run on CPU %d: %s", wanted.cpu, std::strerror(errno));
  }

  std::vector<std::unique_ptr<protocol>> protocols;
  std::vector<std::unique_ptr<target>> targets;
  for (const options::target& at : wanted.targets) {
    if (wanted.http_path.empty()) {
      protocols.push_back(std::make_unique<echo_protocol>(wanted.size));
    } else {
      protocols.push_back(std::make_unique<http_protocol>(wanted.http_path));
    }
    targets.push_back(std::make_unique<target>(at, wanted.connections, wanted.anew, *protocols.back()));
  }

  if (!wanted.mode.empty()) {
    for (std::size_t i = 0; i < targets.size(); i++) {
      run_and_print(*targets[i], i, load_mode::parse(wanted.mode), wanted.seconds, *protocols[i]);
    }
    return 0;
  }
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream words(line);
    std::string verb;
    std::string mode;
    std::size_t index = 0;
    double seconds = 0;
    if (!(words >> verb >> index >> mode >> seconds) || verb != "run" || index >= targets.size()) {
      fail("'%s' is not: run TARGET MODE SECONDS", line.c_str());
    }
    run_and_print(*targets[index], index, load_mode::parse(mode), seconds, *protocols[index]);
  }
}
