// echo_floor - the least that a TCP echo can cost on this kernel: a thread, its epoll, nothing else.
//
// No tasks, no timers, no cancellation. What a runtime costs above this is its price. With several threads each has an epoll of its
// own; the first one accepts, and deals the connections out in turn.
//
//   echo_floor PORT [THREADS]
//
// The PLANTED_* variants exist for `bench/run --selftest` alone: each is a defect that the harness has to catch.
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifndef PLANTED_TICK_MS
#define PLANTED_TICK_MS -1
#endif

static _Thread_local char buffer[16384];

#ifdef PLANTED_DELAY_NS
static void planted(ssize_t n) {
  (void)n;
  struct timespec from, now;
  clock_gettime(CLOCK_MONOTONIC, &from);
  do {
    clock_gettime(CLOCK_MONOTONIC, &now);
  } while ((now.tv_sec - from.tv_sec) * 1000000000L + (now.tv_nsec - from.tv_nsec) < PLANTED_DELAY_NS);
}
#elif defined(PLANTED_ALLOCATION)
static void planted(ssize_t n) {
  void *volatile block = malloc((size_t)n);
  free(block);
}
#elif defined(PLANTED_CORRUPTION)
static void planted(ssize_t n) {
  static int requests;
  if (++requests % 1000 == 0) buffer[n / 2] ^= 1;
}
#else
static void planted(ssize_t n) { (void)n; }
#endif

static void echo(int fd) {
  ssize_t n = read(fd, buffer, sizeof buffer);
  if (n == 0 || (n < 0 && errno != EAGAIN)) {
    close(fd);
    return;
  }
  if (n > 0) planted(n);
  for (ssize_t done = 0; done < n;) {
    ssize_t w = write(fd, buffer + done, (size_t)(n - done));
    if (w < 0 && errno != EAGAIN) {
      close(fd);
      return;
    }
    if (w > 0) done += w;
  }
}

static int listener;
static int polls[64];  // one a thread
static int threads = 1;

static void deal_out(void) {
  static int dealt, one = 1;
  for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    epoll_ctl(polls[dealt++ % threads], EPOLL_CTL_ADD, fd, &event);
  }
}

__attribute__((noreturn)) static void *serve(void *poll) {
  struct epoll_event ready[256];
  for (;;) {
    int count = epoll_wait(*(int *)poll, ready, 256, PLANTED_TICK_MS);
    for (int i = 0; i < count; i++) {
      if (ready[i].data.fd == listener) {
        deal_out();
      } else {
        echo(ready[i].data.fd);
      }
    }
  }
}

int main(int argc, char **argv) {
  const int most = sizeof polls / sizeof *polls;
  if (argc > 2) threads = atoi(argv[2]);
  if (argc < 2 || threads < 1 || threads > most) {
    return fprintf(stderr, "usage: echo_floor PORT [THREADS], at most %d of them\n", most), 2;
  }
  int one = 1;
  listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  struct sockaddr_in address = {.sin_family = AF_INET,
                                .sin_port = htons((unsigned short)atoi(argv[1])),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  if (bind(listener, (void *)&address, sizeof address) || listen(listener, 4096)) return perror("listen"), 1;

  for (int i = 0; i < threads; i++) polls[i] = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};
  epoll_ctl(polls[0], EPOLL_CTL_ADD, listener, &event);
  for (int i = 1; i < threads; i++) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, serve, &polls[i])) return fprintf(stderr, "echo_floor: no thread to be had\n"), 1;
  }
  serve(&polls[0]);
}
