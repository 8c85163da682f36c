#include "http/connection_pool.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <expected>
#include <optional>
#include <utility>

#include "levity/task/detach.hpp"
#include "levity/task/task_local.hpp"
#include "levity/time/deadline.hpp"

namespace levity::inline v0::http::detail {

const wait_reason place_wait::reason_{"http connection", &place_wait::leave, &place_wait::settle, &place_wait::describe};

void place_wait::describe(const levity::detail::waiter& self, char* text, std::size_t size) noexcept {
  std::snprintf(text, size, "%s", static_cast<const place_wait&>(self).host_.authority.c_str());
}

connection_pool::connection_pool(client_options options) : options_(options) {}

connection_pool::~connection_pool() { close(); }

pooled_host* connection_pool::pin(const url& target) {
  const std::string_view authority = target.authority();
  const auto pinned = [this](pooled_host& host) noexcept {
    host.pins++;
    pinned_++;
    return &host;
  };
  lock_.lock();
  if (const auto known = hosts_.find(authority); known != hosts_.end() && !closed_) [[likely]] {
    pooled_host* const host = pinned(*known->second);
    lock_.unlock();
    return host;
  }
  lock_.unlock();
  auto fresh =
      std::make_unique<pooled_host>(authority, target.host(), target.port(), std::max<std::size_t>(options_.pool.per_host, 1),
                                    durations_.introduce(target.host(), target.port(), {}));
  std::string name{authority};
  std::vector<std::unique_ptr<pooled_host>> forgotten;  // goes after the lock
  forgotten.reserve(options_.pool.hosts_max);
  levity::detail::spin_lock& held = lock_;
  held.lock();
  pooled_host* host = nullptr;
  try {
    if (!closed_) {
      if (hosts_.size() >= options_.pool.hosts_max) forget_hosts(forgotten);
      host = pinned(*hosts_.try_emplace(std::move(name), std::move(fresh)).first->second);
    }
  } catch (...) {
    held.unlock();
    throw;
  }
  held.unlock();
  return host;
}

void connection_pool::forget_hosts(std::vector<std::unique_ptr<pooled_host>>& forgotten) {
  for (auto at = hosts_.begin(); at != hosts_.end() && forgotten.size() < forgotten.capacity();) {
    if (at->second->pins == 0 && at->second->idle_count == 0) {
      forgotten.push_back(std::move(at->second));
      at = hosts_.erase(at);
    } else {
      ++at;
    }
  }
}

void connection_pool::unpin(pooled_host& host) noexcept {
  lock_.lock();
  host.pins--;
  const bool last = --pinned_ == 0 && closed_;
  lock_.unlock();
  if (last) drained_.set();
}

bool connection_pool::try_place(pooled_host& host) noexcept {
  if (!host.places.try_acquire()) return false;
  lock_.lock();
  host.in_use++;
  lock_.unlock();
  return true;
}

bool connection_pool::try_place_below(pooled_host& host, std::size_t count, std::size_t& open) noexcept {
  const bool has_place = host.places.try_acquire();
  lock_.lock();
  open = host.in_use + host.idle_count;
  const bool wanted = has_place && !closed_ && open < std::min(count, options_.pool.per_host);
  if (wanted) host.in_use++;
  lock_.unlock();
  if (has_place && !wanted) host.places.release();
  return wanted;
}

bool connection_pool::begin_wait(pooled_host& host, place_waiter& self) noexcept {
  self.since = clock::now();
  lock_.lock();
  const bool room = host.waiting < options_.pool.waiters_max;
  if (room) {
    host.waiting++;
    host.waiters.push_back(self);
  }
  lock_.unlock();
  return room;
}

void connection_pool::end_wait(pooled_host& host, place_waiter& self, bool has_place) noexcept {
  lock_.lock();
  self.unlink();
  host.waiting--;
  if (has_place) host.in_use++;
  lock_.unlock();
}

void connection_pool::leave_place(pooled_host& host) noexcept {
  lock_.lock();
  host.in_use--;
  lock_.unlock();
  host.places.release();
}

void connection_pool::unlink(pooled_connection& connection) noexcept {
  connection.of_host.unlink();
  connection.of_all.unlink();
  connection.host->idle_count--;
  idle_count_--;
}

pooled_connection* connection_pool::take_idle(pooled_host& host) noexcept {
  for (;;) {
    lock_.lock();
    list_link* const newest = host.idle.front();
    if (newest == nullptr) {
      lock_.unlock();
      return nullptr;
    }
    pooled_connection* const found = static_cast<pooled_connection::host_link*>(newest)->of;
    unlink(*found);
    lock_.unlock();

    const time_point now = clock::now();
    const bool old = now >= found->use_until || now >= found->idle_until;
    std::byte unasked;
    const io_result<std::size_t> got = found->stream.try_read_some({&unasked, 1});
    if (!old && !got && got.error() == io_failure::would_block) {
      lock_.lock();
      host.reused++;
      lock_.unlock();
      return found;
    }
    delete found;
    if (old) continue;
    lock_.lock();
    host.stale++;
    lock_.unlock();
  }
}

pooled_connection* connection_pool::adopt(pooled_host& host, tcp_stream stream) {
  auto made = std::make_unique<pooled_connection>(options_.bounds);
  made->stream = std::move(stream);
  made->host = &host;
  made->of_host.of = made->of_all.of = made.get();
  lock_.lock();
  host.connects++;
  const std::uint32_t serial = host.serial++;
  lock_.unlock();
  constexpr int steps = 16;
  const time_point now = clock::now();
  const duration age = std::min(options_.pool.age_max, time_point::max() - now);
  made->use_until = now + age - (serial % steps) * (age / (10 * steps));
  return made.release();
}

void connection_pool::give_back(pooled_connection* connection) noexcept {
  constexpr std::size_t head_kept_max = 4096;
  connection->kept = true;
  connection->stream.drop_buffer();
  if (connection->head_text.capacity() > head_kept_max) std::string().swap(connection->head_text);
  pooled_host& host = *connection->host;
  const time_point now = clock::now();
  const duration rest = std::min(options_.pool.idle_timeout, time_point::max() - now);
  connection->idle_until = now + rest;
  if (now >= connection->use_until || options_.pool.idle_max == 0 || rest <= duration::zero()) return drop(connection);
  pooled_connection* too_many = nullptr;
  lock_.lock();
  if (closed_ || host.idle_count >= options_.pool.idle_per_host) {
    lock_.unlock();
    return drop(connection);
  }
  if (idle_count_ >= options_.pool.idle_max) {
    too_many = static_cast<pooled_connection::host_link*>(idle_.front())->of;
    unlink(*too_many);
  }
  host.idle.push_front(connection->of_host);
  idle_.push_back(connection->of_all);
  host.idle_count++;
  idle_count_++;
  const bool needs_janitor = !std::exchange(has_janitor_, true);
  lock_.unlock();
  delete too_many;
  if (needs_janitor) start_janitor();
}

void connection_pool::drop(pooled_connection* connection) noexcept { delete connection; }

// Without memory for it the next connection that comes to rest tries again.
void connection_pool::start_janitor() noexcept {
  try {
    const levity::detail::without_locals of_the_request;
    levity::detach("http idle connections", keep_clean, shared_from_this());
  } catch (...) {
    lock_.lock();
    has_janitor_ = false;
    lock_.unlock();
  }
}

std::optional<time_point> connection_pool::close_expired(time_point now) noexcept {
  for (;;) {
    std::array<pooled_connection*, 32> closing;
    std::size_t count = 0;
    std::optional<time_point> next;
    lock_.lock();
    for (list_link* front = idle_.front(); front != nullptr && count < closing.size(); front = idle_.front()) {
      pooled_connection* const oldest = static_cast<pooled_connection::host_link*>(front)->of;
      if (oldest->idle_until > now) {
        next = oldest->idle_until;
        break;
      }
      unlink(*oldest);
      closing[count++] = oldest;
    }
    // Only who returns has given the duty up: between two rounds another janitor would be started beside this one.
    const bool done = count < closing.size();
    if (done && !next) has_janitor_ = false;
    lock_.unlock();
    for (std::size_t i = 0; i < count; i++) delete closing[i];
    if (done) return next;
  }
}

// When the runtime ends it cancels this task and waits for it: what is idle closes then, so that no connection outlives the runtime
// that carries it, even if its client does.
task<> connection_pool::keep_clean(std::shared_ptr<connection_pool> self) {
  time_point now = clock::now();
  for (;;) {
    const std::optional<time_point> next = self->close_expired(now);
    if (!next) co_return;
    std::expected<char, channel_error> told = std::unexpected(channel_error::timed_out);
    if (*next == time_point::max()) {
      told = co_await self->woken_.receive();
    } else {
      told = co_await with_deadline(*next, self->woken_.receive());
    }
    // The pool is closed, or the runtime ends: then all are due, also those that never are.
    const bool is_due = !told && told.error() == channel_error::timed_out;
    now = is_due ? clock::now() : time_point::max();
  }
}

void connection_pool::count_repeated(pooled_host& host) noexcept {
  lock_.lock();
  host.repeated++;
  lock_.unlock();
}

void connection_pool::count_failure(pooled_host& host, bool exhausted) noexcept {
  lock_.lock();
  host.failures++;
  if (exhausted) host.exhausted++;
  lock_.unlock();
}

void connection_pool::close() noexcept {
  lock_.lock();
  const bool first = !std::exchange(closed_, true);
  const bool last = pinned_ == 0;
  lock_.unlock();
  if (!first) return;
  (void)woken_.try_send(0);
  // From here on no host comes or goes, and nothing becomes idle.
  for (;;) {
    std::array<pooled_connection*, 32> closing;
    std::size_t count = 0;
    lock_.lock();
    for (list_link* front = idle_.front(); front != nullptr && count < closing.size(); front = idle_.front()) {
      closing[count] = static_cast<pooled_connection::host_link*>(front)->of;
      unlink(*closing[count++]);
    }
    lock_.unlock();
    if (count == 0) break;
    for (std::size_t i = 0; i < count; i++) delete closing[i];
  }
  // Whoever waits gets a place and finds the client closed.
  for (auto& [name, host] : hosts_) host->places.release(std::uint64_t{1} << 40);
  if (last) drained_.set();
}

bool connection_pool::closed() const noexcept {
  lock_.lock();
  const bool is = closed_;
  lock_.unlock();
  return is;
}

client_figures connection_pool::look() const {
  client_figures out;
  std::vector<pooled_host*> hosts;
  for (std::size_t room = 16;; room *= 2) {
    out.hosts.clear();
    out.hosts.reserve(room);
    hosts.clear();
    hosts.reserve(room);
    const time_point now = clock::now();
    lock_.lock();
    const bool fits = hosts_.size() <= room;
    if (fits) {
      for (const auto& [name, host] : hosts_) {
        host->pins++;  // it stays while its name is copied
        hosts.push_back(host.get());
        host_figures& each = out.hosts.emplace_back();
        each.open = host->in_use + host->idle_count;
        each.idle = host->idle_count;
        each.in_use = host->in_use;
        each.waiting = host->waiting;
        if (list_link* const oldest = host->waiters.front(); oldest != nullptr) {
          each.oldest_wait = now - static_cast<place_waiter*>(oldest)->since;
        }
        each.connects = host->connects;
        each.reused = host->reused;
        each.stale = host->stale;
        each.repeated = host->repeated;
        each.failures = host->failures;
        each.exhausted = host->exhausted;
      }
      out.idle = idle_count_;
    }
    lock_.unlock();
    if (!fits) continue;
    for (std::size_t i = 0; i < hosts.size(); i++) out.hosts[i].authority = hosts[i]->authority;
    lock_.lock();
    for (pooled_host* const each : hosts) each->pins--;
    lock_.unlock();
    std::sort(out.hosts.begin(), out.hosts.end(),
              [](const host_figures& a, const host_figures& b) { return a.authority < b.authority; });
    return out;
  }
}

std::string connection_pool::why_exhausted(pooled_host& host) const {
  const time_point now = clock::now();
  lock_.lock();
  const std::size_t in_use = host.in_use;
  const std::size_t waiting = host.waiting;
  list_link* const oldest = host.waiters.front();
  const duration waits = oldest != nullptr ? now - static_cast<place_waiter*>(oldest)->since : duration::zero();
  lock_.unlock();
  std::string text = "pool exhausted: " + std::to_string(in_use) + " of " + std::to_string(options_.pool.per_host) +
                     " connections to " + host.authority + " are in use, ";
  if (waiting > 1) text.append(std::to_string(waiting)).append(" requests wait, ");
  return text.append("the oldest waiter waits ")
      .append(std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(waits).count()))
      .append(" ms; raise per_host or call less");
}

}  // namespace levity::http::detail
