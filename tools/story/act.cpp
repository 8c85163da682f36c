#include "story/act.hpp"

#include "common/quantity.hpp"
#include "load/ask.hpp"
#include "load/report.hpp"
#include "orders/drive.hpp"
#include "story/child.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <future>
#include <system_error>
#include <thread>
#include <utility>

namespace levity::story {

namespace {

constexpr std::int64_t operator_timeout_ns = 2'000'000'000;

class own_folder {
public:
  own_folder() {
    std::string name = (std::filesystem::temp_directory_path() / "levity-story.XXXXXX").string();
    if (mkdtemp(name.data()) != nullptr) path_ = name;
  }
  own_folder(const own_folder&) = delete;
  own_folder& operator=(const own_folder&) = delete;
  ~own_folder() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  [[nodiscard]] const std::string& path() const { return path_; }

private:
  std::string path_;
};

// The engine owns its workload; what it has written down must outlive it.
class borrowed final : public load::workload {
public:
  explicit borrowed(load::workload& of) : of_(of) {}
  bool next(load::request_id id, load::request_out& out) override { return of_.next(id, out); }
  load::failure answered(load::request_id id, const load::response_view& answer) override { return of_.answered(id, answer); }
  void unwritten(std::int64_t intended_ns, std::int64_t end_ns, load::failure why) override {
    of_.unwritten(intended_ns, end_ns, why);
  }

private:
  load::workload& of_;
};

std::string url_of(const load::target& where) { return "http://" + where.authority; }

struct downstream {
  child process;
  load::target where;
  load::target operate;

  downstream(const std::string& name, const std::string& folder) : process(name, folder) {}

  std::expected<void, std::string> start(const act_options& options, const std::string& folder) {
    const std::string& name = process.name();
    auto started = process.start({options.programs + "/orders_" + name, "--listen", "127.0.0.1:0", "--operate", "127.0.0.1:0",
                                  "--data", folder + "/" + name, "--seed", std::to_string(options.seed)});
    if (!started) return started;
    auto at = process.address_behind("listening at");
    if (!at) return std::unexpected(at.error());
    auto operated = process.address_behind("the operator is listened to at");
    if (!operated) return std::unexpected(operated.error());
    where = *at;
    operate = *operated;
    return {};
  }
};

// Tells each fault at its time. Whoever stops it has no more need of them.
std::vector<fault_told> tell_faults(const std::stop_token& ends, const std::vector<fault_window>& script,
                                    const load::target& payment, const load::target& inventory,
                                    std::shared_future<std::int64_t> started) {
  std::vector<fault_told> told;
  load::asker payment_operator(payment, operator_timeout_ns);
  load::asker inventory_operator(inventory, operator_timeout_ns);
  const auto stopped_before = [&ends](std::int64_t until_ns) {
    for (std::int64_t now = load::now_ns(); now < until_ns; now = load::now_ns()) {
      if (ends.stop_requested()) return true;
      const std::int64_t left = std::min<std::int64_t>(until_ns - now, 20'000'000);
      std::this_thread::sleep_for(std::chrono::nanoseconds(left));
    }
    return false;
  };
  while (started.wait_for(std::chrono::milliseconds(20)) != std::future_status::ready)
    if (ends.stop_requested()) return told;
  const std::int64_t start_ns = started.get();
  for (const fault_window& one : script) {
    if (stopped_before(start_ns + static_cast<std::int64_t>(one.from_s * 1e9))) return told;
    load::asker& to = one.service == "payment" ? payment_operator : inventory_operator;
    const auto answer = to.ask("POST", "/fault", one.order());
    fault_told heard;
    heard.at_s = static_cast<double>(load::now_ns() - start_ns) / 1e9;
    if (!answer) heard.error = answer.error();
    else if (answer->status != 200)
      heard.error = fmt::format("the operator of {} answers {}: {}", one.service, answer->status, answer->body);
    told.push_back(std::move(heard));
  }
  return told;
}

}  // namespace

std::optional<stats> act_result::last_stats() const {
  for (auto at = looks.rbegin(); at != looks.rend(); ++at)
    if (at->told) return at->told;
  return std::nullopt;
}

std::uint64_t act_result::tasks_max() const {
  std::uint64_t most = 0;
  for (const look& one : looks)
    if (one.told) most = std::max(most, one.told->tasks);
  return most;
}

std::uint64_t act_result::rss_bytes_max() const {
  std::uint64_t most = 0;
  for (const look& one : looks) most = std::max(most, one.rss_bytes);
  return most;
}

double act_result::failing_share() const {
  const auto last = last_stats();
  if (!last || last->outside_calls == 0) return 0;
  return static_cast<double>(last->outside_failures) / static_cast<double>(last->outside_calls);
}

std::expected<act_result, std::string> play(const version& which, const act_options& options) {
  const own_folder folder;
  if (folder.path().empty()) return std::unexpected("no folder for the data can be made in the temporary directory");
  const auto say = [&options](const std::string& sentence) {
    if (options.shown) fmt::print(stderr, "levity story: {}\n", sentence);
  };

  downstream payment("payment", folder.path());
  downstream inventory("inventory", folder.path());
  if (auto started = payment.start(options, folder.path()); !started) return std::unexpected(started.error());
  if (auto started = inventory.start(options, folder.path()); !started) return std::unexpected(started.error());
  child redis("redis", folder.path());
  std::vector<std::string> words{which.program, "--listen", "127.0.0.1:0", "--data", folder.path() + "/orders",
                                 "--payment", url_of(payment.where), "--inventory", url_of(inventory.where)};
  if (options.redis && which.uses_redis) {
    const std::string socket = folder.path() + "/redis.sock";
    auto started = redis.start({*options.redis, "--port", "0", "--unixsocket", socket, "--save", "", "--appendonly", "no", "--dir",
                                folder.path()});
    if (!started) return std::unexpected(started.error());
    words.insert(words.end(), {"--redis", "unix://" + socket});
  }
  child service("orders-" + which.name, folder.path());
  if (auto started = service.start(words); !started) return std::unexpected(started.error());
  const auto where = service.address_behind("listening at");
  if (!where) return std::unexpected(where.error());
  say(fmt::format("'{}' listens at {}; {:g} requests a second for {:g} s over {} connections", which.name, url_of(*where),
                  options.rate, options.duration_s, options.connections));

  act_result result;
  result.of = which;
  result.met = std::make_unique<record>(options.script, options.duration_s);
  const orders::order_maker maker(options.seed, options.customers);
  orders::mixed_traffic traffic(maker, where->authority, options.writes, 0, 1);
  std::promise<std::int64_t> starting;
  const std::shared_future<std::int64_t> started = starting.get_future().share();
  recorded_traffic recorded(traffic, *result.met, starting);

  load::engine_options drive;
  drive.where = *where;
  drive.rate = options.rate;
  drive.tick_ns = 1'000'000;
  drive.duration_ns = static_cast<std::int64_t>(options.duration_s * 1e9);
  drive.timeout_ns = options.timeout_ns;
  drive.connections = options.connections;
  std::expected<load::tally, std::string> run;
  {
    std::jthread faults([&](const std::stop_token& ends) {
      result.told = tell_faults(ends, options.script, payment.operate, inventory.operate, started);
    });
    std::jthread probe([&](const std::stop_token& ends) { result.looks = watch_service(ends, *where, service.pid(), started); });
    run = load::run_watched(drive, [&recorded](std::size_t) { return std::make_unique<borrowed>(recorded); }, options.shown);
    faults.request_stop();
    probe.request_stop();
  }
  if (!run) return std::unexpected(run.error());
  result.run = std::move(*run);
  result.wrong_answers = traffic.wrong().count();
  result.wrong = traffic.wrong().kept();
  result.sent = traffic.counts();
  if (!service.alive()) {
    result.ended_early = service.last_words();
    say(fmt::format("'{}' has ended during the run", which.name));
  }
  say(fmt::format("'{}': {} orders were acknowledged; reading them back when nothing is owed for them any more", which.name,
                  tools::show_count(traffic.orders().entries().size())));
  result.judged = judge(drive, payment.where, inventory.where, maker, traffic.orders(), options.settle_ns,
                        [&](const std::string& sentence) { say(fmt::format("'{}': {}", which.name, sentence)); });
  service.end();
  return result;
}

}  // namespace levity::story
