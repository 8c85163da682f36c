#include "platform/thread_stack.hpp"

#include "levity/model/scenario.hpp"

namespace {

namespace model = levity::model;
using levity::detail::stack_request;
using levity::detail::stack_trace;

// A request, those who ask and those who are asked. That a signal comes is a word that orders nothing.
struct asking {
  stack_request request;
  levity::atomic<std::uint32_t> signal{0};  // the number of the request

  bool ask() {
    const std::uint32_t number = request.claim();
    if (number == 0) return false;
    request.arm(number);
    signal.store(number, std::memory_order_relaxed);
    return true;
  }

  // Looks once, and gives it up.
  void look_and_end(std::uint32_t number) {
    stack_trace seen;
    if (request.read(number, seen)) {
      model::read(request.answer());  // what read() has copied
      model::require(seen.size == 1 && seen.frames[0].code_at == number, "the answer is whole, and to this request");
    }
    request.end(number);
  }

  void be_asked(std::uint32_t number) {
    if (!request.begin_answer(number)) return;
    model::write(request.answer());
    request.answer() = {};
    request.answer().add(number, false);
    request.end_answer(number);
  }
};

// E340, E341: two requests by one looker, each of another thread, of which the first may be held up in its handler.
LEVITY_SCENARIO(an_answer_is_whole_or_not_there) {
  asking all;
  model::together(
      [&] {
        for (const std::uint32_t number : {1U, 2U}) {
          if (all.ask()) all.look_and_end(number);
          else return;
        }
      },
      [&] {
        if (all.signal.load(std::memory_order_relaxed) != 0) all.be_asked(1);
      },
      [&] {
        if (all.signal.load(std::memory_order_relaxed) == 2) all.be_asked(2);
      });
}

// E341: two lookers, as there are where there are two runtimes.
LEVITY_SCENARIO(two_lookers_ask_one_after_the_other) {
  asking all;
  const auto look = [&] {
    const std::uint32_t number = all.request.claim();
    if (number == 0) return;
    all.request.arm(number);
    all.signal.store(number, std::memory_order_relaxed);
    all.look_and_end(number);
  };
  const auto answer = [&] {
    if (const std::uint32_t number = all.signal.load(std::memory_order_relaxed); number != 0) all.be_asked(number);
  };
  model::together(look, look, answer, answer);
  const std::uint32_t number = all.request.claim();
  model::require(number != 0, "when all are done it can be asked again");
}

}  // namespace
