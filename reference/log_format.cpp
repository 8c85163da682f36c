#include "reference/log_format.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#define XXH_INLINE_ALL  // records are short: a call into the shared library costs as much as the hash
#include <xxhash.h>

namespace orders {
namespace {

static_assert(std::endian::native == std::endian::little, "the file format is little endian; swap bytes here");

constexpr std::string_view magic = "LVORDERS";
constexpr std::uint32_t format_version = 1;

template <class Number>
void put(std::string& out, Number number) {
  char bytes[sizeof number];
  std::memcpy(bytes, &number, sizeof number);
  out.append(bytes, sizeof number);
}

template <class Number>
Number get(const char* at) noexcept {
  Number number;
  std::memcpy(&number, at, sizeof number);
  return number;
}

// Takes values from the front; after one that was not there, every further one is not there either.
class payload_reader {
public:
  explicit payload_reader(std::string_view bytes) noexcept : rest_(bytes) {}

  template <class Number>
  Number number() noexcept {
    if (rest_.size() < sizeof(Number)) return fail(), Number{};
    const auto value = get<Number>(rest_.data());
    rest_.remove_prefix(sizeof(Number));
    return value;
  }

  std::string_view short_text() noexcept {
    const std::size_t length = number<std::uint8_t>();
    if (rest_.size() < length) return fail(), std::string_view{};
    const auto text = rest_.substr(0, length);
    rest_.remove_prefix(length);
    return text;
  }

  std::string_view rest() noexcept { return std::exchange(rest_, {}); }
  bool whole() const noexcept { return !failed_ && rest_.empty(); }

private:
  void fail() noexcept {
    failed_ = true;
    rest_ = {};
  }

  std::string_view rest_;
  bool failed_ = false;
};

// In a snapshot the status has the lower half of its byte, what is owed the upper one: it was always 0 before there was something.
constexpr std::uint8_t owes_unit = 16;

struct payload_writer {
  std::string& out;

  record_type operator()(const create_record& create) const {
    if (create.owes != 0) put(out, create.owes);
    put(out, create.id);
    put(out, create.created_at_ns);
    text(create.key);
    out.append(create.contents.packed());
    return create.owes == 0 ? record_type::create : record_type::create_owing;
  }
  record_type operator()(const settle_record& settle) const {
    put(out, settle.id);
    put(out, settle.made);
    return record_type::settle;
  }
  record_type operator()(const change_record& change) const {
    put(out, change.id);
    put(out, change.updated_at_ns);
    put(out, change.version);
    put(out, static_cast<std::uint8_t>(change.to));
    return record_type::change;
  }
  record_type operator()(const mark_record&) const { return record_type::mark; }
  record_type operator()(const snapshot_order_record& snapshot) const {
    put(out, snapshot.order.id);
    put(out, snapshot.order.created_at_ns);
    put(out, snapshot.order.updated_at_ns);
    put(out, snapshot.order.version);
    put(out, static_cast<std::uint8_t>(static_cast<unsigned>(snapshot.order.status) | snapshot.order.owes * owes_unit));
    text(snapshot.key);
    out.append(snapshot.order.contents.packed());
    return record_type::snapshot_order;
  }
  record_type operator()(const snapshot_end_record& end) const {
    put(out, end.orders);
    put(out, end.included_through);
    put(out, end.checksum);
    return record_type::snapshot_end;
  }

  void text(std::string_view bytes) const {
    put(out, static_cast<std::uint8_t>(bytes.size()));
    out.append(bytes);
  }
};

// Header fields that every written record has, and that the bytes between two records almost never have.
bool plausible(const char* header, std::size_t bytes_left) noexcept {
  const auto length = get<std::uint32_t>(header + 16);
  const auto type = get<std::uint8_t>(header + 22);
  return length <= payload_size_max && length <= bytes_left - record_header_size && type >= 1 && type <= 7 &&
         header[23] == 0;
}

std::uint64_t checksum_of(std::string_view record_bytes, std::uint64_t generation) noexcept {
  return XXH3_64bits_withSeed(record_bytes.data() + 8, record_bytes.size() - 8, generation);
}

raw_record raw_at(std::string_view bytes) noexcept {
  const char* header = bytes.data();
  return {get<std::uint64_t>(header + 8), get<std::uint16_t>(header + 20),
          static_cast<record_type>(get<std::uint8_t>(header + 22)),
          bytes.substr(0, record_header_size + get<std::uint32_t>(header + 16))};
}

bool is_status(std::uint8_t number) noexcept { return number < order_status_count; }
bool is_owed(std::uint8_t number) noexcept { return number != 0 && number <= owes_all; }

}  // namespace

void append_file_header(std::string& out, const file_header& header) {
  const std::size_t start = out.size();
  out.append(magic);
  put(out, format_version);
  put(out, static_cast<std::uint32_t>(header.kind));
  put(out, header.generation);
  put(out, header.first_sequence);
  put(out, header.written_at_ns);
  put(out, header.orders_expected);
  put(out, std::uint64_t{0});
  put(out, static_cast<std::uint64_t>(XXH3_64bits(out.data() + start, out.size() - start)));
}

std::expected<file_header, std::string_view> read_file_header(std::string_view bytes) {
  if (bytes.size() < file_header_size) return std::unexpected("is shorter than a file header");
  if (!bytes.starts_with(magic)) return std::unexpected("does not begin like an order log or snapshot");
  if (get<std::uint64_t>(bytes.data() + 56) != XXH3_64bits(bytes.data(), 56)) {
    return std::unexpected("has a file header whose checksum does not hold");
  }
  if (get<std::uint32_t>(bytes.data() + 8) != format_version) {
    return std::unexpected("has a format version that this program does not know");
  }
  file_header header;
  const auto kind = get<std::uint32_t>(bytes.data() + 12);
  if (kind != 1 && kind != 2) return std::unexpected("is neither a log nor a snapshot");
  header.kind = static_cast<file_kind>(kind);
  header.generation = get<std::uint64_t>(bytes.data() + 16);
  header.first_sequence = get<std::uint64_t>(bytes.data() + 24);
  header.written_at_ns = get<std::int64_t>(bytes.data() + 32);
  header.orders_expected = get<std::uint64_t>(bytes.data() + 40);
  return header;
}

void append_record(std::string& out, std::uint64_t generation, std::uint64_t sequence, std::uint16_t lag,
                   const log_record& entry) {
  const std::size_t start = out.size();
  out.append(record_header_size, '\0');
  const auto type = std::visit(payload_writer{out}, entry);
  const auto length = static_cast<std::uint32_t>(out.size() - start - record_header_size);
  char* header = out.data() + start;
  std::memcpy(header + 8, &sequence, 8);
  std::memcpy(header + 16, &length, 4);
  std::memcpy(header + 20, &lag, 2);
  header[22] = static_cast<char>(type);
  const std::uint64_t checksum = checksum_of({header, record_header_size + length}, generation);
  std::memcpy(header, &checksum, 8);
}

std::expected<log_record, std::string_view> decode(const raw_record& raw) {
  payload_reader reader{raw.payload()};
  switch (raw.type) {
    case record_type::create:
    case record_type::create_owing: {
      create_record create;
      if (raw.type == record_type::create_owing) create.owes = reader.number<owed>();
      create.id = reader.number<std::uint64_t>();
      create.created_at_ns = reader.number<std::int64_t>();
      create.key = reader.short_text();
      const auto contents = contents_view::checked(reader.rest());
      const bool owes_something = raw.type == record_type::create_owing;
      if (!reader.whole() || !contents || (!create.key.empty() && !is_key(create.key)) ||
          (owes_something && !is_owed(create.owes))) {
        return std::unexpected("creates an order that breaks the limits");
      }
      create.contents = *contents;
      return create;
    }
    case record_type::change: {
      change_record change;
      change.id = reader.number<std::uint64_t>();
      change.updated_at_ns = reader.number<std::int64_t>();
      change.version = reader.number<std::uint32_t>();
      const auto status = reader.number<std::uint8_t>();
      if (!reader.whole() || !is_status(status)) return std::unexpected("is a malformed status change");
      change.to = static_cast<order_status>(status);
      return change;
    }
    case record_type::settle: {
      settle_record settle;
      settle.id = reader.number<std::uint64_t>();
      settle.made = reader.number<owed>();
      if (!reader.whole() || !is_owed(settle.made)) return std::unexpected("is a malformed settlement");
      return settle;
    }
    case record_type::mark:
      if (!reader.whole()) return std::unexpected("is a malformed mark");
      return mark_record{};
    case record_type::snapshot_order: {
      snapshot_order_record snapshot;
      snapshot.order.id = reader.number<std::uint64_t>();
      snapshot.order.created_at_ns = reader.number<std::int64_t>();
      snapshot.order.updated_at_ns = reader.number<std::int64_t>();
      snapshot.order.version = reader.number<std::uint32_t>();
      const auto both = reader.number<std::uint8_t>();
      const auto status = static_cast<std::uint8_t>(both % owes_unit);
      snapshot.order.owes = static_cast<owed>(both / owes_unit);
      snapshot.key = reader.short_text();
      const auto contents = contents_view::checked(reader.rest());
      if (!reader.whole() || !contents || !is_status(status) || snapshot.order.owes > owes_all ||
          (!snapshot.key.empty() && !is_key(snapshot.key))) {
        return std::unexpected("holds an order that breaks the limits");
      }
      snapshot.order.status = static_cast<order_status>(status);
      snapshot.order.contents = *contents;
      return snapshot;
    }
    case record_type::snapshot_end: {
      snapshot_end_record end;
      end.orders = reader.number<std::uint64_t>();
      end.included_through = reader.number<std::uint64_t>();
      end.checksum = reader.number<std::uint64_t>();
      if (!reader.whole() || end.included_through > sequence_max) {
        return std::unexpected("is a malformed end of a snapshot");
      }
      return end;
    }
  }
  return std::unexpected("has an unknown type");
}

std::string_view describe(scan_end end) noexcept {
  switch (end) {
    case scan_end::complete: return "it is complete";
    case scan_end::beyond_end: return "the last record is not all there";
    case scan_end::checksum: return "the record's checksum does not hold";
    case scan_end::malformed: return "the bytes are no record";
    case scan_end::zero_fill: return "the bytes are zero";
    case scan_end::sequence_gap: return "the record's sequence number is not the next one";
  }
  return "it ends for an unknown reason";
}

std::optional<raw_record> scanner::next() noexcept {
  const auto stop = [this](scan_end end) {
    end_ = end;
    return std::nullopt;
  };
  const std::string_view rest = bytes_.substr(position_);
  if (rest.empty()) return stop(scan_end::complete);
  const auto zero = [](char c) { return c == '\0'; };
  if (std::all_of(rest.begin(), rest.begin() + static_cast<std::ptrdiff_t>(std::min(rest.size(), record_header_size)),
                  zero)) {
    return stop(scan_end::zero_fill);
  }
  if (rest.size() < record_header_size) return stop(scan_end::beyond_end);
  const auto length = get<std::uint32_t>(rest.data() + 16);
  if (length <= payload_size_max && length > rest.size() - record_header_size) return stop(scan_end::beyond_end);
  if (!plausible(rest.data(), rest.size())) return stop(scan_end::malformed);
  const raw_record raw = raw_at(rest);
  if (checksum_of(raw.bytes, generation_) != get<std::uint64_t>(rest.data())) return stop(scan_end::checksum);
  if (raw.sequence != next_sequence_) return stop(scan_end::sequence_gap);
  position_ += raw.bytes.size();
  ++next_sequence_;
  return raw;
}

std::optional<std::size_t> find_proof_of_damage(std::string_view rest, std::uint64_t generation,
                                                std::uint64_t missing) {
  for (std::size_t at = 0; at + record_header_size <= rest.size(); ++at) {
    const std::string_view here = rest.substr(at);
    if (!plausible(here.data(), here.size())) continue;
    const raw_record raw = raw_at(here);
    // At the very break any valid record is proof: the prefix before it holds, so a torn write cannot have put a wrong
    // sequence number there. Later, only what was written after `missing` had been acknowledged.
    const bool proves = at == 0 ? raw.sequence != missing : raw.lag < raw.sequence && raw.sequence - raw.lag > missing;
    if (proves && checksum_of(raw.bytes, generation) == get<std::uint64_t>(here.data())) return at;
  }
  return std::nullopt;
}

struct running_checksum::state {
  XXH3_state_t xxh;
};

running_checksum::running_checksum() : state_(new state) { XXH3_64bits_reset(&state_->xxh); }
running_checksum::running_checksum(running_checksum&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}
running_checksum& running_checksum::operator=(running_checksum&& other) noexcept {
  std::swap(state_, other.state_);
  return *this;
}
running_checksum::~running_checksum() { delete state_; }
void running_checksum::add(std::string_view bytes) { XXH3_64bits_update(&state_->xxh, bytes.data(), bytes.size()); }
std::uint64_t running_checksum::value() const { return XXH3_64bits_digest(&state_->xxh); }

}  // namespace orders
