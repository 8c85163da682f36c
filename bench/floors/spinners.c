// spinners COUNT [SECONDS] - threads that compute and nothing else: what a server has to share its processors with, from outside.
//
// With SECONDS it says a line when it is ready, and at each SIGUSR1 lets COUNT of them compute for so long.
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static double seconds;  // 0: for ever

static double now(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

static void *spin(void *unused) {
  (void)unused;
  const double until = now() + seconds;
  while (seconds == 0 || now() < until) {
  }
  return NULL;
}

static int begin(int count) {
  for (int i = 0; i < count; i++) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, spin, NULL)) return fprintf(stderr, "spinners: no thread to be had\n"), 1;
    pthread_detach(thread);
  }
  return 0;
}

int main(int argc, char **argv) {
  const int count = argc > 1 ? atoi(argv[1]) : 0;
  seconds = argc > 2 ? atof(argv[2]) : 0;
  if (count < 1 || seconds < 0) return fprintf(stderr, "usage: spinners COUNT [SECONDS]\n"), 2;
  if (seconds == 0) {
    if (begin(count)) return 1;
    for (;;) pause();
  }
  sigset_t told;
  sigemptyset(&told);
  sigaddset(&told, SIGUSR1);
  sigprocmask(SIG_BLOCK, &told, NULL);
  puts("ready");
  fflush(stdout);
  for (int which; sigwait(&told, &which) == 0;) {
    if (begin(count)) return 1;
  }
}
