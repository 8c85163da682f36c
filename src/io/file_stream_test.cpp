// A file as a stream; appends, holes and direct I/O, by every means.

#include "levity/io/file_stream.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <string>

#include "levity/levity.hpp"
#include "tests/support/run_tasks.hpp"
#include "tests/support/temporary_folder.hpp"

namespace lv = levity;
using levity::io_failure;
using levity::test::temporary_folder;
using means = lv::file_means;

namespace {

static_assert(lv::byte_source<lv::file_reader> && lv::byte_sink<lv::file_writer>);

class file_streams : public testing::TestWithParam<means> {};

template <class F, class... Args>
void run_by(means by, F f, Args... args) {
  lv::runtime_options options;
  options.workers = 2;
  options.handle_signals = false;
  options.files = by;
  EXPECT_EQ(lv::run_with(options, std::move(f), std::move(args)...), 0);
}

std::string content_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

}  // namespace

TEST_P(file_streams, lines_of_a_file_come_one_by_one_and_a_copy_is_the_same) {
  const temporary_folder folder;
  std::string all;
  for (int i = 0; i < 20'000; i++) all += "line " + std::to_string(i) + "\n";
  std::ofstream(folder.file("from"), std::ios::binary) << all;
  run_by(GetParam(), [](std::string from, std::string to) -> lv::task<> {
    auto source = (co_await lv::file::open(from, {.read = true})).value();
    lv::file_reader stream(source);
    lv::buffered_reader lines(stream);
    int count = 0;
    for (;; count++) {
      const auto line = co_await lines.read_line();
      if (!line) {
        EXPECT_EQ(line.error(), io_failure::eof);
        break;
      }
      if (*line != "line " + std::to_string(count)) ADD_FAILURE() << *line;
    }
    EXPECT_EQ(count, 20'000);
    auto target = (co_await lv::file::open(to, {.write = true, .create = true})).value();
    lv::file_reader again(source, 7);
    lv::file_writer sink(target, 7);
    EXPECT_TRUE(co_await target.write_at(0, "line 0\n"));
    const auto copied = co_await lv::copy(again, sink);
    EXPECT_TRUE(copied);
    EXPECT_EQ(again.offset(), sink.offset());
    EXPECT_EQ((co_await again.read_some(std::as_writable_bytes(std::span(&count, 1)))).error(), io_failure::eof);
    lv::file closed;
    lv::file_reader nothing(closed);
    EXPECT_EQ((co_await nothing.read_some(std::as_writable_bytes(std::span(&count, 1)))).error(), io_failure::closed);
  }, folder.file("from"), folder.file("to"));
  EXPECT_TRUE(content_of(folder.file("to")) == all);
}

TEST_P(file_streams, appends_of_many_never_overlap) {
  const temporary_folder folder;
  run_by(GetParam(), [](std::string path) -> lv::task<> {
    lv::scope writers;
    for (int i = 0; i < 4; i++) {
      writers.spawn([](std::string to, char with) -> lv::task<> {
        auto file = (co_await lv::file::open(to, {.write = true, .create = true, .append = true})).value();
        const std::string line = std::string(99, with) + "\n";
        for (int round = 0; round < 50; round++) EXPECT_EQ((co_await file.append(line)).value_or(0), line.size());
      }, path, static_cast<char>('a' + i));
    }
    co_await writers.join();
  }, folder.file("log"));
  const std::string all = content_of(folder.file("log"));
  ASSERT_EQ(all.size(), 4u * 50 * 100);
  for (std::size_t at = 0; at < all.size(); at += 100) {
    EXPECT_EQ(all.find_first_not_of(all[at], at), at + 99);
    EXPECT_EQ(all[at + 99], '\n');
  }
}

TEST_P(file_streams, room_is_reserved_and_holes_read_as_zero) {
  const temporary_folder folder;
  run_by(GetParam(), [](std::string path) -> lv::task<> {
    auto file = (co_await lv::file::open(path, {.read = true, .write = true, .create = true})).value();
    const auto reserved = co_await file.allocate(0, 1 << 20);
    if (!reserved && reserved.error() == io_failure::unsupported) co_return;
    EXPECT_TRUE(reserved);
    EXPECT_EQ(file.size().value_or(0), 1u << 20);
    struct stat status {};
    EXPECT_EQ(::fstat(file.native_handle(), &status), 0);
    EXPECT_GE(status.st_blocks * 512, 1 << 20);
    EXPECT_TRUE(co_await file.write_at(0, std::string(12'288, 'x')));
    EXPECT_TRUE(co_await file.punch_hole(4096, 4096));
    std::string got(12'288, '?');
    EXPECT_EQ((co_await file.read_at(0, std::as_writable_bytes(std::span(got)))).value_or(0), got.size());
    EXPECT_TRUE(got == std::string(4096, 'x') + std::string(4096, '\0') + std::string(4096, 'x'));
    EXPECT_EQ(file.size().value_or(0), 1u << 20);
  }, folder.file("room"));
}

TEST_P(file_streams, direct_reads_and_writes_take_what_an_aligned_buffer_gives) {
  const temporary_folder folder;
  run_by(GetParam(), [](std::string path) -> lv::task<> {
    auto file = co_await lv::file::open(path, {.read = true, .write = true, .create = true, .direct = true});
    if (!file && file.error() == io_failure::invalid) co_return;  // a file system without direct I/O
    EXPECT_TRUE(file);
    if (!file) co_return;
    const auto needs = file->alignment();
    EXPECT_TRUE(needs);
    if (!needs) co_return;
    EXPECT_EQ(needs->memory & (needs->memory - 1), 0u);
    EXPECT_EQ(needs->offset & (needs->offset - 1), 0u);
    lv::aligned_buffer out(10'000, std::max(needs->memory, needs->offset));
    EXPECT_GE(out.size(), 10'000u);
    EXPECT_EQ(out.size() % needs->offset, 0u);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(out.bytes().data()) % needs->memory, 0u);
    for (std::size_t i = 0; i < out.size(); i++) out.bytes()[i] = static_cast<std::byte>(i * 7);
    EXPECT_EQ((co_await file->write_at(0, out.bytes())).value_or(0), out.size());
    lv::aligned_buffer in(out.size(), std::max(needs->memory, needs->offset));
    EXPECT_EQ((co_await file->read_at(0, in.bytes())).value_or(0), in.size());
    EXPECT_TRUE(std::equal(in.bytes().begin(), in.bytes().end(), out.bytes().begin()));
    if (needs->offset > 1) {
      EXPECT_EQ((co_await file->read_at(1, in.bytes())).error(), io_failure::invalid);
    }
    lv::aligned_buffer moved = std::move(in);
    EXPECT_EQ(in.size(), 0u);
    EXPECT_EQ(moved.bytes().size(), out.size());
  }, folder.file("direct"));
}

INSTANTIATE_TEST_SUITE_P(by, file_streams, testing::Values(means::automatic, means::ring, means::blocking),
                         [](const auto& each) {
                           return each.param == means::ring ? "ring" : each.param == means::blocking ? "threads" : "automatic";
                         });
