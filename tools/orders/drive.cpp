#include "orders/drive.hpp"

#include "common/quantity.hpp"
#include "load/report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <utility>

namespace levity::orders {

namespace {

// Engines own their workload; what it has learned must outlive them.
template <class Traffic>
class borrowed final : public load::workload {
public:
  explicit borrowed(Traffic& traffic) : traffic_(traffic) {}
  bool next(load::request_id id, load::request_out& out) override { return traffic_.next(id, out); }
  load::failure answered(load::request_id id, const load::response_view& answer) override {
    return traffic_.answered(id, answer);
  }

private:
  Traffic& traffic_;
};

}  // namespace

std::expected<read_back_result, std::string> check_orders(const load::engine_options& options, const order_maker& maker,
                                                          const ledger& orders, std::uint64_t repeats) {
  load::engine_options closed = options;
  closed.closed = true;
  closed.threads = 1;
  closed.warmup_ns = 0;
  closed.duration_ns = 3'600'000'000'000;  // it ends when everything is read
  closed.connections = std::min<std::size_t>(options.connections, 32);
  read_back reader(maker, options.where.authority, orders, repeats);
  auto run = load::run_load(closed, [&reader](std::size_t) { return std::make_unique<borrowed<read_back>>(reader); });
  if (!run) return std::unexpected(run.error());
  read_back_result result;
  result.run = std::move(*run);
  result.missing = reader.missing();
  result.differing = reader.differing();
  result.unread = reader.unread();
  result.compared = reader.compared();
  result.repeated = reader.repeated();
  return result;
}

std::expected<drive_result, std::string> drive(const drive_options& options) {
  const order_maker maker(options.seed, options.customers);
  const std::size_t threads = std::min(options.load.threads, options.load.connections);
  std::vector<std::unique_ptr<mixed_traffic>> traffic;
  for (std::size_t shard = 0; shard < threads; ++shard)
    traffic.push_back(
        std::make_unique<mixed_traffic>(maker, options.load.where.authority, options.writes, shard, threads));

  drive_result result;
  result.watch.emplace(options.load.where, options.pid);
  result.watch->begin();
  auto run = load::run_watched(
      options.load,
      [&traffic](std::size_t index) { return std::make_unique<borrowed<mixed_traffic>>(*traffic[index]); }, options.live,
      [&result] { result.watch->sample(); });
  if (!run) return std::unexpected(run.error());
  result.watch->end();
  result.run = std::move(*run);
  for (const auto& part : traffic) {
    result.wrong.merge(part->wrong());
    result.counts.merge(part->counts());
    const std::size_t twice = result.orders.merge(std::move(part->orders()));
    for (std::size_t i = 0; i < twice; ++i) result.wrong.add("two orders of two generator threads have the same id");
  }
  auto checked = check_orders(options.load, maker, result.orders, options.repeats);
  if (checked) result.checked = std::move(*checked);
  else result.checked.unread.add(fmt::format("nothing could be read back: {}", checked.error()));
  return result;
}

std::vector<std::string> broken_promises(const read_back_result& checked) {
  std::vector<std::string> broken;
  const auto say = [&broken](const complaints& some, const char* what) {
    if (some.count() > 0) broken.push_back(fmt::format("{} {}", tools::show_count(some.count()), what));
  };
  say(checked.missing, "acknowledged orders are missing");
  say(checked.differing, "orders differ from what was acknowledged");
  say(checked.unread, "orders could not be read back");
  return broken;
}

std::vector<std::string> broken_promises(const drive_options& options, const drive_result& result, bool judges_times) {
  std::vector<std::string> broken;
  const auto& run = result.run;
  const auto is_judged = [judges_times](std::size_t kind) {
    const auto failed_as = static_cast<load::failure>(kind);
    return judges_times || (failed_as != load::failure::timeout && failed_as != load::failure::unsent);
  };
  std::uint64_t failed = 0;
  std::string kinds;
  for (std::size_t kind = 1; kind < load::failure_kinds; ++kind) {
    if (run.ended[kind] == 0 || !is_judged(kind)) continue;
    failed += run.ended[kind];
    kinds += fmt::format("{}{} {}", kinds.empty() ? "" : ", ", load::failure_names[kind], tools::show_count(run.ended[kind]));
  }
  if (failed > 0) broken.push_back(fmt::format("{} requests failed: {}", tools::show_count(failed), kinds));
  // Of what kind they were is not known.
  if (judges_times && run.warmup_failed > 0)
    broken.push_back(fmt::format("{} requests of the warm-up failed", tools::show_count(run.warmup_failed)));
  if (result.wrong.count() > 0 && run.failed() + run.warmup_failed == 0)
    broken.push_back(fmt::format("{} answers were wrong", tools::show_count(result.wrong.count())));
  if (judges_times && run.good_per_second() < options.rate_share_min * options.load.rate)
    broken.push_back(fmt::format("the rate was {:.1f}/s, {:g}% of {:g}/s were due", run.good_per_second(),
                                 options.rate_share_min * 100, options.load.rate));
  const auto p99 = run.corrected_ns.value_at(0.99);
  if (judges_times && p99 > static_cast<std::uint64_t>(options.p99_limit_ns))
    broken.push_back(fmt::format("p99 was {}, at most {} was due", tools::show_duration(static_cast<double>(p99)),
                                 tools::show_duration(static_cast<double>(options.p99_limit_ns))));
  if (options.writes > 0 && result.orders.entries().empty()) broken.push_back("not one order was acknowledged");
  const std::size_t expected = result.orders.entries().size();
  const auto more = broken_promises(result.checked);
  broken.insert(broken.end(), more.begin(), more.end());
  if (more.empty() && result.checked.compared != expected)
    broken.push_back(fmt::format("{} of {} orders were read back", tools::show_count(result.checked.compared),
                                 tools::show_count(expected)));
  return broken;
}

}  // namespace levity::orders
