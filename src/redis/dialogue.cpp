#include "redis/dialogue.hpp"

#include <algorithm>
#include <new>
#include <string>
#include <utility>

#include "levity/base/address.hpp"
#include "levity/resolve/connect.hpp"
#include "levity/task/cancel.hpp"
#include "levity/time/deadline.hpp"

namespace levity::inline v0::redis::detail {

namespace {

constexpr const char* connecting = "connecting to redis";
constexpr const char* reading = "reading from redis";

// A host is whatever stands in front of the last colon.
bool split(std::string_view text, std::string& host, std::string& port) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0 || colon + 1 == text.size()) return false;
  host = std::string(text.substr(0, colon));
  port = std::string(text.substr(colon + 1));
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  return true;
}

}  // namespace

task<io_result<void>> dialogue::fill() {
  io_result<byte_view> got = std::unexpected(io_error{io_failure::closed, 0, reading});
  if (is_local_) {
    got = co_await local_.read_some();
  } else {
    got = co_await tcp_.read_some();
  }
  if (!got) co_return std::unexpected(got.error().during(reading));
  received_ = *got;
  co_return io_result<void>{};
}

task<result<value>> dialogue::next(bool sent) {
  for (;;) {
    switch (poll()) {
      case reply_reader::verdict::complete: co_return take();
      case reply_reader::verdict::broken: co_return std::unexpected(broken());
      case reply_reader::verdict::needs_more: break;
    }
    const io_result<void> more = co_await fill();
    if (!more) co_return std::unexpected(error::of_io(more.error(), sent));
  }
}

task<io_result<void>> dialogue::write(std::span<iovec> pieces) {
  if (is_local_) co_return co_await local_.write_all(pieces);
  co_return co_await tcp_.write_all(pieces);
}

task<io_result<void>> dialogue::write(std::string_view bytes) {
  iovec piece{const_cast<char*>(bytes.data()), bytes.size()};
  co_return co_await write(std::span{&piece, 1});
}

void dialogue::hang_up() noexcept {
  if (is_local_) {
    static_cast<void>(local_.shutdown_write());
  } else {
    static_cast<void>(tcp_.shutdown_write());
  }
}

task<io_result<void>> dialogue::connect(const options& how) {
  constexpr int silent_intervals = 3;
  const io_result<void> connected = co_await connect_to(how.address);
  if (!connected || is_local_) co_return connected;
  // Where it cannot be had, the kernel's own patience holds.
  const duration silence = std::min(how.health_interval, duration::max() / silent_intervals) * silent_intervals;
  static_cast<void>(tcp_.set_silence_max(silence));
  co_return connected;
}

task<io_result<void>> dialogue::connect_to(std::string_view to) {
  if (to.starts_with('/') || to.starts_with('@')) {
    auto stream = co_await unix_stream::connect(to);
    if (!stream) co_return std::unexpected(stream.error().during(connecting));
    local_ = std::move(*stream);
    is_local_ = true;
    co_return io_result<void>{};
  }
  if (const auto number = address::parse(to)) {
    auto stream = co_await tcp_stream::connect(*number);
    if (!stream) co_return std::unexpected(stream.error().during(connecting));
    tcp_ = std::move(*stream);
    co_return io_result<void>{};
  }
  std::string host;
  std::string port;
  if (!split(to, host, port)) co_return std::unexpected(io_error{io_failure::invalid, 0, connecting});
  auto stream = co_await levity::connect(std::move(host), std::move(port));
  if (!stream) co_return std::unexpected(stream.error().summary().during(connecting));
  tcp_ = std::move(*stream);
  co_return io_result<void>{};
}

// So many replies, none of them an error.
task<result<void>> dialogue::expect_ok(std::size_t count) {
  for (std::size_t i = 0; i < count; i++) {
    result<value> reply = co_await next(false);
    if (!reply) co_return std::unexpected(reply.error().with_sent(false));
    if (reply->is_error()) co_return std::unexpected(error::of_server(std::move(*reply).take_text()).with_sent(false));
  }
  co_return result<void>{};
}

task<result<void>> dialogue::introduce_in_resp2(const options& how) {
  std::string all;
  std::size_t count = 0;
  if (!how.password.empty()) {
    request auth("AUTH");
    if (!how.user.empty()) auth.add(how.user);
    auth.add(how.password);
    all += auth.encode();
    count++;
  }
  if (!how.name.empty()) {
    request name("CLIENT", "SETNAME", how.name);
    all += name.encode();
    count++;
  }
  if (how.database != 0) {
    request select("SELECT", how.database);
    all += select.encode();
    count++;
  }
  if (count == 0) co_return result<void>{};
  const io_result<void> written = co_await write(all);
  if (!written) co_return std::unexpected(error::of_io(written.error().during(connecting), false));
  co_return co_await expect_ok(count);
}

task<result<void>> dialogue::introduce(const options& how) {
  if (!how.resp3) co_return co_await introduce_in_resp2(how);
  request hello("HELLO", 3);
  if (!how.password.empty())
    hello.add("AUTH").add(how.user.empty() ? std::string_view("default") : std::string_view(how.user)).add(how.password);
  if (!how.name.empty()) hello.add("SETNAME").add(how.name);
  const io_result<void> written = co_await write(hello.encode());
  if (!written) co_return std::unexpected(error::of_io(written.error().during(connecting), false));
  result<value> reply = co_await next(false);
  if (!reply) co_return std::unexpected(reply.error().with_sent(false));
  if (reply->is_error()) {
    // Before Redis 6 there is no HELLO; a proxy may have it, and no RESP3.
    const std::string_view code = reply->error_code();
    const bool unknown = code == "NOPROTO" || (code == "ERR" && reply->text().find("unknown command") != std::string_view::npos);
    if (unknown) co_return co_await introduce_in_resp2(how);
    co_return std::unexpected(error::of_server(std::move(*reply).take_text()).with_sent(false));
  }
  resp3_ = true;
  if (how.database == 0) co_return result<void>{};
  request select("SELECT", how.database);
  const io_result<void> selected = co_await write(select.encode());
  if (!selected) co_return std::unexpected(error::of_io(selected.error().during(connecting), false));
  co_return co_await expect_ok(1);
}

task<result<std::unique_ptr<dialogue>>> dialogue::open_in_time(const options& how) {
  auto made = std::make_unique<dialogue>(how.replies);
  const io_result<void> connected = co_await made->connect(how);
  if (!connected) co_return std::unexpected(error::of_io(connected.error(), false));
  const result<void> introduced = co_await made->introduce(how);
  if (!introduced) co_return std::unexpected(introduced.error());
  co_return std::move(made);
}

task<result<std::unique_ptr<dialogue>>> dialogue::open(const options& how) {
  co_return co_await with_deadline(how.connect_timeout, open_in_time(how));
}

}  // namespace levity::redis::detail
