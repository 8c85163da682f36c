#include "reference/before/outside_call.hpp"

#include <charconv>
#include <string_view>
#include <utility>

#include <fmt/format.h>

namespace orders::before {
namespace {

outside_answer read_answer(const std::string& text) {
  outside_answer answer;
  const std::size_t head_end = text.find("\r\n\r\n");
  if (head_end == std::string::npos || !text.starts_with("HTTP/1.1 ")) return answer;
  std::from_chars(text.data() + 9, text.data() + 12, answer.status);
  answer.body = text.substr(head_end + 4);
  return answer;
}

}  // namespace

levity::task<outside_answer> outside::attempt(std::string request) {
  figures_.calls.fetch_add(1, std::memory_order_relaxed);
  outside_answer answer;
  if (auto peer = co_await levity::tcp_stream::connect(where_)) {
    if (auto sent = co_await peer->write_all(std::string_view(request))) {
      std::string text;
      while (auto more = co_await peer->read_some()) text.append(reinterpret_cast<const char*>(more->data()), more->size());
      answer = read_answer(text);
    }
  }
  if (answer.status == 0 || answer.status >= 500) figures_.failures.fetch_add(1, std::memory_order_relaxed);
  co_return answer;
}

levity::task<> outside::attempt_beside(std::string request, std::shared_ptr<answers> to) {
  outside_answer answer = co_await attempt(std::move(request));
  static_cast<void>(to->send(std::move(answer)));
}

levity::task<outside_answer> outside::post(std::string path, std::string body) {
  const std::string request = fmt::format(
      "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{}", path,
      where_, body.size(), body);
  const auto to_us = std::make_shared<answers>();
  int under_way = 0;
  outside_answer last;
  for (int i = 0; i < attempts_max; ++i) {
    ++under_way;
    const auto run = [](outside* self, std::string wanted, std::shared_ptr<answers> to) {
      return self->attempt_beside(std::move(wanted), std::move(to));
    };
    attempts_.spawn("outside call", run, this, request, to_us);
    const auto first = co_await levity::with_timeout(patience, to_us->receive());
    if (!first || !*first) continue;  // nothing yet: once more
    --under_way;
    last = **first;
    if (last.status != 0 && last.status < 500) co_return last;
  }
  // Enough was tried; one of them will answer.
  for (; under_way > 0 && (last.status == 0 || last.status >= 500); --under_way) {
    auto answer = co_await to_us->receive();
    if (answer) last = std::move(*answer);
  }
  co_return last;
}

}  // namespace orders::before
