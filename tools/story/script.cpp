#include "story/script.hpp"

#include <fmt/format.h>

namespace levity::story {

std::string fault_window::order() const {
  const double for_ms = (to_s - from_s) * 1'000;
  if (kind == "slow") return fmt::format(R"({{"slow_ms":{:.0f},"for_ms":{:.0f}}})", slow_ms, for_ms);
  return fmt::format(R"({{"dead":true,"for_ms":{:.0f}}})", for_ms);
}

std::vector<fault_window> write_script(double duration_s, double slow_ms, bool calm) {
  if (calm) return {};
  const double part = duration_s / 16;
  return {{"payment", "slow", 3 * part, 6 * part, slow_ms}, {"inventory", "dead", 9 * part, 12 * part, 0}};
}

const fault_window* fault_at(const std::vector<fault_window>& script, double at_s) {
  for (const fault_window& one : script)
    if (one.holds(at_s)) return &one;
  return nullptr;
}

}  // namespace levity::story
