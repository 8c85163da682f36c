#include "model/crash_guard.hpp"

#include <iterator>

namespace levity::inline v0::model::detail {
namespace {

thread_local void (*when_crashed)(const char*) = nullptr;

void handle(int number) {
  if (when_crashed != nullptr) {  // null on other threads
    when_crashed(number == SIGSEGV   ? "SIGSEGV"
                 : number == SIGBUS  ? "SIGBUS"
                 : number == SIGILL  ? "SIGILL"
                 : number == SIGFPE  ? "SIGFPE"
                                     : "SIGABRT");
  }
  std::signal(number, SIG_DFL);  // what faulted does so again
}

}  // namespace

crash_guard::crash_guard(void (*crashed)(const char*)) : stack_(std::make_unique<char[]>(stack_bytes)) {
  when_crashed = crashed;
  stack_t own{};
  own.ss_sp = stack_.get();
  own.ss_size = stack_bytes;
  ::sigaltstack(&own, &stack_before_);
  struct sigaction action {};
  action.sa_handler = &handle;
  // The handler is left by going on elsewhere, so its signal must not stay blocked.
  action.sa_flags = SA_ONSTACK | SA_NODEFER;
  for (std::size_t i = 0; i < std::size(signals); i++) ::sigaction(signals[i], &action, &before_[i]);
}

crash_guard::~crash_guard() {
  for (std::size_t i = 0; i < std::size(signals); i++) ::sigaction(signals[i], &before_[i], nullptr);
  ::sigaltstack(&stack_before_, nullptr);
  when_crashed = nullptr;
}

}  // namespace levity::model::detail
