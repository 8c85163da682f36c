#include "platform/thread_stack.hpp"

#include <dlfcn.h>
#include <signal.h>
#include <sys/utsname.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <utility>

#include "platform/own_memory.hpp"

namespace levity::inline v0::detail {
namespace {

constexpr std::uint64_t searched_bytes = 64 * 1024;  // for the first pair
constexpr std::uint64_t searched_beyond_bytes = 1024;  // for a better one
constexpr std::uint64_t frame_bytes_max = 8 * 1024 * 1024;
constexpr unsigned guesses_max = 6;

// Whether code returns to there: behind a call instruction of a program or library. Neither a lock nor memory is touched.
bool is_return_address(std::uint64_t at) noexcept {
  dl_find_object object{};
  if (at < 4096 || ::_dl_find_object(reinterpret_cast<void*>(at), &object) != 0) return false;
#if defined(__x86_64__)
  unsigned char before[7];
  if (read_own_memory(at - sizeof before, before, sizeof before) != sizeof before) return false;
  if (before[2] == 0xe8) return true;
  for (const unsigned length : {2U, 3U, 4U, 6U, 7U}) {  // call through a register or memory
    if (before[7 - length] == 0xff && (before[8 - length] >> 3 & 7) == 2) return true;
  }
  return false;
#elif defined(__aarch64__)
  std::uint32_t before = 0;
  if (at % 4 != 0 || read_own_memory(at - 4, &before, sizeof before) != sizeof before) return false;
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

bool read_pair(std::uint64_t at, frame_pair& into) noexcept { return read_own_memory(at, &into, sizeof into) == sizeof into; }

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
    if (stack_at != frame_at + 8 && read_own_memory(stack_at, &top, sizeof top) == sizeof top && is_return_address(top)) {
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
      const std::size_t got = read_own_memory(from, words, sizeof words) / 8;
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

std::uint32_t stack_request::claim() noexcept {
  std::uint64_t seen = word_.load(std::memory_order_relaxed);
  const auto last = static_cast<std::uint32_t>(seen >> 8);
  if (seen != word(last, state::idle)) return 0;
  const std::uint32_t number = last + 1 != 0 ? last + 1 : 1;
  // E341 acquire: what was written and read of the last one.
  const bool is_ours = word_.compare_exchange_strong(seen, word(number, state::claimed), std::memory_order_acquire,
                                                     std::memory_order_relaxed);
  return is_ours ? number : 0;
}

void stack_request::arm(std::uint32_t number) noexcept {
  word_.store(word(number, state::armed), std::memory_order_release);  // E341 release.
}

bool stack_request::read(std::uint32_t number, stack_trace& into) const noexcept {
  if (word_.load(std::memory_order_acquire) != word(number, state::taken)) return false;  // E340 acquire.
  into = frames_;
  return true;
}

void stack_request::end(std::uint32_t number) noexcept {
  std::uint64_t seen = word(number, state::armed);
  if (word_.compare_exchange_strong(seen, word(number, state::idle), std::memory_order_relaxed, std::memory_order_relaxed)) return;
  if (seen == word(number, state::taking) &&
      word_.compare_exchange_strong(seen, word(number, state::abandoned), std::memory_order_relaxed, std::memory_order_relaxed)) {
    return;
  }
  // It is taken. E341 release; an exchange, which hands on what was written, too, though nobody has read it.
  word_.exchange(word(number, state::idle), std::memory_order_release);
}

bool stack_request::begin_answer(std::uint32_t number) noexcept {
  std::uint64_t expected = word(number, state::armed);
  // E341 acquire: what was written and read of the last one.
  return word_.compare_exchange_strong(expected, word(number, state::taking), std::memory_order_acquire, std::memory_order_relaxed);
}

void stack_request::end_answer(std::uint32_t number) noexcept {
  std::uint64_t expected = word(number, state::taking);
  // E340 release.
  const bool is_wanted = word_.compare_exchange_strong(expected, word(number, state::taken), std::memory_order_release,
                                                       std::memory_order_relaxed);
  if (is_wanted) return;
  word_.store(word(number, state::idle), std::memory_order_release);  // E341 release: it was abandoned.
}

namespace {

// The signal finds it by name: it has no memory of its own but a number.
constinit stack_request the_request;

void answer(int, siginfo_t* told, void* context) {
#if defined(__x86_64__)
  if (told->si_code != SI_TIMER) return;
  const auto number = static_cast<std::uint32_t>(told->si_value.sival_int);
  if (!the_request.begin_answer(number)) return;
  const auto& registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  the_request.answer() = walk_stack(static_cast<std::uint64_t>(registers[REG_RIP]), static_cast<std::uint64_t>(registers[REG_RSP]),
                                    static_cast<std::uint64_t>(registers[REG_RBP]));
  the_request.end_answer(number);
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
  const std::uint32_t number = the_request.claim();
  if (number == 0) return false;
  sigevent by{};
  by.sigev_notify = SIGEV_THREAD_ID;
  by.sigev_signo = SIGSTKFLT;
  by.sigev_value.sival_int = static_cast<int>(number);
  by._sigev_un._tid = thread.id;
  if (::timer_create(thread.clock, &by, &timer_) != 0) {
    the_request.end(number);
    return false;
  }
  number_ = number;
  the_request.arm(number);
  // So far in the future that it has not come when it is set: then it would be sent from here, and interrupt a call.
  const itimerspec soon{.it_interval = {}, .it_value = {.tv_sec = 0, .tv_nsec = 100'000}};
  if (::timer_settime(timer_, 0, &soon, nullptr) != 0) end();
  return is_begun();
}

bool stack_sampler::take(stack_trace& into) noexcept {
  if (!is_begun() || !the_request.read(number_, into)) return false;
  end();
  return true;
}

void stack_sampler::end() noexcept {
  if (!is_begun()) return;
  ::timer_delete(timer_);
  the_request.end(std::exchange(number_, 0));
}

}  // namespace levity::detail
