// weather.hpp — how well a downstream is: how long its work takes, and what an operator has told it to suffer from.
//
//   fair       the service time: a fixed part and an exponential one, drawn from a seed
//   slow       so much longer, each request
//   dead       requests are taken and not answered; every second one, by the seed, is carried out all the same. When it is over
//              those that were held are answered 503: whoever stands in front of a process that died says so
//   refusing   503 at once
//
// The operator: POST /fault {"slow_ms":2000,"for_ms":3000}, {"dead":true}, {"refuse":true}; {} ends it. Without for_ms it
// stays until it is told otherwise. A new fault ends the one before.
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include <levity/base/rng.hpp>
#include <levity/levity.hpp>

namespace orders {

/// What an operator asks for.
struct fault {
  enum class kind : std::uint8_t { none, slow, dead, refusing };
  kind what = kind::none;
  levity::duration slow{};                    ///< what each request takes longer
  std::optional<levity::duration> lasts;      ///< nothing: until told otherwise
  friend bool operator==(const fault&, const fault&) = default;
};

/// Reads the body of POST /fault. The error is one sentence.
std::expected<fault, std::string> parse_fault(std::string_view body);

struct weather_options {
  levity::duration service_time = std::chrono::milliseconds(3);  ///< what a request takes at least
  levity::duration jitter = std::chrono::milliseconds(1);        ///< mean of what comes on top; at most ten times that
  std::uint64_t seed = 1;
};

/// Any task. Its state machine (look, set) is told the time; meet() and outlast() wait for it.
class weather {
public:
  explicit weather(weather_options options) : options_(options), random_(options.seed) {}
  weather(const weather&) = delete;
  weather& operator=(const weather&) = delete;

  /// An outage that somebody waits for the end of.
  struct outage {
    levity::event over;
    levity::time_point until;
  };

  /// What becomes of one request.
  struct fate {
    levity::duration takes{};            ///< before the work
    bool refused = false;                ///< 503 at once
    bool works = true;                   ///< whether the work is done
    std::shared_ptr<outage> unanswered;  ///< not null: the answer comes when this is over, and is none
  };

  void set(const fault& wanted, levity::time_point now);
  /// The fault that holds now.
  fault look(levity::time_point now);
  /// Draws what becomes of a request that comes now.
  fate draw(levity::time_point now);

  /// draw(), and waits for what it takes.
  levity::task<fate> meet();
  /// Waits until the outage is over.
  static levity::task<> outlast(std::shared_ptr<outage> of);

private:
  bool over(levity::time_point now) const noexcept;

  const weather_options options_;
  std::mutex lock_;  // never held over an await
  levity::rng random_;
  fault now_;
  levity::time_point until_ = levity::time_point::max();
  std::shared_ptr<outage> outage_;
};

}  // namespace orders
