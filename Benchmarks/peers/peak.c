/* The most fused multiply-adds of 32-bit floats one core does, to compare matrix products with.
 *
 *     cc -O2 -march=native -o peak peak.c && ./peak [REPEATS]
 *
 * Twelve independent chains of the widest vectors this processor has; prints one JSON object with the GFLOP/s of each
 * repetition. Vectors are written as GCC's extension, so that the source is the same for every width.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#if defined(__AVX512F__)
enum { LANES = 16 };
#elif defined(__AVX__)
enum { LANES = 8 };
#else
enum { LANES = 4 };
#endif
enum { CHAINS = 12, STEPS = 2000000 };
typedef float vector __attribute__((vector_size(LANES * sizeof(float))));

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static double gigaflops(void) {
    vector factor, addend;
    for (int lane = 0; lane < LANES; lane++) factor[lane] = 0.9999f, addend[lane] = 1e-4f;
    vector a = addend, b = a + a, c = b + a, d = c + a, e = d + a, f = e + a;
    vector g = f + a, h = g + a, i = h + a, j = i + a, k = j + a, l = k + a;
    double start = now();
    for (long step = 0; step < STEPS; step++) {
        a = a * factor + addend, b = b * factor + addend, c = c * factor + addend, d = d * factor + addend;
        e = e * factor + addend, f = f * factor + addend, g = g * factor + addend, h = h * factor + addend;
        i = i * factor + addend, j = j * factor + addend, k = k * factor + addend, l = l * factor + addend;
        /* Named variables held in registers: an array of them would live in memory. */
        __asm__ volatile("" : "+x"(a), "+x"(b), "+x"(c), "+x"(d), "+x"(e), "+x"(f));
        __asm__ volatile("" : "+x"(g), "+x"(h), "+x"(i), "+x"(j), "+x"(k), "+x"(l));
    }
    double took = now() - start;
    volatile float kept = (a + b + c + d + e + f + g + h + i + j + k + l)[0];
    (void)kept;
    return 2.0 * LANES * CHAINS * STEPS / took / 1e9;
}

int main(int count, char **arguments) {
    long repeats = count > 1 ? strtol(arguments[1], NULL, 10) : 5;
    printf("{\"lanes\":%d,\"gflops\":[", LANES);
    for (long i = 0; i < repeats; i++) printf("%s%.2f", i ? "," : "", gigaflops());
    printf("]}\n");
}
