#pragma once

// What the tests of this room share: values made at random and written as a server would, and a server of their own that lives in
// simulated networks and has the manners that a test wants.

#include <gtest/gtest.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "levity/base/rng.hpp"
#include "levity/io/tcp.hpp"
#include "levity/io/tcp_listener.hpp"
#include "levity/redis/request.hpp"
#include "levity/redis/value.hpp"
#include "levity/task/scope.hpp"
#include "levity/task/task.hpp"
#include "levity/time/sleep.hpp"
#include "redis/number_text.hpp"
#include "redis/reply_reader.hpp"

namespace levity::inline v0::redis::test {

/// As a server writes it. Over RESP2 what it does not know comes as the nearest that it knows.
inline void write_reply(std::string& out, const value& one, bool resp3 = true) {
  const auto line = [&](char type, std::string_view text) { out.append(1, type).append(text).append("\r\n"); };
  const auto bulk = [&](char type, std::string_view text) {
    line(type, std::to_string(text.size()));
    out.append(text).append("\r\n");
  };
  if (resp3 && !one.attributes().empty()) {
    line('|', std::to_string(one.attributes().size() / 2));
    for (const value& each : one.attributes()) write_reply(out, each);
  }
  switch (one.kind()) {
    case value_kind::null: resp3 ? line('_', "") : line('$', "-1"); return;
    case value_kind::boolean:
      if (resp3) return line('#', *one.to_boolean() ? "t" : "f");
      return line(':', *one.to_boolean() ? "1" : "0");
    case value_kind::integer: return line(':', std::to_string(*one.to_integer()));
    case value_kind::real: {
      std::string text;
      detail::append_real(text, *one.to_real());
      return resp3 ? line(',', text) : bulk('$', text);
    }
    case value_kind::status: return line('+', one.text());
    case value_kind::text: return bulk('$', one.text());
    case value_kind::verbatim:
      return resp3 ? bulk('=', std::string(one.format()) + ":" + std::string(one.text())) : bulk('$', one.text());
    case value_kind::big_number: return resp3 ? line('(', one.text()) : bulk('$', one.text());
    case value_kind::error:
      if (resp3 && one.text().find_first_of("\r\n") != std::string_view::npos) return bulk('!', one.text());
      return line('-', one.text());
    case value_kind::array:
    case value_kind::set:
    case value_kind::map:
    case value_kind::push: break;
  }
  const bool pairs = resp3 && one.kind() == value_kind::map;
  const char type = !resp3                              ? '*'
                    : one.kind() == value_kind::map     ? '%'
                    : one.kind() == value_kind::set     ? '~'
                    : one.kind() == value_kind::push    ? '>'
                                                        : '*';
  line(type, std::to_string(one.elements().size() / (pairs ? 2 : 1)));
  for (const value& each : one.elements()) write_reply(out, each, resp3);
}

inline std::string random_text(rng& from, std::size_t size_max) {
  std::string text(from.below(size_max + 1), ' ');
  for (char& each : text)
    each = static_cast<char>(from.below(4) == 0 ? "\r\n\0$"[from.below(4)] : static_cast<char>(from.below(256)));
  return text;
}

inline std::string random_line(rng& from, std::size_t size_max) {
  std::string text = random_text(from, size_max);
  for (char& each : text) {
    if (each == '\r' || each == '\n') each = '.';
  }
  return text;
}

inline value random_value(rng& from, unsigned depth, bool with_attributes = true) {
  const auto elements = [&](std::size_t step) {
    std::vector<value> all(from.below(5) * step);
    for (value& each : all) each = random_value(from, depth - 1, with_attributes);
    return all;
  };
  const auto make = [&]() -> value {
    switch (from.below(depth == 0 ? 9 : 12)) {
      case 0: return {};
      case 1: return value::of_boolean(from.below(2) == 1);
      case 2: return value::of_integer(static_cast<std::int64_t>(from() >> (1 + from.below(63))) * (from.below(2) == 1 ? 1 : -1));
      case 3:
        return value::of_real(from.below(8) == 0 ? -std::numeric_limits<double>::infinity() : static_cast<double>(from()) / 3.0);
      case 4: return value::of_text(random_line(from, 20), value_kind::status);
      case 5: return value::of_text(random_text(from, from.below(16) == 0 ? 70'000 : 40));
      case 6: {
        value one = value::of_text(random_text(from, 40), value_kind::verbatim);
        one.set_format("mkd");
        return one;
      }
      case 7: return value::of_text("-" + std::to_string(from()) + std::to_string(from()), value_kind::big_number);
      case 8: return value::of_text("ERR " + random_text(from, 20), value_kind::error);
      case 9: return value::of_elements(elements(1));
      case 10: return value::of_elements(elements(1), value_kind::set);
      default: return value::of_elements(elements(2), value_kind::map);
    }
  };
  value one = make();
  if (with_attributes && depth > 0 && from.below(12) == 0) one.set_attributes({value::of_text("ttl"), random_value(from, 0)});
  return one;
}

/// What a reader makes of bytes that come in pieces; `cuts` are ascending positions. Each piece is memory of its own that is gone
/// before the next one, so a view that is kept too long is found by the address sanitizer.
struct reading {
  std::vector<value> values;
  std::string broken;    // why, if it broke
  bool is_idle = true;   // at the end
};
inline reading read_in_pieces(std::string_view bytes, std::span<const std::size_t> cuts, const reply_limits& bounds = {}) {
  reading result;
  detail::reply_reader reader(bounds);
  std::size_t from = 0;
  const auto read = [&](std::size_t to) {
    const auto memory = std::make_unique<std::byte[]>(to - from + 1);
    std::memcpy(memory.get(), bytes.data() + from, to - from);
    byte_view rest{memory.get(), to - from};
    from = to;
    for (;;) {
      switch (reader.feed(rest)) {
        case detail::reply_reader::verdict::complete: result.values.push_back(reader.take()); break;
        case detail::reply_reader::verdict::broken: result.broken = reader.why(); return false;
        case detail::reply_reader::verdict::needs_more: return true;
      }
    }
  };
  for (const std::size_t cut : cuts) {
    if (!read(cut)) return result;
  }
  if (read(bytes.size())) result.is_idle = reader.is_idle();
  return result;
}
inline reading read_whole(std::string_view bytes, const reply_limits& bounds = {}) { return read_in_pieces(bytes, {}, bounds); }

/// A server for simulated networks. What it does is said by the command:
///
///   ECHO x      x                        FAIL words...   an error               SLOW ms x   x, later
///   HALF x      a part of x, then ends   DIE             ends, no reply         MUTE        no reply, ever, to anything behind it
///   TWICE x     x, and x once more       GARBAGE         what is no reply       PUSHED x    a push in front of x
///   GET, SET, INCRBY on one table of all connections; SUBSCRIBE, PUBLISH, MULTI, EXEC, PING, HELLO, AUTH, SELECT, CLIENT as a
///   server's
class fake_server {
public:
  bool knows_hello = true;
  std::string password;
  duration delay_max{};       // of each command, drawn
  unsigned dies_at = 0;       // one of so many commands ends its connection instead, in the middle of its reply; 0: never
  rng random{1};
  std::set<std::string> forbidden;  // names of commands, as by an ACL

  std::map<std::string, int> seen;   // how often each command came, by its words
  std::vector<std::string> log;      // in order
  std::map<std::string, std::string> table;
  unsigned connections = 0;          // that came
  unsigned open = 0;                 // that are here
  std::size_t reads = 0;             // that gave commands

  /// Until it is cancelled; then all connections end.
  task<> serve(tcp_listener listener) {
    scope all{on_failure::report};
    for (;;) {
      auto peer = co_await listener.accept();
      if (!peer) break;
      connections++;
      all.spawn(talk, this, std::make_shared<tcp_stream>(std::move(*peer)));
    }
    all.cancel();
    co_await all.join();
  }

  /// Ends all connections that are open.
  void hang_up_all() {
    for (tcp_stream* const each : peers_) static_cast<void>(each->shutdown_write());
  }
  /// They take what comes and say nothing from here on.
  void mute_all() { muted_before_ = connections; }
  /// As if the machine had lost its power: whatever comes on these connections is dropped before the kernel sees it, so nothing is
  /// acknowledged and nothing refused. Over real sockets only.
  void vanish_all() {
    sock_filter drop{BPF_RET | BPF_K, 0, 0, 0};
    const sock_fprog all{1, &drop};
    for (tcp_stream* const each : peers_) {
      EXPECT_EQ(::setsockopt(descriptor_of(*each), SOL_SOCKET, SO_ATTACH_FILTER, &all, sizeof all), 0);
    }
  }

private:
  using words = std::vector<std::string>;

  // By its two ends, over IPv4; -1: it is none of the kernel's.
  static int descriptor_of(const tcp_stream& stream) {
    constexpr int descriptors_max = 4096;
    const std::uint16_t ours = stream.local_address().port();
    const std::uint16_t theirs = stream.peer_address().port();
    const auto port_by = [](int fd, auto ask) {
      sockaddr_in at{};
      socklen_t size = sizeof at;
      return ask(fd, reinterpret_cast<sockaddr*>(&at), &size) == 0 && at.sin_family == AF_INET ? ntohs(at.sin_port) : 0;
    };
    for (int fd = 0; fd < descriptors_max; fd++) {
      if (port_by(fd, ::getsockname) == ours && port_by(fd, ::getpeername) == theirs) return fd;
    }
    return -1;
  }

  static task<> talk(fake_server* self, std::shared_ptr<tcp_stream> peer) {
    self->open++;
    self->peers_.insert(peer.get());
    const unsigned number = self->connections;
    struct gone {
      fake_server* of;
      tcp_stream* stream;
      ~gone() {
        of->open--;
        of->peers_.erase(stream);
        std::erase_if(of->listeners_, [&](const auto& each) { return each.second == stream; });
      }
    };
    const gone at_last{self, peer.get()};
    detail::reply_reader reader;
    bool resp3 = false;
    bool muted = false;
    std::vector<words> queued;  // behind MULTI
    bool in_transaction = false;
    for (;;) {
      const auto got = co_await peer->read_some();
      if (!got) co_return;
      self->reads++;
      std::string bytes(reinterpret_cast<const char*>(got->data()), got->size());
      byte_view rest = std::as_bytes(std::span{bytes.data(), bytes.size()});
      while (reader.feed(rest) == detail::reply_reader::verdict::complete) {
        words command;
        const value said = reader.take();
        for (const value& each : said.elements()) command.emplace_back(each.text());
        std::string line;
        for (const std::string& each : command) line += (line.empty() ? "" : " ") + each;
        self->seen[line]++;
        self->log.push_back(line);
        if (muted || number <= self->muted_before_) continue;
        if (self->delay_max > duration::zero()) {
          co_await sleep(
              duration(static_cast<duration::rep>(self->random.below(static_cast<std::uint64_t>(self->delay_max.count())))));
        }
        if (command[0] == "SLOW") co_await sleep(std::chrono::milliseconds(std::stoi(command[1])));
        if (command[0] == "DIE") co_return;
        if (command[0] == "MUTE") {
          muted = true;
          continue;
        }
        std::string out;
        if (command[0] == "HELLO" && self->knows_hello) resp3 = true;
        if (self->forbidden.contains(command[0])) {
          out = "-NOPERM this user has no permissions to run the '" + command[0] + "' command\r\n";
        } else if (command[0] == "MULTI") {
          in_transaction = true;
          out = "+OK\r\n";
        } else if (command[0] == "EXEC") {
          out = "*" + std::to_string(queued.size()) + "\r\n";
          for (const words& each : queued) out += self->reply_to(each, resp3, peer.get());
          queued.clear();
          in_transaction = false;
        } else if (in_transaction) {
          queued.push_back(command);
          out = "+QUEUED\r\n";
        } else {
          out = self->reply_to(command, resp3, peer.get());
        }
        const bool dies =
            command[0] == "HALF" || (self->dies_at != 0 && command[0] == "ECHO" && self->random.below(self->dies_at) == 0);
        if (dies) out.resize(out.size() / 2);
        const auto sent = co_await peer->write_all(out);
        if (!sent || dies) co_return;
        for (const auto& [text, to] : std::exchange(self->published_, {})) {
          static_cast<void>(co_await to->write_all(text));
        }
      }
    }
  }

  static std::string bulk(const std::string& text) { return "$" + std::to_string(text.size()) + "\r\n" + text + "\r\n"; }

  std::string reply_to(const words& command, bool resp3, tcp_stream* peer) {
    const std::string& name = command[0];
    if (name == "HELLO") {
      if (!knows_hello) return "-ERR unknown command 'HELLO'\r\n";
      if (!password.empty() && (command.size() < 5 || command[4] != password))
        return "-WRONGPASS invalid username-password pair\r\n";
      return "%1\r\n+proto\r\n:3\r\n";
    }
    if (name == "AUTH") return command.back() == password ? "+OK\r\n" : "-WRONGPASS invalid username-password pair\r\n";
    if (name == "PING") return "+PONG\r\n";
    if (name == "FAIL") {
      std::string text = "-";
      for (std::size_t i = 1; i < command.size(); i++) text += (i > 1 ? " " : "") + command[i];
      return text + "\r\n";
    }
    if (name == "ECHO" || name == "HALF") return bulk(command[1]);
    if (name == "SLOW") return bulk(command[2]);
    if (name == "TWICE") return bulk(command[1]) + bulk(command[1]);
    if (name == "GARBAGE") return "?what\r\n";
    if (name == "PUSHED") return ">2\r\n+invalidate\r\n_\r\n" + bulk(command[1]);
    if (name == "GET") {
      const auto found = table.find(command[1]);
      if (found == table.end()) return resp3 ? "_\r\n" : "$-1\r\n";
      return bulk(found->second);
    }
    if (name == "INCRBY") {
      std::string& number = table[command[1]];
      number = std::to_string((number.empty() ? 0 : std::stoll(number)) + std::stoll(command[2]));
      return ":" + number + "\r\n";
    }
    if (name == "SUBSCRIBE" || name == "PSUBSCRIBE") {
      std::string out;
      for (std::size_t i = 1; i < command.size(); i++) {
        listeners_.emplace(command[i], peer);
        out += (resp3 ? ">3\r\n" : "*3\r\n") + bulk(name == "SUBSCRIBE" ? "subscribe" : "psubscribe") + bulk(command[i]) + ":1\r\n";
      }
      return out;
    }
    if (name == "UNSUBSCRIBE") {
      std::erase_if(listeners_, [&](const auto& each) { return each.first == command[1] && each.second == peer; });
      return (resp3 ? ">3\r\n" : "*3\r\n") + bulk("unsubscribe") + bulk(command[1]) + ":0\r\n";
    }
    if (name == "PUBLISH") {
      const auto [from, to] = listeners_.equal_range(command[1]);
      std::size_t count = 0;
      for (auto each = from; each != to; ++each, count++) {
        published_.emplace_back((knows_hello ? ">3\r\n" : "*3\r\n") + bulk("message") + bulk(command[1]) + bulk(command[2]),
                                each->second);
      }
      return ":" + std::to_string(count) + "\r\n";
    }
    if (name == "SET") table[command[1]] = command[2];
    return "+OK\r\n";
  }

  std::set<tcp_stream*> peers_;
  unsigned muted_before_ = 0;
  std::multimap<std::string, tcp_stream*> listeners_;
  std::vector<std::pair<std::string, tcp_stream*>> published_;
};

}  // namespace levity::redis::test
