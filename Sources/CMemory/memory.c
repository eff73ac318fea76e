#include "memory.h"

#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

void crop_expect_large_pages(void *start, size_t size) {
#ifdef MADV_HUGEPAGE
  // Whole pages: what lies beside the bytes in the first and the last one belongs to the same mapping.
  uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
  uintptr_t first = (uintptr_t)start / page * page;
  uintptr_t end = ((uintptr_t)start + size + page - 1) / page * page;
  // Advice: where the system has no large pages, nothing is lost.
  (void)madvise((void *)first, end - first, MADV_HUGEPAGE);
#else
  (void)start;
  (void)size;
#endif
}
