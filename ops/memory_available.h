/*
 * How much memory the system can give.
 */
#ifndef OPS_MEMORY_AVAILABLE_H
#define OPS_MEMORY_AVAILABLE_H

#include <stdint.h>

/* Bytes that can be had without taking them from other programs, and free swap; UINT64_MAX when the kernel does not tell. */
uint64_t memory_available(void);

#endif
