// socket_backends: a test of what sockets promise whoever carries them, the kernel or a simulated run; one test for each of them.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <utility>

#include "levity/levity.hpp"

namespace levity::test {

/// Who carries the sockets of a test.
struct socket_backend {
  const char* name;
  runtime_options::sockets backend;
  unsigned workers;
  std::uint64_t seed;
};

inline constexpr socket_backend socket_backends[] = {
    {"epoll_1_worker", runtime_options::sockets::epoll, 1, 1}, {"epoll_2_workers", runtime_options::sockets::epoll, 2, 1},
    {"sim_1", runtime_options::sockets::sim, 1, 1},            {"sim_2", runtime_options::sockets::sim, 1, 2},
    {"sim_42", runtime_options::sockets::sim, 1, 42},          {"sim_20260", runtime_options::sockets::sim, 1, 20260},
};

inline std::string name_of(const testing::TestParamInfo<socket_backend>& row) { return row.param.name; }

class on_each_backend : public testing::TestWithParam<socket_backend> {
protected:
  template <class F, class... Args>
  int run(F f, Args... args) {
    runtime_options options;
    options.backend = GetParam().backend;
    options.workers = GetParam().workers;
    options.seed = GetParam().seed;
    options.handle_signals = false;
    return run_with(options, std::move(f), std::move(args)...);
  }
};

}  // namespace levity::test
