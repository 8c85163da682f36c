#include "levity/resolve/resolver.hpp"

#include <ares.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <iterator>
#include <mutex>
#include <optional>
#include <system_error>

#include "base/system_thread.hpp"
#include "io/simulated_names.hpp"
#include "levity/base/assert.hpp"
#include "levity/base/atomic.hpp"
#include "levity/task/detail/executor.hpp"
#include "levity/task/detail/record.hpp"
#include "levity/time/sleep.hpp"
#include "platform/syscall.hpp"
#include "platform/thread.hpp"
#include "resolve/query.hpp"

namespace levity::inline v0 {

using namespace detail;

namespace {

constexpr const char* doing = looking_up;
constexpr const char* servers_file = "/etc/resolv.conf";

io_error to_io_error(int status) noexcept {
  switch (status) {
    case ARES_ENOTFOUND:
    case ARES_ENODATA: return {io_failure::not_found, 0, doing};
    case ARES_ETIMEOUT: return {io_failure::timed_out, 0, doing};
    case ARES_EBADNAME:
    case ARES_EBADFAMILY:
    case ARES_EBADQUERY:
    case ARES_ENONAME:
    case ARES_EBADHINTS:
    case ARES_EBADSTR:
    case ARES_ESERVICE: return {io_failure::invalid, 0, doing};
    case ARES_ENOMEM: return {io_failure::no_memory, 0, doing};
    case ARES_ECANCELLED:
    case ARES_EDESTRUCTION: return {io_failure::cancelled, 0, doing};
    default: return {io_failure::unavailable, 0, doing};
  }
}

int to_kernel(address_family family) noexcept {
  switch (family) {
    case address_family::v4: return AF_INET;
    case address_family::v6: return AF_INET6;
    case address_family::any: break;
  }
  return AF_UNSPEC;
}

io_result<std::vector<address>> addresses_of(const ares_addrinfo& found) {
  std::vector<address> all;
  for (const ares_addrinfo_node* node = found.nodes; node != nullptr; node = node->ai_next) {
    if (node->ai_family == AF_INET6) {
      const auto* v6 = reinterpret_cast<const sockaddr_in6*>(node->ai_addr);
      all.push_back(address::from_bytes(v6->sin6_addr.s6_addr, true, ntohs(v6->sin6_port)));
    } else if (node->ai_family == AF_INET) {
      const auto* v4 = reinterpret_cast<const sockaddr_in*>(node->ai_addr);
      all.push_back(address::from_bytes(reinterpret_cast<const std::uint8_t*>(&v4->sin_addr), false, ntohs(v4->sin_port)));
    }
  }
  if (all.empty()) return std::unexpected(io_error{io_failure::not_found, 0, doing});
  return all;
}

// The answer to a query that needs none: host and service are numbers.
std::optional<io_result<std::vector<address>>> answer_at_once(const std::string& host, const std::string& service,
                                                              address_family family) {
  if (host.empty() || host.find('\0') != std::string::npos || service.empty()) {
    return std::unexpected(io_error{io_failure::invalid, 0, doing});
  }
  std::uint16_t port = 0;
  const auto [end, failed] = std::from_chars(service.data(), service.data() + service.size(), port);
  const bool number = failed == std::errc{} && end == service.data() + service.size();
  if (!number && service.find_first_not_of("0123456789") == std::string::npos) {  // a number beyond all ports
    return std::unexpected(io_error{io_failure::invalid, 0, doing});
  }
  std::uint8_t bytes[16];
  for (const bool v6 : {false, true}) {
    if (::inet_pton(v6 ? AF_INET6 : AF_INET, host.c_str(), bytes) != 1) continue;
    if (family == (v6 ? address_family::v4 : address_family::v6)) {
      return std::unexpected(io_error{io_failure::not_found, 0, doing});
    }
    if (!number) return std::nullopt;
    return std::vector{address::from_bytes(bytes, v6, port)};
  }
  return std::nullopt;
}

// What a made-up world says; of services it knows numbers.
task<io_result<std::vector<address>>> ask_world(simulated_names& names, std::string host, std::string service,
                                                address_family family) {
  std::uint16_t port = 0;
  const auto [end, failed] = std::from_chars(service.data(), service.data() + service.size(), port);
  if (failed != std::errc{} || end != service.data() + service.size()) {
    co_return std::unexpected(io_error{io_failure::unsupported, 0, doing});
  }
  const simulated_names::answer said = names.ask(host);
  try {
    co_await sleep(duration{said.after_ns});
  } catch (const cancelled& why) {
    co_return std::unexpected(to_io_error(why.reason(), doing));
  }
  if (!said.addresses) co_return std::unexpected(said.addresses.error());
  std::vector<address> found;
  for (const address& each : *said.addresses) {
    if (family == (each.is_v6() ? address_family::v4 : address_family::v6)) continue;
    found.push_back(address::from_bytes(each.bytes(), each.is_v6(), port));
  }
  if (found.empty()) co_return std::unexpected(io_error{io_failure::not_found, 0, doing});
  co_return found;
}

}  // namespace

struct resolver::shared {
  const resolver_options options;
  int bell_fd = -1;
  std::once_flag starting;
  system_thread thread;
  query_inbox inbox;
  atomic<bool> stop{false};

  // The thread's.
  ares_channel channel = nullptr;
  int refusal = ARES_SUCCESS;  // why there is no channel
  std::vector<pollfd> watched;  // the first is the bell
  std::size_t in_flight = 0;
  timespec servers_read{};

  explicit shared(resolver_options wanted) : options(std::move(wanted)) {}

  ~shared() {
    if (thread.joinable()) {
      stop.store(true, std::memory_order_relaxed);  // the bell's system calls order it
      ring();
      thread.join();
    }
    if (bell_fd >= 0) kernel::close(bell_fd);
  }

  void ring() noexcept {
    kernel::ring_bell(bell_fd);
  }

  // Throws std::system_error.
  void start() {
    bell_fd = kernel::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (bell_fd < 0) throw std::system_error(errno, std::generic_category());
    // Every signal stays blocked in the new thread.
    sigset_t all;
    sigset_t before;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    try {
      thread = start_thread("levity resolver", [this] { serve(); });
    } catch (...) {
      ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
      kernel::close(std::exchange(bell_fd, -1));
      throw;
    }
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }

  void ask(query& one) noexcept {
    if (inbox.push(one)) ring();
  }

  // -- the thread ----------------------------------------------------------------------------------------------------

  static void watch(void* self, ares_socket_t fd, int readable, int writable) {
    auto& all = static_cast<shared*>(self)->watched;
    const auto known = std::find_if(all.begin() + 1, all.end(), [fd](const pollfd& each) { return each.fd == fd; });
    const auto events = static_cast<short>((readable != 0 ? POLLIN : 0) | (writable != 0 ? POLLOUT : 0));
    if (events == 0) {
      if (known != all.end()) all.erase(known);
    } else if (known != all.end()) {
      known->events = events;
    } else {
      all.push_back({fd, events, 0});
    }
  }

  static void answered(void* one, int status, int, ares_addrinfo* found) {
    auto& asked = *static_cast<query*>(one);
    static_cast<shared*>(asked.home)->in_flight--;
    io_result<std::vector<address>> outcome = std::unexpected(to_io_error(status));
    try {
      if (status == ARES_SUCCESS) outcome = addresses_of(*found);
    } catch (const std::bad_alloc&) {
      outcome = std::unexpected(io_error{io_failure::no_memory, 0, doing});
    }
    if (found != nullptr) ::ares_freeaddrinfo(found);
    asked.answer(std::move(outcome));
  }

  void open_channel() {
    char from_hosts[] = "fb";
    char from_servers[] = "b";
    ares_options wanted{};
    wanted.timeout = static_cast<int>(
        std::clamp<std::int64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(options.timeout).count(), 1, 1 << 20));
    wanted.tries = std::max(options.tries, 1);
    wanted.lookups = options.hosts_file ? from_hosts : from_servers;
    wanted.sock_state_cb = &watch;
    wanted.sock_state_cb_data = this;
    struct stat file;
    servers_read = kernel::stat(servers_file, &file) == 0 ? file.st_mtim : timespec{};
    refusal = ::ares_init_options(&channel, &wanted,
                                  ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB);
    if (refusal != ARES_SUCCESS) {
      channel = nullptr;
      return;
    }
    if (options.servers.empty()) return;
    std::string list;
    for (const std::string& each : options.servers) list.append(list.empty() ? "" : ",").append(each);
    refusal = ::ares_set_servers_ports_csv(channel, list.c_str());
    if (refusal != ARES_SUCCESS) close_channel();
  }

  void close_channel() noexcept {
    if (channel != nullptr) ::ares_destroy(std::exchange(channel, nullptr));
  }

  // A machine that changes its network changes this file.
  [[nodiscard]] bool servers_changed() const noexcept {
    struct stat file;
    return options.servers.empty() && kernel::stat(servers_file, &file) == 0 &&
           (file.st_mtim.tv_sec != servers_read.tv_sec || file.st_mtim.tv_nsec != servers_read.tv_nsec);
  }

  void begin(query& one) {
    if (in_flight == 0 && (channel == nullptr || servers_changed())) {
      close_channel();
      open_channel();
    }
    if (channel == nullptr) return one.answer(std::unexpected(to_io_error(refusal)));
    one.home = this;
    in_flight++;
    ares_addrinfo_hints hints{};
    hints.ai_family = to_kernel(one.family);
    hints.ai_socktype = SOCK_STREAM;
    ::ares_getaddrinfo(channel, one.host.c_str(), one.service.c_str(), &hints, &answered, &one);
  }

  void drain() {
    query* first = inbox.take_all();
    while (first != nullptr) {
      query& one = *first;
      first = first->next;
      begin(one);
    }
  }

  void serve() noexcept {
    static std::once_flag library;
    std::call_once(library, [] { ::ares_library_init(ARES_LIB_INIT_ALL); });
    watched.push_back({bell_fd, POLLIN, 0});
    std::vector<pollfd> ready;
    for (;;) {
      const bool last = stop.load(std::memory_order_relaxed);
      drain();
      if (last) break;
      int wait_ms = -1;
      timeval left;
      if (channel != nullptr && ::ares_timeout(channel, nullptr, &left) != nullptr) {
        wait_ms = static_cast<int>(left.tv_sec * 1000 + (left.tv_usec + 999) / 1000);
      }
      const int count = kernel::poll(watched.data(), watched.size(), wait_ms);
      if (count > 0 && watched[0].revents != 0) {
        std::uint64_t rung;
        [[maybe_unused]] const ssize_t got = kernel::read_record(bell_fd, &rung, sizeof rung);
      }
      if (channel == nullptr) continue;
      // The callbacks change `watched`.
      ready.clear();
      std::copy_if(watched.begin() + 1, watched.end(), std::back_inserter(ready),
                   [count](const pollfd& each) { return count > 0 && each.revents != 0; });
      for (const pollfd& each : ready) {
        ::ares_process_fd(channel, (each.revents & ~POLLOUT) != 0 ? each.fd : ARES_SOCKET_BAD,
                          (each.revents & POLLOUT) != 0 ? each.fd : ARES_SOCKET_BAD);
      }
      ::ares_process_fd(channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);  // timeouts
    }
    close_channel();  // what is in flight is answered: cancelled
  }
};

resolver::resolver(resolver_options options) : shared_(std::make_unique<shared>(std::move(options))) {}

resolver::~resolver() = default;

resolver& resolver::system() {
  static resolver instance;
  return instance;
}

task<io_result<std::vector<address>>> resolver::resolve(std::string host, std::string service, address_family family) {
  if (auto known = answer_at_once(host, service, family)) co_return std::move(*known);
  if (current_run().exec->simulated()) {
    simulated_names* const names = current_run().exec->names();
    if (names == nullptr) co_return std::unexpected(io_error{io_failure::unsupported, 0, doing});
    co_return co_await ask_world(*names, std::move(host), std::move(service), family);
  }
  try {
    std::call_once(shared_->starting, [this] { shared_->start(); });
  } catch (const std::system_error& refused) {
    co_return std::unexpected(io_error::from_errno(refused.code().value(), doing));
  }
  struct lease {
    query* one;
    ~lease() { one->let_go(); }
  };
  const lease ours{new query};
  query& one = *ours.one;
  one.host = std::move(host);
  one.service = std::move(service);
  one.family = family;
  shared_->ask(one);
  const cancel_reason why = co_await query_wait{one};
  if (why != cancel_reason::none) co_return std::unexpected(to_io_error(why, doing));
  co_return std::move(one.outcome);
}

task<io_result<std::vector<address>>> resolve(std::string host, std::string service, address_family family) {
  return resolver::system().resolve(std::move(host), std::move(service), family);
}

}  // namespace levity
