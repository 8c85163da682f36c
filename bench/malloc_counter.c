// malloc_counter.so - counts what a program asks of the heap, for the row `http/small_json/allocations`.
//
// Preloaded into the unchanged program: every call that obtains memory (malloc, calloc, realloc, the aligned ones,
// hence also operator new; and mmap) adds one to a 64-bit word in the file named by ALLOCATION_COUNT_FILE, which is
// mapped and shared, so that it can be read at any moment while the program runs. glibc only: it forwards to the
// __libc_ names.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);

static _Atomic uint64_t before_file;
static _Atomic uint64_t *count = &before_file;

static void add_one(void) { atomic_fetch_add_explicit(count, 1, memory_order_relaxed); }

__attribute__((constructor)) static void open_file(void) {
  const char *path = getenv("ALLOCATION_COUNT_FILE");
  if (path == NULL) return;
  const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return;
  if (ftruncate(fd, 4096) == 0) {
    void *page = (void *)syscall(SYS_mmap, NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (page != MAP_FAILED) {
      atomic_store_explicit((_Atomic uint64_t *)page, before_file, memory_order_relaxed);
      count = page;
    }
  }
  close(fd);
}

void *malloc(size_t size) {
  add_one();
  return __libc_malloc(size);
}

void *calloc(size_t number, size_t size) {
  add_one();
  return __libc_calloc(number, size);
}

void *realloc(void *block, size_t size) {
  add_one();
  return __libc_realloc(block, size);
}

void *reallocarray(void *block, size_t number, size_t size) {
  size_t bytes;
  if (__builtin_mul_overflow(number, size, &bytes)) {
    errno = ENOMEM;
    return NULL;
  }
  return realloc(block, bytes);
}

void *memalign(size_t alignment, size_t size) {
  add_one();
  return __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }

int posix_memalign(void **block, size_t alignment, size_t size) {
  if (alignment < sizeof(void *) || (alignment & (alignment - 1)) != 0) return EINVAL;
  void *made = memalign(alignment, size);
  if (made == NULL) return ENOMEM;
  *block = made;
  return 0;
}

void *mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset) {
  add_one();
  return (void *)syscall(SYS_mmap, at, size, protection, flags, fd, offset);
}
