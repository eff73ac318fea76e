#include "comparisons.h"

#include <stdint.h>

// The linker sends every instrumented comparison here (--wrap in Package.swift).

static bool areNoted = true;

void noteComparisons(bool are) { areNoted = are; }

// A tail call, because libFuzzer tells comparisons apart by the address they return to.
#define NOTE(name, A, B) \
  void __real___sanitizer_cov_trace_##name(A a, B b); \
  __attribute__((no_sanitize("coverage"))) \
  void __wrap___sanitizer_cov_trace_##name(A a, B b) { \
    if (areNoted) \
      __attribute__((musttail)) return __real___sanitizer_cov_trace_##name(a, b); \
  }

NOTE(cmp1, uint8_t, uint8_t)
NOTE(cmp2, uint16_t, uint16_t)
NOTE(cmp4, uint32_t, uint32_t)
NOTE(cmp8, uint64_t, uint64_t)
NOTE(const_cmp1, uint8_t, uint8_t)
NOTE(const_cmp2, uint16_t, uint16_t)
NOTE(const_cmp4, uint32_t, uint32_t)
NOTE(const_cmp8, uint64_t, uint64_t)
NOTE(switch, uint64_t, uint64_t *)
