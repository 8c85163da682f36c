// http_client_floor - the least that asking for a small HTTP answer over a kept connection can cost: the bytes of a real exchange,
// one thread, epoll.
//
// It writes a request and reads until as many bytes have come as the first answer had; no parsing, no pool, no deadlines.
//
//   http_client_floor PORT REQUESTS PATH
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static char buffer[16384], request[1024];

static long long cpu_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return now.tv_sec * 1000000000LL + now.tv_nsec;
}

int main(int argc, char **argv) {
  if (argc < 4) return fprintf(stderr, "usage: http_client_floor PORT REQUESTS PATH\n"), 2;
  const long requests = atol(argv[2]);
  const size_t size = (size_t)snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%s\r\n\r\n", argv[3], argv[1]);
  int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct sockaddr_in address = {.sin_family = AF_INET,
                                .sin_port = htons((unsigned short)atoi(argv[1])),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  if (connect(fd, (void *)&address, sizeof address)) return perror("connect"), 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  if (write(fd, request, size) != (ssize_t)size) return perror("write"), 1;
  const ssize_t answer = read(fd, buffer, sizeof buffer);
  if (answer <= 0) return perror("read"), 1;

  int poll = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.fd = fd}, ready;
  epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event);
  long long began = 0;
  for (long i = -requests / 10; i < requests; i++) {
    if (i == 0) began = cpu_ns();
    if (write(fd, request, size) != (ssize_t)size) return perror("write"), 1;
    for (ssize_t got = 0; got < answer;) {
      const ssize_t n = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
      if (n == 0) return fprintf(stderr, "the server closed the connection\n"), 1;
      if (n > 0) got += n;
      if (n < 0 && errno == EAGAIN) epoll_wait(poll, &ready, 1, -1);
    }
  }
  printf("{\"requests\":%ld,\"cpu_ns\":%lld}\n", requests, cpu_ns() - began);
}
