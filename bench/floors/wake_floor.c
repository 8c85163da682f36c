/* wake_floor ROUNDS [futex] - two threads, each pinned to a CPU, wake each other in turn.
 *
 * By default each sleeps in epoll_wait for an eventfd, edge-triggered and never read, as a reactor's doorbell; with `futex`
 * each sleeps on a futex. */
#define _GNU_SOURCE
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static uint64_t rounds;
static int use_futex;
static int poll_fd[2], bell_fd[2];
static _Atomic uint32_t word[2];

static int64_t now_ns(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static void stay_on(int nth) {
  cpu_set_t allowed, one;
  sched_getaffinity(0, sizeof allowed, &allowed);
  for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
    if (!CPU_ISSET(cpu, &allowed) || nth-- > 0) continue;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    sched_setaffinity(0, sizeof one, &one);
    return;
  }
}

static void ring(int whose) {
  if (use_futex) {
    atomic_store(&word[whose], 1);
    syscall(SYS_futex, &word[whose], FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    return;
  }
  const uint64_t one = 1;
  if (write(bell_fd[whose], &one, sizeof one) != sizeof one) abort();
}

static void sleep_until_rung(int whose) {
  if (use_futex) {
    while (atomic_exchange(&word[whose], 0) == 0) syscall(SYS_futex, &word[whose], FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
    return;
  }
  struct epoll_event event;
  while (epoll_wait(poll_fd[whose], &event, 1, -1) != 1) {
  }
}

static void *answer(void *unused) {
  (void)unused;
  stay_on(1);
  ring(0);
  for (uint64_t i = 0; i < rounds + rounds / 10; i++) {
    sleep_until_rung(1);
    ring(0);
  }
  return NULL;
}

int main(int argc, char **argv) {
  rounds = argc > 1 ? strtoull(argv[1], NULL, 10) : 20000;
  use_futex = argc > 2 && strcmp(argv[2], "futex") == 0;
  for (int i = 0; i < 2; i++) {
    struct epoll_event event = {.events = EPOLLIN | EPOLLET};
    poll_fd[i] = epoll_create1(EPOLL_CLOEXEC);
    bell_fd[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (poll_fd[i] < 0 || bell_fd[i] < 0 || epoll_ctl(poll_fd[i], EPOLL_CTL_ADD, bell_fd[i], &event) != 0) abort();
  }
  pthread_t other;
  if (pthread_create(&other, NULL, answer, NULL) != 0) abort();
  stay_on(0);
  sleep_until_rung(0);
  for (uint64_t i = 0; i < rounds / 10; i++) {
    ring(1);
    sleep_until_rung(0);
  }
  const int64_t cpu = now_ns(CLOCK_PROCESS_CPUTIME_ID), from = now_ns(CLOCK_MONOTONIC);
  for (uint64_t i = 0; i < rounds; i++) {
    ring(1);
    sleep_until_rung(0);
  }
  const int64_t wall = now_ns(CLOCK_MONOTONIC) - from;
  printf("{\"rounds\": %llu, \"wall_ns\": %lld, \"cpu_ns\": %lld}\n", (unsigned long long)rounds, (long long)wall,
         (long long)(now_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu));
  pthread_join(other, NULL);
  return 0;
}
