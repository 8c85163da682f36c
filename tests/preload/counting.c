/* What somebody puts in front of the C library (LD_PRELOAD): counts the calls it is asked for, and tells them at the end. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static int count;

__attribute__((destructor)) static void tell(void) { dprintf(2, "%d calls\n", count); }

ssize_t read(int fd, void *into, size_t size) {
  static ssize_t (*next)(int, void *, size_t);
  if (next == NULL) next = (ssize_t(*)(int, void *, size_t))dlsym(RTLD_NEXT, "read");
  count++;
  return next(fd, into, size);
}

ssize_t write(int fd, const void *from, size_t size) {
  static ssize_t (*next)(int, const void *, size_t);
  if (next == NULL) next = (ssize_t(*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
  count++;
  return next(fd, from, size);
}

ssize_t sendto(int fd, const void *from, size_t size, int flags, const struct sockaddr *to, socklen_t to_size) {
  typedef ssize_t (*function)(int, const void *, size_t, int, const struct sockaddr *, socklen_t);
  static function next;
  if (next == NULL) next = (function)dlsym(RTLD_NEXT, "sendto");
  count++;
  return next(fd, from, size, flags, to, to_size);
}

ssize_t send(int fd, const void *from, size_t size, int flags) { return sendto(fd, from, size, flags, NULL, 0); }

ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
  static ssize_t (*next)(int, const struct msghdr *, int);
  if (next == NULL) next = (ssize_t(*)(int, const struct msghdr *, int))dlsym(RTLD_NEXT, "sendmsg");
  count++;
  return next(fd, message, flags);
}

ssize_t recvmsg(int fd, struct msghdr *message, int flags) {
  static ssize_t (*next)(int, struct msghdr *, int);
  if (next == NULL) next = (ssize_t(*)(int, struct msghdr *, int))dlsym(RTLD_NEXT, "recvmsg");
  count++;
  return next(fd, message, flags);
}
