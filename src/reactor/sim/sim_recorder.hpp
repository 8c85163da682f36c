#pragma once

// sim_recorder: who is told what matters of what happens in a sim_network. Null where nobody looks.

#include <cstddef>
#include <cstdint>

#include "levity/base/address.hpp"

namespace levity::inline v0::detail {

struct sim_happening {
  enum class kind : std::uint8_t {
    connected,    // `at` has a connection of `other`, whose request has come to its listener
    refused,      // `at` has asked `other` for a connection
    reset,        // a reset of `other` has come to `at`
    timed_out,    // `at` gives up sending to `other`
    lost,         // what `at` has sent to `other`
    unanswered,   // a request of `at` for a connection
    duplicated,   // a datagram from `at` to `other`
    held_back,    // the same: later ones overtake it
    dropped,      // a datagram from `other` that has come to `at`, whose buffer is full
    nobody,       // `at` is told that no socket is where it has sent a datagram
  };

  kind what;
  std::int64_t at_ns;
  unsigned at;
  unsigned other;  // beyond all sites: nobody's
  address peer;    // of the socket at `at`
  std::size_t bytes = 0;
};

struct sim_recorder {
  virtual void record(const sim_happening& what) noexcept = 0;

protected:
  ~sim_recorder() = default;
};

}  // namespace levity::detail
