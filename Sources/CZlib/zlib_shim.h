// The system's zlib. Its initialisers are macros with arguments, which Swift does not see; here they are functions.
#ifndef CROP_ZLIB_SHIM_H
#define CROP_ZLIB_SHIM_H
#include <zlib.h>

static inline int crop_inflate_init(z_stream *stream, int window_bits) {
  return inflateInit2(stream, window_bits);
}

static inline int crop_deflate_init(z_stream *stream, int level, int window_bits) {
  return deflateInit2(stream, level, Z_DEFLATED, window_bits, 8, Z_DEFAULT_STRATEGY);
}
#endif
