// await_floor - the least that `co_await f()` can cost: a lazy coroutine, symmetric transfer, frames from a free list.
//
// No task record, no cancellation, no exceptions, no threads: one continuation and one value in the promise. Compiled
// with the flags of the default build, as is the program that it is compared with.
//
//   await_floor CALLS     prints one JSON line
#include <time.h>

#include <coroutine>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <new>
#include <utility>

namespace {

// One list per 64 bytes of size; blocks come from malloc once and never go back.
struct free_list {
  struct node {
    node* next;
  };
  static constexpr std::size_t step = 64, classes = 16;
  static inline node* heads[classes];

  static void* take(std::size_t bytes) {
    const std::size_t index = (bytes + step - 1) / step;
    if (index >= classes) return std::malloc(bytes);
    if (node* head = heads[index]; head != nullptr) {
      heads[index] = head->next;
      return head;
    }
    return std::malloc(index * step);
  }

  static void give(void* block, std::size_t bytes) {
    const std::size_t index = (bytes + step - 1) / step;
    if (index >= classes) return std::free(block);
    heads[index] = ::new (block) node{heads[index]};
  }
};

class lazy {
public:
  struct promise_type {
    std::coroutine_handle<> continuation;
    std::uint64_t value = 0;

    static void* operator new(std::size_t bytes) { return free_list::take(bytes); }
    static void operator delete(void* frame, std::size_t bytes) { free_list::give(frame, bytes); }

    lazy get_return_object() { return lazy{std::coroutine_handle<promise_type>::from_promise(*this)}; }
    std::suspend_always initial_suspend() const noexcept { return {}; }
    struct final_awaiter {
      bool await_ready() const noexcept { return false; }
      std::coroutine_handle<> await_suspend(std::coroutine_handle<promise_type> frame) const noexcept {
        return frame.promise().continuation;
      }
      void await_resume() const noexcept {}
    };
    final_awaiter final_suspend() const noexcept { return {}; }
    void return_value(std::uint64_t result) noexcept { value = result; }
    [[noreturn]] void unhandled_exception() noexcept { std::terminate(); }
  };

  lazy(lazy&& other) noexcept : frame_(std::exchange(other.frame_, {})) {}
  lazy& operator=(lazy&&) = delete;
  ~lazy() {
    if (frame_) frame_.destroy();
  }

  bool await_ready() const noexcept { return false; }
  std::coroutine_handle<> await_suspend(std::coroutine_handle<> parent) noexcept {
    frame_.promise().continuation = parent;
    return frame_;
  }
  std::uint64_t await_resume() const noexcept { return frame_.promise().value; }

  void run() {
    frame_.promise().continuation = std::noop_coroutine();
    frame_.resume();
  }
  [[nodiscard]] std::uint64_t value() const { return frame_.promise().value; }

private:
  explicit lazy(std::coroutine_handle<promise_type> frame) : frame_(frame) {}

  std::coroutine_handle<promise_type> frame_;
};

std::int64_t cpu_ns() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return now.tv_sec * 1'000'000'000 + now.tv_nsec;
}

[[gnu::noinline]] lazy callee(std::uint64_t x) { co_return x * 31 + 7; }

lazy calls(std::uint64_t count) {
  std::uint64_t x = 1;
  for (std::uint64_t i = 0; i < count; i++) x = co_await callee(x);
  co_return x;
}

}  // namespace

int main(int argc, char** argv) {
  const std::uint64_t count = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 20'000'000;
  lazy warm = calls(count / 20 + 1);
  warm.run();
  lazy measured = calls(count);
  const std::int64_t from = cpu_ns();
  measured.run();
  const std::int64_t spent = cpu_ns() - from;
  std::printf("{\"calls\": %llu, \"cpu_ns\": %lld, \"result\": \"%016llx\"}\n", static_cast<unsigned long long>(count),
              static_cast<long long>(spent), static_cast<unsigned long long>(measured.value()));
}
