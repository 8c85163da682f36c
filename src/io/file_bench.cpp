// file_bench [OPERATIONS] [DIRECTORY] - what a file operation costs by each means, beside the plain system call on the same
// file: wall and CPU microseconds an operation. One operation at a time, then 32 tasks at once.
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "levity/io/file.hpp"
#include "levity/runtime/run.hpp"
#include "levity/task/scope.hpp"

namespace lv = levity;

namespace {

constexpr std::size_t block_bytes = 4096;
constexpr std::uint64_t blocks = 4096;

struct moment {
  std::chrono::steady_clock::time_point wall = std::chrono::steady_clock::now();
  double cpu_us = [] {
    rusage used{};
    ::getrusage(RUSAGE_SELF, &used);
    return static_cast<double>(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1e6 +
           static_cast<double>(used.ru_utime.tv_usec + used.ru_stime.tv_usec);
  }();
};

void row(const char* what, const char* means, const moment& from, std::uint64_t operations) {
  const moment now;
  const double wall_us = std::chrono::duration<double, std::micro>(now.wall - from.wall).count();
  std::printf("%-28s %-10s %8.2f us %8.2f us CPU\n", what, means, wall_us / static_cast<double>(operations),
              (now.cpu_us - from.cpu_us) / static_cast<double>(operations));
}

std::uint64_t offset_of(std::uint64_t number) { return number * 2654435761U % blocks * block_bytes; }

lv::task<> reads(lv::file* from, std::uint64_t operations) {
  std::array<std::byte, block_bytes> block;
  for (std::uint64_t i = 0; i < operations; i++) {
    if (!co_await from->read_at(offset_of(i), block)) std::abort();
  }
}

lv::task<> writes(lv::file* to, std::uint64_t operations) {
  const std::vector<std::byte> block(block_bytes, std::byte{7});
  for (std::uint64_t i = 0; i < operations; i++) {
    if (!co_await to->write_at(offset_of(i), block)) std::abort();
    if (!co_await to->sync_data()) std::abort();
  }
}

lv::task<> measure(std::string path, const char* means, std::uint64_t operations) {
  auto file = co_await lv::file::open(path, {.read = true, .write = true});
  if (!file) std::abort();
  co_await reads(&*file, 100);
  {
    const moment from;
    co_await reads(&*file, operations);
    row("read 4 KiB, cached", means, from, operations);
  }
  {
    const moment from;
    lv::scope tasks;
    for (int i = 0; i < 32; i++) tasks.spawn(reads, &*file, operations / 32);
    co_await tasks.join();
    row("read 4 KiB, cached, 32 tasks", means, from, operations / 32 * 32);
  }
  const moment from;
  co_await writes(&*file, operations / 50);
  row("write 4 KiB + fdatasync", means, from, operations / 50);
}

void measure_calls(const std::string& path, std::uint64_t operations) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  std::array<std::byte, block_bytes> block{};
  {
    const moment from;
    for (std::uint64_t i = 0; i < operations; i++) {
      if (::pread(fd, block.data(), block_bytes, static_cast<off_t>(offset_of(i))) < 0) std::abort();
    }
    row("read 4 KiB, cached", "pread", from, operations);
  }
  const moment from;
  for (std::uint64_t i = 0; i < operations / 50; i++) {
    if (::pwrite(fd, block.data(), block_bytes, static_cast<off_t>(offset_of(i))) < 0 || ::fdatasync(fd) != 0) std::abort();
  }
  row("write 4 KiB + fdatasync", "pwrite", from, operations / 50);
  ::close(fd);
}

}  // namespace

int main(int argc, char** argv) {
  const std::uint64_t operations = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 50'000;
  std::string path = std::string(argc > 2 ? argv[2] : "/tmp") + "/levity-file-bench.XXXXXX";
  const int fd = ::mkstemp(path.data());
  if (fd < 0 || ::ftruncate(fd, static_cast<off_t>(blocks * block_bytes)) != 0) {
    std::fprintf(stderr, "file_bench: \"%s\" cannot be made; name a directory that can be written to\n", path.c_str());
    return 1;
  }
  ::close(fd);
  measure_calls(path, operations);
  for (const auto& [means, name] : {std::pair{lv::file_means::ring, "ring"}, std::pair{lv::file_means::blocking, "threads"}}) {
    lv::runtime_options options;
    options.files = means;
    lv::run_with(options, measure, path, name, operations);
  }
  ::unlink(path.c_str());
}
