#include "reference/orders.hpp"

#include <levity/http/server.hpp>
#include <levity/levity.hpp>
#include <levity/service/drain.hpp>

#include <signal.h>

#include <chrono>
#include <cstdio>
#include <exception>
#include <expected>
#include <optional>
#include <string>
#include <utility>

#include "reference/named_file.hpp"
#include "reference/recovery.hpp"
#include "reference/routes.hpp"
#include "reference/settings.hpp"
#include "reference/store.hpp"
#include "reference/wall_time.hpp"

namespace lv = levity;

namespace orders {
namespace {

constexpr std::size_t check_bookings = 1;  // behind that of the store, which a probe looks at itself

using settings_now = lv::service::config<settings>;
using rules = std::expected<lv::service::virtual_service, std::string>;

lv::task<std::expected<std::string, std::string>> read_whole(std::string path) {
  constexpr std::size_t piece = 64 * 1024;
  auto file = co_await named_file::open(std::move(path), {.read = true});
  if (!file) co_return std::unexpected(std::move(file.error()));
  std::string text;
  for (bool more = true; more;) {
    const std::size_t before = text.size();
    auto read = co_await file->read_at(before, piece, text);
    if (!read) co_return std::unexpected(std::move(read.error()));
    more = text.size() == before + piece;
  }
  co_return std::move(text);
}

lv::task<rules> read_rules(std::string path) {
  const auto text = co_await read_whole(path);
  // Why not, because it is a directory for one, this operator keeps to itself.
  if (!text) co_return std::unexpected(path + " cannot be read");
  co_return lv::service::virtual_service::parse(*text, path);
}

// What is followed while the service runs: the file of the settings, and that of the canary.
lv::task<> follow_hangups(settings_now* in_force, lv::service::canary* versions, lv::service::log* notes) {
  auto signals = lv::signal_set::open({SIGHUP});
  while (signals && co_await signals->next()) {
    const auto changes = co_await in_force->reload();
    if (!changes) {
      notes->error("settings were not read again", {{"why", changes.error()}});
      continue;
    }
    for (const auto& change : *changes) {
      notes->info(change.applied ? "setting changed" : "setting changes with the next start",
                  {{"setting", change.name}, {"from", change.from}, {"to", change.to}});
    }
    notes->set_level(in_force->get()->log_level);
    if (versions == nullptr) continue;
    rules fresh = co_await read_rules(in_force->get()->canary);
    if (fresh) versions->reload(std::move(*fresh));
    else notes->error("the canary's rules were not read again", {{"why", fresh.error()}});
  }
}

// Settles, whatever happens. After a failure that nobody expects, of memory for one, the service is unready for a moment, and what
// is owed is settled from where it was.
lv::task<> settle(bookings* books, lv::service::health* probes, lv::service::log* notes) {
  for (;;) {
    probes->set(check_bookings, true);
    try {
      co_await books->run();
    } catch (const lv::cancelled&) {
      throw;
    } catch (const std::exception& failure) {
      probes->set(check_bookings, false);
      notes->error("bookings were broken off, and go on in a second", {{"why", failure.what()}});
    } catch (...) {
      probes->set(check_bookings, false);
    }
    co_await lv::sleep(std::chrono::seconds(1));
  }
}

// From the outside in: first the server ends, then what works in the background, then the store, so that what was accepted is
// written before the process ends; the log at the very end.
lv::task<int> serve(lv::tcp_listener* listener, store* kept, settings_now* in_force, rules* canary_rules) {
  const auto wanted = in_force->get();
  lv::service::log notes{{.level = wanted->log_level}};
  lv::service::health probes(lv::clock::now(), {"store", "bookings"});
  probes.set(check_bookings, true);
  lv::service::id_source ids;
  std::optional<redis_copy> copy;
  if (!wanted->redis.empty()) copy.emplace(lv::redis::options::parse(wanted->redis).value());
  std::optional<lv::service::canary> versions;
  if (!wanted->canary.empty()) versions.emplace(std::move(canary_rules->value()));
  order_cache cache(*kept, copy ? &*copy : nullptr, wanted->cache);
  bookings books(*kept, booking_options_of(*wanted), ids, &notes);
  service service{*kept, {&books, &cache}};
  lv::load_shedder door{{.concurrent_max = wanted->orders_at_once}};
  served_by by{service, *kept, door, probes, ids,
                       {&cache, &books, copy ? &*copy : nullptr, versions ? &*versions : nullptr}};
  lv::http::server_options answers;
  answers.heed_deadline = true;
  lv::http::server server{answers};
  add_routes(server, by);

  lv::scope keepers{lv::on_failure::report};
  keepers.spawn("log", [](lv::service::log* of) { return of->write_to_stderr(); }, &notes);
  lv::scope writers;
  writers.spawn("order store", [](store* keeps) { return keeps->run(); }, kept);
  lv::scope background{lv::on_failure::report};  // what fails here takes nobody along
  background.spawn("bookings", settle, &books, &probes, &notes);
  if (copy) background.spawn("redis copy", [](redis_copy* runs) { return runs->run(); }, &*copy);
  if (!in_force->file().empty()) background.spawn("hangups", follow_hangups, in_force, by.figures.versions, &notes);
  if (versions) {
    background.spawn("canary", [](lv::service::canary* of) -> lv::task<> {
      (void)co_await of->watch(std::chrono::seconds(1));
    }, &*versions);
  }

  int code = 0;
  try {
    code = co_await lv::service::serve_until_told(
        &server, std::move(*listener), {.notice = wanted->drain_notice, .bound = wanted->drain_bound}, {&probes, &notes});
  } catch (const lv::cancelled&) {
    // Told before anybody listened.
  }
  background.cancel();
  co_await background.join();
  kept->stop();
  co_await writers.join();
  keepers.cancel();
  co_await keepers.join();
  co_return code;
}

// Everything from the settings on: what is read is read by the runtime's files, and who is told to end while orders are read back
// ends.
lv::task<int> live(int argc, char** argv) {
  auto in_force = co_await read_settings(argc, argv);
  if (!in_force) co_return in_force.error().tell();
  for (const std::string& remark : (*in_force)->remarks()) std::fprintf(stderr, "orders: %s\n", remark.c_str());
  const auto wanted = (*in_force)->get();
  rules canary_rules;
  if (!wanted->canary.empty()) canary_rules = co_await read_rules(wanted->canary);
  if (!canary_rules) {
    std::fprintf(stderr, "orders: %s\n", canary_rules.error().c_str());
    co_return 2;
  }
  auto recovered = co_await recover(wanted->data, {wanted->cut_damage, wall_ns()});
  if (!recovered) {
    std::fprintf(stderr, "orders: %s\n", recovered.error().c_str());
    co_return 1;
  }
  for (const std::string& warning : recovered->warnings) std::fprintf(stderr, "orders: %s\n", warning.c_str());
  auto listener = lv::tcp_listener::bind(wanted->listen);
  if (!listener) {
    std::fprintf(stderr, "orders: cannot listen at %s: %s\n", wanted->listen.c_str(), listener.error().message().c_str());
    co_return 1;
  }
  std::fprintf(stderr, "orders: %llu orders from \"%s\"; listening at http://%s\n",
               static_cast<unsigned long long>(recovered->orders.size()), wanted->data.c_str(),
               listener->local_address().to_string().c_str());
  store kept{std::move(*recovered), wanted->data, {.compact_log_size_min = wanted->compact_at}};
  co_return co_await serve(&*listener, &kept, in_force->get(), &canary_rules);
}

}  // namespace

int run_orders(int argc, char** argv) { return lv::run(live, argc, argv); }

}  // namespace orders
