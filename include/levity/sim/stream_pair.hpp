#pragma once

#include "levity/base/error.hpp"
#include "levity/io/tcp.hpp"
#include "levity/task/task.hpp"

namespace levity::inline v0::sim {

/// Both ends of a connection; what is written to one is read from the other.
struct stream_ends {
  tcp_stream near;  ///< which connected
  tcp_stream far;   ///< which was accepted
};

/// A connection within this program, for tests of what reads and writes. In a simulated run, be it explore(), a host's or one of
/// lv::run_with, it is in memory: bytes come late and cut short, as its seed has it, and a seed is all it takes to have them come
/// so again. Elsewhere it goes over 127.0.0.1. Fails as tcp_listener::bind, connect and accept do; cancelled likewise.
task<io_result<stream_ends>> stream_pair();

}  // namespace levity::sim
