// service_log_line LINES - what a line of a log costs, with three fields and a request id: making it, and writing it to a sink that
// takes everything at once. And what one costs that is below the level, and one whose place has said too much.
#include <levity/levity.hpp>
#include <levity/service/log.hpp>
#include <levity/service/trace_context.hpp>

#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "cpu_time.hpp"

namespace lv = levity;

namespace {

struct counting_sink {
  std::uint64_t bytes = 0;
  lv::task<lv::io_result<void>> write_all(lv::byte_view piece) { return write(this, piece); }
  static lv::task<lv::io_result<void>> write(counting_sink* self, lv::byte_view piece) {
    self->bytes += piece.size();
    co_return lv::io_result<void>{};
  }
};

lv::task<std::int64_t> say(lv::service::log* log, std::uint64_t lines) {
  const auto id = lv::service::current_request_id.bind("4bf92f3577b34da6a3ce929d0e0e4736");
  const std::int64_t from = cpu_ns();
  for (std::uint64_t i = 0; i < lines; i++) {
    log->info("order placed", {{"order", i}, {"customer", "c-4711"}, {"took", lv::duration(1'234'567)}});
    if (i % 5000 == 4999) co_await log->flush();
  }
  co_await log->flush();
  co_return cpu_ns() - from;
}

lv::task<> measure(std::uint64_t lines) {
  lv::service::log_options options;
  options.per_site_per_second = 0;
  options.buffer = {4 << 20};
  lv::service::log log(options);
  counting_sink sink;
  lv::scope writers;
  writers.spawn([](lv::service::log* of, counting_sink* to) { return of->write_to(to); }, &log, &sink);
  (void)co_await say(&log, lines / 20 + 1);
  const std::int64_t spent = co_await say(&log, lines);
  const std::uint64_t dropped = log.look().dropped;
  const std::uint64_t bytes = sink.bytes;
  log.set_level(lv::service::log_level::warn);
  const std::int64_t below = co_await say(&log, lines);
  lv::service::log limited;
  std::int64_t from = cpu_ns();
  for (std::uint64_t i = 0; i < lines; i++) limited.info("again", {{"n", i}});
  const std::int64_t suppressed = cpu_ns() - from;
  std::printf(
      "{\"lines\": %llu, \"cpu_ns\": %lld, \"below_ns\": %lld, \"suppressed_ns\": %lld, \"dropped\": %llu, \"bytes\": %llu}\n",
      static_cast<unsigned long long>(lines), static_cast<long long>(spent), static_cast<long long>(below),
      static_cast<long long>(suppressed), static_cast<unsigned long long>(dropped), static_cast<unsigned long long>(bytes));
  writers.cancel();
  co_await writers.join();
}

}  // namespace

int main(int argc, char** argv) {
  const std::uint64_t lines = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 500'000;
  return lv::run(measure, lines);
}
