/*
 * Puts pickles together, opcode by opcode or whole ones: in Rust's shape R, in shape U that every Chroma loads, and as Python writes them.
 */
#ifndef TESTS_PICKLE_BUILDER_H
#define TESTS_PICKLE_BUILDER_H

#include <stdint.h>

#include "tests/unit/byte_buffer.h"

#define PICKLE_MODULE "chromadb.segment.impl.vector.local_persistent_hnsw"

enum pickle_style { STYLE_RUST, STYLE_UNIVERSAL, STYLE_PYTHON };

void pickle_text(struct byte_buffer *b, const char *text);                  /* BINUNICODE */
void pickle_bytes(struct byte_buffer *b, const void *text, size_t len);     /* BINUNICODE */
void pickle_int(struct byte_buffer *b, int32_t value);                      /* BININT */
void pickle_key_int(struct byte_buffer *b, const char *key, int32_t value); /* a pair */
void pickle_header(struct byte_buffer *b, enum pickle_style style);         /* up to the state's MARK */
void pickle_footer(struct byte_buffer *b, enum pickle_style style);         /* SETITEMS to STOP */

/* {key: {"id-0": labels[0], …}}, and the inverse; MARK and SETITEMS around all of it. */
void pickle_ids_to_numbers(struct byte_buffer *b, const char *key, const int32_t *numbers, size_t count);
void pickle_numbers_to_ids(struct byte_buffer *b, const char *key, const int32_t *numbers, size_t count);

/* A valid pickle of ids "id-0" … with these labels; seq_ids are label + 100, max_seq_id is absent for Rust and 4711 for others. */
struct byte_buffer pickle_build(enum pickle_style style, const int32_t *labels, size_t count, int32_t total);

#endif
