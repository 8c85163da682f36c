// What the tests of the order service share: a directory that goes away, and orders at random from a seed.
#pragma once

#include <csignal>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "reference/book.hpp"
#include "reference/group_commit.hpp"
#include "reference/order.hpp"

namespace orders::test {

class temporary_directory {
public:
  temporary_directory() {
    // Memory, where there is some: the tests are about states of a directory, not about a disk.
    std::string name = std::filesystem::exists("/dev/shm") ? "/dev/shm/orders_XXXXXX" : "/tmp/orders_XXXXXX";
    if (!::mkdtemp(name.data())) throw std::runtime_error("no temporary directory");
    path_ = name;
  }
  temporary_directory(const temporary_directory&) = delete;
  temporary_directory& operator=(const temporary_directory&) = delete;
  ~temporary_directory() { std::filesystem::remove_all(path_); }
  const std::string& path() const noexcept { return path_; }
  void clear() const {
    std::filesystem::remove_all(path_);
    std::filesystem::create_directory(path_);
  }
  void copy_from(const std::string& other) const {
    clear();
    std::filesystem::copy(other, path_);
  }

private:
  std::string path_;
};

inline std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline void write_file(const std::string& path, std::string_view bytes) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  if (!file.flush()) throw std::runtime_error("cannot write " + path);
}

// Files end at a number of bytes: to the store that is a disk that fails.
class file_size_limit {
public:
  explicit file_size_limit(rlim_t bytes) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    outer_ = ::signal(SIGXFSZ, SIG_IGN);
    rlimit now = before_;
    now.rlim_cur = bytes;
    ::setrlimit(RLIMIT_FSIZE, &now);
  }
  ~file_size_limit() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    ::signal(SIGXFSZ, outer_);
  }

private:
  rlimit before_{};
  sighandler_t outer_;
};

/// What a program came to.
struct said {
  int code = 0;
  std::string text;  // on standard error, without what the runtime says of a machine that is busy
};

inline said run_program(int (*program)(int, char**), std::vector<std::string> words) {
  words.insert(words.begin(), "program");
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  testing::internal::CaptureStderr();
  said made;
  made.code = program(static_cast<int>(words.size()), argv.data());
  std::istringstream lines(testing::internal::GetCapturedStderr());
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("levity: ")) made.text += line + '\n';
  }
  return made;
}

class random_orders {
public:
  explicit random_orders(std::uint64_t seed) : random_(seed) {}

  std::uint64_t below(std::uint64_t bound) { return random_() % bound; }

  std::string name(std::size_t length) {
    static constexpr std::string_view letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:@";
    std::string made;
    for (std::size_t i = 0; i < length; ++i) made.push_back(letters[below(letters.size())]);
    return made;
  }

  new_order wanted(std::uint64_t customers = 20) {
    std::vector<std::string> skus;
    std::vector<order_item> items;
    const std::size_t count = below(20) == 0 ? 1 + below(items_max) : 1 + below(4);
    for (std::size_t i = 0; i < count; ++i) skus.push_back(below(10) == 0 ? name(1 + below(64)) : name(5));
    for (const std::string& sku : skus) items.push_back({sku, static_cast<std::uint32_t>(1 + below(quantity_max))});
    return *pack_contents("c-" + std::to_string(below(customers)), items);
  }

  /// Decides and applies one request, as the service does; the record is appended. False if it was refused.
  bool step(book& book, group_commit& log) {
    const std::int64_t now = clock_ns_ += static_cast<std::int64_t>(below(1'000'000));
    if (book.size() == 0 || below(3) > 0) {
      const new_order order = wanted();
      const std::string key = below(2) == 0 ? "key-" + std::to_string(keys_++) : std::string();
      auto placed = book.place(order, key, now);
      if (!placed || !std::holds_alternative<create_record>(*placed)) return false;
      auto& made = std::get<create_record>(*placed);
      made.owes = static_cast<owed>(below(owes_all + 1));
      return add(book, log, made);
    }
    if (below(3) == 0) {
      return add(book, log, settle_record{1 + below(book.size()), static_cast<owed>(1 + below(owes_all))});
    }
    const change_request change{static_cast<order_status>(below(order_status_count)), {}};
    auto decided = book.change(1 + below(book.size()), change, now);
    return decided && add(book, log, *decided);
  }

private:
  static bool add(book& book, group_commit& log, const log_record& entry) {
    const std::uint64_t sequence = log.append(entry);
    if (auto applied = book.apply(sequence, entry); !applied) throw std::runtime_error(applied.error());
    return true;
  }

  std::mt19937_64 random_;
  std::uint64_t keys_ = 0;
  std::int64_t clock_ns_ = 1'795'000'000'000'000'000;
};

}  // namespace orders::test
