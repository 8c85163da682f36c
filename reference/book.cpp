#include "reference/book.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <new>

#include <fmt/format.h>
#include <sys/mman.h>
#include <tsl/robin_map.h>
#include <tsl/robin_set.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace orders {
namespace {

using order_index = std::uint32_t;  // id - 1
constexpr order_index none = std::numeric_limits<order_index>::max();

struct slot {
  const char* text;  // contents size u16, key size u8, key, contents
  std::int64_t created_at_ns;
  std::int64_t updated_at_ns;
  std::uint64_t sequence;
  order_index next_of_customer;
  std::uint16_t version;  // there are at most three transitions
  order_status status;
  owed owes;

  std::string_view key() const noexcept { return {text + 3, static_cast<unsigned char>(text[2])}; }
  contents_view contents() const noexcept {
    std::uint16_t size;
    std::memcpy(&size, text, sizeof size);
    return contents_view::trusted({text + 3 + static_cast<unsigned char>(text[2]), size});
  }
};
static_assert(sizeof(slot) == 40);

// 2 MiB at once, from the kernel. All but the first ask for a huge page: lookups go everywhere, and with 4 KiB pages each
// would miss the TLB too; the first does not, so that a small book stays small.
constexpr std::size_t page_size = std::size_t{2} << 20;

struct page_deleter {
  void operator()(char* page) const noexcept { ::munmap(page, page_size); }
};
using memory_page = std::unique_ptr<char, page_deleter>;

char* map_memory(std::size_t size) {
  void* const memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  return static_cast<char*>(memory);
}

memory_page make_page(bool huge) {
  if (!huge) return memory_page{map_memory(page_size)};
  // A huge page must be aligned: map twice as much and give back what lies around it.
  char* const whole = map_memory(2 * page_size);
  const std::size_t before = (page_size - reinterpret_cast<std::uintptr_t>(whole) % page_size) % page_size;
  if (before > 0) ::munmap(whole, before);
  ::munmap(whole + before + page_size, page_size - before);
  ::madvise(whole + before, page_size, MADV_HUGEPAGE);  // advice: refused, it only costs time
  return memory_page{whole + before};
}

class slot_list {
public:
  order_index size() const noexcept { return size_; }
  slot& operator[](order_index at) noexcept { return slots_of(at)[at % page_slots]; }
  const slot& operator[](order_index at) const noexcept { return slots_of(at)[at % page_slots]; }
  slot& push() {
    if (size_ % page_slots == 0) pages_.push_back(make_page(!pages_.empty()));
    return *new (&(*this)[size_++]) slot;
  }

private:
  static constexpr order_index page_slots = page_size / sizeof(slot);
  slot* slots_of(order_index at) const noexcept { return reinterpret_cast<slot*>(pages_[at / page_slots].get()); }
  std::vector<memory_page> pages_;
  order_index size_ = 0;
};

class text_store {
public:
  const char* add(std::string_view key, std::string_view contents) {
    const std::size_t size = 3 + key.size() + contents.size();
    if (size > left_) {
      pages_.push_back(make_page(!pages_.empty()));
      at_ = pages_.back().get();
      left_ = page_size;
    }
    char* const text = at_;
    const auto contents_size = static_cast<std::uint16_t>(contents.size());
    std::memcpy(text, &contents_size, 2);
    text[2] = static_cast<char>(key.size());
    std::copy(key.begin(), key.end(), text + 3);
    std::copy(contents.begin(), contents.end(), text + 3 + key.size());
    at_ += size;
    left_ -= size;
    return text;
  }

private:
  std::vector<memory_page> pages_;
  char* at_ = nullptr;
  std::size_t left_ = 0;
};

std::uint64_t hash_text(std::string_view text) noexcept { return XXH3_64bits(text.data(), text.size()); }

// A key is looked for mostly to find that it is new: the table holds the order's number only, and looks the text up when
// the hashes are equal.
struct key_hash {
  const slot_list* slots;
  std::size_t operator()(std::string_view text) const noexcept { return hash_text(text); }
  std::size_t operator()(order_index at) const noexcept { return hash_text((*slots)[at].key()); }
};
struct key_equal {
  using is_transparent = void;
  const slot_list* slots;
  bool operator()(order_index a, order_index b) const noexcept { return a == b; }
  bool operator()(order_index a, std::string_view b) const noexcept { return (*slots)[a].key() == b; }
  bool operator()(std::string_view a, order_index b) const noexcept { return (*slots)[b].key() == a; }
};
using key_table = tsl::robin_set<order_index, key_hash, key_equal, std::allocator<order_index>, true>;

// A customer is looked for mostly to be found: the table holds the name itself, inside the text of the first order.
struct order_list {
  order_index first;
  order_index last;
};
struct customer_hash {
  std::size_t operator()(std::string_view text) const noexcept { return hash_text(text); }
};
using customer_table = tsl::robin_map<std::string_view, order_list, customer_hash, std::equal_to<>,
                                      std::allocator<std::pair<std::string_view, order_list>>, true>;

constexpr std::size_t shard_count = 256;
constexpr float load_factor_max = 0.8F;

template <class Table>
class sharded {
public:
  explicit sharded(const Table::hasher& hash = {}, const Table::key_equal& equal = {}) {
    shards_.reserve(shard_count);
    for (std::size_t i = 0; i < shard_count; ++i) {
      shards_.emplace_back(0, hash, equal);
      shards_.back().max_load_factor(load_factor_max);
    }
  }
  // The tables use the low bits.
  Table& of(std::uint64_t hash) noexcept { return shards_[hash >> 56]; }
  const Table& of(std::uint64_t hash) const noexcept { return shards_[hash >> 56]; }
  std::size_t size() const noexcept {
    std::size_t sum = 0;
    for (const Table& shard : shards_) sum += shard.size();
    return sum;
  }
  void reserve(std::size_t count) {
    // Hashes spread: a shard gets its share give or take a few per cent.
    for (Table& shard : shards_) shard.reserve(count / shard_count + count / shard_count / 8 + 1);
  }

private:
  std::vector<Table> shards_;
};

problem conflict(std::string detail, std::string pointer) {
  return {409, "The order cannot be changed this way", std::move(detail), std::move(pointer)};
}

}  // namespace

struct book::tables {
  slot_list slots;
  text_store texts;
  sharded<key_table> keys{key_hash{&slots}, key_equal{&slots}};
  sharded<customer_table> customers;
  std::uint64_t last_sequence = 0;
  std::uint64_t replays_until = 0;

  order_view view(order_index at) const noexcept {
    const slot& s = slots[at];
    return {std::uint64_t{at} + 1, s.contents(), s.status, s.version, s.created_at_ns, s.updated_at_ns, s.sequence, s.owes};
  }

  bool has(std::uint64_t id) const noexcept { return id >= 1 && id <= slots.size(); }
  static order_index index_of(std::uint64_t id) noexcept { return static_cast<order_index>(id - 1); }

  std::optional<order_index> by_key(std::string_view key, std::uint64_t hash) const {
    const key_table& shard = keys.of(hash);
    const auto found = shard.find(key, hash);
    return found == shard.end() ? std::nullopt : std::optional(*found);
  }

  std::expected<void, std::string> add(const order_view& order, std::string_view key, std::uint64_t sequence) {
    if (order.id != slots.size() + std::uint64_t{1}) {
      return std::unexpected(fmt::format("it creates order {}, but the next one is {}", order.id, slots.size() + 1));
    }
    if (slots.size() == none - 1) return std::unexpected("it creates more orders than a book can hold");
    if (order.version < 1 || order.version > std::numeric_limits<std::uint16_t>::max()) {
      return std::unexpected(fmt::format("order {} has the impossible version {}", order.id, order.version));
    }
    const std::uint64_t hash_of_key = hash_text(key);
    if (!key.empty()) {
      if (const auto holder = by_key(key, hash_of_key)) {
        return std::unexpected(fmt::format("the key of order {} already made order {}", order.id, *holder + 1));
      }
    }

    const order_index at = slots.size();
    slot& made = slots.push();
    made.text = texts.add(key, order.contents.packed());
    made.created_at_ns = order.created_at_ns;
    made.updated_at_ns = order.updated_at_ns;
    made.sequence = sequence;
    made.next_of_customer = none;
    made.version = static_cast<std::uint16_t>(order.version);
    made.status = order.status;
    made.owes = order.owes;

    if (!key.empty()) keys.of(hash_of_key).insert(at);
    const std::string_view customer = order.contents.customer();
    const std::uint64_t hash_of_customer = hash_text(customer);
    customer_table& shard = customers.of(hash_of_customer);
    if (const auto known = shard.find(customer, hash_of_customer); known != shard.end()) {
      slots[known->second.last].next_of_customer = at;
      known.value().last = at;
    } else {
      shard.insert({made.contents().customer(), order_list{at, at}});
    }
    return {};
  }

  std::expected<void, std::string> apply(std::uint64_t sequence, const create_record& create) {
    if (sequence <= replays_until && has(create.id)) {
      const slot& known = slots[index_of(create.id)];
      if (known.key() == create.key && known.contents().packed() == create.contents.packed() &&
          known.created_at_ns == create.created_at_ns) {
        return {};
      }
      return std::unexpected(fmt::format("it creates order {} otherwise than the snapshot has it", create.id));
    }
    order_view order;
    order.id = create.id;
    order.contents = create.contents;
    order.created_at_ns = order.updated_at_ns = create.created_at_ns;
    order.owes = create.owes;
    return add(order, create.key, sequence);
  }

  std::expected<void, std::string> apply(std::uint64_t sequence, const change_record& change) {
    if (!has(change.id)) return std::unexpected(fmt::format("it changes order {}, which does not exist", change.id));
    slot& order = slots[index_of(change.id)];
    if (sequence <= replays_until && change.version <= order.version && change.version >= 2) return {};
    if (change.version != order.version + 1U || !may_become(order.status, change.to)) {
      return std::unexpected(fmt::format("it makes order {} {} with version {}, but the order is {} with version {}",
                                         change.id, name_of(change.to), change.version, name_of(order.status),
                                         order.version));
    }
    order.status = change.to;
    order.version = static_cast<std::uint16_t>(change.version);
    order.updated_at_ns = change.updated_at_ns;
    order.sequence = sequence;
    return {};
  }

  // Once more is as good as once: the two bookings of an order are marked in any order, and a snapshot may know of them already.
  std::expected<void, std::string> apply(std::uint64_t, const settle_record& settle) {
    if (!has(settle.id)) return std::unexpected(fmt::format("it settles order {}, which does not exist", settle.id));
    owed& owes = slots[index_of(settle.id)].owes;
    owes = static_cast<owed>(owes & ~settle.made);
    return {};
  }

  std::expected<void, std::string> apply(std::uint64_t, const mark_record&) { return {}; }
  std::expected<void, std::string> apply(std::uint64_t, const snapshot_order_record& snapshot) {
    return add(snapshot.order, snapshot.key, 0);
  }
  std::expected<void, std::string> apply(std::uint64_t, const snapshot_end_record&) {
    return std::unexpected("it ends a snapshot, which is not a change");
  }
};

book::book() : tables_(std::make_unique<tables>()) {}
book::book(book&&) noexcept = default;
book& book::operator=(book&&) noexcept = default;
book::~book() = default;

std::uint64_t book::size() const noexcept { return tables_->slots.size(); }
std::uint64_t book::last_sequence() const noexcept { return tables_->last_sequence; }

std::optional<order_view> book::find(std::uint64_t id) const {
  if (!tables_->has(id)) return std::nullopt;
  return tables_->view(tables::index_of(id));
}

std::optional<order_view> book::find_by_key(std::string_view key) const {
  if (key.empty()) return std::nullopt;
  const auto at = tables_->by_key(key, hash_text(key));
  if (!at) return std::nullopt;
  return tables_->view(*at);
}

std::string_view book::key_of(std::uint64_t id) const {
  return tables_->has(id) ? tables_->slots[tables::index_of(id)].key() : std::string_view{};
}

std::expected<book::page, problem> book::list(std::string_view customer, std::uint64_t after,
                                              std::size_t limit) const {
  limit = std::clamp<std::size_t>(limit, 1, page_orders_max);
  order_index at = none;
  if (after != 0) {
    if (!tables_->has(after) || tables_->slots[tables::index_of(after)].contents().customer() != customer) {
      return std::unexpected(problem{400, "The page cannot be found",
                                     "'after' must be the id of an order of this customer: the 'next' of the page "
                                     "before.",
                                     {}});
    }
    at = tables_->slots[tables::index_of(after)].next_of_customer;
  } else {
    const std::uint64_t hash = hash_text(customer);
    const customer_table& shard = tables_->customers.of(hash);
    if (const auto found = shard.find(customer, hash); found != shard.end()) at = found->second.first;
  }
  page made;
  for (; at != none && made.orders.size() < limit; at = tables_->slots[at].next_of_customer) {
    made.orders.push_back(tables_->view(at));
    made.sequence = std::max(made.sequence, made.orders.back().sequence);
  }
  if (at != none) made.next = made.orders.back().id;
  return made;
}

std::expected<book::placement, problem> book::place(const new_order& wanted, std::string_view key,
                                                    std::int64_t now_ns) const {
  if (!key.empty()) {
    if (!is_key(key)) {
      return std::unexpected(problem{400, "The Idempotency-Key is not valid",
                                     "An Idempotency-Key must have 1 to 128 visible ASCII characters.", {}});
    }
    if (const auto at = tables_->by_key(key, hash_text(key))) {
      const order_view known = tables_->view(*at);
      if (known.contents.packed() == wanted.packed) return placement{known};
      return std::unexpected(
          problem{422, "The Idempotency-Key was used before",
                  fmt::format("This Idempotency-Key made {}, which has another customer or other items; use a new key "
                              "for a new order.",
                              order_id_text(known.id)),
                  {}});
    }
  }
  create_record create;
  create.id = next_id();
  create.created_at_ns = now_ns;
  create.key = key;
  create.contents = wanted.contents();
  return placement{create};
}

std::expected<change_record, problem> book::change(std::uint64_t id, const change_request& wanted,
                                                   std::int64_t now_ns) const {
  if (!tables_->has(id)) return std::unexpected(unknown_order(order_id_text(id)));
  const slot& order = tables_->slots[tables::index_of(id)];
  if (wanted.version && *wanted.version != order.version) {
    return std::unexpected(conflict(fmt::format("The change is meant for version {}, but the order has version {}; read "
                                                "it again.",
                                                *wanted.version, order.version),
                                    "/version"));
  }
  if (!may_become(order.status, wanted.to)) {
    if (order.status == wanted.to) {
      return std::unexpected(conflict(fmt::format("The order is {} already.", name_of(wanted.to)), "/status"));
    }
    std::string allowed;
    for (std::uint8_t i = 0; i < order_status_count; ++i) {
      if (!may_become(order.status, static_cast<order_status>(i))) continue;
      allowed.append(allowed.empty() ? "" : " or ").append(name_of(static_cast<order_status>(i)));
    }
    return std::unexpected(conflict(
        allowed.empty() ? fmt::format("The order is {} and can never change again.", name_of(order.status))
                        : fmt::format("The order is {} and can become {}, not {}.", name_of(order.status), allowed,
                                      name_of(wanted.to)),
        "/status"));
  }
  return change_record{id, now_ns, order.version + 1U, wanted.to};
}

std::expected<void, std::string> book::apply(std::uint64_t sequence, const log_record& entry) {
  auto done = std::visit([&](const auto& each) { return tables_->apply(sequence, each); }, entry);
  if (done && !std::holds_alternative<snapshot_order_record>(entry)) tables_->last_sequence = sequence;
  return done;
}

void book::replays_until(std::uint64_t sequence) noexcept { tables_->replays_until = sequence; }
void book::continues_after(std::uint64_t sequence) noexcept { tables_->last_sequence = sequence; }

void book::reserve(std::uint64_t orders) {
  const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(orders, none - 1));
  tables_->keys.reserve(count);
}

std::uint64_t book::digest() const {
  std::uint64_t digest = XXH3_64bits_withSeed("", 0, size());
  std::string bytes;
  for (std::uint64_t id = 1; id <= size(); ++id) {
    bytes.clear();
    append_record(bytes, 0, id, 0, snapshot_order_record{*find(id), key_of(id)});
    digest = XXH3_64bits_withSeed(bytes.data(), bytes.size(), digest);
  }
  return digest;
}

std::optional<std::string> book::check_invariants() const {
  const tables& t = *tables_;
  std::size_t keys = 0, listed = 0, customers = 0;
  std::vector<bool> has_predecessor(t.slots.size());
  for (order_index at = 0; at < t.slots.size(); ++at) {
    const slot& s = t.slots[at];
    if (!contents_view::checked(s.contents().packed())) return fmt::format("order {} has illegal contents", at + 1);
    if (!s.key().empty()) {
      ++keys;
      if (t.by_key(s.key(), hash_text(s.key())) != at) return fmt::format("order {} is not found by its key", at + 1);
    }
    if (s.next_of_customer == none) continue;
    if (s.next_of_customer <= at) return fmt::format("order {} is followed by an older one", at + 1);
    if (t.slots[s.next_of_customer].contents().customer() != s.contents().customer()) {
      return fmt::format("order {} is followed by another customer's", at + 1);
    }
    if (has_predecessor[s.next_of_customer]) return fmt::format("order {} follows two", s.next_of_customer + 1);
    has_predecessor[s.next_of_customer] = true;
    ++listed;
  }
  for (order_index at = 0; at < t.slots.size(); ++at) {
    if (has_predecessor[at]) continue;
    ++customers;
    const std::string_view customer = t.slots[at].contents().customer();
    const std::uint64_t hash = hash_text(customer);
    const customer_table& shard = t.customers.of(hash);
    const auto found = shard.find(customer, hash);
    if (found == shard.end() || found->second.first != at) return fmt::format("order {} is first in no list", at + 1);
    if (t.slots[found->second.last].next_of_customer != none) return fmt::format("order {}'s list has no end", at + 1);
  }
  if (keys != t.keys.size()) return fmt::format("{} orders have keys, {} are in the table", keys, t.keys.size());
  if (customers != t.customers.size()) return fmt::format("{} lists, {} customers", customers, t.customers.size());
  if (listed + customers != t.slots.size()) return "an order is in no customer's list";
  return std::nullopt;
}

problem unknown_order(std::string_view id_text) {
  return {404, "The order does not exist",
          fmt::format("There is no order '{}'; ids look like ord_0000000000000001.", id_text.substr(0, 40)), {}};
}

}  // namespace orders
