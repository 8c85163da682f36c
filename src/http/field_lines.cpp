#include "levity/http/field_lines.hpp"

#include <functional>

#include "http/char_class.hpp"

namespace levity::inline v0::http {

namespace {

// Fields that say where the message ends or what becomes of the connection: whoever writes the message writes them.
bool belongs_to_the_connection(std::string_view name) noexcept {
  switch (name.size()) {
    case 4: return same_word(name, "date");
    case 7: return same_word(name, "trailer");
    case 10: return same_word(name, "connection") || same_word(name, "keep-alive");
    case 14: return same_word(name, "content-length");
    case 17: return same_word(name, "transfer-encoding");
    default: return false;
  }
}

bool may_be_set(std::string_view name, std::string_view value) noexcept {
  return is_token(name) && is_field_value(value) && !belongs_to_the_connection(name);
}

// A value that came from find() would move while it is read.
bool lies_in(std::string_view value, const std::string& text) noexcept {
  const std::less<const char*> before;
  return !value.empty() && !before(value.data(), text.data()) && before(value.data(), text.data() + text.size());
}

}  // namespace

bool field_lines::set(std::string_view name, std::string_view value) {
  if (!may_be_set(name, value)) return false;
  if (lies_in(value, lines_)) return set(name, std::string(value));
  remove(name);
  append(name, detail::trim_blanks(value));
  return true;
}

bool field_lines::add(std::string_view name, std::string_view value) {
  if (!may_be_set(name, value)) return false;
  if (lies_in(value, lines_)) return add(name, std::string(value));
  append(name, detail::trim_blanks(value));
  return true;
}

void field_lines::append(std::string_view name, std::string_view value) {
  const std::size_t size = name.size() + 2 + value.size() + 2;
  index_.push_back({static_cast<std::uint32_t>(lines_.size()), static_cast<std::uint32_t>(name.size()),
                    static_cast<std::uint32_t>(size)});
  lines_.append(name).append(": ").append(value).append("\r\n");
}

void field_lines::remove(std::string_view name) noexcept {
  for (std::size_t i = 0; i < index_.size();) {
    const line found = index_[i];
    if (!same_word({lines_.data() + found.at, found.name_size}, name)) {
      ++i;
      continue;
    }
    lines_.erase(found.at, found.size);
    index_.erase(index_.begin() + static_cast<std::ptrdiff_t>(i));
    for (std::size_t later = i; later < index_.size(); ++later) index_[later].at -= found.size;
  }
}

std::optional<std::string_view> field_lines::find(std::string_view name) const noexcept {
  for (const line& each : index_) {
    const char* const text = lines_.data() + each.at;
    if (!same_word({text, each.name_size}, name)) continue;
    return std::string_view(text + each.name_size + 2, each.size - each.name_size - 4);
  }
  return std::nullopt;
}

field field_lines::operator[](std::size_t index) const noexcept {
  const line& each = index_[index];
  const char* const text = lines_.data() + each.at;
  return {{text, each.name_size}, {text + each.name_size + 2, each.size - each.name_size - 4}};
}

void field_lines::clear() noexcept {
  lines_.clear();
  index_.clear();
}

void field_lines::release() noexcept {
  clear();
  std::string().swap(lines_);
  std::vector<line>().swap(index_);
}

}  // namespace levity::http
