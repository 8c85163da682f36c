// open_loop - echo requests at a fixed rate, whatever becomes of those before, each counted from the moment when it was due.
//
// Why another generator than driver.cpp: that one never sleeps, for it counts the server's CPU time and has a core of its own.
// Here latency is counted, beside threads that want every processor there is, and a generator that spins would be one more of
// them. So this one sleeps until a request is due or an answer is there, at a priority that lets it go first. What it is late
// by itself counts as latency all the same, of every server alike.
//
// A connection takes its next request while earlier ones are under way, and all answers are checked to the byte.
//
// What the machine did meanwhile. Each 2 ms of a `run` it notes what the threads of the server, and its own, had to wait for a
// processor so far (schedstat) and what the hypervisor took of each CPU it may use (steal). The kernel adds a wait to that account
// when it ends. Of an answer later than `slow_ns` it says how much of its time others may answer for: what it sent too late, and
// after that the one wait, or the one theft, that lies within the rest for longest. Waits of several threads are not added up:
// they go on at once, and most of them have nothing to do with that request. So two that did hold it up, one after the other,
// excuse no more than the longer one; one of a thread that was moved to another CPU meanwhile counts as two.
//
//   open_loop PORT PID CONNECTIONS
//
// It takes lines from standard input, and answers each with one of JSON:
//   run RATE SECONDS FILE   RATE a second; four 64-bit integers of each request go to FILE, all in nanoseconds: when it was due,
//                           its latency, how much too late it was sent, and, of a slow one, what others may answer for
//   saturate SECONDS        the next request on each connection when its answer is there. Nothing is noted: it would take time
//                           from the server for each of its threads
#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
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
#include <deque>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

namespace {

constexpr std::int64_t ms = 1'000'000;
constexpr std::int64_t slow_ns = 20 * ms;
constexpr std::int64_t note_every_ns = 2 * ms;
constexpr std::int64_t hindrance_min_ns = ms / 2;  // a shorter one excuses nothing of 20 ms
constexpr std::int64_t patience_ns = 15'000 * ms;  // for the last answers
constexpr std::size_t message_bytes = 64;

[[noreturn, gnu::format(printf, 1, 2)]] void fail(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  std::fputs("open_loop: ", stderr);
  std::vfprintf(stderr, format, arguments);
  std::fputc('\n', stderr);
  va_end(arguments);
  std::exit(1);
}

std::int64_t now_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1'000'000'000 + now.tv_nsec;
}

std::string text_of(const std::string& path) {
  std::array<char, 16384> text;
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return {};
  const ssize_t size = read(fd, text.data(), text.size());
  close(fd);
  return size > 0 ? std::string(text.data(), static_cast<std::size_t>(size)) : std::string();
}

// How many threads a process has. One call however many they are: the links of a folder count those that lie in it.
std::size_t threads_of(pid_t pid) {
  struct stat tasks{};
  if (stat(("/proc/" + std::to_string(pid) + "/task").c_str(), &tasks) != 0) fail("the server is gone");
  return tasks.st_nlink - 2;
}

// A thread waited for a processor, or a processor was stolen: for so long, at some time between two moments.
struct hindrance {
  std::int64_t from_ns;
  std::int64_t to_ns;
  std::int64_t lasted_ns;
};

std::int64_t longest_within(std::int64_t from_ns, std::int64_t to_ns, const std::vector<hindrance>& all) {
  std::int64_t longest = 0;
  for (const hindrance& each : all) {
    const std::int64_t common = std::min(to_ns, each.to_ns) - std::max(from_ns, each.from_ns);
    longest = std::max(longest, std::min(common, each.lasted_ns));
  }
  return longest;
}

// What the kernel says of the server's threads and of this one, noted time and again.
class scheduler_record {
public:
  explicit scheduler_record(pid_t of) : tasks_("/proc/" + std::to_string(of) + "/task") {
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) fail("cannot tell which CPUs it may use: %s", std::strerror(errno));
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
      if (CPU_ISSET(cpu, &allowed)) cpus_.push_back("\ncpu" + std::to_string(cpu) + " ");
    }
    if (thread_now(own_).wait_ns < 0) fail("the kernel keeps no schedstat: what a thread waited for cannot be told");
  }

  void begin(std::int64_t at_ns) {
    moments_.clear();
    note(at_ns);
  }

  void note(std::int64_t at_ns) {
    moment& now = moments_.emplace_back();
    now.at_ns = at_ns;
    now.own = thread_now(own_);
    const std::string stat = text_of("/proc/stat");
    for (const std::string& cpu : cpus_) {
      const std::size_t at = stat.find(cpu);
      unsigned long long steal = 0;
      if (at != std::string::npos) std::sscanf(stat.c_str() + at + cpu.size(), "%*u %*u %*u %*u %*u %*u %*u %llu", &steal);
      now.steal_ns.push_back(static_cast<std::int64_t>(steal) * 1'000'000'000 / sysconf(_SC_CLK_TCK));
    }
    DIR* folder = opendir(tasks_.c_str());
    if (folder == nullptr) fail("the server is gone");
    while (const dirent* entry = readdir(folder)) {
      if (entry->d_name[0] == '.') continue;
      const thread seen = thread_now(tasks_ + "/" + entry->d_name + "/schedstat");
      if (seen.wait_ns < 0) continue;  // has just ended
      now.threads.push_back(seen);
      now.threads.back().id = std::atoi(entry->d_name);
    }
    closedir(folder);
  }

  // All times in which a thread waited, or a CPU was stolen, and that are long enough to excuse anything.
  [[nodiscard]] std::vector<hindrance> hindrances() const {
    std::vector<hindrance> all;
    for (std::size_t i = 1; i < moments_.size(); i++) {
      const moment& before = moments_[i - 1];
      const moment& now = moments_[i];
      const auto add = [&](std::int64_t lasted_ns) {
        if (lasted_ns >= hindrance_min_ns) all.push_back({std::min(before.at_ns, now.at_ns - lasted_ns), now.at_ns, lasted_ns});
      };
      add(now.own.wait_ns - before.own.wait_ns);
      for (std::size_t cpu = 0; cpu < cpus_.size(); cpu++) add(now.steal_ns[cpu] - before.steal_ns[cpu]);
      for (const thread& each : now.threads) {
        const auto is_each = [&](const thread& was) { return was.id == each.id; };
        const auto was = std::find_if(before.threads.begin(), before.threads.end(), is_each);
        add(each.wait_ns - (was == before.threads.end() ? 0 : was->wait_ns));
      }
    }
    return all;
  }

private:
  struct thread {
    int id = 0;
    std::int64_t wait_ns = -1;
  };
  struct moment {
    std::int64_t at_ns = 0;
    std::vector<std::int64_t> steal_ns;  // of each of cpus_
    thread own;
    std::vector<thread> threads;
  };

  static thread thread_now(const std::string& path) {
    long long wait = -1;
    if (std::sscanf(text_of(path).c_str(), "%*d %lld", &wait) != 1) wait = -1;
    return {0, wait};
  }

  const std::string own_ = "/proc/thread-self/schedstat";
  const std::string tasks_;
  std::vector<std::string> cpus_;  // as their lines in /proc/stat begin
  std::vector<moment> moments_;
};

struct answer {
  std::int64_t due_ns;
  std::int64_t latency_ns;
  std::int64_t sent_late_ns;
  std::int64_t excused_ns;
};

// The connections to one server.
class load {
public:
  load(std::uint16_t port, pid_t pid, std::size_t count)
      : pid_(pid), record_(pid), connections_(count), epoll_(epoll_create1(EPOLL_CLOEXEC)) {
    for (std::size_t i = 0; i < count; i++) open(i, port);
  }

  void run(double rate, double seconds, const std::string& file) {
    const std::int64_t from = begin();
    record_.begin(from);
    const std::int64_t until = from + std::llround(seconds * 1e9);
    const double period_ns = 1e9 / rate;
    std::int64_t now = from;
    std::int64_t due = from;
    for (std::uint64_t sent = 0; due < until || under_way_ > 0; now = now_ns()) {
      while (due <= now && due < until) {
        send(sent % connections_.size(), due, now);
        due = from + std::llround(static_cast<double>(++sent) * period_ns);
      }
      if (now - until > patience_ns) fail("%zu requests were never answered", under_way_);
      if (is_time_to_note(now)) {
        count_threads();
        record_.note(now);
      }
      receive(std::min(due < until ? due : now + note_every_ns, noted_ns_ + note_every_ns), 0);
    }
    record_.note(now);
    const std::vector<hindrance> hindrances = record_.hindrances();
    std::vector<std::int64_t> sent_late_ns;
    for (answer& each : answers_) {
      sent_late_ns.push_back(each.sent_late_ns);
      if (each.latency_ns <= slow_ns) continue;
      const std::int64_t sent_ns = each.due_ns + each.sent_late_ns;
      each.excused_ns = each.sent_late_ns + longest_within(sent_ns, each.due_ns + each.latency_ns, hindrances);
    }
    std::FILE* out = std::fopen(file.c_str(), "wb");
    if (out == nullptr || std::fwrite(answers_.data(), sizeof(answer), answers_.size(), out) != answers_.size() ||
        std::fclose(out) != 0) {
      fail("cannot write %s: %s", file.c_str(), std::strerror(errno));
    }
    std::sort(sent_late_ns.begin(), sent_late_ns.end());
    const std::size_t count = sent_late_ns.size();
    std::printf("{\"requests\": %zu, \"threads_max\": %zu, \"sent_late_ns_p999\": %lld, \"sent_late_ns_max\": %lld}\n", count,
                threads_max_, static_cast<long long>(count > 0 ? sent_late_ns[count * 999 / 1000] : 0),
                static_cast<long long>(count > 0 ? sent_late_ns.back() : 0));
    std::fflush(stdout);
  }

  void saturate(double seconds) {
    const std::int64_t from = begin();
    const std::int64_t until = from + std::llround(seconds * 1e9);
    for (std::size_t i = 0; i < connections_.size(); i++) send(i, from, from);
    std::size_t in_time = 0;
    for (std::int64_t now = from; now < until || under_way_ > 0; now = now_ns()) {
      if (now < until) in_time = answers_.size();
      if (now - until > patience_ns) fail("%zu requests were never answered", under_way_);
      if (is_time_to_note(now)) count_threads();
      receive(noted_ns_ + note_every_ns, now < until ? now : 0);
    }
    std::printf("{\"requests\": %zu, \"threads_max\": %zu, \"per_second\": %.1f}\n", in_time, threads_max_,
                static_cast<double>(in_time) / seconds);
    std::fflush(stdout);
  }

private:
  struct connection {
    struct request {
      std::int64_t due_ns;
      std::int64_t sent_ns;
    };
    int fd = -1;
    std::uint32_t sent = 0;
    std::uint32_t answered = 0;
    std::size_t received = 0;  // of the oldest answer that is not complete
    std::deque<request> under_way;
  };

  void open(std::size_t index, std::uint16_t port) {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
      fail("cannot connect to port %u: %s", port, std::strerror(errno));
    }
    const int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    connections_[index].fd = fd;
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = index;
    epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event);
  }

  std::int64_t begin() {
    answers_.clear();
    threads_max_ = 0;
    count_threads();
    return noted_ns_ = now_ns();
  }

  bool is_time_to_note(std::int64_t now) {
    if (now - noted_ns_ < note_every_ns) return false;
    noted_ns_ = now;
    return true;
  }

  void count_threads() { threads_max_ = std::max(threads_max_, threads_of(pid_)); }

  // The first 8 bytes name connection and request, the rest is a fixed pattern.
  static std::array<char, message_bytes> message(std::size_t index, std::uint32_t number) {
    std::array<char, message_bytes> made;
    for (std::size_t i = 0; i < made.size(); i++) made[i] = static_cast<char>(i * 131 + 17);
    const std::uint64_t head = index << 32 | number;
    std::memcpy(made.data(), &head, sizeof head);
    return made;
  }

  void send(std::size_t index, std::int64_t due_ns, std::int64_t now) {
    connection& to = connections_[index];
    const std::array<char, message_bytes> bytes = message(index, to.sent++);
    to.under_way.push_back({due_ns, now});
    under_way_++;
    const ssize_t n = ::send(to.fd, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n != static_cast<ssize_t>(bytes.size())) {
      fail("connection %zu took %zd of %zu bytes: %s", index, n, bytes.size(), n < 0 ? std::strerror(errno) : "short");
    }
  }

  // Takes what has come; with nothing there, waits until then at most. `send_again_ns`, if not 0: each answer sets off a request.
  void receive(std::int64_t wait_until_ns, std::int64_t send_again_ns) {
    std::array<epoll_event, 256> ready;
    const std::int64_t wait_ns = std::max<std::int64_t>(0, wait_until_ns - now_ns());
    const timespec wait{wait_ns / 1'000'000'000, wait_ns % 1'000'000'000};
    const int count = epoll_pwait2(epoll_, ready.data(), static_cast<int>(ready.size()), &wait, nullptr);
    const std::int64_t now = now_ns();
    for (int i = 0; i < count; i++) {
      const std::size_t index = ready[static_cast<std::size_t>(i)].data.u64;
      std::array<char, 16384> bytes;
      const ssize_t n = recv(connections_[index].fd, bytes.data(), bytes.size(), MSG_DONTWAIT);
      if (n < 0 && errno == EAGAIN) continue;
      if (n <= 0) fail("connection %zu was closed by the server", index);
      take(index, bytes.data(), static_cast<std::size_t>(n), now, send_again_ns);
    }
  }

  void take(std::size_t index, const char* bytes, std::size_t size, std::int64_t now, std::int64_t send_again_ns) {
    connection& from = connections_[index];
    while (size > 0) {
      if (from.under_way.empty()) fail("connection %zu: bytes that nobody asked for", index);
      const std::array<char, message_bytes> expected = message(index, from.answered);
      const std::size_t part = std::min(size, expected.size() - from.received);
      if (std::memcmp(bytes, expected.data() + from.received, part) != 0) {
        fail("connection %zu: the echo of request %u differs from what was sent", index, from.answered);
      }
      bytes += part;
      size -= part;
      from.received += part;
      if (from.received < expected.size()) return;
      from.received = 0;
      from.answered++;
      const connection::request done = from.under_way.front();
      from.under_way.pop_front();
      under_way_--;
      answers_.push_back({done.due_ns, now - done.due_ns, done.sent_ns - done.due_ns, 0});
      if (send_again_ns != 0) send(index, now, now);
    }
  }

  pid_t pid_;
  scheduler_record record_;
  std::size_t threads_max_ = 0;
  std::vector<connection> connections_;
  std::size_t under_way_ = 0;
  std::int64_t noted_ns_ = 0;
  std::vector<answer> answers_;
  int epoll_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) fail("usage: open_loop PORT PID CONNECTIONS");
  prctl(PR_SET_TIMERSLACK, 1);  // a request is not sent later because it suits the kernel
  load server(static_cast<std::uint16_t>(std::atoi(argv[1])), std::atoi(argv[2]), std::strtoull(argv[3], nullptr, 10));
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream words(line);
    std::string verb;
    std::string file;
    double rate = 0;
    double seconds = 0;
    if (!(words >> verb)) continue;
    if (verb == "run" && words >> rate >> seconds >> file && rate > 0) {
      server.run(rate, seconds, file);
    } else if (verb == "saturate" && words >> seconds) {
      server.saturate(seconds);
    } else {
      fail("'%s' is neither: run RATE SECONDS FILE, nor: saturate SECONDS", line.c_str());
    }
  }
}
