#pragma once

// dump: every live task, why it waits and since when, as text.
//
// Works in every build, on a running process: tasks that are parked are held still one at a time (see task/record.hpp) while
// their wait reason and await chain are read; running and ready ones are listed without a chain. Never stops the world.

namespace levity::inline v0::detail {

class scheduler;

/// Writes all tasks to `fd`. Any thread outside the runtime; one at a time. When nobody reads what is written for a second the
/// rest is left out; a file takes all.
void print_tasks(scheduler& runs, int fd);

}  // namespace levity::detail
