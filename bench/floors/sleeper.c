// sleeper - a thread that sleeps as long as a watchdog that has found nothing does, and then sleeps again: what 95 wake-ups a
// second cost whoever does nothing in them, on this machine and beside this load.
#include <time.h>

int main(void) {
  const struct timespec pause = {.tv_sec = 0, .tv_nsec = 10500000};  // as watchdog::doze_pause_ns
  for (;;) nanosleep(&pause, 0);
}
