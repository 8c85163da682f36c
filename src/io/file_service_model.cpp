#include "io/file_service.hpp"

#include "levity/model/scenario.hpp"
#include "tests/support/explored_crew.hpp"
#include "tests/support/explored_kernel.hpp"

namespace {

namespace model = levity::model;
using namespace levity::detail;

struct disk final : levity::explored::kernel {
  void answer() noexcept override {
    io_uring_sqe entry;
    while (take_armed(IORING_OP_FSYNC, entry)) complete(entry.user_data, 0);
  }
};

// A sync of no queue, and a task that is told of its end.
struct sync {
  task_record waits;
  file_operation operation;

  sync() {
    operation.what = file_operation::kind::sync;
    operation.fd = 1;
    operation.result = 1;
    operation.task = &waits;
  }
  // Until it has ended, as a task does: a service ends when nothing is under way.
  void await() const noexcept {
    while (waits.word.load(std::memory_order_relaxed) == task_record::running) levity::spin_hint();
  }
};

// E78: who finds a choice finds the ring thread, too.
LEVITY_SCENARIO(two_ask_for_files_at_first, {.executions_max = 8'000}) {
  disk answers;
  levity::explored::crew runs;
  sync one, other;
  {
    file_service files(runs, levity::file_means::ring, false);
    const auto ask = [&files](sync& of) {
      files.submit(of.operation);
      of.await();
    };
    model::together([&] { ask(one); }, [&] { ask(other); });
  }
  model::require(one.operation.result == 0 && other.operation.result == 0, "both are carried out");
}

}  // namespace
