#include "sim/process.hpp"

#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <source_location>
#include <stdexcept>
#include <utility>

#include "inspect/dump.hpp"
#include "levity/base/assert.hpp"
#include "platform/thread.hpp"

namespace levity::inline v0::sim {
namespace {

constexpr unsigned turn_tasks = 1000;
constexpr unsigned end_turns_max = 100'000;
constexpr int aborted_code = 128 + SIGABRT;
constexpr unsigned refused_max = 2;

std::unique_ptr<detail::reactor> make_home(detail::sim_network& network, detail::sim_network::site_number site,
                                           const detail::sim_clock& clocks) {
  return std::make_unique<detail::sim_reactor>(network, site, clocks);
}

std::optional<program_chooser> chooser_of(strategy* by, detail::sim_network& network, detail::sim_network::site_number site) {
  if (by == nullptr) return std::nullopt;
  return std::make_optional<program_chooser>(*by, network, site);
}

}  // namespace

process::process(const std::string& host, detail::sim_network& network, detail::sim_network::site_number site,
                 const detail::sim_clock& clocks, std::uint64_t seed, strategy* by, disk& storage, detail::simulated_names& names)
    : host_(host),
      files_(storage),
      chooser_(chooser_of(by, network, site)),
      core_(detail::simulated_parts{.home = make_home(network, site, clocks),
                                    .seed = seed,
                                    .chooses = chooser_ ? &*chooser_ : nullptr,
                                    .files = &files_,
                                    .names = &names}),
      home_(static_cast<detail::sim_reactor&>(core_.runs.reactor_at(0))) {
  core_.runs.turn_here(0);  // from here on it is asleep, and rings when it is woken
}

process::~process() {
  LEVITY_ASSERT(phase_ == phase::fresh || phase_ == phase::ended, "a process that goes away has ended");
  if (program_) program_->join();
  if (home_.endpoints_approx() == 0) return;
  std::fprintf(stderr,
               "levity: the program of host \"%s\" has ended and left %llu of its sockets open, in a static variable or in one of "
               "the scenario; a simulated program closes what it opens before its main() returns\n",
               host_.c_str(), static_cast<unsigned long long>(home_.endpoints_approx()));
  std::abort();
}

// ---- the program -----------------------------------------------------------------------------------------------------

void process::begin(std::function<int()> program) {
  LEVITY_ASSERT(phase_ == phase::fresh, "a process begins once");
  phase_ = phase::begun;
  turn_of_ = side::program;
  program_.emplace(detail::start_thread("levity program", [this, program = std::move(program)] {
    wait_for(side::program);
    {
      const detail::host_presence here(*this);
      code_ = call(program);
    }
    phase_ = phase::ended;
    give_to(side::world);
  }));
  wait_for(side::world);
}

void process::begin(task<> main, const detail::main_outcome& outcome) {
  LEVITY_ASSERT(phase_ == phase::fresh, "a process begins once");
  take(std::move(main), outcome);
}

// On the program's thread. What leaves main() ends a process by std::terminate; here others live in it.
int process::call(const std::function<int()>& program) {
  const auto tell = [this](const char* what) {
    if (!home_.network().has_process(home_.site())) return;  // it was killed: nothing that it does is to be known
    std::fprintf(stderr, "levity: main() of the program of host \"%s\" has ended by an exception, and so with exit code %d: %s\n",
                 host_.c_str(), aborted_code, what);
  };
  try {
    return program();
  } catch (const std::exception& it) {
    tell(it.what());
  } catch (...) {
    tell("one that is no std::exception");
  }
  return aborted_code;
}

// On the program's thread.
int process::run(const runtime_options& options, task<> main, const detail::main_outcome& outcome) {
  if (has_run_) {
    if (++refused_ > refused_max) {
      std::fprintf(stderr,
                   "levity: the program of host \"%s\" calls lv::run again and again, and a simulated host runs one in the life of "
                   "a program; return from main() when lv::run has returned\n",
                   host_.c_str());
      std::abort();
    }
    throw std::runtime_error(
        "levity cannot start: a simulated host runs one lv::run in the life of a program, and this is another");
  }
  core_.signals->set_handles(options.handle_signals);
  take(std::move(main), outcome);
  give_to(side::world);
  wait_for(side::program);
  return run_code_;
}

void process::take(task<> main, const detail::main_outcome& outcome) {
  has_run_ = true;
  phase_ = phase::running;
  outcome_ = &outcome;
  core_.signals->on_quit = [this] { print_tasks(); };
  auto frame = std::move(main).release_frame();
  core_.runs.root().adopt(frame, frame.promise(), "main", std::source_location{});
}

void process::wait_for(side whose) {
  detail::system_unique_guard held{lock_};
  while (turn_of_ != whose) changed_.wait(held);
}

void process::give_to(side whose) {
  const detail::system_guard held{lock_};
  turn_of_ = whose;
  changed_.notify_all();
}

// ---- its tasks -------------------------------------------------------------------------------------------------------

void process::turn(unsigned tasks_max) {
  LEVITY_ASSERT(phase_ == phase::running, "a process is turned while its task is here");
  bool over = false;
  {
    const detail::host_presence here(*this);
    over = core_.runs.turn_here(tasks_max);
  }
  if (over) stop_running(detail::exit_code(core_.runs, core_.signals->code(), *outcome_));
}

void process::raise(int signal) {
  if (phase_ == phase::running) {
    core_.signals->raise(signal);
  } else if (phase_ == phase::begun) {
    core_.signals->raise_before_run(signal);
  }
}

void process::stop_running(int code) {
  run_code_ = code;
  phase_ = phase::begun;
  if (!program_) {
    code_ = code;
    phase_ = phase::ended;
    return;
  }
  give_to(side::program);
  wait_for(side::world);
}

void process::cut_off() noexcept {
  files_.cut_off();
  core_.signals->cut_off();
  core_.runs.is_untold = true;
}

bool process::end(int code) {
  core_.runs.root().cancel(cancel_reason::shutdown);
  for (unsigned i = 0; i < end_turns_max && phase_ == phase::running; i++) {
    bool over = false;
    {
      const detail::host_presence here(*this);
      over = core_.runs.turn_here(turn_tasks);
    }
    if (over) {
      stop_running(code);
      code_ = code;
    } else {
      home_.leave_time(home_.own_due_ns() == detail::timer_wheel::never_ns ? 0 : home_.own_due_ns());
    }
  }
  return phase_ == phase::ended;
}

void process::print_tasks() noexcept { detail::print_tasks(core_.runs, STDERR_FILENO); }

}  // namespace levity::sim
