#include "reactor/endpoint.hpp"

#include <cstdlib>
#include <new>

#include "levity/base/spin_lock.hpp"

namespace levity::inline v0::detail {
namespace {

struct endpoint_store {
  spin_lock lock;
  endpoint* free = nullptr;
};

endpoint_store& the_store() noexcept {
  static endpoint_store* const instance = new endpoint_store;
  return *instance;
}

}  // namespace

endpoint& allocate_endpoint() {
  endpoint_store& store = the_store();
  store.lock.lock();
  endpoint* taken = store.free;
  if (taken != nullptr) store.free = taken->next_free;
  store.lock.unlock();
  if (taken == nullptr) {
    constexpr int chunk = 64;  // never freed: see the preface
    auto* fresh = new endpoint[chunk];
    store.lock.lock();
    for (int i = 1; i < chunk; i++) {
      fresh[i].next_free = store.free;
      store.free = &fresh[i];
    }
    store.lock.unlock();
    taken = &fresh[0];
  }
  taken->next_free = nullptr;
  taken->adopted = false;
  taken->file_blocks = false;
  taken->filled = false;
  taken->tells_rest = false;
  taken->took_all = false;
  taken->reading.reset();
  taken->writing.reset();
  taken->hung_up.store(false, std::memory_order_relaxed);
  taken->was_reset.store(false, std::memory_order_relaxed);
  taken->peer_ended.store(false, std::memory_order_relaxed);
  taken->writes.store(own_side::open, std::memory_order_relaxed);
  return *taken;
}

void free_endpoint(endpoint& used) noexcept {
  used.generation.fetch_add(1, std::memory_order_relaxed);
  used.fd = -1;
  used.home = nullptr;
  endpoint_store& store = the_store();
  store.lock.lock();
  used.next_free = store.free;
  store.free = &used;
  store.lock.unlock();
}

}  // namespace levity::detail
