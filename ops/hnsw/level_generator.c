#include "ops/hnsw/level_generator.h"

#include <math.h>

#define MODULUS 2147483647u

struct level_generator level_generator_start(uint64_t seed, uint64_t factor, double mult)
{
        uint64_t state = seed % MODULUS;
        return (struct level_generator){ .state = state == 0 ? 1 : state, .factor = factor, .mult = mult };
}

static double draw(struct level_generator *generator)
{
        generator->state = generator->state * generator->factor % MODULUS;
        return (double) (generator->state - 1);
}

/* Two draws make a double, the first one its low part. */
int level_generator_next(struct level_generator *generator)
{
        const double range = MODULUS - 1;
        double low = draw(generator), high = draw(generator);
        double uniform = (low + high * range) / (range * range);
        double level = -log(uniform) * generator->mult;
        return level < HNSW_LEVEL_MAX ? (int) level : HNSW_LEVEL_MAX;
}
