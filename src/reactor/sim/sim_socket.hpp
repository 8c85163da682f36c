#pragma once

// sim_socket: what a simulated socket of any kind is to the reactor of its site: who watches it, and what has happened to it of
// which nobody has been told yet.

#include <cstdint>

namespace levity::inline v0::detail {

struct endpoint;

/// What happens to a socket.
namespace sim_event {
inline constexpr unsigned can_read = 1;
inline constexpr unsigned can_write = 2;
inline constexpr unsigned ended = 4;   // the peer ended its side
inline constexpr unsigned failed = 8;  // the socket failed, or both sides have ended
}  // namespace sim_event

struct sim_socket {
  using number = std::uint32_t;
  using site_number = unsigned;

  number id = 0;  // of its own among those of all kinds
  site_number site = 0;
  endpoint* watch = nullptr;
  bool severed = false;  // its process is gone

  // A direction is owed an event after an attempt that moved less than was asked.
  bool owes_read = false;
  bool owes_write = false;
  unsigned pending = 0;  // of sim_event

  /// What every event of it says besides.
  [[nodiscard]] virtual unsigned standing() const noexcept { return 0; }

protected:
  ~sim_socket() = default;
};

}  // namespace levity::detail
