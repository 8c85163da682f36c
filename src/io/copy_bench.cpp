// copy_bench [MEGABYTES] - what it costs to carry a stream from one connection to another, by splice and through buffers: CPU
// nanoseconds a KiB on one worker, both ends included, for writes of 64 B, 16 KiB and 1 MiB. Three rounds, each beside the other.
#include <sys/resource.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "levity/io/copy.hpp"
#include "levity/io/tcp.hpp"
#include "levity/io/tcp_listener.hpp"
#include "levity/runtime/run.hpp"
#include "levity/task/scope.hpp"
#include "levity/task/when_all.hpp"

namespace lv = levity;

namespace {

double cpu_ns() {
  rusage used{};
  ::getrusage(RUSAGE_SELF, &used);
  return static_cast<double>(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1e9 +
         static_cast<double>(used.ru_utime.tv_usec + used.ru_stime.tv_usec) * 1e3;
}

// A connection that does not show its descriptor.
struct buffered {
  lv::tcp_stream& stream;
  auto read_some(std::span<std::byte> into) { return stream.read_some(into); }
  auto read_some() { return stream.read_some(); }
  auto write_all(lv::byte_view bytes) { return stream.write_all(bytes); }
};

lv::task<> pump(lv::tcp_stream to, std::uint64_t total, std::size_t part) {
  const std::string text(part, 'x');
  for (std::uint64_t sent = 0; sent < total; sent += part) {
    const auto written = co_await to.write_all(text);
    if (!written) co_return;
  }
}

lv::task<> drain(lv::tcp_stream from) {
  std::vector<std::byte> room(1 << 20);
  for (;;) {
    const auto got = co_await from.read_some(std::span(room));
    if (!got) co_return;
  }
}

lv::task<> measure(bool splice, std::uint64_t total, std::size_t part) {
  auto listener = lv::tcp_listener::bind("127.0.0.1:0").value();
  auto front = co_await lv::when_all(lv::tcp_stream::connect(listener.local_address()), listener.accept());
  auto back = co_await lv::when_all(lv::tcp_stream::connect(listener.local_address()), listener.accept());
  lv::tcp_stream in = std::move(std::get<1>(front).value());
  lv::tcp_stream out = std::move(std::get<0>(back).value());
  lv::scope ends;
  ends.spawn(pump, std::move(std::get<0>(front).value()), total, part);
  ends.spawn(drain, std::move(std::get<1>(back).value()));
  const double before = cpu_ns();
  lv::copy_outcome outcome;
  if (splice) {
    outcome = co_await lv::copy(in, out);
  } else {
    buffered from{in};
    buffered to{out};
    outcome = co_await lv::copy(from, to);
  }
  out.close();
  co_await ends.join();
  std::printf("%-8s writes of %8zu B  %10.0f ns CPU a KiB\n", splice ? "splice" : "buffers", part,
              (cpu_ns() - before) * 1024 / static_cast<double>(outcome.bytes));
}

}  // namespace

int main(int count, char** arguments) {
  const std::uint64_t megabytes = count > 1 ? std::strtoull(arguments[1], nullptr, 10) : 500;
  lv::runtime_options options;
  options.workers = 1;
  constexpr std::size_t parts[] = {64, 16 * 1024, 1 << 20};
  for (int round = 0; round < 3; round++) {
    for (const std::size_t part : parts) {
      const std::uint64_t total = part == 64 ? megabytes * 20'000 : megabytes * 1'000'000;
      for (const bool splice : {true, false}) lv::run_with(options, measure, splice, total, part);
    }
  }
}
