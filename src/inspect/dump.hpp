#pragma once

// dump: every live task, why it waits and since when, as text.
//
// Works in every build, on a running process: tasks that are parked are held still one at a time (see task/record.hpp) while
// their wait reason and await chain are read; running and ready ones are listed without a chain. Never stops the world.
//
// Tasks of one name and spawn site that wait for the same reason at the same place make one entry: how many they are, and those
// three that have waited longest. So the dump of a million connections is a page, and so is the memory that it takes. Nothing is
// written before all have been looked at.

namespace levity::inline v0::detail {

class scheduler;

/// Writes all tasks to `fd`. Any thread outside the runtime; one at a time. When nobody reads what is written for a second the
/// rest is left out; a file takes all.
void print_tasks(scheduler& runs, int fd);

}  // namespace levity::detail
