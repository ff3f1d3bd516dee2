/*
 * Which instructions the inner loops of rendering use (base64.c, escape.c): chosen at each call, since asking costs a nanosecond and needs no state,
 * and forced in the tests, so that one machine tests them all.
 */
#ifndef OPS_WAL_KERNELS_H
#define OPS_WAL_KERNELS_H

#include <stdbool.h>
#include <stddef.h>

enum kernel { KERNEL_PLAIN, KERNEL_AVX2, KERNEL_AVX512, KERNELS };

#if defined(__x86_64__)
#define KERNELS_X86 1
#define TARGET_AVX2 __attribute__((target("avx2,bmi,popcnt")))
#define TARGET_AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512vbmi,avx512vbmi2,bmi,bmi2,popcnt")))

static inline bool kernel_usable(enum kernel kernel)
{
        bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("popcnt");
        bool avx512 = avx2 && __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vbmi") &&
                      __builtin_cpu_supports("avx512vbmi2");
        return kernel == KERNEL_PLAIN || (kernel == KERNEL_AVX2 && avx2) || (kernel == KERNEL_AVX512 && avx512);
}
#else
#define KERNELS_X86 0

static inline bool kernel_usable(enum kernel kernel)
{
        return kernel == KERNEL_PLAIN;
}
#endif

static inline enum kernel kernel_best(void)
{
        return kernel_usable(KERNEL_AVX512) ? KERNEL_AVX512 : kernel_usable(KERNEL_AVX2) ? KERNEL_AVX2 : KERNEL_PLAIN;
}

/* base64_encode(), escape_length() and escape_text() with a kernel that is usable. */
char *base64_encode_with(enum kernel kernel, const void *bytes, size_t len, char *ret);
size_t escape_length_with(enum kernel kernel, const char *bytes, size_t len);
char *escape_text_with(enum kernel kernel, const char *bytes, size_t len, char *ret);

#endif
