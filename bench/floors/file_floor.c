/* file_floor MEANS WORKLOAD PATH DEPTH OPERATIONS [direct] - DEPTH operations in flight on one file, until OPERATIONS are done.
 *
 * MEANS     ring  one thread and its io_uring: submits what it can, waits, looks at all that came
 *           pool  64 threads that call pread, pwrite, fdatasync; one thread hands them operations and takes them back
 * WORKLOAD  read    4 KiB at random places of a file that is there
 *           append  4 KiB at the end, then fdatasync: one operation, and the file is emptied first
 *
 * The operations, their order and the places are those of the subject. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <liburing.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { block_bytes = 4096, depth_max = 256, threads = 64 };

static int file;
static int appends;
static uint64_t blocks, operations, depth, next_block;
static char *blocks_of[depth_max];

static int64_t now_ns(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static void fail(const char *what) {
  perror(what);
  exit(1);
}

/* The finaliser of SplitMix64: a number's place in the file, the same in every program and run. */
static uint64_t scattered(uint64_t number) {
  number = (number ^ (number >> 30)) * 0xbf58476d1ce4e5b9u;
  number = (number ^ (number >> 27)) * 0x94d049bb133111ebu;
  return (number ^ (number >> 31)) % blocks;
}

static uint64_t next_offset(void) {
  const uint64_t number = next_block++;
  return (appends ? number : scattered(number)) * block_bytes;
}

/* The ring. An append is a write and, linked to it, the fdatasync: one submission. */

static void put(struct io_uring *ring, uint64_t slot) {
  struct io_uring_sqe *entry = io_uring_get_sqe(ring);
  const uint64_t offset = next_offset();
  if (!appends) {
    io_uring_prep_read(entry, file, blocks_of[slot], block_bytes, offset);
  } else {
    io_uring_prep_write(entry, file, blocks_of[slot], block_bytes, offset);
    entry->flags |= IOSQE_IO_LINK;
    io_uring_sqe_set_data64(entry, depth_max);
    entry = io_uring_get_sqe(ring);
    io_uring_prep_fsync(entry, file, IORING_FSYNC_DATASYNC);
  }
  io_uring_sqe_set_data64(entry, slot);
}

static void by_ring(uint64_t count) {
  static struct io_uring ring;
  static int ready;
  if (!ready) {
    struct io_uring_params params = {.flags = IORING_SETUP_SUBMIT_ALL | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN};
    int result = io_uring_queue_init_params(2 * depth_max, &ring, &params);
    if (result == -EINVAL) result = io_uring_queue_init(2 * depth_max, &ring, 0);
    if (result != 0) {
      fprintf(stderr, "file_floor: io_uring is refused: %s\n", strerror(-result));
      exit(1);
    }
    ready = 1;
  }
  uint64_t started = 0, done = 0;
  for (; started < depth && started < count; started++) put(&ring, started);
  while (done < count) {
    io_uring_submit_and_wait(&ring, 1);
    unsigned head, seen = 0;
    struct io_uring_cqe *each;
    io_uring_for_each_cqe(&ring, head, each) {
      seen++;
      if (each->res < 0 || (each->user_data == depth_max && each->res != block_bytes) ||
          (!appends && each->res != block_bytes)) {
        fprintf(stderr, "file_floor: an operation gave %d\n", each->res);
        exit(1);
      }
      if (each->user_data == depth_max) continue;
      done++;
      if (started < count) {
        started++;
        put(&ring, each->user_data);
      }
    }
    io_uring_cq_advance(&ring, seen);
  }
}

/* The pool. One lock, two lists; nobody is woken who need not be. */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t has_work = PTHREAD_COND_INITIALIZER, has_done = PTHREAD_COND_INITIALIZER;
static struct job {
  uint64_t slot, offset;
} work[depth_max];
static uint64_t work_head, work_tail, done_count, done_slots[depth_max];
static int asker_sleeps, sleepers;

static void *serve(void *unused) {
  (void)unused;
  pthread_mutex_lock(&lock);
  for (;;) {
    while (work_head == work_tail) {
      sleepers++;
      pthread_cond_wait(&has_work, &lock);
      sleepers--;
    }
    const struct job job = work[work_head++ % depth_max];
    pthread_mutex_unlock(&lock);
    char *block = blocks_of[job.slot];
    if (appends) {
      if (pwrite(file, block, block_bytes, (off_t)job.offset) != block_bytes || fdatasync(file) != 0) fail("append");
    } else if (pread(file, block, block_bytes, (off_t)job.offset) != block_bytes) {
      fail("read");
    }
    pthread_mutex_lock(&lock);
    done_slots[done_count++] = job.slot;
    if (asker_sleeps) pthread_cond_signal(&has_done);
  }
  return NULL;
}

static void by_pool(uint64_t count) {
  static int ready;
  if (!ready) {
    for (int i = 0; i < threads; i++) {
      pthread_t thread;
      if (pthread_create(&thread, NULL, serve, NULL) != 0) fail("pthread_create");
      pthread_detach(thread);
    }
    ready = 1;
  }
  uint64_t started = 0, done = 0, free_count = 0, free_slots[depth_max];
  while (free_count < depth) {
    free_slots[free_count] = free_count;
    free_count++;
  }
  pthread_mutex_lock(&lock);
  while (done < count) {
    while (free_count > 0 && started < count) {
      started++;
      const struct job job = {.slot = free_slots[--free_count], .offset = next_offset()};
      work[work_tail++ % depth_max] = job;
      if (sleepers > 0) pthread_cond_signal(&has_work);
    }
    asker_sleeps = 1;
    while (done_count == 0) pthread_cond_wait(&has_done, &lock);
    asker_sleeps = 0;
    done += done_count;
    while (done_count > 0) free_slots[free_count++] = done_slots[--done_count];
  }
  pthread_mutex_unlock(&lock);
}

int main(int argc, char **argv) {
  if (argc < 6) {
    fprintf(stderr, "file_floor ring|pool read|append PATH DEPTH OPERATIONS [direct]\n");
    return 2;
  }
  void (*run)(uint64_t) = strcmp(argv[1], "ring") == 0 ? by_ring : by_pool;
  appends = strcmp(argv[2], "append") == 0;
  depth = strtoull(argv[4], NULL, 10);
  operations = strtoull(argv[5], NULL, 10);
  if (depth == 0 || depth > depth_max) return 2;
  const int direct = argc > 6 && strcmp(argv[6], "direct") == 0 ? O_DIRECT : 0;
  file = open(argv[3], (appends ? O_RDWR | O_CREAT | O_TRUNC : O_RDONLY) | O_CLOEXEC | direct, 0644);
  struct stat status;
  if (file < 0 || fstat(file, &status) != 0) fail(argv[3]);
  blocks = (uint64_t)status.st_size / block_bytes;
  for (int i = 0; i < depth_max; i++) {
    if (posix_memalign((void **)&blocks_of[i], block_bytes, block_bytes) != 0) abort();
    memset(blocks_of[i], 7, block_bytes);
  }
  run(operations / 10 > depth ? operations / 10 : depth); /* threads, rings and caches */
  const int64_t cpu = now_ns(CLOCK_PROCESS_CPUTIME_ID), from = now_ns(CLOCK_MONOTONIC);
  run(operations);
  const int64_t wall = now_ns(CLOCK_MONOTONIC) - from;
  printf("{\"operations\": %llu, \"wall_ns\": %lld, \"cpu_ns\": %lld}\n", (unsigned long long)operations, (long long)wall,
         (long long)(now_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu));
  return 0;
}
