#include "reactor/host_network.hpp"

#include <utility>

namespace levity::inline v0::detail {
namespace {

constinit thread_local reactor* this_network = nullptr;

}  // namespace

reactor* host_network() noexcept { return this_network; }

reactor* exchange_host_network(reactor* network) noexcept { return std::exchange(this_network, network); }

}  // namespace levity::detail
