#include "io/sync_queue.hpp"

#include <cerrno>
#include <utility>

#include "levity/base/assert.hpp"

namespace levity::inline v0::detail {
namespace {

// Not what says nothing about the disk: it was not made, or could not be with such a descriptor, size or buffer.
bool stays(std::int64_t result) noexcept {
  switch (-result) {
    case 0:
    case EAGAIN:
    case EINTR:
    case ECANCELED:
    case EBADF:
    case EINVAL:
    case EFAULT:
    case EFBIG: return false;
    default: return true;
  }
}

}  // namespace

sync_queue::turn sync_queue::begin(file_operation& operation) noexcept { return begin(operation, true); }
sync_queue::turn sync_queue::try_begin(file_operation& operation) noexcept { return begin(operation, false); }

sync_queue::turn sync_queue::begin(file_operation& operation, bool waits) noexcept {
  if (operation.leads) return turn::now;
  lock_.lock();
  turn is = turn::now;
  if (failure() != 0) {
    is = turn::never;
  } else if (syncing_) {
    is = turn::later;
    if (waits) {
      // The first one leads: one that wants all metadata, if there is one, for what it gets serves the others, too.
      const bool behind = waiting_ != nullptr && operation.what != file_operation::kind::sync;
      operation.after = std::exchange(behind ? waiting_->after : waiting_, &operation);
    }
  } else {
    syncing_ = operation.leads = true;
  }
  lock_.unlock();
  return is;
}

sync_queue::outcome sync_queue::end(file_operation& leader, std::int64_t result) noexcept {
  LEVITY_DEBUG_ASSERT(leader.leads, "a sync is ended by who leads it");
  leader.leads = false;
  leader.after = nullptr;
  outcome gives{nullptr, nullptr};
  file_operation* failed = nullptr;
  lock_.lock();
  gives.served = std::exchange(followers_, nullptr);
  file_operation* next = std::exchange(waiting_, nullptr);
  if (stays(result)) {
    if (failure() == 0) failure_.store(static_cast<int>(-result), std::memory_order_relaxed);
    failed = std::exchange(next, nullptr);
  }
  if (next != nullptr) {
    gives.leader = next;
    followers_ = next->after;
    next->leads = true;
  }
  syncing_ = next != nullptr;
  lock_.unlock();
  const auto settle = [result](file_operation& each) noexcept {
    each.result = result == 0 && each.written >= 0 ? each.written : result;
  };
  settle(leader);
  for (file_operation* each = gives.served; each != nullptr; each = each->after) settle(*each);
  while (failed != nullptr) {
    file_operation& each = *std::exchange(failed, failed->after);
    settle(each);
    each.after = std::exchange(gives.served, &each);
  }
  return gives;
}

void sync_queue::fail(std::int64_t result) noexcept {
  if (!stays(result)) return;
  lock_.lock();
  if (failure() == 0) failure_.store(static_cast<int>(-result), std::memory_order_relaxed);
  lock_.unlock();
}

void complete_all(file_operation* served) noexcept {
  while (served != nullptr) {
    file_operation& each = *std::exchange(served, served->after);
    complete(each, each.result);
  }
}

}  // namespace levity::detail
