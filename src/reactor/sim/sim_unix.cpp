#include "reactor/sim/sim_unix.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "levity/base/assert.hpp"
#include "reactor/sim/kernel_buffer.hpp"

namespace levity::inline v0::detail {
namespace {

constexpr const char* unix_reading = "reading from a Unix socket";
constexpr const char* unix_writing = "writing to a Unix socket";
constexpr const char* unix_connecting = "connecting to a Unix socket";
constexpr const char* unix_accepting = "accepting";

constexpr std::size_t stream_room_min = 4096;
constexpr std::size_t stream_room_max = std::size_t{208} * 1024;
constexpr std::size_t datagrams_room = 212'992;  // net.core.wmem_default
constexpr std::size_t message_overhead = 32;     // of a buffer, which a kernel keeps for itself
constexpr int send_buffer_asked_max = 212'992;   // net.core.wmem_max
constexpr int backlog_max = 4'096;  // net.core.somaxconn
constexpr std::size_t send_buffer_least = 4'608;

std::unexpected<io_error> unix_failure(int code, const char* doing) noexcept {
  return std::unexpected(io_error::from_errno(code, doing));
}

std::unexpected<io_error> not_now(const char* doing) noexcept {
  return std::unexpected(io_error{io_failure::would_block, EAGAIN, doing});
}

// Streams and datagrams have abstract names of their own.
std::string abstract_key(const unix_address& at, bool of_datagrams) {
  return (of_datagrams ? "d" : "s") + std::string(at.name());
}

std::size_t room_for_message(std::size_t bytes) noexcept { return kernel_buffer_room(bytes, 0); }

}  // namespace

/// The paths of a program that is simulated alone.
class sim_unix::plain_files final : public socket_files {
public:
  std::int64_t make_socket(const char* path, int) override {
    const auto [at, is_new] = names_.try_emplace(path, last_ + 1);
    return is_new ? at->second = ++last_ : -EADDRINUSE;
  }
  std::int64_t find_socket(const char* path, bool) const override {
    const auto found = names_.find(path);
    return found != names_.end() ? found->second : -ENOENT;
  }
  std::int64_t remove_socket(const char* path) override { return names_.erase(path) != 0 ? 0 : -ENOENT; }

private:
  std::map<std::string, std::int64_t> names_;
  std::int64_t last_ = 0;
};

sim_unix::sim_unix(sim_network& in, site_number of)
    : net_(in), site_(of), own_files_(std::make_unique<plain_files>()), files_(own_files_.get()) {}

sim_unix::~sim_unix() = default;

unsigned sim_unix::socket::standing() const noexcept {
  if (what != kind::stream) return 0;
  const bool is_over = torn || other == nobody || (fin_received && fin_sent);
  return (fin_received ? sim_event::ended : 0) | (is_over ? sim_event::failed : 0);
}

// ---- sockets ---------------------------------------------------------------------------------------------------------

sim_unix::socket& sim_unix::create(kind what) noexcept {
  auto made = std::make_unique<socket>();
  made->id = net_.next_number();
  made->site = site_;
  made->what = what;
  made->send_buffer = datagrams_room;
  // Most buffers are wide, some are so narrow that every message is cut.
  if (what == kind::stream) {
    made->send_buffer = stream_room_min + static_cast<std::size_t>(net_.draw(net_.one_in(4) ? stream_room_min : stream_room_max));
  }
  socket& result = *made;
  sockets_.emplace(result.id, std::move(made));
  return result;
}

sim_unix::socket* sim_unix::find(number id) const noexcept {
  const auto found = sockets_.find(id);
  return found != sockets_.end() ? found->second.get() : nullptr;
}

sim_unix::socket& sim_unix::of(const endpoint& watched) const noexcept {
  socket* found = find(static_cast<number>(watched.fd));
  LEVITY_ASSERT(found != nullptr && found->watch == &watched, "an endpoint is used only while it is open");
  return *found;
}

io_result<simulated_unix::ends> sim_unix::make_pair(reactor& home, kind what) noexcept {
  if (!has_process()) return unix_failure(ENETDOWN, "making a pair of Unix sockets");
  socket& first = create(what);
  socket& second = create(what);
  first.other = second.id;
  second.other = first.id;
  return ends{net_.watch(first, home), net_.watch(second, home)};
}

io_result<simulated_unix::ends> sim_unix::stream_pair(reactor& home) noexcept { return make_pair(home, kind::stream); }

io_result<simulated_unix::ends> sim_unix::datagram_pair(reactor& home) noexcept { return make_pair(home, kind::datagram); }

// ---- names -----------------------------------------------------------------------------------------------------------

io_result<void> sim_unix::bind_name(socket& s, const unix_bind_request& request) noexcept {
  const unix_address& at = request.at;
  if (s.is_bound) return std::unexpected(unix_binding_error(at, EINVAL));
  net_.trace_bytes(reinterpret_cast<const std::byte*>(at.name().data()), at.name().size());
  if (at.is_abstract()) {
    const bool is_free = at_abstract_.try_emplace(abstract_key(at, s.what == kind::datagram), s.id).second;
    if (!is_free) return std::unexpected(unix_name_taken(at, false));
    s.local = at;
    s.is_bound = true;
    return {};
  }
  const char* path = at.name().data();
  std::int64_t file = files_->make_socket(path, request.mode);
  if (file == -EADDRINUSE && request.replace_stale) {
    const std::int64_t there = files_->find_socket(path, false);
    if (there > 0 && !at_file_.contains(there) && files_->remove_socket(path) == 0) {
      file = files_->make_socket(path, request.mode);
    }
  }
  net_.trace(static_cast<std::uint64_t>(file));
  if (file == -EADDRINUSE) return std::unexpected(unix_name_taken(at, request.replace_stale));
  if (file < 0) return std::unexpected(unix_binding_error(at, static_cast<int>(-file)));
  at_file_.emplace(file, s.id);
  s.file = file;
  s.local = at;
  s.is_bound = true;
  return {};
}

// Only of a process that lives: what was killed removes nothing.
void sim_unix::free_name(socket& s) noexcept {
  if (s.is_bound && s.local.is_abstract()) at_abstract_.erase(abstract_key(s.local, s.what == kind::datagram));
  if (s.file == 0) return;
  const char* path = s.local.name().data();
  if (files_->find_socket(path, false) == s.file) files_->remove_socket(path);
  at_file_.erase(s.file);
  s.file = 0;
}

// Who is there, as far as it is of the kind that is wanted.
io_result<sim_unix::socket*> sim_unix::named(const unix_address& at, kind wanted, const char* doing) const noexcept {
  if (at.is_empty()) return unix_failure(EINVAL, doing);
  number id = nobody;
  if (at.is_abstract()) {
    const auto found = at_abstract_.find(abstract_key(at, wanted == kind::datagram));
    if (found != at_abstract_.end()) id = found->second;
  } else {
    const std::int64_t file = files_->find_socket(at.name().data(), true);
    if (file < 0 && file != -ENOTSOCK) return unix_failure(static_cast<int>(-file), doing);
    if (const auto found = at_file_.find(file); found != at_file_.end()) id = found->second;
  }
  socket* there = find(id);
  if (there == nullptr || there->stopped) return unix_failure(ECONNREFUSED, doing);
  if (there->what != wanted) return unix_failure(EPROTOTYPE, doing);
  return there;
}

// ---- streams ---------------------------------------------------------------------------------------------------------

io_result<endpoint*> sim_unix::listen(reactor& home, const unix_bind_request& request) noexcept {
  if (!has_process()) return std::unexpected(unix_binding_error(request.at, ENETDOWN));
  socket& made = create(kind::listener);
  if (const io_result<void> bound = bind_name(made, request); !bound) {
    sockets_.erase(made.id);
    return std::unexpected(bound.error());
  }
  made.backlog = static_cast<std::size_t>(std::clamp(request.backlog, 0, backlog_max));
  return net_.watch(made, home);
}

void sim_unix::stop(endpoint& listener) noexcept {
  socket& s = of(listener);
  if (s.severed || std::exchange(s.stopped, true)) return;
  if (!s.local.is_abstract()) free_name(s);  // of an abstract one the kernel lets nobody else have the name yet
  net_.raise(s, sim_event::can_read);
}

io_result<endpoint*> sim_unix::try_accept(endpoint& listener, reactor& home) noexcept {
  socket& s = of(listener);
  if (s.severed) return unix_failure(ENETDOWN, unix_accepting);
  if (s.queue.empty() && s.stopped) return std::unexpected(io_error{io_failure::closed, 0, unix_accepting});
  // Of one that was stopped no connection is held back: who drains it takes what is there, and closes.
  if (s.queue.empty() || (!s.stopped && net_.one_in(8))) {
    owe_read(s);
    return not_now(unix_accepting);
  }
  socket& taken = *find(s.queue.front());
  s.queue.pop_front();
  return net_.watch(taken, home);
}

io_result<endpoint*> sim_unix::connect_stream(reactor& home, const unix_address& to) noexcept {
  if (!has_process()) return unix_failure(ENETDOWN, unix_connecting);
  const io_result<socket*> there = named(to, kind::listener, unix_connecting);
  if (!there) return std::unexpected(there.error());
  socket& listener = **there;
  if (listener.queue.size() > listener.backlog) return not_now(unix_connecting);
  socket& client = create(kind::stream);
  socket& server = create(kind::stream);
  client.other = server.id;
  server.other = client.id;
  client.peer = server.local = listener.local;
  listener.queue.push_back(server.id);
  if (listener.owes_read || net_.one_in(2)) net_.raise(listener, sim_event::can_read);
  return net_.watch(client, home);
}

std::size_t sim_unix::room_of(const socket& stream) const noexcept {
  const socket* to = find(stream.other);
  const std::size_t unread = to != nullptr ? to->unread_bytes() : 0;
  return stream.send_buffer > unread ? stream.send_buffer - unread : 0;
}

io_result<std::size_t> sim_unix::write(endpoint& stream, std::span<const iovec> pieces) noexcept {
  socket& s = of(stream);
  if (s.severed || s.other == nobody || s.fin_sent) return unix_failure(EPIPE, unix_writing);
  std::size_t asked = 0;
  for (const iovec& piece : pieces) asked += piece.iov_len;
  if (asked == 0) return 0;
  const std::size_t room = room_of(s);
  if (room == 0 || net_.one_in(16)) {
    owe_write(s);
    return not_now(unix_writing);
  }
  const std::size_t moved = net_.draw_size(std::min(room, asked));
  socket& to = *find(s.other);
  if (to.unread_from >= to.unread_bytes()) {  // what is moved has been paid for by what was read
    to.unread.erase(to.unread.begin(), to.unread.begin() + static_cast<std::ptrdiff_t>(to.unread_from));
    to.unread_from = 0;
  }
  const std::size_t before = to.unread.size();
  for (const iovec& piece : pieces) {
    const auto* bytes = static_cast<const std::byte*>(piece.iov_base);
    const std::size_t part = std::min(piece.iov_len, moved - (to.unread.size() - before));
    to.unread.insert(to.unread.end(), bytes, bytes + part);
  }
  net_.trace(std::uint64_t{s.id} << 32 | moved);
  net_.trace_bytes(to.unread.data() + before, moved);
  if (to.owes_read || net_.one_in(2)) net_.raise(to, sim_event::can_read);
  if (moved < asked) owe_write(s);
  return moved;
}

io_result<unix_head> sim_unix::read(endpoint& stream, std::span<std::byte> into) noexcept {
  socket& s = of(stream);
  if (s.severed) return unix_failure(ECONNRESET, unix_reading);
  const std::size_t there = s.unread_bytes();
  const bool late = net_.one_in(16);
  if (there > 0 && !late) {
    const std::size_t moved = net_.draw_size(std::min(there, into.size()));
    std::memcpy(into.data(), s.unread.data() + s.unread_from, moved);
    s.unread_from += moved;
    net_.trace(std::uint64_t{s.id} << 32 | moved);
    socket* writer = find(s.other);
    if (writer != nullptr && writer->owes_write) net_.raise(*writer, sim_event::can_write);
    if (moved < into.size()) owe_read(s);
    unix_head got;
    got.size = moved;
    return got;
  }
  if (there == 0 && !late) {
    if (s.torn) return unix_failure(ECONNRESET, unix_reading);
    if (s.fin_received) return unix_head{};
  }
  owe_read(s);
  return not_now(unix_reading);
}

io_result<void> sim_unix::shutdown_write(endpoint& stream) noexcept {
  socket& s = of(stream);
  if (s.severed || std::exchange(s.fin_sent, true)) return {};
  net_.trace(s.id);
  if (socket* peer = find(s.other)) {
    peer->fin_received = true;
    net_.raise(*peer, sim_event::can_read | peer->standing());
  }
  if (s.fin_received) net_.raise(s, sim_event::can_read | sim_event::can_write | s.standing());
  return {};
}

// Of a stream that is about to go.
void sim_unix::end_peer(socket& s, bool tears) noexcept {
  socket* peer = find(s.other);
  if (peer == nullptr) return;
  peer->other = nobody;
  peer->fin_received = true;
  peer->torn = peer->torn || tears;
  net_.raise(*peer, sim_event::can_read | sim_event::can_write | peer->standing());
}

// Nobody will accept them.
void sim_unix::reset_queue(socket& listener) noexcept {
  for (const number id : std::exchange(listener.queue, {})) {
    end_peer(*find(id), true);
    sockets_.erase(id);
  }
}

// ---- datagrams -------------------------------------------------------------------------------------------------------

io_result<endpoint*> sim_unix::unnamed_datagram(reactor& home) noexcept {
  if (!has_process()) return unix_failure(ENETDOWN, "opening a Unix socket");
  return net_.watch(create(kind::datagram), home);
}

io_result<void> sim_unix::bind(endpoint& datagram, const unix_bind_request& request) noexcept {
  socket& s = of(datagram);
  if (s.severed) return std::unexpected(unix_binding_error(request.at, ENETDOWN));
  return bind_name(s, request);
}

io_result<void> sim_unix::connect(endpoint& datagram, const unix_address& to) noexcept {
  socket& s = of(datagram);
  if (s.severed) return unix_failure(ENETDOWN, unix_connecting);
  const io_result<socket*> there = named(to, kind::datagram, unix_connecting);
  if (!there) return std::unexpected(there.error());
  const socket& peer = **there;
  if (peer.other != nobody && peer.other != s.id) return unix_failure(EPERM, unix_connecting);
  if (s.other != nobody && s.other != peer.id) leave_peer(s);
  s.other = peer.id;
  s.peer = peer.local;
  net_.trace(std::uint64_t{s.id} << 32 | peer.id);
  if (s.owes_write) owe_write(s);
  return {};
}

io_result<void> sim_unix::send(endpoint& datagram, std::span<const std::byte> bytes, const unix_address* to) noexcept {
  socket& s = of(datagram);
  if (s.severed) return unix_failure(ENETDOWN, unix_writing);
  if (to == nullptr && s.other == nobody) return unix_failure(ENOTCONN, unix_writing);
  if (bytes.size() + message_overhead > s.send_buffer) return unix_failure(EMSGSIZE, unix_writing);
  if (s.error != 0) return unix_failure(std::exchange(s.error, 0), unix_writing);
  const io_result<socket*> there = to != nullptr ? named(*to, kind::datagram, unix_writing) : io_result<socket*>(find(s.other));
  if (!there) return std::unexpected(there.error());
  if (*there == nullptr) {  // it has closed, and is forgotten once that is told
    leave_peer(s);
    s.other = nobody;
    s.peer = {};
    return unix_failure(ECONNREFUSED, unix_writing);
  }
  socket& receiver = **there;
  if (receiver.other != nobody && receiver.other != s.id) return unix_failure(EPERM, unix_writing);
  if (s.in_flight >= s.send_buffer || is_full_for(receiver, s) || net_.one_in(16)) {
    if (to == nullptr) owe_write(s);
    return not_now(unix_writing);
  }
  net_.trace(std::uint64_t{s.id} << 32 | bytes.size());
  net_.trace(receiver.id);
  net_.trace_bytes(bytes.data(), bytes.size());
  s.in_flight += room_for_message(bytes.size());
  receiver.messages.push_back({s.local, s.id, {bytes.begin(), bytes.end()}});
  if (receiver.owes_read || net_.one_in(2)) net_.raise(receiver, sim_event::can_read);
  return {};
}

io_result<unix_head> sim_unix::receive(endpoint& datagram, std::span<std::byte> into) noexcept {
  socket& s = of(datagram);
  if (s.severed) return unix_failure(ENETDOWN, unix_reading);
  if (s.error != 0) return unix_failure(std::exchange(s.error, 0), unix_reading);
  if (s.messages.empty() || net_.one_in(16)) {
    owe_read(s);
    return not_now(unix_reading);
  }
  const message got = std::move(s.messages.front());
  s.messages.pop_front();
  unix_head head;
  head.size = std::min(got.bytes.size(), into.size());
  head.truncated = head.size < got.bytes.size();
  head.from = got.from;
  if (head.size > 0) std::memcpy(into.data(), got.bytes.data(), head.size);
  net_.trace(std::uint64_t{s.id} << 32 | head.size);
  take_out(s, got);
  return head;
}

// There is room again: in the receiver's queue, and in the buffer of who sent it.
void sim_unix::take_out(const socket& receiver, const message& taken) noexcept {
  if (socket* sender = find(taken.sender)) {
    sender->in_flight -= room_for_message(taken.bytes.size());
    if (sender->owes_write && sender->other != receiver.id && more_to_write(*sender)) net_.raise(*sender, sim_event::can_write);
  }
  for (const auto& [id, each] : sockets_) {
    if (each->what == kind::datagram && each->other == receiver.id && each->owes_write && more_to_write(*each)) {
      net_.raise(*each, sim_event::can_write);
    }
  }
}

void sim_unix::drop_messages(socket& s) noexcept {
  while (!s.messages.empty()) {
    const message dropped = std::move(s.messages.front());
    s.messages.pop_front();
    take_out(s, dropped);
  }
}

// What waits for it is gone, whoever sent it.
void sim_unix::leave_peer(socket& s) noexcept {
  socket* left = find(s.other);
  if (left != nullptr && left != &s && left->other == s.id && !s.messages.empty()) {
    left->error = ECONNRESET;
    net_.raise(*left, sim_event::can_read | sim_event::can_write);
  }
  drop_messages(s);
}

// ---- any socket ------------------------------------------------------------------------------------------------------

bool sim_unix::more_to_read(const socket& s) noexcept {
  switch (s.what) {
    case kind::listener: return !s.queue.empty() || s.stopped;
    case kind::stream: return s.unread_bytes() > 0 || s.fin_received || s.torn;
    case kind::datagram: return !s.messages.empty() || s.error != 0;
  }
  return false;
}

// For two that are connected to each other, and for one alone, only the buffer of who sends counts, as in Linux.
bool sim_unix::is_full_for(const socket& receiver, const socket& sender) noexcept {
  return &receiver != &sender && receiver.other != sender.id && receiver.messages.size() > queue_max;
}

bool sim_unix::more_to_write(const socket& s) const noexcept {
  if (s.what == kind::stream) return s.other == nobody || room_of(s) > 0;
  const socket* receiver = find(s.other);
  return s.in_flight < s.send_buffer && (receiver == nullptr || !is_full_for(*receiver, s));
}

// After an attempt that moved less than was asked: an event is owed, at once if more can be moved.
void sim_unix::owe_read(socket& s) noexcept {
  s.owes_read = true;
  if (more_to_read(s)) net_.raise(s, sim_event::can_read | s.standing());
}

void sim_unix::owe_write(socket& s) noexcept {
  s.owes_write = true;
  if (more_to_write(s)) net_.raise(s, sim_event::can_write | s.standing());
}

unix_address sim_unix::local_name(const endpoint& watched) const noexcept { return of(watched).local; }

unix_address sim_unix::peer_name(const endpoint& watched) const noexcept { return of(watched).peer; }

void sim_unix::set_send_buffer(endpoint& watched, int bytes) noexcept {
  socket& s = of(watched);
  if (s.severed) return;
  const int asked = bytes < 0 ? send_buffer_asked_max : std::min(bytes, send_buffer_asked_max);
  s.send_buffer = std::max(2 * static_cast<std::size_t>(asked), send_buffer_least);
  if (s.owes_write) owe_write(s);
}

void sim_unix::close(endpoint& watched) noexcept {
  LEVITY_ASSERT(!watched.reading.has_waiter_approx() && !watched.writing.has_waiter_approx(),
                "a socket is closed when no task waits on it");
  socket& s = of(watched);
  net_.unwatch(s);
  if (!s.severed) {
    net_.trace(std::uint64_t{s.id} << 1);
    free_name(s);
    reset_queue(s);
    drop_messages(s);
    if (s.what == kind::stream) end_peer(s, s.unread_bytes() > 0);
  }
  const number gone = s.id;
  const bool tells = !s.severed && s.what == kind::datagram;
  sockets_.erase(gone);
  if (!tells) return;
  for (const auto& [id, each] : sockets_) {  // who waits for room there is refused
    if (each->what == kind::datagram && each->other == gone && each->owes_write) net_.raise(*each, sim_event::can_write);
  }
}

// The files stay: the kernel removes none.
void sim_unix::sever() noexcept {
  std::vector<number> unaccepted;
  for (const auto& [id, each] : sockets_) {
    for (const number queued : std::exchange(each->queue, {})) unaccepted.push_back(queued);
    if (std::exchange(each->severed, true)) continue;
    each->file = 0;
    each->messages.clear();
    each->in_flight = 0;
    net_.raise(*each, sim_event::can_read | sim_event::can_write | sim_event::ended | sim_event::failed);
  }
  for (const number id : unaccepted) sockets_.erase(id);
  at_file_.clear();
  at_abstract_.clear();
}

std::uint64_t sim_unix::check_invariants() const noexcept {
  std::map<number, std::size_t> in_flight;
  std::uint64_t watched = 0;
  for (const auto& [id, each] : sockets_) {
    if (each->watch != nullptr) watched++;
    LEVITY_ASSERT(each->unread.size() <= 4 * std::size_t{send_buffer_asked_max}, "what has been read makes room");
    for (const message& waiting : each->messages) in_flight[waiting.sender] += room_for_message(waiting.bytes.size());
    const socket* peer = each->what == kind::stream ? find(each->other) : nullptr;
    LEVITY_ASSERT(peer == nullptr || each->severed || peer->other == id, "the ends of a stream know each other");
    LEVITY_ASSERT(each->file == 0 || at_file_.at(each->file) == id, "a path that is bound leads to its socket");
  }
  for (const auto& [id, each] : sockets_) {
    const auto found = in_flight.find(id);
    const std::size_t waiting = found != in_flight.end() ? found->second : 0;
    LEVITY_ASSERT(waiting == each->in_flight, "what is in flight waits somewhere");
  }
  return watched;
}

}  // namespace levity::detail
