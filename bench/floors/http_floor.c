// http_floor - the least that answering a small HTTP request can cost: the bytes of a real exchange on one thread and
// epoll.
//
// It reads until the blank line that ends a request and writes the bytes of RESPONSE_FILE; no parsing, no routing, no
// dates. The harness fills the file with what the program under test answers, so both sides move the same bytes.
//
//   http_floor PORT RESPONSE_FILE
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { buffer_size = 16384, fds_max = 65536 };

static char buffer[buffer_size], response[buffer_size];
static size_t response_size;
static unsigned char matched[fds_max];  // per descriptor: how much of the blank line the last bytes were

// Counts the requests that end in these bytes.
static int requests_in(int fd, const char *bytes, ssize_t n) {
  static const char blank_line[] = "\r\n\r\n";
  if (matched[fd] == 0 && n >= 4) {  // the usual case: nothing pending, one request that ends with the bytes
    const char *end = memmem(bytes, (size_t)n, blank_line, 4);
    if (end == bytes + n - 4) return 1;
  }
  int requests = 0;
  for (ssize_t i = 0; i < n; i++) {
    matched[fd] = bytes[i] == blank_line[matched[fd]] ? matched[fd] + 1 : bytes[i] == '\r';
    if (matched[fd] == 4) requests++, matched[fd] = 0;
  }
  return requests;
}

static void answer(int fd) {
  ssize_t n = read(fd, buffer, sizeof buffer);
  if (n == 0 || (n < 0 && errno != EAGAIN)) {
    close(fd);
    return;
  }
  if (n < 0) return;
  for (int requests = requests_in(fd, buffer, n); requests > 0; requests--) {
    for (size_t done = 0; done < response_size;) {
      ssize_t w = write(fd, response + done, response_size - done);
      if (w < 0 && errno != EAGAIN) {
        close(fd);
        return;
      }
      if (w > 0) done += (size_t)w;
    }
  }
}

int main(int argc, char **argv) {
  if (argc < 3) return fprintf(stderr, "usage: http_floor PORT RESPONSE_FILE\n"), 2;
  FILE *file = fopen(argv[2], "rbe");
  if (!file) return perror(argv[2]), 1;
  response_size = fread(response, 1, sizeof response, file);
  fclose(file);

  int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  struct sockaddr_in address = {.sin_family = AF_INET,
                                .sin_port = htons((unsigned short)atoi(argv[1])),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  if (bind(listener, (void *)&address, sizeof address) || listen(listener, 4096)) return perror("listen"), 1;

  int poll = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, ready[256];
  epoll_ctl(poll, EPOLL_CTL_ADD, listener, &event);
  for (;;) {
    int count = epoll_wait(poll, ready, 256, -1);
    for (int i = 0; i < count; i++) {
      if (ready[i].data.fd != listener) {
        answer(ready[i].data.fd);
        continue;
      }
      for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
        if (fd >= fds_max) {
          close(fd);
          continue;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        matched[fd] = 0;
        event = (struct epoll_event){.events = EPOLLIN, .data.fd = fd};
        epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event);
      }
    }
  }
}
