#include "runtime/run_host.hpp"

#include <utility>

#include "io/host_files.hpp"
#include "reactor/host_network.hpp"

namespace levity::inline v0::detail {
namespace {

constinit thread_local run_host* this_host = nullptr;

}  // namespace

run_host* this_run_host() noexcept { return this_host; }

host_presence::host_presence(run_host& host) noexcept
    : outer_host_(std::exchange(this_host, &host)), outer_network_(exchange_host_network(&host.home())),
      outer_files_(exchange_host_files(host.files())), outer_time_(exchange_time_source(&host.home())) {}

host_presence::~host_presence() {
  exchange_time_source(outer_time_);
  exchange_host_files(outer_files_);
  exchange_host_network(outer_network_);
  this_host = outer_host_;
}

int exit_code(scheduler& runs, int code, const main_outcome& outcome) {
  scope_state& root = runs.root();
  if (root.failure != nullptr) {
    runs.unobserved(root.failure, executor::failed::task, "main", std::source_location{});
    return 1;
  }
  return code != 0 && root.child_cancelled ? code : outcome.code;
}

}  // namespace levity::detail
