#pragma once

// dialogue: one connection to a server, over TCP or a Unix socket, from its connect and introduction on; whole values come out of
// it.
//
// One task may read while another writes, as on the stream below. Bytes that were received stay in the stream's buffer, lent, until
// all values in them were taken.
//
// Over TCP the kernel gives a connection up whose peer's machine acknowledges nothing for three health intervals, so that also who
// waits without a deadline learns of it.

#include <sys/uio.h>

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>

#include "levity/io/tcp.hpp"
#include "levity/io/unix_stream.hpp"
#include "levity/redis/error.hpp"
#include "levity/redis/options.hpp"
#include "levity/redis/request.hpp"
#include "levity/redis/value.hpp"
#include "levity/task/task.hpp"
#include "redis/reply_reader.hpp"

namespace levity::inline v0::redis::detail {

class dialogue {
public:
  explicit dialogue(const reply_limits& bounds) noexcept : reader_(bounds) {}
  dialogue(const dialogue&) = delete;
  dialogue& operator=(const dialogue&) = delete;

  /// Connects and introduces us: HELLO 3 with user, password and name, or where the server has no HELLO, AUTH and CLIENT SETNAME;
  /// then SELECT. All of it within options::connect_timeout.
  static task<result<std::unique_ptr<dialogue>>> open(const options& how);

  /// The next value of what was received; needs_more: fill() first.
  [[nodiscard]] reply_reader::verdict poll() { return reader_.feed(received_); }
  /// After `complete`.
  [[nodiscard]] value take() noexcept { return reader_.take(); }
  /// After `broken`.
  [[nodiscard]] error broken() const { return error::of(failure::protocol, reader_.why(), true); }

  /// Waits for bytes; only when poll() wants more.
  task<io_result<void>> fill();
  /// poll() and fill() until a value is there, pushes too. `sent` is for the error.
  task<result<value>> next(bool sent);
  task<io_result<void>> write(std::span<iovec> pieces);
  task<io_result<void>> write(std::string_view bytes);
  /// Ends our side, as after a write that was cut off: the server hangs up, and who reads meets the end.
  void hang_up() noexcept;

  /// Nothing came that was not taken; what the kernel holds, nobody knows.
  [[nodiscard]] bool is_idle() const noexcept { return received_.empty() && reader_.is_idle(); }
  [[nodiscard]] bool speaks_resp3() const noexcept { return resp3_; }

private:
  static task<result<std::unique_ptr<dialogue>>> open_in_time(const options& how);
  task<io_result<void>> connect(const options& how);
  task<io_result<void>> connect_to(std::string_view to);
  task<result<void>> introduce(const options& how);
  task<result<void>> introduce_in_resp2(const options& how);
  task<result<void>> expect_ok(std::size_t count);

  tcp_stream tcp_;
  unix_stream local_;
  byte_view received_;
  reply_reader reader_;
  bool is_local_ = false;
  bool resp3_ = false;
};

}  // namespace levity::redis::detail
