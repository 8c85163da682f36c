#include "model/weakening.hpp"

#include <charconv>
#include <cstdio>
#include <cstdlib>

namespace levity::inline v0::model::detail {
namespace {

bool number(std::string_view text, std::uint32_t& into) noexcept {
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), into);
  return failed == std::errc{} && end == text.data() + text.size();
}

bool halves(std::string_view text, taken_halves& into) noexcept {
  into.release = text == "release" || text.empty();
  into.acquire = text == "acquire" || text.empty();
  into.seq_cst = text == "seq_cst" || text.empty();
  into.failure = text == "failure" || text.empty();
  return into || text == "nothing";
}

bool ends_with_path(std::string_view name, std::string_view path) noexcept {
  return name.ends_with(path) && (name.size() == path.size() || name[name.size() - path.size() - 1] == '/');
}

}  // namespace

std::memory_order taken_halves::of(std::memory_order order) const noexcept {
  if (!*this) return order;
  const bool both = order == std::memory_order_acq_rel || order == std::memory_order_seq_cst;
  const bool releases = (both || order == std::memory_order_release) && !release;
  const bool acquires = (both || order == std::memory_order_acquire || order == std::memory_order_consume) && !acquire;
  if (order == std::memory_order_seq_cst && releases && acquires && !seq_cst) return order;
  return releases ? (acquires ? std::memory_order_acq_rel : std::memory_order_release)
                  : (acquires ? std::memory_order_acquire : std::memory_order_relaxed);
}

weakening& weakening::of_environment() {
  static weakening the_one = [] {
    weakening made;
    const char* const list = std::getenv("LEVITY_MODEL_WEAKEN");
    if (const std::string wrong = made.read(list == nullptr ? "" : list); !wrong.empty()) {
      std::fprintf(stderr, "levity: %s\n", wrong.c_str());
      std::exit(2);
    }
    return made;
  }();
  return the_one;
}

std::string weakening::read(std::string_view list) {
  files_.clear();  // what comes now may be of a file that is known
  while (!list.empty()) {
    const std::size_t comma = list.find(',');
    const std::string_view item = list.substr(0, comma);
    list = comma == std::string_view::npos ? std::string_view{} : list.substr(comma + 1);
    const std::size_t colon = item.rfind(':');
    const std::string_view behind = colon == std::string_view::npos ? std::string_view{} : item.substr(colon + 1);
    const std::size_t equals = behind.find('=');
    const std::string_view lines = behind.substr(0, equals);
    const std::size_t dash = lines.find('-');
    place made{std::string(item.substr(0, colon)), 0, 0, {}};
    if (made.path.empty() || !number(lines.substr(0, dash), made.first) ||
        !number(dash == std::string_view::npos ? lines : lines.substr(dash + 1), made.last) ||
        !halves(equals == std::string_view::npos ? std::string_view{} : behind.substr(equals + 1), made.taken)) {
      return "LEVITY_MODEL_WEAKEN cannot be read at \"" + std::string(item) +
             "\"; write path:line or path:first-last, and =release, =acquire, =seq_cst, =failure or =nothing behind it if not "
             "all is to go";
    }
    places_.push_back(std::move(made));
  }
  return {};
}

taken_halves weakening::look_up(std::source_location where) noexcept {
  const file* known = nullptr;
  for (const file& each : files_) {
    if (each.name == where.file_name()) known = &each;
  }
  if (known == nullptr) {
    file made{where.file_name(), {}};
    for (std::size_t i = 0; i < places_.size(); i++) {
      if (ends_with_path(made.name, places_[i].path)) made.places.push_back(i);
    }
    files_.push_back(std::move(made));
    known = &files_.back();
  }
  taken_halves all;
  for (const std::size_t i : known->places) {
    place& each = places_[i];
    if (where.line() < each.first || where.line() > each.last) continue;
    each.made++;
    all.release = all.release || each.taken.release;
    all.acquire = all.acquire || each.taken.acquire;
    all.seq_cst = all.seq_cst || each.taken.seq_cst;
    all.failure = all.failure || each.taken.failure;
  }
  return all;
}

void weakening::forget() noexcept {
  for (place& each : places_) each.made = 0;
}

}  // namespace levity::model::detail
