#include "levity/cache/detail/entry_account.hpp"

#include <fmt/format.h>

#include "levity/cache/detail/cache_block.hpp"

namespace levity::inline v0::detail {

namespace {

std::string span_text(std::int64_t span_ns) {
  const double seconds = static_cast<double>(span_ns < 0 ? 0 : span_ns) / 1e9;
  if (seconds < 0.001) return fmt::format("{:.0f} us", seconds * 1e6);
  if (seconds < 1) return fmt::format("{:.0f} ms", seconds * 1e3);
  if (seconds < 120) return fmt::format("{:.1f} s", seconds);
  if (seconds < 7200) return fmt::format("{:.0f} min", seconds / 60);
  return fmt::format("{:.0f} h", seconds / 3600);
}

std::string there_text(const entry_account& of, std::int64_t now_ns) {
  std::string text = of.absent ? "there, as known to be absent: the loader found nothing " : "there: written ";
  text += span_text(now_ns - of.written_ns) + " ago";
  if (of.stale) {
    text += fmt::format(", stale since {}, served only by get_or_load and get_stale, until {} from now",
                        span_text(now_ns - of.expires_ns), span_text(of.stale_until_ns - now_ns));
  } else if (of.expires_ns != never_ns) {
    text += fmt::format(", expires in {}", span_text(of.expires_ns - now_ns));
  } else {
    text += ", does not expire";
  }
  if (of.idle_at_ns != never_ns) text += fmt::format(", idle in {} unless it is read", span_text(of.idle_at_ns - now_ns));
  if (!of.stale && of.refresh_ns != never_ns) {
    text += fmt::format(", due for a refresh {}", of.refresh_ns <= now_ns ? "now" : "in " + span_text(of.refresh_ns - now_ns));
  }
  text += of.read ? ", hit lately" : ", not hit lately";
  text += of.pinned ? "; pinned, for it weighs 0" : fmt::format("; weighs {}, in {}", of.weight, of.queue);
  return text;
}

std::string departed_text(const departed_entry& of, std::int64_t now_ns) {
  const std::string ago = span_text(now_ns - of.at_ns) + " ago";
  switch (of.why) {
    case cache_departure::evicted:
      return fmt::format("not there: evicted {} to make room, from the old end of {}", ago, of.queue);
    case cache_departure::expired:
      return fmt::format("not there: its time was over, seen {}", ago);
    case cache_departure::idle:
      return fmt::format("not there: nobody had read it for too long, seen {}", ago);
    case cache_departure::erased:
      return fmt::format("not there: erased {}", ago);
    case cache_departure::refused:
      return fmt::format("not there: {} a value under this key was too heavy for its shard, and an older one must not stay", ago);
    case cache_departure::absent:
      return fmt::format("not there: {} the loader found that there is none", ago);
  }
  return "not there";
}

}  // namespace

std::string in_words(const entry_account& of, std::int64_t now_ns) {
  std::string text;
  if (of.there) {
    text = there_text(of, now_ns);
  } else if (of.departed) {
    text = departed_text(*of.departed, now_ns);
  } else {
    text = fmt::format("not there: never set, or it left before the last {} entries that left its shard", departures::kept);
  }
  if (of.loading_since_ns) text += fmt::format("; a load is under way since {}", span_text(now_ns - *of.loading_since_ns));
  return text;
}

}  // namespace levity::detail
