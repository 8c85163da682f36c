/* fragments_floor TASKS - the same pattern as fragments with the C library's allocator: for each task a frame of one of many sizes
 * and a record, of which 99 of 100 are freed in a random order; then malloc_trim(), which gives whole pages back. */
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
  for (size_t i = 0; i < tasks - tasks / 100; i++) {
    free(frames[order[i]]);
    free(records[order[i]]);
  }
  size_t live = 0;
  for (size_t i = tasks - tasks / 100; i < tasks; i++) live += sizes[size_of[order[i]]] + record_bytes;
  size_t own = tasks * (sizeof *frames + sizeof *records + sizeof *order + sizeof *size_of);
  long freed = rss_bytes();
  malloc_trim(0);
  printf("{\"live_bytes\": %zu, \"rss_full\": %ld, \"rss_freed\": %ld, \"rss_trimmed\": %ld}\n", live,
         full - start - (long)own, freed - start - (long)own, rss_bytes() - start - (long)own);
}
