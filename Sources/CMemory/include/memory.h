#ifndef CROP_MEMORY_H
#define CROP_MEMORY_H

#include <stddef.h>

/// Tells the system that all of these bytes are about to be written, so that it may map them in large pages.
void crop_expect_large_pages(void *start, size_t size);

#endif
