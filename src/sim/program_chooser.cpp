#include "sim/program_chooser.hpp"

#include <fmt/format.h>

#include <string>

#include "levity/task/detail/record.hpp"
#include "sim/world_observer.hpp"

namespace levity::inline v0::sim {
namespace {

std::string words_for(const detail::ready_choice& picked, std::size_t count) {
  std::string text = picked.task != nullptr ? fmt::format("runs task {}", picked.id)
                                            : fmt::format("makes the blocking call of task {}", picked.id);
  if (picked.task != nullptr) {
    const detail::task_record& of = *picked.task;
    if (of.name != nullptr) text += fmt::format(" \"{}\"", of.name);
    if (of.site.line() != 0) text += fmt::format(" spawned at {}:{}", of.site.file_name(), of.site.line());
  }
  return count > 1 ? text + fmt::format(", one of {}", count) : text;
}

}  // namespace

std::size_t program_chooser::pick(std::span<const detail::ready_choice> ready) noexcept {
  if (is_severed()) return 0;
  const std::size_t picked = asked_.pick(life_, ready);
  network_.trace_at(site_, ready[picked].id);
  if (asked_.tells_choices()) detail::tell(network_, site_, happened::choice, words_for(ready[picked], ready.size()));
  return picked;
}

void program_chooser::gives_way(std::uint32_t task) noexcept {
  if (!is_severed()) asked_.gives_way(life_, task);
}

bool program_chooser::sets_aside(std::uint32_t task) noexcept {
  if (is_severed()) return false;
  const bool is_aside = asked_.sets_aside(life_, task);
  network_.trace_at(site_, is_aside ? 1 : 0);
  if (is_aside && asked_.tells_choices()) {
    detail::tell(network_, site_, happened::choice, fmt::format("sets task {} aside", task));
  }
  return is_aside;
}

}  // namespace levity::sim
