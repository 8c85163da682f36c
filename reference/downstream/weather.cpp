#include "reference/downstream/weather.hpp"

#include <algorithm>
#include <chrono>
#include <random>
#include <utility>

#include <simdjson.h>

namespace orders {
namespace {

constexpr double jitter_max = 10;  // times its mean

levity::duration milliseconds(double count) {
  return std::chrono::duration_cast<levity::duration>(std::chrono::duration<double, std::milli>(count));
}

}  // namespace

std::expected<fault, std::string> parse_fault(std::string_view body) {
  simdjson::dom::parser parser;
  simdjson::dom::object object;
  if (parser.parse(body.data(), body.size(), true).get(object)) {
    return std::unexpected(R"(A fault is a JSON object: {"slow_ms":2000,"for_ms":3000}, {"dead":true}, {"refuse":true} or {}.)");
  }
  fault made;
  const auto is = [&made](fault::kind what) {
    if (made.what != fault::kind::none) return false;
    made.what = what;
    return true;
  };
  for (const auto field : object) {
    double number = 0;
    bool on = false;
    if (field.key == "slow_ms" || field.key == "for_ms") {
      if (field.value.get(number) || !(number >= 1) || number > 3'600'000) {
        return std::unexpected("'" + std::string(field.key) + "' is a number of milliseconds, 1 to 3,600,000.");
      }
    } else if (field.key == "dead" || field.key == "refuse") {
      if (field.value.get(on)) return std::unexpected("'" + std::string(field.key) + "' is true or false.");
    } else {
      return std::unexpected("'" + std::string(field.key) +
                             "' is no field of a fault; 'slow_ms', 'dead', 'refuse' and 'for_ms' are.");
    }
    bool fits = true;
    if (field.key == "for_ms") {
      made.lasts = milliseconds(number);
    } else if (field.key == "slow_ms") {
      made.slow = milliseconds(number);
      fits = is(fault::kind::slow);
    } else if (on) {
      fits = is(field.key == "dead" ? fault::kind::dead : fault::kind::refusing);
    }
    if (!fits) return std::unexpected("A fault is one of 'slow_ms', 'dead' and 'refuse', not two of them.");
  }
  if (made.what == fault::kind::none && made.lasts)
    return std::unexpected("'for_ms' says how long, but not what: slow_ms, dead or refuse.");
  return made;
}

bool weather::over(levity::time_point now) const noexcept { return now >= until_; }

void weather::set(const fault& wanted, levity::time_point now) {
  std::shared_ptr<outage> ended;
  {
    const std::lock_guard guard{lock_};
    ended = std::exchange(outage_, nullptr);
    now_ = wanted;
    until_ = wanted.lasts ? now + *wanted.lasts : levity::time_point::max();
    if (wanted.what == fault::kind::dead) {
      outage_ = std::make_shared<outage>();
      outage_->until = until_;
    }
  }
  if (ended) ended->over.set();
}

fault weather::look(levity::time_point now) {
  const std::lock_guard guard{lock_};
  return over(now) ? fault{} : now_;
}

weather::fate weather::draw(levity::time_point now) {
  const std::lock_guard guard{lock_};
  fate drawn;
  const double mean = std::chrono::duration<double>(options_.jitter).count();
  if (mean > 0) {
    const double extra = std::exponential_distribution<double>(1 / mean)(random_);
    drawn.takes = std::chrono::duration_cast<levity::duration>(std::chrono::duration<double>(std::min(extra, mean * jitter_max)));
  }
  drawn.takes += options_.service_time;
  if (over(now)) return drawn;
  switch (now_.what) {
    case fault::kind::none: break;
    case fault::kind::slow: drawn.takes += now_.slow; break;
    case fault::kind::refusing: drawn.refused = true; break;
    case fault::kind::dead:
      drawn.works = (random_() & 1) == 0;
      drawn.unanswered = outage_;
      break;
  }
  return drawn;
}

levity::task<weather::fate> weather::meet() {
  fate drawn = draw(levity::clock::now());
  if (!drawn.refused) co_await levity::sleep(drawn.takes);
  co_return drawn;
}

levity::task<> weather::outlast(std::shared_ptr<outage> of) {
  if (of->until == levity::time_point::max()) {
    co_await of->over.wait();
  } else {
    // Too early or in time, it is over.
    const auto ended = co_await levity::with_timeout(of->until, of->over.wait());
    static_cast<void>(ended);
  }
}

}  // namespace orders
