#include "load/response_reader.hpp"

#include <algorithm>
#include <array>
#include <limits>

namespace levity::load {

namespace {

constexpr char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

bool same_word(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) { return lower(x) == lower(y); });
}

constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }

constexpr auto token_letters = [] {
  std::array<bool, 256> table{};
  for (int c = '0'; c <= '9'; ++c) table[static_cast<std::size_t>(c)] = true;
  for (int c = 'a'; c <= 'z'; ++c) table[static_cast<std::size_t>(c)] = true;
  for (int c = 'A'; c <= 'Z'; ++c) table[static_cast<std::size_t>(c)] = true;
  for (const char c : std::string_view("!#$%&'*+-.^_`|~")) table[static_cast<std::size_t>(c)] = true;
  return table;
}();

bool is_token(std::string_view text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return token_letters[static_cast<unsigned char>(c)]; });
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// One word of a comma-separated list, in any case.
bool list_has(std::string_view list, std::string_view word) {
  while (!list.empty()) {
    const auto comma = list.find(',');
    if (same_word(trim(list.substr(0, comma)), word)) return true;
    if (comma == std::string_view::npos) return false;
    list.remove_prefix(comma + 1);
  }
  return false;
}

std::optional<std::uint64_t> read_decimal(std::string_view text) {
  if (text.empty() || text.size() > 18 || !std::all_of(text.begin(), text.end(), is_digit)) return std::nullopt;
  std::uint64_t number = 0;
  for (const char c : text) number = number * 10 + static_cast<std::uint64_t>(c - '0');
  return number;
}

std::optional<std::uint64_t> read_hexadecimal(std::string_view text) {
  if (text.empty() || text.size() > 15) return std::nullopt;
  std::uint64_t number = 0;
  for (char c : text) {
    c = lower(c);
    if (is_digit(c)) number = number * 16 + static_cast<std::uint64_t>(c - '0');
    else if (c >= 'a' && c <= 'f') number = number * 16 + static_cast<std::uint64_t>(c - 'a' + 10);
    else return std::nullopt;
  }
  return number;
}

}  // namespace

void response_reader::start(bool to_head) {
  state_ = state::head;
  to_head_ = to_head;
  seen_any_ = false;
  keep_alive_ = true;
  http_1_0_ = false;
  status_ = 0;
  reason_ = "";
  head_.clear();
  fields_.clear();
  line_.clear();
  body_.clear();
  body_bytes_ = 0;
  left_ = 0;
  trailer_bytes_ = 0;
}

std::size_t response_reader::fail(const char* reason) {
  state_ = state::failed;
  reason_ = reason;
  return 0;
}

std::size_t response_reader::feed(std::string_view bytes) {
  std::size_t used = 0;
  if (!bytes.empty()) seen_any_ = true;
  while (used < bytes.size()) {
    const std::string_view rest = bytes.substr(used);
    switch (state_) {
      case state::head:
        used += feed_head(rest);
        break;
      case state::fixed:
        used += take_body(rest);
        if (left_ == 0) state_ = state::complete;
        break;
      case state::until_eof:
        left_ = rest.size();
        used += take_body(rest);
        break;
      case state::chunk_size: {
        const auto taken = take_line(rest);
        if (!taken) return used + rest.size();
        used += *taken;
        if (state_ != state::failed) finish_chunk_size();
        break;
      }
      case state::chunk_data:
        used += take_body(rest);
        if (left_ == 0) {
          state_ = state::chunk_end;
          line_.clear();
        }
        break;
      case state::chunk_end:
        line_ += rest.front();
        ++used;
        if (line_ == "\r\n") {
          line_.clear();
          state_ = state::chunk_size;
        } else if (line_ != "\r") {
          fail("a chunk is longer than its size");
        }
        break;
      case state::trailer: {
        const auto taken = take_line(rest);
        if (!taken) return used + rest.size();
        used += *taken;
        if (state_ == state::failed) break;
        if (line_.empty()) {
          state_ = state::complete;
        } else if ((trailer_bytes_ += line_.size()) > head_bytes_max) {
          fail("the trailer is too long");
        } else if (!is_token(std::string_view(line_).substr(0, line_.find(':')))) {
          fail("a trailer line has no name");
        }
        line_.clear();
        break;
      }
      case state::complete:
      case state::failed:
        return used;
    }
  }
  return used;
}

bool response_reader::end() {
  if (state_ == state::until_eof) state_ = state::complete;
  return complete();
}

std::optional<std::string_view> response_reader::header(std::string_view name) const {
  const std::string_view head = head_;
  for (const auto& line : fields_)
    if (same_word(head.substr(line.name_at, line.name_size), name)) return head.substr(line.value_at, line.value_size);
  return std::nullopt;
}

std::size_t response_reader::feed_head(std::string_view bytes) {
  const std::size_t before = head_.size();
  // The empty line may straddle what was fed before.
  const std::size_t overlap = std::min<std::size_t>(before, 3);
  const std::size_t taken = std::min(bytes.size(), head_bytes_max + 4);
  head_.append(bytes.substr(0, taken));
  const auto end = head_.find("\r\n\r\n", before - overlap);
  if (end == std::string::npos) {
    if (head_.size() > head_bytes_max) return fail("the head is longer than 64 KiB");
    return taken;
  }
  head_.resize(end + 4);
  const std::size_t used = head_.size() - before;
  finish_head();
  return used;
}

void response_reader::finish_head() {
  std::string_view rest(head_);
  rest.remove_suffix(2);
  bool first = true;
  while (!rest.empty()) {
    const auto line_end = rest.find("\r\n");
    const std::string_view line = rest.substr(0, line_end);
    rest.remove_prefix(line_end + 2);
    const char* wrong = first ? read_status_line(line) : read_field_line(line);
    if (wrong != nullptr) {
      fail(wrong);
      return;
    }
    first = false;
  }
  if (first) {
    fail("there is no status line");
    return;
  }
  if (status_ >= 100 && status_ < 200) {  // an interim answer; the real one follows
    if (status_ == 101) {
      fail("switched protocols without having been asked");
      return;
    }
    head_.clear();
    fields_.clear();
    return;
  }

  keep_alive_ = !http_1_0_;
  std::optional<std::uint64_t> length;
  bool chunked = false;
  bool encoded = false;
  const std::string_view head = head_;
  for (const auto& line : fields_) {
    const std::string_view name = head.substr(line.name_at, line.name_size);
    const std::string_view value = head.substr(line.value_at, line.value_size);
    if (same_word(name, "content-length")) {
      const auto number = read_decimal(value);
      if (!number || (length && *length != *number)) {
        fail("Content-Length is no number or says two things");
        return;
      }
      length = number;
    } else if (same_word(name, "transfer-encoding")) {
      if (encoded || !same_word(value, "chunked")) {
        fail("Transfer-Encoding is something else than chunked");
        return;
      }
      encoded = chunked = true;
    } else if (same_word(name, "connection")) {
      if (list_has(value, "close")) keep_alive_ = false;
      else if (list_has(value, "keep-alive")) keep_alive_ = true;
    }
  }
  if (chunked && length) {
    fail("Content-Length and Transfer-Encoding in one answer");
    return;
  }
  if (chunked && http_1_0_) {
    fail("Transfer-Encoding in an HTTP/1.0 answer");
    return;
  }
  if (to_head_ || status_ == 204 || status_ == 304) {
    state_ = state::complete;
  } else if (chunked) {
    state_ = state::chunk_size;
  } else if (length) {
    left_ = *length;
    state_ = left_ == 0 ? state::complete : state::fixed;
  } else {
    keep_alive_ = false;
    state_ = state::until_eof;
  }
}

const char* response_reader::read_status_line(std::string_view line) {
  if (line.size() < 12 || !line.starts_with("HTTP/1.") || (line[7] != '0' && line[7] != '1') || line[8] != ' ')
    return "the answer does not start with HTTP/1.1 and a status";
  if (!is_digit(line[9]) || !is_digit(line[10]) || !is_digit(line[11]) || line[9] == '0')
    return "the status is no number from 100 to 999";
  if (line.size() > 12 && line[12] != ' ') return "the status is not followed by a space";
  for (const char c : line)
    if (c == '\r' || c == '\n' || c == '\0') return "a control character in the status line";
  http_1_0_ = line[7] == '0';
  status_ = (line[9] - '0') * 100 + (line[10] - '0') * 10 + (line[11] - '0');
  return nullptr;
}

const char* response_reader::read_field_line(std::string_view line) {
  const auto colon = line.find(':');
  if (colon == std::string_view::npos || !is_token(line.substr(0, colon))) return "a header line has no proper name";
  for (const char c : line)
    if (c == '\r' || c == '\n' || c == '\0') return "a control character in a header line";
  const std::string_view value = trim(line.substr(colon + 1));
  const auto at = [this](std::string_view part) { return static_cast<std::uint32_t>(part.data() - head_.data()); };
  fields_.push_back({at(line), static_cast<std::uint32_t>(colon), value.empty() ? 0 : at(value),
                     static_cast<std::uint32_t>(value.size())});
  return nullptr;
}

std::size_t response_reader::take_body(std::string_view bytes) {
  const auto taken = static_cast<std::size_t>(std::min<std::uint64_t>(left_, bytes.size()));
  const std::size_t room = kept_body_bytes_max - body_.size();
  body_.append(bytes.substr(0, std::min(taken, room)));
  body_bytes_ += taken;
  left_ -= taken;
  return taken;
}

// Collects into line_, without its CRLF. Empty when the line goes on beyond `bytes`.
std::optional<std::size_t> response_reader::take_line(std::string_view bytes) {
  const auto feed_at = bytes.find('\n');
  line_.append(bytes.substr(0, feed_at));
  if (line_.size() > 4096) {
    fail("a chunk line is longer than 4 KiB");
    return bytes.size();
  }
  if (feed_at == std::string_view::npos) return std::nullopt;
  if (line_.empty() || line_.back() != '\r') {
    fail("a lone LF ends a chunk line");
    return feed_at + 1;
  }
  line_.pop_back();
  if (line_.find('\r') != std::string::npos) fail("a lone CR in a chunk line");
  return feed_at + 1;
}

void response_reader::finish_chunk_size() {
  const auto size = read_hexadecimal(std::string_view(line_).substr(0, line_.find_first_of("; \t")));
  line_.clear();
  if (!size) {
    fail("a chunk size is no hexadecimal number");
    return;
  }
  left_ = *size;
  state_ = left_ == 0 ? state::trailer : state::chunk_data;
}

}  // namespace levity::load
