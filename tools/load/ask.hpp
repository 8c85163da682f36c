// ask.hpp -- one HTTP request at a time, with a limit of time: for whoever looks on while a service is driven.
#pragma once

#include "load/target.hpp"

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

namespace levity::load {

struct reply {
  int status = 0;
  std::string body;
};

/// Keeps its connection from one question to the next; not thread-safe. It is built on system calls alone, as the engine is.
class asker {
public:
  /// `where` has been resolved. No step of a question (connect, send, each read) takes longer than `timeout_ns`.
  asker(target where, std::int64_t timeout_ns) : where_(std::move(where)), timeout_ns_(timeout_ns) {}
  asker(const asker&) = delete;
  asker& operator=(const asker&) = delete;
  ~asker() { hang_up(); }

  /// The answer, of any status. The error is one sentence.
  [[nodiscard]] std::expected<reply, std::string> ask(std::string_view method, std::string_view path, std::string_view body = {});

private:
  std::expected<void, std::string> dial();
  std::expected<reply, std::string> try_once(std::string_view request);
  void hang_up();

  target where_;
  std::int64_t timeout_ns_;
  int fd_ = -1;
  bool late_ = false;  // the last answer did not come in time
};

}  // namespace levity::load
