#pragma once

// sim_unix: the Unix sockets of one simulated host.
//
// Both ends are in one process, since a host runs one program, and what is written at one end is there at the other at once. What
// is left of a kernel's ways, and shown all the time: transfers that are cut short, attempts that are refused although they could
// succeed, events in any order, buffers that are full, and names that are left over.
//
//   name      bound                        free again
//   abstract  bind                         with its socket, however that ends
//   path      bind: a file of the host     close() and stop() by a program that lives; unlink. What was killed leaves it behind,
//                                          and who binds it next is refused unless it asks for stale ones to be replaced. A loss
//                                          of power takes all of them: sockets are kept where /run is, in memory
//
//   stream                                 read at the other end          written at the other end
//   shutdown_write()                       what came, then the end        as before
//   close(), nothing unread here           what came, then the end        EPIPE
//   close(), something unread here         what came, then ECONNRESET     EPIPE
//   a listener closes over it              ECONNRESET                     EPIPE
//
// A datagram waits in its receiver's queue, which takes queue_max and one more (net.unix.max_dgram_qlen); its sender waits when
// that is full, unless the two are connected to each other or are one, or when as much as its buffer holds is not received yet.
// Who turns from one peer to another, or finds by a send that it has closed, loses all that waits for him; a peer that he leaves
// so, and that is connected to him, is told of it (ECONNRESET).
//
// Without a process nothing is drawn or traced, and no file is touched; see sim_network.hpp.

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "levity/base/error.hpp"
#include "levity/base/unix_address.hpp"
#include "reactor/sim/sim_network.hpp"
#include "reactor/sim/sim_socket.hpp"
#include "reactor/sim/socket_files.hpp"
#include "reactor/simulated_unix.hpp"

namespace levity::inline v0::detail {

/// One thread.
class sim_unix final : public simulated_unix {
public:
  using number = sim_socket::number;
  using site_number = sim_socket::site_number;
  static constexpr std::size_t queue_max = 10;

  sim_unix(sim_network& in, site_number of);
  sim_unix(const sim_unix&) = delete;
  sim_unix& operator=(const sim_unix&) = delete;
  ~sim_unix();

  /// Where paths are from now on; they outlive it. Before the first socket. Without, they are nowhere but here.
  void keep_names_in(socket_files& files) noexcept { files_ = &files; }

  io_result<endpoint*> listen(reactor& home, const unix_bind_request& request) noexcept override;
  void stop(endpoint& listener) noexcept override;
  io_result<endpoint*> try_accept(endpoint& listener, reactor& home) noexcept override;
  io_result<endpoint*> connect_stream(reactor& home, const unix_address& to) noexcept override;
  io_result<ends> stream_pair(reactor& home) noexcept override;
  io_result<std::size_t> write(endpoint& stream, std::span<const iovec> pieces) noexcept override;
  io_result<unix_head> read(endpoint& stream, std::span<std::byte> into) noexcept override;
  io_result<void> shutdown_write(endpoint& stream) noexcept override;

  io_result<endpoint*> unnamed_datagram(reactor& home) noexcept override;
  io_result<ends> datagram_pair(reactor& home) noexcept override;
  io_result<void> bind(endpoint& datagram, const unix_bind_request& request) noexcept override;
  io_result<void> connect(endpoint& datagram, const unix_address& to) noexcept override;
  io_result<void> send(endpoint& datagram, std::span<const std::byte> bytes, const unix_address* to) noexcept override;
  io_result<unix_head> receive(endpoint& datagram, std::span<std::byte> into) noexcept override;

  [[nodiscard]] unix_address local_name(const endpoint& watched) const noexcept override;
  [[nodiscard]] unix_address peer_name(const endpoint& watched) const noexcept override;
  void set_send_buffer(endpoint& watched, int bytes) noexcept override;
  void close(endpoint& watched) noexcept override;

  // -- for the network -----------------------------------------------------------------------------------------------
  /// The process is gone.
  void sever() noexcept;
  /// Returns how many endpoints there are.
  std::uint64_t check_invariants() const noexcept;

private:
  static constexpr number nobody = 0;

  enum class kind : std::uint8_t { listener, stream, datagram };

  struct message {
    unix_address from;
    number sender;
    std::vector<std::byte> bytes;
  };

  struct socket final : sim_socket {  // a stream that waits to be accepted is watched by nobody
    kind what = kind::stream;
    unix_address local;
    unix_address peer;
    bool is_bound = false;      // the name is its own
    std::int64_t file = 0;      // the number of its path's file; 0: none
    number other = nobody;      // whom it is connected to; of a stream nobody: closed
    std::size_t send_buffer = 0;

    // A listener.
    std::size_t backlog = 0;
    bool stopped = false;
    std::deque<number> queue;

    // A stream.
    bool fin_sent = false;
    bool fin_received = false;
    bool torn = false;  // by who closed with something unread
    std::vector<std::byte> unread;
    std::size_t unread_from = 0;

    // A datagram socket.
    std::deque<message> messages;
    std::size_t in_flight = 0;  // of its send buffer: what nobody has received yet
    int error = 0;              // to be told once

    [[nodiscard]] std::size_t unread_bytes() const noexcept { return unread.size() - unread_from; }
    [[nodiscard]] unsigned standing() const noexcept override;
  };

  class plain_files;

  socket& create(kind what) noexcept;
  [[nodiscard]] socket* find(number id) const noexcept;
  [[nodiscard]] socket& of(const endpoint& watched) const noexcept;
  [[nodiscard]] io_result<ends> make_pair(reactor& home, kind what) noexcept;
  io_result<void> bind_name(socket& s, const unix_bind_request& request) noexcept;
  void free_name(socket& s) noexcept;
  [[nodiscard]] io_result<socket*> named(const unix_address& at, kind wanted, const char* doing) const noexcept;
  [[nodiscard]] bool has_process() const noexcept { return net_.has_process(site_); }
  [[nodiscard]] std::size_t room_of(const socket& stream) const noexcept;
  [[nodiscard]] static bool more_to_read(const socket& s) noexcept;
  [[nodiscard]] static bool is_full_for(const socket& receiver, const socket& sender) noexcept;
  [[nodiscard]] bool more_to_write(const socket& s) const noexcept;
  void owe_read(socket& s) noexcept;
  void owe_write(socket& s) noexcept;
  void take_out(const socket& receiver, const message& taken) noexcept;
  void drop_messages(socket& s) noexcept;
  void leave_peer(socket& s) noexcept;
  void end_peer(socket& s, bool tears) noexcept;
  void reset_queue(socket& listener) noexcept;

  sim_network& net_;
  const site_number site_;
  std::unique_ptr<plain_files> own_files_;
  socket_files* files_;
  std::map<number, std::unique_ptr<socket>> sockets_;
  std::map<std::int64_t, number> at_file_;
  std::map<std::string, number> at_abstract_;  // by kind and name
};

}  // namespace levity::detail
