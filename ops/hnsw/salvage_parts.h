/* Inside of salvage*.c. */
#ifndef OPS_HNSW_SALVAGE_PARTS_H
#define OPS_HNSW_SALVAGE_PARTS_H

#include "ops/hnsw/salvage.h"

#define SALVAGE_DELETED 1u
#define SALVAGE_MARK_OFFSET 2u

/* What is wrong with a file, and so may cost vectors. All else, a disk that can't be read, a file that we may not open or a link that we don't follow, says nothing of what there is: nothing may be given
   up for that. */
bool salvage_is_damage(int code);

/* Sets layout, m, record_size, data_offset and counted, once level0_fd and size are known and the pickle was read. Leaves SALVAGE_NO_LAYOUT where nothing says what they are. -EILSEQ: the vectors
   are those of another dimension; or the errno of a header that can't be read. */
int salvage_find_layout(struct salvage *s, int segment_fd, struct error *e);

#endif
