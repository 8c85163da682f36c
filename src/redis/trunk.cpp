#include "redis/trunk.hpp"

#include <algorithm>
#include <array>
#include <exception>
#include <new>
#include <string>
#include <utility>

#include "levity/base/random_seed.hpp"
#include "levity/base/spin_lock.hpp"
#include "levity/task/detach.hpp"
#include "levity/task/scope.hpp"
#include "levity/task/task_local.hpp"
#include "levity/task/yield.hpp"
#include "levity/time/deadline.hpp"
#include "levity/time/sleep.hpp"

namespace levity::inline v0::redis::detail {

namespace {

constexpr const char* waiting = "waiting for redis";
constexpr duration last_replies = std::chrono::milliseconds(100);  // may still come where nothing can be sent any more
constexpr std::size_t batch_bytes = 64 * 1024;   // of one write, but for its last command
constexpr std::size_t copied_bytes = 16 * 1024;  // a command that is larger is sent from where it lies

error out_of_memory() noexcept { return error::of_io({io_failure::no_memory, 0, waiting}, true); }

}  // namespace

// What the tasks of one connection share.
struct trunk::connection {
  explicit connection(std::unique_ptr<dialogue> opened) noexcept : wire(std::move(opened)) {}

  const std::unique_ptr<dialogue> wire;
  event over;
  std::array<exchange*, exchange_queue::slice_max> slice{};  // taken and not marked sent; of the writer
  std::size_t slice_size = 0;

  /// The first reason counts.
  void end(error reason) {
    lock_.lock();
    const bool first = !ended_;
    ended_ = true;
    if (first) std::swap(why_, reason);
    lock_.unlock();
    if (first) over.set();
  }
  /// After its tasks.
  [[nodiscard]] const error& why() const noexcept { return why_; }

private:
  levity::detail::spin_lock lock_;
  bool ended_ = false;
  error why_ = error::of_io({io_failure::closed, 0, waiting}, true);
};

trunk::trunk(std::shared_ptr<const options> how)
    : commands(std::max(how->in_flight_max, 1U)),
      options_(std::move(how)),
      backoff_(options_->backoff_first, options_->backoff_max, random_seed()) {}

trunk::~trunk() = default;

task<result<value>> trunk::call(std::shared_ptr<trunk> self, request what, call_options how) {
  duration span = how.deadline;
  if (span == call_options::as_the_client) span = self->options_->deadline;
  if (span == duration::max()) co_return co_await ask(std::move(self), std::move(what), how.repeats, true);
  co_return co_await with_deadline(span, ask(std::move(self), std::move(what), how.repeats, false));
}

void trunk::start(const std::shared_ptr<trunk>& self) {
  if (!commands.is_first()) [[likely]] return;
  try {
    const levity::detail::without_locals of_the_command;
    detach("redis trunk", keep, self);
  } catch (...) {
    commands.nobody_was_first();
    throw;
  }
}

task<result<value>> trunk::ask(std::shared_ptr<trunk> self, request what, unsigned repeats, bool is_endless) {
  exchange_queue& commands = self->commands;
  self->start(self);
  const std::uint32_t weight = commands.weight_of(what);
  if (!commands.room.try_acquire(weight)) {
    cancel_reason why = cancel_reason::none;
    try {
      co_await commands.room.acquire(weight);
    } catch (const cancelled& told) {
      why = told.reason();
    }
    if (why != cancel_reason::none) co_return std::unexpected(error::of_io(to_io_error(why, waiting), false));
  }
  exchange* one = nullptr;
  try {
    one = new exchange(std::move(what), weight, repeats, is_endless);
  } catch (const std::bad_alloc&) {
    commands.room.release(weight);
    throw;
  }
  self->figures.commands.fetch_add(1, std::memory_order_relaxed);
  const cancel_reason why = co_await exchange_queue::reply_wait{commands, *one};
  result<value> outcome = commands.leave(*one, why);
  if (outcome && outcome->is_error()) co_return std::unexpected(error::of_server(std::move(*outcome).take_text()));
  co_return std::move(outcome);
}

void trunk::close() {
  commands.close(error::of_io({io_failure::closed, 0, waiting}, false));
  stop_.set();
}

task<> trunk::keep(std::shared_ptr<trunk> self) {
  scope parts{on_failure::report, "redis trunk"};
  parts.spawn("redis connection", live, self);
  co_await self->stop_.wait();
  parts.cancel();
  co_await parts.join();
}

// What was sent on a connection that has ended.
void trunk::settle(connection& on, const error& why) {
  commands.mark_sent({on.slice.data(), on.slice_size});
  on.slice_size = 0;
  commands.fail_sent(why);
}

task<> trunk::live(std::shared_ptr<trunk> self) {
  // However it ends, nobody waits for it any more.
  struct at_last {
    trunk& of;
    ~at_last() {
      try {
        of.commands.close(error::of_io({io_failure::closed, 0, waiting}, false));
      } catch (...) {
        // No memory for it: callers have deadlines.
      }
    }
  };
  const at_last closes{*self};
  const cancel_reason why = co_await exchange_queue::work_wait{self->commands};
  if (why != cancel_reason::none) co_return;
  for (;;) {
    error ended = error::of_io({io_failure::no_memory, 0, waiting}, false);
    bool opened = false;
    const time_point began = clock::now();
    try {
      result<std::unique_ptr<dialogue>> made = co_await dialogue::open(*self->options_);
      if (made) {
        opened = true;
        self->figures.connects.fetch_add(1, std::memory_order_relaxed);
        auto on = std::make_shared<connection>(std::move(*made));
        self->commands.accept();
        self->figures.up.store(true, std::memory_order_relaxed);
        ended = co_await serve(self, std::move(on));
      } else {
        ended = made.error();
      }
    } catch (const std::bad_alloc&) {
      // Of whatever it was: tried again.
    }
    self->figures.up.store(false, std::memory_order_relaxed);
    co_await levity::detail::throw_if_cancelled();
    if (opened) {
      self->figures.lost.fetch_add(1, std::memory_order_relaxed);
      // It was good for a while: the first attempt to have it back is made at once.
      if (clock::now() - began > self->options_->backoff_max) {
        self->backoff_.reset();
        continue;
      }
    } else {
      self->figures.failed_connects.fetch_add(1, std::memory_order_relaxed);
      self->commands.refuse(ended, self->options_->waits_while_down);
    }
    co_await sleep(self->backoff_.next());
  }
}

task<error> trunk::serve(std::shared_ptr<trunk> self, std::shared_ptr<connection> on) {
  {
    scope parts{on_failure::report, "redis connection"};
    bool spawned = false;
    try {
      parts.spawn("redis reader", read, self, on);
      parts.spawn("redis writer", write, self, on);
      parts.spawn("redis watch", watch, self, on);
      spawned = true;
    } catch (const std::bad_alloc&) {
      on->end(out_of_memory());
    }
    try {
      if (spawned) co_await on->over.wait();
    } catch (const cancelled&) {
      // The trunk is closed, or the runtime ends.
      on->end(error::of_io({io_failure::closed, 0, waiting}, true));
    }
    parts.cancel();
    co_await parts.join();
  }
  error why = on->why();
  self->settle(*on, why);
  co_return std::move(why);
}

task<> trunk::write(std::shared_ptr<trunk> self, std::shared_ptr<connection> on) {
  try {
    co_await write_all(std::move(self), on);
  } catch (const std::bad_alloc&) {
    on->end(out_of_memory());
  }
}

task<> trunk::write_all(std::shared_ptr<trunk> self, std::shared_ptr<connection> on) {
  std::string batch;
  request large("");
  for (;;) {
    const cancel_reason why = co_await exchange_queue::work_wait{self->commands};
    if (why != cancel_reason::none) co_return;
    // Whoever is ready gives its command first.
    co_await yield();
    for (;;) {
      batch.clear();
      std::string_view alone;
      while (batch.size() < batch_bytes && alone.empty()) {
        on->slice_size = self->commands.take(on->slice, copied_bytes);
        if (on->slice_size == 0) break;
        for (std::size_t i = 0; i < on->slice_size; i++) {
          exchange& each = *on->slice[i];
          // A large one is the last of its slice, or copied.
          if (each.what.size() > copied_bytes && i + 1 == on->slice_size) {
            if (each.repeats > 0) {
              large = each.what;
            } else {
              large = std::move(each.what);
            }
            alone = large.encode();
          } else {
            batch.append(each.what.encode());
          }
        }
        self->commands.mark_sent({on->slice.data(), on->slice_size});
        on->slice_size = 0;
      }
      if (batch.empty() && alone.empty()) break;
      iovec pieces[] = {{batch.data(), batch.size()}, {const_cast<char*>(alone.data()), alone.size()}};
      self->figures.writes.fetch_add(1, std::memory_order_relaxed);
      const io_result<void> written = co_await on->wire->write(std::span{pieces});
      if (!written) {
        // The reader takes what has come already, and mostly meets the end before us.
        co_await sleep(last_replies);
        on->end(error::of_io(written.error().during(waiting), true));
        co_return;
      }
    }
    if (batch.capacity() > 2 * batch_bytes) batch = {};
  }
}

task<> trunk::read(std::shared_ptr<trunk> self, std::shared_ptr<connection> on) {
  try {
    error why = co_await read_all(std::move(self), on);
    on->end(std::move(why));
  } catch (const std::bad_alloc&) {
    on->end(out_of_memory());
  }
}

task<error> trunk::read_all(std::shared_ptr<trunk> self, std::shared_ptr<connection> on) {
  dialogue& wire = *on->wire;
  for (;;) {
    bool more = false;
    while (!more) {
      switch (wire.poll()) {
        case reply_reader::verdict::needs_more: more = true; break;
        case reply_reader::verdict::broken: co_return wire.broken();
        case reply_reader::verdict::complete: {
          value one = wire.take();
          if (one.kind() == value_kind::push) {
            self->figures.pushes.fetch_add(1, std::memory_order_relaxed);
            break;
          }
          const bool asked = self->commands.answer(std::move(one));
          if (!asked) co_return error::of(failure::protocol, "a reply that nobody asked for", true);
          break;
        }
      }
    }
    const io_result<void> filled = co_await wire.fill();
    if (!filled) co_return error::of_io(filled.error(), true);
  }
}

task<> trunk::watch(std::shared_ptr<trunk> self, std::shared_ptr<connection> on) {
  try {
    co_await look_after(std::move(self), on);
  } catch (const std::bad_alloc&) {
    on->end(out_of_memory());
  }
}

task<> trunk::look_after(std::shared_ptr<trunk> self, std::shared_ptr<connection> on) {
  exchange_queue::look before = self->commands.look_at();
  for (;;) {
    co_await sleep(self->options_->health_interval);
    const exchange_queue::look now = self->commands.look_at();
    if (now.owes && before.owes && now.answered == before.answered && !now.is_endless) {
      on->end(error::of_io({io_failure::timed_out, 0, waiting}, true));
      co_return;
    }
    if (!now.owes && now.answered == before.answered) self->commands.push_unattended(*new exchange(request("PING"), 0, 0, false));
    before = now;
  }
}

}  // namespace levity::redis::detail
