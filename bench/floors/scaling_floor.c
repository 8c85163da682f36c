/* scaling_floor THREADS OPERATIONS - what the machine gives THREADS threads that share nothing: each allocates, writes and frees
 * from a pool of its own, counts in a line of its own, and computes. Prints the wall time. */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { threads_max = 8, blocks = 64, block_words = 40 };

struct worker {
  _Alignas(128) uint64_t counter;
  uint64_t operations;
  uint64_t free_block[blocks];
  uint64_t pool[blocks][block_words];
};

static struct worker workers[threads_max];
static pthread_barrier_t start;

static void work(struct worker *own, uint64_t operations) {
  unsigned free_blocks = blocks;
  for (unsigned i = 0; i < blocks; i++) own->free_block[i] = i;
  uint64_t x = 1;
  for (uint64_t i = 0; i < operations; i++) {
    unsigned taken[4];
    for (unsigned k = 0; k < 4; k++) {
      taken[k] = (unsigned)own->free_block[--free_blocks];
      uint64_t *block = own->pool[taken[k]];
      for (unsigned w = 0; w < block_words; w += 2) block[w] += x + w;
      x = block[x % block_words] * 31 + 7;
      __atomic_fetch_add(&own->counter, x & 1, __ATOMIC_RELAXED);
    }
    for (unsigned k = 0; k < 4; k++) own->free_block[free_blocks++] = taken[k];
  }
  __asm__ volatile("" ::"r"(x));
}

static void *run(void *argument) {
  struct worker *own = argument;
  pthread_barrier_wait(&start);
  work(own, own->operations);
  return NULL;
}

int main(int argc, char **argv) {
  int threads = argc > 1 ? atoi(argv[1]) : 2;
  uint64_t operations = argc > 2 ? strtoull(argv[2], NULL, 10) : 500000;
  if (threads < 1 || threads > threads_max) return 2;
  pthread_barrier_init(&start, NULL, (unsigned)threads + 1);
  pthread_t ids[threads_max];
  for (int i = 0; i < threads; i++) {
    workers[i].operations = operations;
    work(&workers[i], operations / 10);
    pthread_create(&ids[i], NULL, run, &workers[i]);
  }
  struct timespec from, to;
  clock_gettime(CLOCK_MONOTONIC, &from);
  pthread_barrier_wait(&start);
  for (int i = 0; i < threads; i++) pthread_join(ids[i], NULL);
  clock_gettime(CLOCK_MONOTONIC, &to);
  printf("{\"hammers\": %d, \"operations\": %llu, \"wall_ns\": %lld}\n", threads,
         (unsigned long long)operations * (unsigned)threads,
         (to.tv_sec - from.tv_sec) * 1000000000LL + (to.tv_nsec - from.tv_nsec));
}
