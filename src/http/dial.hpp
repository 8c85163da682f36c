#pragma once

// dial: a new connection to a host, with a second attempt beside a slow first one.
//
// Why: a lost SYN is sent again after a second, which is all the time that a request may have to connect. A second attempt 250 ms
// later has a SYN of its own. It costs nothing in good times, for then the first one stands within a round trip. Which of them
// stands first is taken; the other one is cancelled, and closed if it came about.
//
//   0 ms      first attempt, at all addresses of the name as connect() goes about them
//   250 ms    second attempt, if the first one has neither succeeded nor failed
//
// A first attempt that fails ends the call: who is refused is refused twice.

#include <string>
#include <vector>

#include "levity/base/address.hpp"
#include "levity/base/clock.hpp"
#include "levity/resolve/connect.hpp"
#include "levity/task/task.hpp"

namespace levity::inline v0::http::detail {

// Connects to one of `addresses`. second_after 0: no second attempt. Honours deadlines and cancellation, by the values of
// connect_any().
[[nodiscard]] task<connect_result> dial(std::vector<address> addresses, duration second_after);

}  // namespace levity::http::detail
