#include "orders/ledger.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <fstream>
#include <iterator>

namespace levity::orders {

namespace {

using nlohmann::json;

constexpr std::array<std::string_view, 5> statuses{"created", "paid", "shipped", "delivered", "cancelled"};

// SplitMix64 (Guy Steele, Doug Lea, Christine Flood, 2014).
std::uint64_t mix(std::uint64_t word) {
  word += 0x9E3779B97F4A7C15ULL;
  word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9ULL;
  word = (word ^ (word >> 27)) * 0x94D049BB133111EBULL;
  return word ^ (word >> 31);
}

}  // namespace

std::optional<order_facts> read_order(std::string_view text) {
  const json parsed = json::parse(text, nullptr, false);
  if (!parsed.is_object()) return std::nullopt;
  try {
    order_facts facts;
    facts.id = parsed.at("id").get<std::string>();
    facts.asked.customer = parsed.at("customer").get<std::string>();
    for (const auto& one : parsed.at("items"))
      facts.asked.items.push_back({one.at("sku").get<std::string>(), one.at("quantity").get<std::uint32_t>()});
    facts.status = parsed.at("status").get<std::string>();
    facts.version = parsed.at("version").get<std::uint64_t>();
    facts.created_at = parsed.at("created_at").get<std::string>();
    facts.updated_at = parsed.at("updated_at").get<std::string>();
    return facts;
  } catch (const json::exception&) {
    return std::nullopt;
  }
}

std::vector<std::string_view> next_statuses(std::string_view status) {
  if (status == "created") return {"paid", "cancelled"};
  if (status == "paid") return {"shipped", "cancelled"};
  if (status == "shipped") return {"delivered"};
  return {};
}

contents order_maker::make(std::uint64_t number) const {
  std::uint64_t dice = mix(seed_ ^ mix(number));
  contents made;
  made.customer = fmt::format("c-{}", dice % customers_);
  const std::size_t count = 1 + (dice >> 48) % 3;
  for (std::size_t i = 0; i < count; ++i) {
    dice = mix(dice);
    made.items.push_back({fmt::format("sku-{}", dice % 5'000), 1 + static_cast<std::uint32_t>((dice >> 40) % 9)});
  }
  return made;
}

std::string order_maker::body(std::uint64_t number) const {
  const contents made = make(number);
  std::string text = fmt::format(R"({{"customer":"{}","items":[)", made.customer);
  for (std::size_t i = 0; i < made.items.size(); ++i)
    fmt::format_to(std::back_inserter(text), R"({}{{"sku":"{}","quantity":{}}})", i == 0 ? "" : ",", made.items[i].sku,
                   made.items[i].quantity);
  return text + "]}";
}

std::string order_maker::key(std::uint64_t number) const { return fmt::format("drive-{:016x}-{}", seed_, number); }

bool ledger::add(entry made) {
  const auto [at, fresh] = by_id_.emplace(made.id, entries_.size());
  if (fresh) entries_.push_back(std::move(made));
  return fresh;
}

const entry* ledger::find(std::string_view id) const {
  const auto at = by_id_.find(std::string(id));
  return at == by_id_.end() ? nullptr : &entries_[at->second];
}

std::size_t ledger::merge(ledger&& other) {
  std::size_t twice = 0;
  for (auto& one : other.entries_)
    if (!add(std::move(one))) ++twice;
  return twice;
}

std::expected<void, std::string> ledger::write(const std::string& path, const order_maker& maker) const {
  std::ofstream file(path);
  file << json{{"seed", maker.seed()}, {"customers", maker.customers()}, {"orders", entries_.size()}} << '\n';
  for (const auto& one : entries_) {
    json line{{"n", one.number}, {"id", one.id}, {"status", one.status}, {"version", one.version},
              {"created_at", one.created_at}};
    if (!one.maybe_status.empty()) line["maybe_status"] = one.maybe_status;
    file << line << '\n';
  }
  file.close();
  if (!file) return std::unexpected(fmt::format("the ledger '{}' was not written whole", path));
  return {};
}

std::expected<ledger::loaded, std::string> ledger::read(const std::string& path) {
  std::ifstream file(path);
  if (!file) return std::unexpected(fmt::format("the ledger '{}' cannot be read", path));
  std::string line;
  std::getline(file, line);
  try {
    const json head = json::parse(line);
    loaded all{order_maker(head.at("seed").get<std::uint64_t>(), head.at("customers").get<std::uint64_t>()), {}};
    while (std::getline(file, line)) {
      const json one = json::parse(line);
      entry made;
      made.number = one.at("n").get<std::uint64_t>();
      made.id = one.at("id").get<std::string>();
      made.status = one.at("status").get<std::string>();
      made.version = one.at("version").get<std::uint64_t>();
      made.created_at = one.at("created_at").get<std::string>();
      made.maybe_status = one.value("maybe_status", "");
      all.orders.add(std::move(made));
    }
    if (all.orders.entries().size() != head.at("orders").get<std::size_t>())
      return std::unexpected(fmt::format("the ledger '{}' is cut short or names an order twice", path));
    return all;
  } catch (const json::exception& error) {
    return std::unexpected(fmt::format("'{}' is no ledger: {}", path, error.what()));
  }
}

std::optional<std::string> contradiction(const order_facts& seen, const entry& promised, const order_maker& maker,
                                         std::uint64_t version_min) {
  if (seen.id != promised.id) return fmt::format("{} was asked for, {} was answered", promised.id, seen.id);
  if (seen.asked != maker.make(promised.number))
    return fmt::format("{}: customer or items differ from what was ordered", seen.id);
  if (seen.created_at != promised.created_at)
    return fmt::format("{}: created_at changed from {} to {}", seen.id, promised.created_at, seen.created_at);
  if (std::find(statuses.begin(), statuses.end(), seen.status) == statuses.end())
    return fmt::format("{}: '{}' is no status", seen.id, seen.status);
  if (seen.version < version_min)
    return fmt::format("{}: version {} was acknowledged, {} was answered", seen.id, version_min, seen.version);
  if (seen.version == promised.version && seen.status != promised.status)
    return fmt::format("{}: version {} was acknowledged as {}, it is answered as {}", seen.id, seen.version,
                       promised.status, seen.status);
  const bool may_be_newer = promised.changing || !promised.maybe_status.empty();
  if (seen.version > promised.version + (may_be_newer ? 1 : 0))
    return fmt::format("{}: version {} although nobody asked for a change after version {}", seen.id, seen.version,
                       promised.version);
  if (seen.version > promised.version && !promised.maybe_status.empty() && seen.status != promised.maybe_status)
    return fmt::format("{}: {} although only {} or {} was asked for", seen.id, seen.status, promised.status,
                       promised.maybe_status);
  return std::nullopt;
}

}  // namespace levity::orders
