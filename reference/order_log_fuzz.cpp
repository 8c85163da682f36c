// Feeds a data directory of arbitrary bytes to the scanner, the decoder and the recovery.
//
// The first byte says what the rest becomes: a log as it is; a log or snapshot whose checksums, lengths permitting, are
// made right first, so that the bytes reach the decoder and the book; or a script that writes a real log with batches,
// rotation and snapshot and then breaks some of its bytes.
// Whatever it is, recovery either says one sentence and changes no log, or succeeds; and what it made recovers again,
// without a warning, to the same book. Giving damage up always succeeds.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>

#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "reference/group_commit.hpp"
#include "reference/recovery.hpp"
#include "reference/result_of.hpp"
#include "reference/snapshot.hpp"

namespace {

using namespace orders;

void require(bool holds, const std::string& what) {
  if (holds) return;
  std::fprintf(stderr, "broken: %s\n", what.c_str());
  std::abort();
}

const std::string& directory() {
  static const std::string path = [] {
    std::string made = std::filesystem::exists("/dev/shm") ? "/dev/shm/orders_fuzz_" : "/tmp/orders_fuzz_";
    return made + std::to_string(::getpid());
  }();
  return path;
}

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void write_file(const std::string& path, std::string_view bytes) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

void put_u64(std::string& bytes, std::size_t at, std::uint64_t number) { std::memcpy(bytes.data() + at, &number, 8); }

// Walks from record to record by their lengths and makes sequence, lag, type and checksum right where that is cheap.
void seal(std::string& bytes, std::uint64_t generation) {
  running_checksum all;
  std::size_t at = 0;
  for (std::uint64_t sequence = 1; at + record_header_size <= bytes.size(); ++sequence) {
    std::uint32_t length = 0;
    std::memcpy(&length, bytes.data() + at + 16, 4);
    length %= 256;
    length = static_cast<std::uint32_t>(std::min<std::size_t>(length, bytes.size() - at - record_header_size));
    std::memcpy(bytes.data() + at + 16, &length, 4);
    put_u64(bytes, at + 8, sequence);
    bytes[at + 22] = static_cast<char>(1 + static_cast<unsigned char>(bytes[at + 22]) % 5);
    bytes[at + 23] = 0;
    const std::size_t size = record_header_size + length;
    if (bytes[at + 22] == static_cast<char>(record_type::snapshot_end) && length == 24) {
      put_u64(bytes, at + record_header_size, sequence - 1);
      put_u64(bytes, at + record_header_size + 16, all.value());
    }
    put_u64(bytes, at, XXH3_64bits_withSeed(bytes.data() + at + 8, size - 8, generation));
    all.add(std::string_view(bytes).substr(at, size));
    at += size;
  }
}

class script {
public:
  explicit script(std::string_view bytes) : rest_(bytes) {}
  bool empty() const { return rest_.empty(); }
  std::size_t next() {
    if (rest_.empty()) return 0;
    const std::size_t value = static_cast<unsigned char>(rest_.front());
    rest_.remove_prefix(1);
    return value;
  }

private:
  std::string_view rest_;
};

// A real history, and what is left of its files. Returns true if no byte was harmed; then everything must be there.
bool play(script& script, book& orders) {
  group_commit log{1, 1};
  std::string bytes[4];
  append_file_header(bytes[1], {file_kind::log, 1, 1, 0, 0});
  const auto commit = [&] {
    while (const commit_batch* batch = log.take_batch()) {
      bytes[batch->generation] += batch->bytes;
      log.committed();
    }
  };
  for (std::size_t steps = script.next() % 64; steps > 0; --steps) {
    const std::size_t what = script.next();
    if (what % 8 < 4) {
      const std::string sku = "s" + std::to_string(script.next());
      const order_item item{sku, static_cast<std::uint32_t>(1 + script.next())};
      const auto wanted = pack_contents("c" + std::to_string(what / 8 % 3), std::span(&item, 1));
      const std::string key = what % 8 == 0 ? "k" + std::to_string(script.next()) : "";
      const auto placed = orders.place(*wanted, key, 1);
      if (!placed || !std::holds_alternative<create_record>(*placed)) continue;
      const auto& create = std::get<create_record>(*placed);
      require(orders.apply(log.append(create), create).has_value(), "a decided create applies");
    } else if (what % 8 < 6) {
      const auto change = orders.change(1 + script.next() % 16, {static_cast<order_status>(what / 8 % 5), {}}, 2);
      if (change) require(orders.apply(log.append(*change), *change).has_value(), "a decided change applies");
    } else if (what % 8 == 6) {
      commit();
    } else if (log.generation() < 3) {
      commit();
      const std::uint64_t first = log.next_sequence();
      const std::uint64_t generation = log.rotate(0);
      commit();
      if (what / 8 % 2 == 0) {
        require(result_of(write_temporary_snapshot(directory(), orders, generation, first, 0)).has_value(), "snapshot written");
        if (what / 16 % 2 == 0) require(result_of(publish_snapshot(directory(), generation)).has_value(), "snapshot published");
      }
    }
    require(!log.check_invariants(), "group commit invariants");
  }
  commit();
  bool harmed = false;
  for (std::uint64_t generation = 1; generation <= log.generation(); ++generation) {
    write_file(log_path(directory(), generation), bytes[generation]);
  }
  while (!script.empty()) {
    const std::size_t generation = 1 + script.next() % log.generation();
    std::string& file = bytes[generation];
    const std::size_t at = (script.next() << 8 | script.next()) % (file.size() + 1);
    const std::size_t how = script.next();
    if (how % 4 == 0) file.resize(at);
    if (how % 4 == 1 && at < file.size()) file[at] = static_cast<char>(file[at] ^ 1 << how / 4 % 8);
    if (how % 4 == 2) file.append(how / 4 + 1, '\0');
    if (how % 4 == 3) file.append(file.substr(at, how / 4 + 1));
    write_file(log_path(directory(), generation), file);
    harmed = true;
  }
  return !harmed;
}

std::uint64_t hash_of_logs() {
  std::uint64_t hash = 0;
  for (std::uint64_t generation = 1; generation <= 4; ++generation) {
    for (const std::string& path : {log_path(directory(), generation), snapshot_path(directory(), generation)}) {
      const std::string bytes = read_file(path);
      hash = XXH3_64bits_withSeed(bytes.data(), bytes.size(), hash + 1);
    }
  }
  return hash;
}

struct cleaner {
  std::string path = directory();
  ~cleaner() { std::filesystem::remove_all(path); }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const cleaner at_exit;
  if (size < 2 || size > 64 * 1024) return 0;
  std::filesystem::remove_all(directory());
  std::filesystem::create_directory(directory());

  const unsigned mode = data[0] % 5;
  std::string bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  bool whole = false;
  book expected;
  std::string file;
  switch (mode) {
    case 0: write_file(log_path(directory(), 1), bytes); break;
    case 1:
      append_file_header(file, {file_kind::log, 1, 1, 0, 0});
      write_file(log_path(directory(), 1), file + bytes);
      break;
    case 2:
      append_file_header(file, {file_kind::log, 1, 1, 0, 0});
      seal(bytes, 1);
      write_file(log_path(directory(), 1), file + bytes);
      break;
    case 3:
      append_file_header(file, {file_kind::snapshot, 1, 5, 0, data[1] * std::uint64_t{1} << 40});
      seal(bytes, 1);
      write_file(snapshot_path(directory(), 1), file + bytes);
      file.clear();
      append_file_header(file, {file_kind::log, 1, 5, 0, 0});
      write_file(log_path(directory(), 1), file);
      break;
    default: {
      script steps{bytes};
      whole = play(steps, expected);
    }
  }

  const std::uint64_t before = hash_of_logs();
  auto opened = result_of(recover(directory()));
  if (!opened) {
    require(!whole, "a history that nobody harmed was refused: " + opened.error());
    require(opened.error().size() > 20 && opened.error().back() == '.', "an error is one sentence");
    require(hash_of_logs() == before, "a refusal changes no file");
    opened = result_of(recover(directory(), {.cut_damage = true}));
    require(opened.has_value(), "giving damage up succeeds: " + (opened ? "" : opened.error()));
    require(!opened->warnings.empty(), "giving damage up is reported");
  }
  if (whole) {
    require(opened->orders.digest() == expected.digest(), "an unharmed history gives the same book");
    require(opened->warnings.empty(), "an unharmed history gives no warning");
  }
  const auto invariant = opened->orders.check_invariants();
  require(!invariant, invariant.value_or(""));
  const std::uint64_t digest = opened->orders.digest(), next = opened->next_sequence;

  // Life goes on: one more order, one more start.
  const order_item item{"sku", 1};
  const auto wanted = pack_contents("c", std::span(&item, 1));
  group_commit log{opened->generation, next};
  const auto placed = opened->orders.place(*wanted, {}, 3);
  const auto& create = std::get<create_record>(*placed);
  require(opened->orders.apply(log.append(create), create).has_value(), "the next order applies");
  const std::uint64_t longer_digest = opened->orders.digest();
  const std::uint64_t offset = opened->log_offset;
  named_file appended_to = std::move(opened->log);
  *opened = recovered{};

  auto again = result_of(recover(directory()));
  require(again.has_value(), "a recovered directory recovers: " + (again ? "" : again.error()));
  require(again->warnings.empty(), "a recovered directory gives no warning");
  require(again->orders.digest() == digest && again->next_sequence == next, "and the same book");
  *again = recovered{};

  require(result_of(appended_to.write_at(offset, log.take_batch()->bytes)).has_value(), "the log takes the order");
  auto third = result_of(recover(directory()));
  require(third && third->orders.digest() == longer_digest && third->warnings.empty(), "and the order is there");
  return 0;
}
