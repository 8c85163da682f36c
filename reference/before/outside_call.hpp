// outside_call.hpp — how the service before asks others: a new connection for each call, and no time limit.
//
// When there is no answer after half a second the call is tried again beside the first, which may still be on its way; the first
// good answer counts. That is a dozen lines and looks like care. What it costs shows when the other side is slow: the attempts are
// never taken back, each keeps a task and a socket, and each may be carried out.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include <levity/levity.hpp>

namespace orders::before {

struct outside_answer {
  int status = 0;  ///< 0: no connection, or it broke
  std::string body;
  bool good() const noexcept { return status >= 200 && status < 300; }
};

/// What the calls came to, all of a process.
struct outside_figures {
  levity::atomic<std::uint64_t> calls{0};
  levity::atomic<std::uint64_t> failures{0};  ///< no answer, or 5xx
};

/// Another service, by its "host:port". Attempts are tasks of `attempts`.
class outside {
public:
  outside(std::string where, outside_figures& figures, levity::scope& attempts)
      : where_(std::move(where)), figures_(figures), attempts_(attempts) {}

  /// POSTs JSON until somebody answers. Inside a task.
  levity::task<outside_answer> post(std::string path, std::string body);

private:
  static constexpr int attempts_max = 5;
  static constexpr levity::duration patience = std::chrono::milliseconds(500);

  using answers = levity::unbounded_channel<outside_answer>;
  levity::task<outside_answer> attempt(std::string request);
  levity::task<> attempt_beside(std::string request, std::shared_ptr<answers> to);

  const std::string where_;
  outside_figures& figures_;
  levity::scope& attempts_;
};

}  // namespace orders::before
