#include "io/file_line.hpp"

#include <memory>

#include "levity/model/scenario.hpp"
#include "reactor/still_reactor.hpp"
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

struct elsewhere final : file_backend {
  void submit(file_operation&) noexcept override { model::require(false, "the kernel takes all that it is given"); }
};

struct sync {
  task_record waits;
  file_operation operation;

  sync() {
    operation.what = file_operation::kind::sync;
    operation.fd = 1;
    operation.task = &waits;
  }
};

// E310: a worker loses its slot while it submits, and who gets it submits, too.
LEVITY_SCENARIO(who_submits_next_finds_the_queue_as_it_was_left) {
  disk answers;
  elsewhere others;
  still_reactor home;
  auto ready = std::make_unique<ready_batch>();
  sync one, other;
  file_line line(home, others);
  static_cast<void>(line.open(poll_lease(home.lease)));  // the reactor takes no guests, and here nobody polls it
  while (!line.submit(one.operation)) {  // not the first few
  }
  line.prepare();
  const auto goes_on = [&] {
    const poll_lease held(home.lease);
    line.collect(*ready);
    if (!line.submit(other.operation)) return;
    line.prepare();
    line.enter();
    line.collect(*ready);
  };
  model::together([&] { line.enter(); }, goes_on);
  line.collect(*ready);
  model::require(ready->count == 0, "nobody has waited");
}

}  // namespace
