// spawn_join WORKERS BATCHES - a thousand empty tasks, joined, and the next thousand.
#include <levity/levity.hpp>

#include "../stopwatch.hpp"

namespace lv = levity;

namespace {

constexpr std::uint64_t batch = 1000;

lv::task<> child() { co_return; }

lv::task<> batches(std::uint64_t count) {
  lv::scope children;
  for (std::uint64_t i = 0; i < count; i++) {
    for (std::uint64_t j = 0; j < batch; j++) children.spawn(child);
    co_await children.join();
  }
}

lv::task<> measure(std::uint64_t count) {
  co_await batches(count / 10);
  const race::stopwatch watch;
  co_await batches(count);
  watch.print(count * batch, count * batch);
}

}  // namespace

int main(int argc, char** argv) {
  const lv::runtime_options options{.workers = static_cast<unsigned>(race::argument(argc, argv, 1))};
  return lv::run_with(options, measure, race::argument(argc, argv, 2));
}
