#include "story/judge.hpp"

#include "common/quantity.hpp"
#include "load/ask.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <ctime>
#include <iterator>
#include <memory>
#include <optional>
#include <utility>

namespace levity::story {

namespace {

constexpr std::size_t told_max = 5;
constexpr std::int64_t stats_timeout_ns = 1'000'000'000;
constexpr std::int64_t between_words_ns = 5'000'000'000;

void sleep_ns(std::int64_t time) {
  const timespec moment{time / 1'000'000'000, time % 1'000'000'000};
  nanosleep(&moment, nullptr);
}

std::optional<stats> look_at(load::asker& service) {
  const auto answer = service.ask("GET", "/stats");
  return answer && answer->status == 200 ? read_stats(answer->body) : std::nullopt;
}

std::string show_owed(const std::map<std::string, std::uint64_t>& owed) {
  std::string text;
  for (const auto& [service, count] : owed)
    text += fmt::format("{}{} at {}", text.empty() ? "" : " and ", tools::show_count(count), service);
  return text;
}

bool owes_nothing(const std::map<std::string, std::uint64_t>& owed) {
  return std::all_of(owed.begin(), owed.end(), [](const auto& one) { return one.second == 0; });
}

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

enum class debt : std::uint8_t { none, owed, unknown };

// Repeats the POST of each order of a list with its key: the answer is the order as it stands, and names in a header the services
// at which it has still to be booked.
class debt_questions final : public load::workload {
public:
  debt_questions(const std::vector<const orders::entry*>& of, const orders::order_maker& maker, std::string_view at,
                 std::string authority, std::vector<debt>& debts)
      : of_(of), maker_(maker), at_(at), authority_(std::move(authority)), debts_(debts) {}

  bool next(load::request_id id, load::request_out& out) override {
    if (id >= of_.size()) return false;
    const std::string body = maker_.body(of_[id]->number);
    fmt::format_to(std::back_inserter(out.bytes),
                   "POST /orders HTTP/1.1\r\nHost: {}\r\nIdempotency-Key: {}\r\nContent-Type: application/json\r\n"
                   "Content-Length: {}\r\n\r\n{}",
                   authority_, maker_.key(of_[id]->number), body.size(), body);
    return true;
  }
  load::failure answered(load::request_id id, const load::response_view& answer) override {
    if (answer.outcome != load::failure::none || answer.status() != 200) return answer.outcome;  // stays unknown
    const auto named = answer.header("X-Levity-Degraded");
    debts_[id] = named && named->find(at_) != std::string_view::npos ? debt::owed : debt::none;
    return answer.outcome;
  }

private:
  const std::vector<const orders::entry*>& of_;
  const orders::order_maker& maker_;
  std::string_view at_;
  std::string authority_;
  std::vector<debt>& debts_;
};

load::engine_options one_after_the_other(const load::target& where, std::size_t count) {
  load::engine_options options;
  options.where = where;
  options.closed = true;
  options.duration_ns = 600'000'000'000;  // it ends when everything was asked for
  options.connections = std::min<std::size_t>(32, std::max<std::size_t>(1, count));
  return options;
}

// A downstream, and what it is asked for.
struct booker {
  const load::target& where;
  std::string_view list;     // charges
  std::string_view service;  // payment, as the order service calls it
};

std::vector<int> ask_bookings(const booker& at, const std::vector<std::string>& ids) {
  std::vector<int> counts(ids.size(), -1);
  const auto run = load::run_load(one_after_the_other(at.where, ids.size()), [&](std::size_t) {
    return std::make_unique<booking_questions>(ids, at.list, at.where.authority, counts);
  });
  if (!run) std::fill(counts.begin(), counts.end(), -1);
  return counts;
}

std::vector<debt> ask_debts(const load::target& service, std::string_view at, const orders::order_maker& maker,
                            const std::vector<const orders::entry*>& of) {
  std::vector<debt> debts(of.size(), debt::unknown);
  (void)load::run_load(one_after_the_other(service, of.size()), [&](std::size_t) {
    return std::make_unique<debt_questions>(of, maker, at, service.authority, debts);
  });
  return debts;
}

// One order with this many bookings, which the service owes or not when there are none.
void add(bookings& sum, const std::string& id, int count, debt missing) {
  if (count == 1) {
    ++sum.once;
    return;
  }
  if (count > 1) {
    ++sum.twice;
    sum.surplus += static_cast<std::uint64_t>(count - 1);
  } else if (count == 0 && missing == debt::none) {
    ++sum.never;
  } else if (count == 0 && missing == debt::owed) {
    ++sum.owed;
  } else {
    ++sum.unread;
  }
  if (sum.told.size() < told_max) sum.told.push_back(id);
}

// Of each order by its id; those that have no booking at the end are left in `missing`, and not in the sum.
bookings count_all(const booker& at, const std::vector<std::string>& ids, std::int64_t give_up_ns,
                   std::vector<std::string>& missing) {
  bookings sum;
  std::vector<std::string> open = ids;
  for (;;) {
    std::vector<std::string> again;
    const std::vector<int> counts = ask_bookings(at, open);
    const bool last = load::now_ns() >= give_up_ns;
    for (std::size_t i = 0; i < open.size(); ++i) {
      if (counts[i] <= 0 && !last) again.push_back(open[i]);
      else if (counts[i] == 0) missing.push_back(open[i]);
      else add(sum, open[i], counts[i], debt::none);
    }
    if (again.empty()) return sum;
    open = std::move(again);
    sleep_ns(200'000'000);
  }
}

// Which of the missing ones the service owes. The order of the questions decides: what it does not owe any more has been booked
// before it said so, and so a booking that is missing after that is lost, however fast it settles meanwhile.
void tell_owed_from_lost(bookings& sum, const booker& at, const load::target& service, bool tells, const orders::order_maker& maker,
                         const orders::ledger& orders, const std::vector<std::string>& missing) {
  if (missing.empty()) return;
  std::vector<debt> debts(missing.size(), debt::none);
  std::vector<int> counts(missing.size(), 0);
  if (tells) {
    load::asker asker(service, stats_timeout_ns);
    const auto now = look_at(asker);
    // Where nothing is outstanding nothing is owed, whatever the orders say; without an answer they are asked all the same.
    bool owes_some = !now;
    if (now && now->owed) {
      const auto found = now->owed->find(std::string(at.service));
      owes_some = found != now->owed->end() && found->second > 0;
    }
    if (owes_some) {
      std::vector<const orders::entry*> entries;
      for (const std::string& id : missing) entries.push_back(orders.find(id));
      debts = ask_debts(service, at.service, maker, entries);
    }
    counts = ask_bookings(at, missing);
  }
  for (std::size_t i = 0; i < missing.size(); ++i) add(sum, missing[i], counts[i], debts[i]);
}

void tell(judgement& of, const bookings& some, std::string_view what) {
  if (some.never + some.owed + some.twice + some.unread == 0) return;
  std::string ids;
  for (const std::string& id : some.told) ids += (ids.empty() ? "" : ", ") + id;
  of.sentences.push_back(fmt::format(
      "{}: {} orders never, {} not yet, {} more than once ({} too many), {} not to be asked for; among them {}", what, some.never,
      some.owed, some.twice, some.surplus, some.unread, ids));
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

std::int64_t settle_bound_ns(const std::map<std::string, std::uint64_t>& owed, std::int64_t settle_ns) {
  std::uint64_t most = 0;  // each service has a settlement of its own
  for (const auto& one : owed) most = std::max(most, one.second);
  return settle_ns + static_cast<std::int64_t>(2 * static_cast<double>(most) / settled_a_second * 1e9);
}

settling wait_for_debts(const load::target& service, std::int64_t settle_ns, const teller& tell) {
  settling seen;
  load::asker asker(service, stats_timeout_ns);
  const std::int64_t begin_ns = load::now_ns();
  std::int64_t give_up_ns = begin_ns + settle_ns;
  std::int64_t next_word_ns = 0;
  for (;;) {
    const auto told = look_at(asker);
    if (told && !told->owed) {
      seen.makes_none_later = true;
      return seen;
    }
    const std::int64_t now = load::now_ns();
    if (told) {
      if (!seen.told) {
        seen.first = *told->owed;
        give_up_ns = begin_ns + settle_bound_ns(seen.first, settle_ns);
      }
      seen.told = true;
      seen.left = *told->owed;
    }
    seen.waited_s = static_cast<double>(now - begin_ns) / 1e9;
    if (seen.told && owes_nothing(seen.left)) return seen;
    if (seen.told && tell && (now >= next_word_ns || now >= give_up_ns)) {
      tell(fmt::format(
          "bookings that are owed: {}; {}", show_owed(seen.left),
          now >= give_up_ns ? std::string("waited long enough")
                            : fmt::format("waiting at most {:.0f} s more, its settlement makes {:g} a second at each",
                                          static_cast<double>(give_up_ns - now) / 1e9, settled_a_second)));
      next_word_ns = now + between_words_ns;
    }
    if (now >= give_up_ns) return seen;
    sleep_ns(std::min<std::int64_t>(100'000'000, give_up_ns - now));
  }
}

judgement judge(const load::engine_options& service, const load::target& payment, const load::target& inventory,
                const orders::order_maker& maker, const orders::ledger& orders, std::int64_t settle_ns, const teller& say) {
  judgement made;
  made.acknowledged = orders.entries().size();
  if (made.acknowledged == 0) return made;
  const std::int64_t give_up_ns = load::now_ns() + settle_ns;
  made.settled = wait_for_debts(service.where, settle_ns, say);
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
  const auto count = [&](const booker& at) {
    std::vector<std::string> missing;
    bookings sum = count_all(at, ids, give_up_ns, missing);
    tell_owed_from_lost(sum, at, service.where, made.settled.told, maker, orders, missing);
    return sum;
  };
  made.charges = count({payment, "charges", "payment"});
  made.reservations = count({inventory, "reservations", "inventory"});
  tell(made, made.charges, "charges");
  tell(made, made.reservations, "reservations");
  return made;
}

}  // namespace levity::story
