#include "platform/thread_stack.hpp"

#include <dlfcn.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

namespace levity::inline v0::detail {
namespace {

constexpr std::uint64_t searched_bytes = 64 * 1024;  // for the first pair
constexpr std::uint64_t searched_beyond_bytes = 1024;  // for a better one
constexpr std::uint64_t frame_bytes_max = 8 * 1024 * 1024;
constexpr unsigned guesses_max = 6;

// What there is of the bytes wanted. In a signal handler, too.
std::size_t read_memory(std::uint64_t at, void* into, std::size_t size) noexcept {
  const int errno_before = errno;
  const iovec local{into, size};
  const iovec remote{reinterpret_cast<void*>(at), size};
  const auto got = ::syscall(SYS_process_vm_readv, ::getpid(), &local, 1L, &remote, 1L, 0L);
  errno = errno_before;
  return got > 0 ? static_cast<std::size_t>(got) : 0;
}

// Whether code returns to there: behind a call instruction of a program or library. Neither a lock nor memory is touched.
bool is_return_address(std::uint64_t at) noexcept {
  dl_find_object object{};
  if (at < 4096 || ::_dl_find_object(reinterpret_cast<void*>(at), &object) != 0) return false;
#if defined(__x86_64__)
  unsigned char before[7];
  if (read_memory(at - sizeof before, before, sizeof before) != sizeof before) return false;
  if (before[2] == 0xe8) return true;
  for (const unsigned length : {2U, 3U, 4U, 6U, 7U}) {  // call through a register or memory
    if (before[7 - length] == 0xff && (before[8 - length] >> 3 & 7) == 2) return true;
  }
  return false;
#elif defined(__aarch64__)
  std::uint32_t before = 0;
  if (at % 4 != 0 || read_memory(at - 4, &before, sizeof before) != sizeof before) return false;
  return (before & 0xfc000000) == 0x94000000 || (before & 0xfffffc1f) == 0xd63f0000;
#else
  return false;
#endif
}

// A frame as compilers lay it down: the caller's, and where to go on there.
struct frame_pair {
  std::uint64_t caller = 0;
  std::uint64_t returns_to = 0;
};

bool points_outwards(std::uint64_t from, std::uint64_t to) noexcept {
  return to > from && to - from < frame_bytes_max && to % 8 == 0;
}

bool read_pair(std::uint64_t at, frame_pair& into) noexcept { return read_memory(at, &into, sizeof into) == sizeof into; }

bool is_pair(std::uint64_t at, const frame_pair& found) noexcept {
  return (found.caller == 0 || points_outwards(at, found.caller)) && is_return_address(found.returns_to);
}

// How many pairs there are from this one on; 0: it is none. The outermost has no caller.
std::size_t chain_length(std::uint64_t at, frame_pair first) noexcept {
  std::size_t length = 0;
  while (length < stack_trace::frames_max && is_pair(at, first)) {
    length++;
    at = first.caller;
    if (at == 0 || !read_pair(at, first)) break;
  }
  return length;
}

}  // namespace

stack_trace walk_stack(std::uint64_t code_at, std::uint64_t stack_at, std::uint64_t frame_at) noexcept {
  stack_trace found;
  found.add(code_at, false);
  frame_pair pair;
  if (frame_at != 0) {
    // The caller of a function that has no frame of its own is not in the chain.
    std::uint64_t top = 0;
    if (stack_at != frame_at + 8 && read_memory(stack_at, &top, sizeof top) == sizeof top && is_return_address(top)) {
      found.add(top, true);
    }
    if (!points_outwards(stack_at - 8, frame_at) || !read_pair(frame_at, pair) || !is_pair(frame_at, pair)) frame_at = 0;
  }
  if (frame_at == 0) {
    // On a stack that was used before, dead frames lie between the live ones, and a dead pair may lead into the middle of the live
    // chain. Of those close to the first pair the one with the longest chain leaves no live frame out.
    const std::size_t before = found.size;
    std::size_t guesses = 0;
    std::size_t longest = 0;
    std::uint64_t search_end = stack_at + searched_bytes;
    std::uint64_t words[128];
    for (std::uint64_t from = stack_at / 8 * 8; from < search_end; from += sizeof words - 8) {
      const std::size_t got = read_memory(from, words, sizeof words) / 8;
      for (std::size_t i = 0; i + 1 < got; i++) {
        const std::uint64_t at = from + i * 8;
        if (at >= search_end) break;
        const frame_pair candidate{words[i], words[i + 1]};
        const std::size_t length = chain_length(at, candidate);
        if (length >= 2) {
          if (longest == 0) search_end = std::min(search_end, at + searched_beyond_bytes);
          if (length > longest) {
            longest = length;
            frame_at = at;
            pair = candidate;
            guesses = found.size;
          }
        } else if (found.size - before < guesses_max && is_return_address(words[i])) {
          found.add(words[i], true);
        }
      }
      if (got < std::size(words)) break;
    }
    if (frame_at != 0) found.size = guesses;
    if (frame_at == 0) return found;
  }
  while (found.size < stack_trace::frames_max) {
    found.add(pair.returns_to, false);
    const std::uint64_t caller = pair.caller;
    if (!points_outwards(frame_at, caller) || !read_pair(caller, pair) || !is_pair(caller, pair)) break;
    frame_at = caller;
  }
  return found;
}

stack_trace stack_of_sleeper(const thread_state& seen) noexcept {
  if (seen.does != thread_activity::asleep || !seen.sees_call || seen.code_at == 0) return {};
  return walk_stack(seen.code_at, seen.stack_at, 0);
}

namespace {

enum class sample : std::uint32_t { idle, claimed, armed, taking, taken };

// The signal finds them by name: it has no memory of its own but a number.
constinit atomic<sample> the_sample{sample::idle};
constinit atomic<int> the_request{0};
constinit stack_trace the_stack;

void answer(int, siginfo_t* told, void* context) {
#if defined(__x86_64__)
  if (told->si_code != SI_TIMER || told->si_value.sival_int != the_request.load(std::memory_order_relaxed)) return;
  sample expected = sample::armed;
  // E341 acquire: what was read of the last one.
  if (!the_sample.compare_exchange_strong(expected, sample::taking, std::memory_order_acquire, std::memory_order_relaxed)) return;
  const auto& registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  the_stack = walk_stack(static_cast<std::uint64_t>(registers[REG_RIP]), static_cast<std::uint64_t>(registers[REG_RSP]),
                         static_cast<std::uint64_t>(registers[REG_RBP]));
  the_sample.store(sample::taken, std::memory_order_release);  // E340 release.
#else
  static_cast<void>(told);
  static_cast<void>(context);
#endif
}

bool timers_spare_calls() noexcept {
#if defined(__x86_64__)
  utsname name{};
  int major = 0;
  int minor = 0;
  if (::uname(&name) != 0 || std::sscanf(name.release, "%d.%d", &major, &minor) != 2) return false;
  return major > 5 || (major == 5 && minor >= 11);
#else
  return false;
#endif
}

bool install() noexcept {
  if (!timers_spare_calls()) return false;
  struct sigaction before{};
  if (::sigaction(SIGSTKFLT, nullptr, &before) != 0 || before.sa_handler != SIG_DFL) return false;
  struct sigaction wanted{};
  wanted.sa_sigaction = answer;
  wanted.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK;
  ::sigemptyset(&wanted.sa_mask);
  return ::sigaction(SIGSTKFLT, &wanted, nullptr) == 0;
}

}  // namespace

bool stack_sampler::is_possible() noexcept {
  static const bool possible = install();
  // Whoever has given the signal another meaning since would get it, and by default it ends the process.
  struct sigaction now{};
  return possible && ::sigaction(SIGSTKFLT, nullptr, &now) == 0 && now.sa_sigaction == answer;
}

bool stack_sampler::begin(thread_sign thread) noexcept {
  end();
  if (!is_possible()) return false;
  sample expected = sample::idle;
  // E341 acquire: what was read of the last one.
  if (!the_sample.compare_exchange_strong(expected, sample::claimed, std::memory_order_acquire, std::memory_order_relaxed)) {
    return false;
  }
  const int number = the_request.load(std::memory_order_relaxed) + 1;
  sigevent by{};
  by.sigev_notify = SIGEV_THREAD_ID;
  by.sigev_signo = SIGSTKFLT;
  by.sigev_value.sival_int = number;
  by._sigev_un._tid = thread.id;
  if (::timer_create(thread.clock, &by, &timer_) != 0) {
    the_sample.store(sample::idle, std::memory_order_relaxed);
    return false;
  }
  is_begun_ = true;
  the_request.store(number, std::memory_order_relaxed);
  the_sample.store(sample::armed, std::memory_order_release);  // E341 release.
  // So far in the future that it has not come when it is set: then it would be sent from here, and interrupt a call.
  const itimerspec soon{.it_interval = {}, .it_value = {.tv_sec = 0, .tv_nsec = 100'000}};
  if (::timer_settime(timer_, 0, &soon, nullptr) != 0) end();
  return is_begun_;
}

bool stack_sampler::take(stack_trace& into) noexcept {
  if (!is_begun_ || the_sample.load(std::memory_order_acquire) != sample::taken) return false;  // E340 acquire.
  into = the_stack;
  end();
  return true;
}

void stack_sampler::end() noexcept {
  if (!is_begun_) return;
  is_begun_ = false;
  ::timer_delete(timer_);
  sample expected = sample::armed;
  if (the_sample.compare_exchange_strong(expected, sample::idle, std::memory_order_relaxed, std::memory_order_relaxed)) return;
  // It is writing: a handler of some microseconds.
  while (the_sample.load(std::memory_order_relaxed) == sample::taking) ::sched_yield();
  the_sample.store(sample::idle, std::memory_order_release);  // E341 release.
}

}  // namespace levity::detail
