/*
 * The random levels of hnswlib: std::default_random_engine of the C++ library that the writer was linked with, and its
 * uniform_real_distribution<double> (FORMAT 8).
 */
#ifndef OPS_HNSW_LEVEL_GENERATOR_H
#define OPS_HNSW_LEVEL_GENERATOR_H

#include <stdint.h>

struct level_generator {
        uint64_t state, factor;
        double mult;
};

/* seed 0 acts as 1. factor: 16807 (minstd_rand0, libstdc++) or 48271 (minstd_rand, libc++). mult: 1/ln(M). */
struct level_generator level_generator_start(uint64_t seed, uint64_t factor, double mult);

/* The level of the next element: 0 to HNSW_LEVEL_MAX. */
#define HNSW_LEVEL_MAX 100
int level_generator_next(struct level_generator *generator);

#endif
