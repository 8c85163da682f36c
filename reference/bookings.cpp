#include "reference/bookings.hpp"

#include <utility>

namespace orders {
namespace {

// A connection is in use for as long as its call, and calls are bounded: by concurrent_max of customers and of the settlement.
levity::http::client_options client_options_of(const booking_options& options) {
  levity::http::client_options made;
  made.pool.per_host = 2 * (options.outside.concurrent_max + options.settlement.concurrent_max);
  made.send_deadline = true;
  return made;
}

void add_name(std::string& names, std::string_view name) {
  if (!names.empty()) names += ", ";
  names += name;
}

}  // namespace

bookings::partner::partner(store& orders, std::string name, const levity::http::url& root, std::string_view path,
                       outside::body_of body, owed what, const booking_options& options, levity::http::client& client,
                       levity::service::id_source& ids, levity::service::log* notes)
    : calls(std::move(name), root.resolve(path).value(), body, options.outside, client, ids, notes),
      settles(orders, calls, what, options.settlement) {}

bookings::bookings(store& orders, const booking_options& options, levity::service::id_source& ids, levity::service::log* notes)
    : client_(client_options_of(options)) {
  if (options.payment) {
    owes_ |= owes_charge;
    partners_.push_back(std::make_unique<partner>(orders, "payment", *options.payment, "/charges", write_charge_request,
                                                  owes_charge, options, client_, ids, notes));
  }
  if (options.inventory) {
    owes_ |= owes_reservation;
    partners_.push_back(std::make_unique<partner>(orders, "inventory", *options.inventory, "/reservations",
                                                  write_reservation_request, owes_reservation, options, client_, ids, notes));
  }
}

bookings::opened bookings::open() {
  opened all;
  for (const auto& at : partners_) all.each_.push_back(at->settles.open());
  return all;
}

levity::task<std::string> bookings::book(opened open, order_view order) {
  std::vector<levity::task<bool>> each;
  for (std::size_t i = 0; i < partners_.size(); i++) each.push_back(partners_[i]->settles.book(std::move(open.each_[i]), order));
  const std::vector<bool> done = co_await levity::when_all(std::move(each));
  std::string later;
  for (std::size_t i = 0; i < partners_.size(); i++) {
    if (!done[i]) add_name(later, partners_[i]->calls.name());
  }
  co_return later;
}

std::string bookings::names_of(owed owes) const {
  std::string names;
  for (const auto& at : partners_) {
    if ((owes & at->settles.what()) != 0) add_name(names, at->calls.name());
  }
  return names;
}

levity::task<> bookings::run() {
  levity::scope parts;
  for (const auto& at : partners_) parts.spawn("settlement", [](settlement* runs) { return runs->run(); }, &at->settles);
  co_await parts.join();
}

std::vector<bookings::figures> bookings::look() const {
  std::vector<figures> all;
  for (const auto& at : partners_) all.push_back({at->calls.name(), at->calls.look(), at->settles.look()});
  return all;
}

}  // namespace orders
