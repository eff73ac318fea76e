#ifndef CROP_EMBEDDED_FILES_H
#define CROP_EMBEDDED_FILES_H

#include <stddef.h>

/// A file of the repository, as it was when the program was built.
typedef struct {
  /// The last component of its path.
  const char *name;
  const unsigned char *bytes;
  size_t count;
} crop_embedded_file;

/// All of them, and how many.
const crop_embedded_file *crop_embedded_files(size_t *count);

#endif
