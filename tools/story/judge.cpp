#include "story/judge.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <ctime>
#include <iterator>
#include <memory>
#include <utility>

namespace levity::story {

namespace {

constexpr std::size_t told_max = 5;

// Asks for the bookings of each order of a list, one after the other.
class booking_questions final : public load::workload {
public:
  booking_questions(const std::vector<std::string>& ids, std::string_view list, std::string authority, std::vector<int>& counts)
      : ids_(ids), list_(list), authority_(std::move(authority)), counts_(counts) {}

  bool next(load::request_id id, load::request_out& out) override {
    if (id >= ids_.size()) return false;
    fmt::format_to(std::back_inserter(out.bytes), "GET /{}/{} HTTP/1.1\r\nHost: {}\r\n\r\n", list_, ids_[id], authority_);
    return true;
  }
  load::failure answered(load::request_id id, const load::response_view& answer) override {
    const bool whole = answer.outcome == load::failure::none && answer.status() == 200;
    counts_[id] = whole ? count_bookings(answer.body(), list_) : -1;
    return answer.outcome;
  }

private:
  const std::vector<std::string>& ids_;
  std::string_view list_;
  std::string authority_;
  std::vector<int>& counts_;
};

std::vector<int> ask_bookings(const load::target& where, std::string_view list, const std::vector<std::string>& ids) {
  std::vector<int> counts(ids.size(), -1);
  load::engine_options options;
  options.where = where;
  options.closed = true;
  options.duration_ns = 600'000'000'000;  // it ends when everything was asked for
  options.connections = std::min<std::size_t>(32, std::max<std::size_t>(1, ids.size()));
  const auto run = load::run_load(options, [&](std::size_t) {
    return std::make_unique<booking_questions>(ids, list, where.authority, counts);
  });
  if (!run) std::fill(counts.begin(), counts.end(), -1);
  return counts;
}

bookings count_all(const load::target& where, std::string_view list, const std::vector<std::string>& ids, std::int64_t give_up_ns) {
  bookings sum;
  std::vector<std::string> open = ids;
  for (;;) {
    std::vector<std::string> again;
    const std::vector<int> counts = ask_bookings(where, list, open);
    const bool last = load::now_ns() >= give_up_ns;
    for (std::size_t i = 0; i < open.size(); ++i) {
      const int count = counts[i];
      if (count <= 0 && !last) {
        again.push_back(open[i]);
        continue;
      }
      if (count == 1) {
        ++sum.once;
        continue;
      }
      if (count < 0) ++sum.unread;
      if (count == 0) ++sum.never;
      if (count > 1) {
        ++sum.twice;
        sum.surplus += static_cast<std::uint64_t>(count - 1);
      }
      if (sum.told.size() < told_max) sum.told.push_back(open[i]);
    }
    if (again.empty()) return sum;
    open = std::move(again);
    const timespec moment{0, 200'000'000};
    nanosleep(&moment, nullptr);
  }
}

void tell(judgement& of, const bookings& some, std::string_view what) {
  if (some.never + some.twice + some.unread == 0) return;
  std::string ids;
  for (const std::string& id : some.told) ids += (ids.empty() ? "" : ", ") + id;
  of.sentences.push_back(fmt::format("{}: {} orders never, {} more than once ({} too many), {} not to be asked for; among them {}",
                                     what, some.never, some.twice, some.surplus, some.unread, ids));
}

}  // namespace

int count_bookings(std::string_view body, std::string_view list) {
  const auto parsed = nlohmann::json::parse(body, nullptr, false);
  if (!parsed.is_object()) return -1;
  const auto found = parsed.find(std::string(list));
  if (found == parsed.end() || !found->is_array()) return -1;
  int count = 0;
  for (const auto& one : *found)
    if (!one.is_object() || !one.value("released", false)) ++count;
  return count;
}

judgement judge(const load::engine_options& service, const load::target& payment, const load::target& inventory,
                const orders::order_maker& maker, const orders::ledger& orders, std::int64_t settle_ns) {
  judgement made;
  made.acknowledged = orders.entries().size();
  if (made.acknowledged == 0) return made;
  const std::int64_t give_up_ns = load::now_ns() + settle_ns;
  const std::uint64_t repeats = std::min<std::uint64_t>(made.acknowledged, 500);
  if (const auto checked = orders::check_orders(service, maker, orders, repeats)) {
    made.missing = checked->missing.count();
    made.differing = checked->differing.count();
    made.unread = checked->unread.count();
    for (const auto* some : {&checked->missing, &checked->differing, &checked->unread})
      made.sentences.insert(made.sentences.end(), some->kept().begin(), some->kept().end());
  } else {
    made.unread = made.acknowledged;
    made.sentences.push_back(fmt::format("nothing could be read back: {}", checked.error()));
  }
  std::vector<std::string> ids;
  for (const auto& one : orders.entries()) ids.push_back(one.id);
  made.charges = count_all(payment, "charges", ids, give_up_ns);
  made.reservations = count_all(inventory, "reservations", ids, give_up_ns);
  tell(made, made.charges, "charges");
  tell(made, made.reservations, "reservations");
  return made;
}

}  // namespace levity::story
