// Goal: where a thread stands is found from outside, and none of its system calls notices. Method: threads that sleep, fault and
// compute below functions with known names; one that makes every kind of call that a signal could cut short, asked all the time.
#include "platform/thread_stack.hpp"

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <link.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <latch>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "levity/base/rng.hpp"
#include "platform/code_name.hpp"
#include "platform/own_memory.hpp"
#include "platform/system_call_name.hpp"
#include "tests/support/stalls.hpp"
#include "tests/support/temporary_folder.hpp"

namespace levity::inline v0::detail {

// With names that the linker knows: one in the middle has none outside its file.
[[gnu::noinline]] void innermost_of_test(levity::test::stall& in);
static void middle_of_test(levity::test::stall& in);
[[gnu::noinline]] void outermost_of_test(levity::test::stall& in);

void innermost_of_test(levity::test::stall& in) {
  in.stand();
  asm volatile("" ::: "memory");  // no tail call
}
[[gnu::noinline]] static void middle_of_test(levity::test::stall& in) {
  innermost_of_test(in);
  asm volatile("" ::: "memory");
}
void outermost_of_test(levity::test::stall& in) {
  middle_of_test(in);
  asm volatile("" ::: "memory");
}

namespace {

using namespace levity::test;

// A stall below three functions.
template <class Stall>
struct below_three : Stall {
  void stand() override {
    if (is_inside_) return Stall::stand();
    is_inside_ = true;
    outermost_of_test(*this);
    is_inside_ = false;
  }
  bool is_inside_ = false;
};

std::vector<std::string> names_of(const stack_trace& stack) {
  code_names names;
  std::vector<std::string> all;
  for (const stack_frame& each : stack.all()) {
    char text[256];
    all.emplace_back(code_names::readable(names.find(each.code_at - 1).function, text));
  }
  return all;
}

enum class innermost : std::uint8_t { by_the_chain, may_be_a_guess };

// Nothing if they are in it, in their order, and found by the chain.
std::string what_is_missing_of_the_three(const stack_trace& stack, innermost is = innermost::by_the_chain) {
  const std::vector<std::string> all = names_of(stack);
  std::string shown = " in\n";
  for (const std::string& each : all) shown += each + "\n";
  auto at = all.begin();
  for (const std::string name : {"innermost_of_test", "middle_of_test", "outermost_of_test"}) {
    at = std::find_if(at, all.end(), [&name](const std::string& each) { return each.ends_with(name); });
    if (at == all.end()) return "no " + name + shown;
    const bool may_be_a_guess = is == innermost::may_be_a_guess && name == "innermost_of_test";
    if (stack.frames[static_cast<std::size_t>(at - all.begin())].is_guess && !may_be_a_guess) return name + " is a guess" + shown;
  }
  return {};
}

thread_state look_until_asleep(thread_reader& at) {
  const std::int64_t until_ns = kernel_now_ns() + 20'000'000'000;
  for (;;) {
    const thread_state seen = at.look();
    if (seen.does == thread_activity::asleep || kernel_now_ns() > until_ns) return seen;
    ::sched_yield();
  }
}

// The stack where it sleeps in `call`. It may sleep on its way there, for a page of its code or a lock of the sanitizer.
template <class Stall>
stack_trace stack_where_it_stands(below_three<Stall>& in, std::string_view call) {
  staller one(in);
  thread_reader at(one.sign());
  in.prepare();
  one.begin();
  while (one.number() == 0) ::sched_yield();
  stack_trace stack;
  const std::int64_t until_ns = kernel_now_ns() + 20'000'000'000;
  for (bool is_there = false; !is_there && kernel_now_ns() < until_ns;) {
    const thread_state seen = look_until_asleep(at);
    if (system_call_name(seen.call) != call) continue;
    stack = stack_of_sleeper(seen);
    const std::vector<std::string> names = names_of(stack);
    const bool is_below = std::any_of(names.begin(), names.end(), [](const std::string& each) {
      return each.ends_with("innermost_of_test");
    });
    if (call.empty() && !is_below) continue;  // another page than that one
    is_there = at.look().turns == seen.turns;
  }
  in.let_go();
  one.wait_for_end();
  return stack;
}

// The C library gives the stacks of ended threads to those that begin. These take them, so that the next thread has another one.
class stack_takers {
public:
  void take_some() {
    for (int i = 0; i < 8; i++) threads_.emplace_back([this] { end_.wait(); });
  }
  ~stack_takers() { end_.count_down(); }

private:
  std::latch end_{1};
  std::vector<std::jthread> threads_;  // joined first
};

// What lies on its stack from before may look like frames, and stays there as long as it sleeps; so the next attempt is made on
// another stack.
template <class Stall>
void expect_it_is_found(std::string_view call) {
  if (!thread_reader::tells_our_calls()) GTEST_SKIP() << calls_are_not_ours;
  std::string missing;
  stack_takers others;
  for (int attempt = 0; attempt < 3; attempt++) {
    if (attempt > 0) others.take_some();
    below_three<Stall> in;
    if (!in.obstacle().empty()) GTEST_SKIP() << in.obstacle();
    // Whoever faults may do so before it has a frame of its own; then its caller is not in the chain.
    missing = what_is_missing_of_the_three(stack_where_it_stands(in, call),
                                           call.empty() ? innermost::may_be_a_guess : innermost::by_the_chain);
    if (missing.empty()) return;
  }
  FAIL() << missing;
}

TEST(thread_stack, of_one_that_reads_a_pipe_is_found) { expect_it_is_found<reading_a_pipe>("read"); }
TEST(thread_stack, of_one_that_receives_is_found) { expect_it_is_found<receiving>("recvfrom"); }
TEST(thread_stack, of_one_that_wants_a_mutex_is_found) { expect_it_is_found<wanting_a_mutex>("futex"); }
TEST(thread_stack, of_one_that_waits_on_a_condition_is_found) { expect_it_is_found<wanting_a_condition>("futex"); }
TEST(thread_stack, of_one_that_faults_is_found) { expect_it_is_found<touching_a_page>(""); }

TEST(thread_stack, of_one_that_does_not_sleep_is_empty) {
  thread_state seen;
  seen.does = thread_activity::on_cpu;
  EXPECT_EQ(stack_of_sleeper(seen).size, 0U);
}

// Whatever the registers hold: what is not there is not followed.
TEST(thread_stack, of_registers_at_random_is_walked_without_a_fault) {
  rng random{3};
  std::uint64_t words[64];
  for (int i = 0; i < 5'000; i++) {
    for (std::uint64_t& each : words) {
      const auto within = reinterpret_cast<std::uint64_t>(words) + random.below(sizeof words);
      const auto code = reinterpret_cast<std::uint64_t>(&outermost_of_test) + random.below(4096);
      const std::uint64_t kinds[] = {random(), within, code, within / 8 * 8, 0};
      each = kinds[random.below(5)];
    }
    const auto stack_at = random.below(4) == 0 ? random() : reinterpret_cast<std::uint64_t>(words);
    const auto frame_at = random.below(2) == 0 ? 0 : words[random.below(64)];
    EXPECT_LE(walk_stack(random(), stack_at, frame_at).size, stack_trace::frames_max);
  }
}

// It was held up in its handler for an earlier request, until that had been given up and another thread was asked.
TEST(stack_request, an_answer_to_an_earlier_one_is_none_to_this) {
  stack_request at;
  stack_trace stack;
  const std::uint32_t first = at.claim();
  ASSERT_NE(first, 0U);
  EXPECT_EQ(at.claim(), 0U) << "somebody is being asked";
  at.arm(first);
  at.end(first);
  const std::uint32_t second = at.claim();
  ASSERT_NE(second, 0U);
  EXPECT_FALSE(at.begin_answer(second)) << "it is not armed yet";
  at.arm(second);
  EXPECT_FALSE(at.begin_answer(first));
  EXPECT_FALSE(at.read(second, stack));
  ASSERT_TRUE(at.begin_answer(second));
  at.answer().add(42, false);
  at.end_answer(second);
  EXPECT_FALSE(at.begin_answer(second)) << "it has been answered";
  ASSERT_TRUE(at.read(second, stack));
  EXPECT_EQ(stack.frames[0].code_at, 42U);
  at.end(second);
  EXPECT_NE(at.claim(), 0U);
}

// It has no CPU, or a debugger holds it.
TEST(stack_request, whoever_is_held_up_while_it_answers_is_not_waited_for) {
  stack_request at;
  stack_trace stack;
  const std::uint32_t first = at.claim();
  at.arm(first);
  ASSERT_TRUE(at.begin_answer(first));
  at.end(first);
  EXPECT_EQ(at.claim(), 0U) << "it still writes";
  at.end_answer(first);
  EXPECT_FALSE(at.read(first, stack));
  const std::uint32_t second = at.claim();
  EXPECT_NE(second, 0U);
  EXPECT_NE(second, first);
}

// A stack whose frames are not all of one request would be of two threads.
TEST(stack_request, under_answers_at_any_moment_what_is_read_is_of_that_request) {
  stack_request at;
  atomic<std::uint32_t> asked{0};
  atomic<bool> goes_on{true};
  std::thread answers([&] {
    while (goes_on.load(std::memory_order_relaxed)) {
      const std::uint32_t number = asked.load(std::memory_order_relaxed);
      if (!at.begin_answer(number)) continue;
      at.answer().size = 0;
      for (std::size_t i = 0; i < stack_trace::frames_max; i++) at.answer().add(number, false);
      at.end_answer(number);
    }
  });
  rng random{17};
  unsigned read = 0;
  unsigned mixed = 0;
  const std::int64_t until_ns = kernel_now_ns() + 20'000'000'000;
  while (read < 200 && kernel_now_ns() < until_ns) {
    const std::uint32_t number = at.claim();
    if (number == 0) {
      ::sched_yield();
      continue;
    }
    at.arm(number);
    asked.store(number, std::memory_order_relaxed);
    if (read % 4 == 0) ::sched_yield();
    stack_trace stack;
    bool is_read = false;
    for (auto looks = random.below(2'000); looks > 0 && !is_read; looks--) is_read = at.read(number, stack);
    at.end(number);
    if (!is_read) continue;
    read++;
    for (const stack_frame& each : stack.all()) mixed += each.code_at != number ? 1 : 0;
  }
  goes_on.store(false, std::memory_order_relaxed);
  answers.join();
  EXPECT_GE(read, 200U);
  EXPECT_EQ(mixed, 0U);
}

#ifndef LEVITY_TSAN  // it keeps signals back

void expect_the_three(const stack_trace& stack) { EXPECT_EQ(what_is_missing_of_the_three(stack), ""); }

TEST(stack_sampler, finds_where_one_computes) {
  if (!stack_sampler::is_possible()) GTEST_SKIP() << "this kernel cannot ask a thread without disturbing its calls";
  below_three<spinning> in;
  staller one(in);
  thread_reader at(one.sign());
  in.prepare();
  one.begin();
  while (one.number() == 0) ::sched_yield();
  stack_sampler by;
  stack_trace stack;
  for (int i = 0; i < 20; i++) {
    ASSERT_TRUE(by.begin(one.sign()));
    const std::int64_t until_ns = kernel_now_ns() + 20'000'000'000;
    while (!by.take(stack) && kernel_now_ns() < until_ns) ::sched_yield();
    expect_the_three(stack);
  }
  in.let_go();
  one.wait_for_end();
}

TEST(stack_sampler, one_that_sleeps_does_not_answer_and_another_one_can_be_asked) {
  if (!stack_sampler::is_possible()) GTEST_SKIP() << "this kernel cannot ask a thread without disturbing its calls";
  reading_a_pipe asleep;
  below_three<spinning> awake;
  staller one(asleep);
  staller other(awake);
  thread_reader at(one.sign());
  thread_reader at_other(other.sign());
  awake.prepare();
  one.begin();
  other.begin();
  static_cast<void>(look_until_asleep(at));
  while (other.number() == 0) ::sched_yield();
  stack_sampler by;
  stack_trace stack;
  ASSERT_TRUE(by.begin(one.sign()));
  const std::int64_t cpu_ns = at_other.look().cpu_ns;
  while (at_other.look().cpu_ns < cpu_ns + 20'000'000) ::sched_yield();
  EXPECT_FALSE(by.take(stack));
  ASSERT_TRUE(by.begin(other.sign()));
  const std::int64_t until_ns = kernel_now_ns() + 20'000'000'000;
  while (!by.take(stack) && kernel_now_ns() < until_ns) ::sched_yield();
  expect_the_three(stack);
  asleep.let_go();
  awake.let_go();
  one.wait_for_end();
  other.wait_for_end();
  EXPECT_FALSE(asleep.failed);
}

// Computes for a while, then makes a call that a signal would end: signal(7) has the list.
class calling_all : public stall {
public:
  calling_all() : into_(4U << 20) {
    epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
    zeros_ = ::open("/dev/zero", O_RDONLY | O_CLOEXEC);
    if (::pipe2(pipe_, O_CLOEXEC) != 0 || ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets_) != 0) std::abort();
    const timeval patience{.tv_sec = 0, .tv_usec = 1500};
    ::setsockopt(sockets_[0], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  }
  ~calling_all() override {
    for (const int fd : {epoll_, zeros_, pipe_[0], pipe_[1], sockets_[0], sockets_[1]}) ::close(fd);
  }
  void prepare() override { go_on_.store(true, std::memory_order_relaxed); }
  void stand() override {
    rng random{11};
    while (go_on_.load(std::memory_order_relaxed)) {
      const std::int64_t until_ns = kernel_now_ns() + static_cast<std::int64_t>(random.below(3'000'000));
      while (kernel_now_ns() < until_ns) {
      }
      errno = 0;
      call(random.below(6));
      calls.fetch_add(1, std::memory_order_relaxed);
      if (errno == EINTR) interrupted.fetch_add(1, std::memory_order_relaxed);
    }
  }
  void let_go() override { go_on_.store(false, std::memory_order_relaxed); }

  atomic<unsigned> calls{0};
  atomic<unsigned> interrupted{0};
  atomic<unsigned> cut_short{0};

private:
  void call(std::uint64_t which) {
    const timespec pause{.tv_sec = 0, .tv_nsec = 1'500'000};
    pollfd watched{.fd = pipe_[0], .events = POLLIN, .revents = 0};
    epoll_event event;
    char byte;
    int word = 1;
    switch (which) {
      case 0: ::nanosleep(&pause, nullptr); break;
      case 1: ::poll(&watched, 1, 2); break;
      case 2: ::epoll_wait(epoll_, &event, 1, 2); break;
      case 3: static_cast<void>(::recv(sockets_[0], &byte, 1, 0)); break;
      case 4:
        if (::read(zeros_, into_.data(), into_.size()) != static_cast<ssize_t>(into_.size()))
          cut_short.fetch_add(1, std::memory_order_relaxed);
        break;
      default: ::syscall(SYS_futex, &word, 128, 1, &pause, nullptr, 0); break;
    }
  }

  std::vector<char> into_;
  int epoll_;
  int zeros_;
  int pipe_[2];
  int sockets_[2];
  atomic<bool> go_on_{true};
};

TEST(stack_sampler, no_call_of_a_thread_that_is_asked_all_the_time_notices) {
  if (!stack_sampler::is_possible()) GTEST_SKIP() << "this kernel cannot ask a thread without disturbing its calls";
  calling_all in;
  staller one(in);
  thread_reader at(one.sign());
  in.prepare();
  one.begin();
  stack_sampler by;
  unsigned answers = 0;
  const std::int64_t until_ns = kernel_now_ns() + 60'000'000'000;
  while ((in.calls.load(std::memory_order_relaxed) < 500 || answers < 50) && kernel_now_ns() < until_ns) {
    if (!by.begin(one.sign())) continue;
    stack_trace stack;
    const std::int64_t patience_ns = kernel_now_ns() + 6'000'000;
    while (kernel_now_ns() < patience_ns) {
      if (by.take(stack)) {
        answers++;
        break;
      }
      ::sched_yield();
    }
  }
  in.let_go();
  one.wait_for_end();
  EXPECT_GE(answers, 50U);
  EXPECT_GE(in.calls.load(std::memory_order_relaxed), 500U);
  EXPECT_EQ(in.interrupted.load(std::memory_order_relaxed), 0U);
  EXPECT_EQ(in.cut_short.load(std::memory_order_relaxed), 0U);
}

#endif

// What is loaded is read like that.
bool reads_own_memory() {
  const std::uint64_t word = 7;
  std::uint64_t seen = 0;
  return read_own_memory(reinterpret_cast<std::uint64_t>(&word), &seen, sizeof seen) == sizeof seen && seen == word;
}

TEST(code_name, is_known_of_functions_that_are_not_exported_and_of_libraries) {
  if (!reads_own_memory()) GTEST_SKIP() << "process_vm_readv() is refused here";
  code_names names;
  char text[128];
  const code_names::place own = names.find(reinterpret_cast<std::uint64_t>(&middle_of_test) + 1);
  EXPECT_TRUE(code_names::readable(own.function, text).ends_with("detail::middle_of_test")) << own.function;
  EXPECT_EQ(own.into, 1U);
  EXPECT_EQ(own.file, "platform_test");
  void* const library = reinterpret_cast<void*>(&::sched_yield);
  const code_names::place theirs = names.find(reinterpret_cast<std::uint64_t>(library));
  EXPECT_FALSE(theirs.file.empty());
  EXPECT_TRUE(names.find(0x10).file.empty());
  EXPECT_TRUE(names.find(reinterpret_cast<std::uint64_t>(text)).file.empty());
}

// Libraries that are loaded as copies of one that is there, whose function is known by another name in some.
class copied_library {
public:
  copied_library() {
    Dl_info found{};
    if (::dladdr(::dlsym(RTLD_DEFAULT, "cbrt"), &found) == 0) return;
    std::ifstream file(found.dli_fname, std::ios::binary);
    bytes_.assign(std::istreambuf_iterator<char>(file), {});
    offset_ = reinterpret_cast<std::uint64_t>(found.dli_saddr) - reinterpret_cast<std::uint64_t>(found.dli_fbase);
  }
  // As another build would be: the name and the build id differ.
  void rename() {
    const std::string_view id{"\4\0\0\0\24\0\0\0\3\0\0\0GNU", 16};
    const std::size_t id_at = bytes_.find(id);
    ASSERT_NE(id_at, std::string::npos);
    bytes_[id_at + id.size()] ^= 1;
    const std::string_view name = "cbrt";  // and its aliases
    for (std::size_t at = 0; (at = bytes_.find(name, at)) != std::string::npos;) bytes_[at + 3] = 'T';
  }
  void* open(const std::string& path) const {
    std::ofstream(path, std::ios::binary) << bytes_;
    return ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  }
  [[nodiscard]] std::uint64_t function_in(void* opened) const { return static_cast<link_map*>(opened)->l_addr + offset_; }

private:
  std::string bytes_;
  std::uint64_t offset_ = 0;
};

TEST(code_name, is_known_of_more_libraries_than_are_remembered) {
  if (!reads_own_memory()) GTEST_SKIP() << "process_vm_readv() is refused here";
  const copied_library copies;
  const temporary_folder folder;
  code_names names;
  std::vector<void*> all;
  for (std::size_t i = 0; i < code_names::objects_max + 4; i++) {
    all.push_back(copies.open(folder.file(("copy" + std::to_string(i)).c_str())));
    ASSERT_NE(all.back(), nullptr) << ::dlerror();
  }
  for (int round = 0; round < 2; round++) {
    for (void* const each : all) {
      const code_names::place at = names.find(copies.function_in(each) + 1);
      EXPECT_TRUE(at.function.starts_with("cbrt")) << at.function;
      EXPECT_EQ(at.into, 1U);
      EXPECT_TRUE(at.file.starts_with("copy")) << at.file;
    }
  }
  for (void* const each : all) ::dlclose(each);
}

TEST(code_name, of_a_library_that_was_unloaded_is_not_given_to_the_one_that_lies_there_now) {
  if (!reads_own_memory()) GTEST_SKIP() << "process_vm_readv() is refused here";
  copied_library copies;
  const temporary_folder folder;
  code_names names;
  void* const first = copies.open(folder.file("first"));
  ASSERT_NE(first, nullptr) << ::dlerror();
  const std::uint64_t at = copies.function_in(first);
  EXPECT_TRUE(names.find(at).function.starts_with("cbrt"));
  ::dlclose(first);
  copies.rename();
  void* const second = copies.open(folder.file("second"));
  ASSERT_NE(second, nullptr) << ::dlerror();
  const bool is_there = copies.function_in(second) == at;
  const std::string name{names.find(copies.function_in(second)).function};
  ::dlclose(second);
  EXPECT_TRUE(name.starts_with("cbrT")) << name;
  if (!is_there) GTEST_SKIP() << "the second one has been loaded elsewhere";
}

TEST(code_name, readable_names_have_no_parameters) {
  char text[64];
  EXPECT_EQ(code_names::readable({}, text), "");
  EXPECT_EQ(code_names::readable("_ZN4shop7reserveEi", text), "shop::reserve");
  EXPECT_EQ(code_names::readable("_ZN12_GLOBAL__N_14busyEv", text), "(anonymous namespace)::busy");
  EXPECT_EQ(code_names::readable("read", text), "read");
  EXPECT_EQ(code_names::readable("memcpy@@GLIBC_2.14", text), "memcpy");
  EXPECT_EQ(code_names::readable("_ZN4shop7reserveEi", std::span<char>(text, 4)), "shop");
}

}  // namespace
}  // namespace levity::detail
