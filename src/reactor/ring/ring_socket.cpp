#include "reactor/ring/ring_socket.hpp"

#include "levity/base/assert.hpp"

namespace levity::inline v0::detail {
namespace {

struct ring_socket_store {
  spin_lock lock;
  endpoint* free = nullptr;
};

ring_socket_store& the_store() noexcept {
  static ring_socket_store* const instance = new ring_socket_store;
  return *instance;
}

void make_fresh(ring_socket& taken) noexcept {
  taken.next_free = nullptr;
  taken.adopted = false;
  taken.file_blocks = false;
  taken.reading.reset();
  taken.writing.reset();
  taken.hung_up.store(false, std::memory_order_relaxed);
  taken.was_reset.store(false, std::memory_order_relaxed);
  taken.peer_ended.store(false, std::memory_order_relaxed);
  taken.writes.store(own_side::open, std::memory_order_relaxed);
  taken.blocks = false;
  taken.receiving = false;
  taken.ended = false;
  taken.end_code = 0;
  taken.held = 0;
  taken.front_used = 0;
  taken.sending.store(false, std::memory_order_relaxed);
  taken.send_code = 0;
  taken.connecting.store(0, std::memory_order_relaxed);
  taken.receive_cancelled = false;
  taken.end_wanted = false;
  taken.awaits_ready = false;
  taken.lingering = false;
  taken.closing = false;
  taken.aborting = false;
  taken.cancelled = false;
  taken.send_cancelled = false;
  taken.closed = false;
  taken.unread = false;
}

}  // namespace

ring_socket& allocate_ring_socket() {
  ring_socket_store& store = the_store();
  store.lock.lock();
  endpoint* taken = store.free;
  if (taken != nullptr) store.free = taken->next_free;
  store.lock.unlock();
  if (taken == nullptr) {
    constexpr int chunk = 64;  // never freed: see endpoint.hpp
    auto* fresh = new ring_socket[chunk];
    store.lock.lock();
    for (int i = 1; i < chunk; i++) {
      fresh[i].next_free = store.free;
      store.free = &fresh[i];
    }
    store.lock.unlock();
    taken = &fresh[0];
  }
  auto& socket = static_cast<ring_socket&>(*taken);
  make_fresh(socket);
  return socket;
}

void publish(ring_socket& fresh) noexcept {
  fresh.references.store(ring_socket::one_use, std::memory_order_release);  // E202 release.
}

bool try_hold(ring_socket& perhaps) noexcept {
  std::uint32_t count = perhaps.references.load(std::memory_order_relaxed);
  do {
    if ((count & ring_socket::uses_mask) == 0) return false;
  } while (!perhaps.references.compare_exchange_weak(count, count + ring_socket::one_use,
                                                     std::memory_order_acquire,  // E202 acquire.
                                                     std::memory_order_relaxed));
  return true;
}

void drop_references(ring_socket& used, std::uint32_t count) noexcept {
  // E202 release, acquire.
  if (used.references.fetch_sub(count, std::memory_order_acq_rel) != count) return;
  LEVITY_ASSERT(used.front == nullptr && used.arrived == nullptr && used.accepted.empty() && used.out == nullptr,
                "a socket that is gone leaves nothing to the next user of its memory");
  used.generation.fetch_add(1, std::memory_order_relaxed);
  used.fd = -1;
  used.home = nullptr;
  ring_socket_store& store = the_store();
  store.lock.lock();
  used.next_free = store.free;
  store.free = &used;
  store.lock.unlock();
}

}  // namespace levity::detail
