/* fragments_floor TASKS - the same pattern as fragments with the C library's allocator: for each task a frame of one of many sizes
 * and a record, of which 99 of 100 are freed in a random order; then malloc_trim(), which gives whole pages back. Another allocator
 * takes its place by LD_PRELOAD. Prints also what pages the living would keep had all been laid down without a gap, each task's
 * frame and record side by side, in the order of their birth: nobody knows then who will live, and nothing moves. */
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const size_t sizes[8] = {96, 192, 336, 592, 992, 2096, 4096, 8096};
enum { record_bytes = 96 };

static long rss_bytes(void) {
  char line[256];
  long kib = -1;
  FILE *file = fopen("/proc/self/smaps_rollup", "re");
  if (file == NULL) return -1;
  while (fgets(line, sizeof line, file) != NULL) sscanf(line, "Rss: %ld kB", &kib);
  fclose(file);
  return kib * 1024;
}

int main(int argc, char **argv) {
  size_t tasks = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
  long start = rss_bytes();
  char **frames = malloc(tasks * sizeof *frames), **records = malloc(tasks * sizeof *records);
  size_t *order = malloc(tasks * sizeof *order);
  unsigned *size_of = malloc(tasks * sizeof *size_of);
  srand48(1);
  for (size_t i = 0; i < tasks; i++) {
    size_of[i] = (unsigned)(lrand48() % 8);
    frames[i] = memset(malloc(sizes[size_of[i]]), 1, sizes[size_of[i]]);
    records[i] = memset(malloc(record_bytes), 1, record_bytes);
    order[i] = i;
  }
  for (size_t i = tasks - 1; i > 0; i--) {
    size_t j = (size_t)lrand48() % (i + 1), kept = order[i];
    order[i] = order[j];
    order[j] = kept;
  }
  long full = rss_bytes();
  unsigned char *lives = calloc(tasks, 1);
  for (size_t i = tasks - tasks / 100; i < tasks; i++) lives[order[i]] = 1;
  size_t at = 0, kept_pages = 0, next_page = 0;
  for (size_t i = 0; i < tasks; i++) {
    size_t end = at + sizes[size_of[i]] + record_bytes;
    if (lives[i]) {
      size_t first = at / 4096 < next_page ? next_page : at / 4096;
      next_page = (end - 1) / 4096 + 1;
      kept_pages += next_page - first;
    }
    at = end;
  }
  free(lives);
  for (size_t i = 0; i < tasks - tasks / 100; i++) {
    free(frames[order[i]]);
    free(records[order[i]]);
  }
  size_t live = 0;
  for (size_t i = tasks - tasks / 100; i < tasks; i++) live += sizes[size_of[order[i]]] + record_bytes;
  size_t own = tasks * (sizeof *frames + sizeof *records + sizeof *order + sizeof *size_of);
  long freed = rss_bytes();
  sleep(2);
  for (int i = 0; i < 100000; i++) free(memset(malloc(100), 1, 100)); /* some give memory back only when they are called */
  long later = rss_bytes();
  malloc_trim(0);
  printf("{\"live_bytes\": %zu, \"rss_full\": %ld, \"rss_freed\": %ld, \"rss_2s\": %ld, \"rss_trimmed\": %ld, "
         "\"packed\": %zu}\n",
         live, full - start - (long)own, freed - start - (long)own, later - start - (long)own, rss_bytes() - start - (long)own,
         kept_pages * 4096);
}
