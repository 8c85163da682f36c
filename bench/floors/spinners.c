// spinners COUNT - threads that compute and nothing else: what a server has to share its processors with, from outside.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

__attribute__((noreturn)) static void *spin(void *unused) {
  (void)unused;
  for (;;) {
  }
}

int main(int argc, char **argv) {
  int count = argc > 1 ? atoi(argv[1]) : 0;
  if (count < 1) return fprintf(stderr, "usage: spinners COUNT\n"), 2;
  for (int i = 0; i < count; i++) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, spin, NULL)) return fprintf(stderr, "spinners: no thread to be had\n"), 1;
  }
  for (;;) pause();
}
