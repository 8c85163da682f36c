// udp_telemetry_sink: adds up measurements that programs send by UDP, and says every second how it goes. Shows batches of
// datagrams, a receive with a deadline, and memory that a stranger cannot make grow.
//
//   udp_telemetry_sink [ADDRESS]      127.0.0.1:7008 if none is given; port 0 takes any free one
//
// A datagram holds lines such as "db.query_ms 12.5". Try it: `echo "db.query_ms 12.5" > /dev/udp/127.0.0.1/7008` in bash. ^C ends
// it with a table of what came.
//
// Anybody can send anything. So names are checked and short, there are at most so many of them, and what does not fit is counted
// and not kept. What came too fast for us is counted, too: the kernel tells how many datagrams it had to drop.

#include <levity/levity.hpp>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <map>
#include <string>
#include <string_view>

namespace lv = levity;
using namespace std::chrono_literals;

constexpr std::size_t metrics_max = 1000;
constexpr std::size_t name_bytes_max = 64;
constexpr int receive_buffer_bytes = 4 << 20;  // what a burst may fill while we are busy; the kernel may give less

struct metric {
  std::uint64_t count = 0;
  double sum = 0;
  double min = std::numeric_limits<double>::infinity();
  double max = -std::numeric_limits<double>::infinity();
};

// All that is kept. One task owns it, so it needs no lock.
struct totals {
  std::map<std::string, metric, std::less<>> metrics;
  std::uint64_t samples = 0;
  std::uint64_t malformed = 0;  // lines that are none
  std::uint64_t refused = 0;    // lines with a name that there is no room for

  void add_datagram(std::string_view text) {
    while (!text.empty()) {
      const std::size_t end = text.find('\n');
      add_line(text.substr(0, end));
      text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    }
  }

private:
  void add_line(std::string_view line) {
    const std::size_t space = line.find(' ');
    const std::string_view name = line.substr(0, space);
    const std::string_view number = space == std::string_view::npos ? std::string_view{} : line.substr(space + 1);
    double value = 0;
    const auto read = std::from_chars(number.data(), number.data() + number.size(), value);
    const bool is_name = !name.empty() && name.size() <= name_bytes_max &&
                         std::all_of(name.begin(), name.end(), [](char each) { return each > ' ' && each <= '~'; });
    if (!is_name || read.ec != std::errc{} || read.ptr != number.data() + number.size() || !std::isfinite(value)) {
      malformed++;
      return;
    }
    auto found = metrics.find(name);
    if (found == metrics.end()) {
      if (metrics.size() == metrics_max) {
        refused++;
        return;
      }
      found = metrics.emplace(name, metric{}).first;
    }
    metric& own = found->second;
    own.count++;
    own.sum += value;
    own.min = std::min(own.min, value);
    own.max = std::max(own.max, value);
    samples++;
  }
};

void report(const totals& all, std::uint64_t samples_before, const lv::udp_socket& from) {
  std::printf("%llu samples, %llu in this second, of %zu metrics; %llu malformed, %llu refused, %llu datagrams dropped\n",
              static_cast<unsigned long long>(all.samples), static_cast<unsigned long long>(all.samples - samples_before),
              all.metrics.size(), static_cast<unsigned long long>(all.malformed), static_cast<unsigned long long>(all.refused),
              static_cast<unsigned long long>(from.dropped().value_or(0)));
  std::fflush(stdout);
}

// A deadline surrounds a task; a receive is none by itself.
lv::task<lv::io_result<std::size_t>> receive(lv::udp_socket* from, lv::udp_receive_batch* into) {
  co_return co_await from->receive(*into);
}

lv::task<int> collect(lv::udp_socket socket) {
  totals all;
  lv::udp_receive_batch batch(64);  // of 2 KiB each; the rest of a longer datagram is cut off
  std::uint64_t samples_before = 0;
  lv::time_point next_report = lv::clock::now() + 1s;
  for (;;) {
    const auto got = co_await lv::with_deadline(next_report, receive(&socket, &batch));
    if (!got && got.error() != lv::io_failure::timed_out) {
      if (got.error() != lv::io_failure::cancelled) std::fprintf(stderr, "udp_telemetry_sink: %s\n", got.error().message().c_str());
      break;  // cancelled: ^C
    }
    if (got) {
      for (const lv::udp_datagram each : batch) {
        std::string_view text{reinterpret_cast<const char*>(each.bytes.data()), each.bytes.size()};
        if (each.truncated) {  // a number that was cut short would be another number
          text = text.substr(0, text.rfind('\n') + 1);
          all.malformed++;
        }
        all.add_datagram(text);
      }
    }
    if (const auto now = lv::clock::now(); now >= next_report) {  // also when there is always something to receive
      report(all, samples_before, socket);
      samples_before = all.samples;
      next_report = now + 1s;
    }
  }
  report(all, samples_before, socket);
  for (const auto& [name, own] : all.metrics) {
    std::printf("%-24s %10llu times, sum %g, min %g, max %g\n", name.c_str(), static_cast<unsigned long long>(own.count), own.sum,
                own.min, own.max);
  }
  co_return 0;
}

int main(int count, char** arguments) {
  auto socket = lv::udp_socket::bind(count > 1 ? arguments[1] : "127.0.0.1:7008");
  if (!socket) {
    std::fprintf(stderr, "udp_telemetry_sink: %s\n", socket.error().message().c_str());
    return 1;
  }
  (void)socket->set_receive_buffer(receive_buffer_bytes);
  std::printf("listening on %s\n", socket->local_address().to_string().c_str());
  std::fflush(stdout);
  return lv::run(collect, std::move(*socket));
}
