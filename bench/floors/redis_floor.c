/* The least that a command to redis-server costs a client: bytes that are ready are written to a blocking socket, and the
   replies, whose length is known, are read and compared. No parser, no tasks.

     redis_floor SOCKET pipelined|get COMMANDS

   pipelined: 100 commands in one write, all replies read, and again. get: one. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { keys = 100 };

static long long now_ns(clockid_t of) {
  struct timespec at;
  clock_gettime(of, &at);
  return at.tv_sec * 1000000000LL + at.tv_nsec;
}

static void fail(const char* what) {
  perror(what);
  exit(1);
}

static void exchange(int fd, const char* out, size_t size, const char* wanted, size_t wanted_size) {
  static char in[65536];
  for (size_t done = 0; done < size;) {
    const ssize_t n = write(fd, out + done, size - done);
    if (n <= 0) fail("write");
    done += (size_t)n;
  }
  size_t got = 0;
  while (got < wanted_size) {
    const ssize_t n = read(fd, in + got, sizeof in - got);
    if (n <= 0) fail("read");
    got += (size_t)n;
  }
  if (got != wanted_size || memcmp(in, wanted, got) != 0) {
    fprintf(stderr, "a wrong reply\n");
    exit(1);
  }
}

int main(int count, char** words) {
  if (count != 4) return 2;
  const long commands = atol(words[3]);
  const int at_once = strcmp(words[2], "get") == 0 ? 1 : keys;
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct sockaddr_un to = {.sun_family = AF_UNIX};
  strncpy(to.sun_path, words[1], sizeof to.sun_path - 1);
  if (fd < 0 || connect(fd, (struct sockaddr*)&to, sizeof to) != 0) fail("connect");
  static char set[16384], get[16384], wanted[16384];
  size_t set_size = 0, get_size = 0, wanted_size = 0;
  for (int i = 0; i < keys; i++) {
    char key[16], value[24];
    const int k = snprintf(key, sizeof key, "key:%d", i);
    const int v = snprintf(value, sizeof value, "value:%s", key);
    set_size += (size_t)sprintf(set + set_size, "*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n", k, key, v, value);
    if (i >= at_once) continue;
    get_size += (size_t)sprintf(get + get_size, "*2\r\n$3\r\nGET\r\n$%d\r\n%s\r\n", k, key);
    wanted_size += (size_t)sprintf(wanted + wanted_size, "$%d\r\n%s\r\n", v, value);
  }
  char ok[keys * 5 + 1] = "";
  for (int i = 0; i < keys; i++) memcpy(ok + i * 5, "+OK\r\n", 5);
  exchange(fd, set, set_size, ok, sizeof ok - 1);
  const long long cpu = now_ns(CLOCK_PROCESS_CPUTIME_ID), began = now_ns(CLOCK_MONOTONIC);
  const long rounds = commands / at_once;
  for (long i = 0; i < rounds; i++) exchange(fd, get, get_size, wanted, wanted_size);
  printf("{\"commands\": %ld, \"cpu_ns\": %lld, \"wall_ns\": %lld, \"writes\": %ld}\n", rounds * at_once,
         now_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu, now_ns(CLOCK_MONOTONIC) - began, rounds);
  return 0;
}
