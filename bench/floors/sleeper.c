// sleeper - a thread that sleeps as long, and as inexactly, as a watchdog that has found nothing does, and then sleeps again: what
// some eighty wake-ups a second cost whoever does nothing in them, on this machine and beside this load.
#include <sys/prctl.h>
#include <time.h>

int main(void) {
  prctl(PR_SET_TIMERSLACK, 2000000UL);                           // as doze_pace::slack_ns
  const struct timespec pause = {.tv_sec = 0, .tv_nsec = 10100000};  // as doze_pace::pause_min_ns
  for (;;) nanosleep(&pause, 0);
}
