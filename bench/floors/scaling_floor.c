/* scaling_floor THREADS OPERATIONS - what the machine gives THREADS threads that share nothing: each allocates, writes and frees
 * from a pool of its own, counts in a line of its own, and computes. Prints their CPU time in those of many short rounds in which
 * all of them ran at once. */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { threads_max = 8, blocks = 64, block_words = 40, rounds = 250 };

struct span {
  int64_t from_ns, to_ns, cpu_ns;
};

struct worker {
  _Alignas(128) uint64_t counter;
  uint64_t operations;
  struct span spans[rounds];
  uint64_t free_block[blocks];
  uint64_t pool[blocks][block_words];
};

static struct worker workers[threads_max];
static unsigned ready;
static unsigned threads_running;

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

static int64_t now_ns(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static void *run(void *argument) {
  struct worker *own = argument;
  work(own, own->operations);
  for (int i = 0; i < rounds; i++) {
    __atomic_fetch_add(&ready, 1, __ATOMIC_RELAXED);
    while (__atomic_load_n(&ready, __ATOMIC_RELAXED) < threads_running * (unsigned)(i + 1)) { /* on its core: they start at once */
    }
    struct span *took = &own->spans[i];
    took->from_ns = now_ns(CLOCK_MONOTONIC);
    took->cpu_ns = -now_ns(CLOCK_THREAD_CPUTIME_ID);
    work(own, own->operations);
    took->cpu_ns += now_ns(CLOCK_THREAD_CPUTIME_ID);
    took->to_ns = now_ns(CLOCK_MONOTONIC);
  }
  return NULL;
}

/* The CPU time of all threads in a round; 0 if one of them was off its core for more than a tenth of it. */
static int64_t cpu_of_all_at_once(int round, int threads) {
  int64_t from_ns = INT64_MAX, cpu_ns = 0;
  for (int i = 0; i < threads; i++) {
    if (workers[i].spans[round].from_ns < from_ns) from_ns = workers[i].spans[round].from_ns;
  }
  for (int i = 0; i < threads; i++) {
    const struct span *each = &workers[i].spans[round];
    if (each->cpu_ns * 10 < (each->to_ns - from_ns) * 9) return 0;
    cpu_ns += each->cpu_ns;
  }
  return cpu_ns;
}

int main(int argc, char **argv) {
  int threads = argc > 1 ? atoi(argv[1]) : 2;
  uint64_t operations = (argc > 2 ? strtoull(argv[2], NULL, 10) : 500000) / rounds;
  if (threads < 1 || threads > threads_max) return 2;
  threads_running = (unsigned)threads;
  pthread_t ids[threads_max];
  for (int i = 0; i < threads; i++) {
    workers[i].operations = operations;
    pthread_create(&ids[i], NULL, run, &workers[i]);
  }
  for (int i = 0; i < threads; i++) pthread_join(ids[i], NULL);
  int64_t cpu_ns = 0;
  int at_once = 0;
  for (int i = 0; i < rounds; i++) {
    int64_t took = cpu_of_all_at_once(i, threads);
    cpu_ns += took;
    if (took > 0) at_once++;
  }
  printf("{\"hammers\": %d, \"rounds\": %d, \"rounds_at_once\": %d, \"operations\": %llu, \"cpu_ns\": %lld}\n", threads, rounds,
         at_once, (unsigned long long)operations * (unsigned)at_once * (unsigned)threads, (long long)cpu_ns);
}
