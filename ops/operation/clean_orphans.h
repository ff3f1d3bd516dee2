/*
 * The operation clean-orphans: takes away what no collection owns any more, directories and rows.
 *
 * - Directories: the id of no segment, with a header.bin in it, held open by nobody, older than a minute. Each is moved to the
 *   trash in one rename, while a write transaction is open that began with the change counter of the catalog: no segment can get
 *   that id before it is gone.
 * - Rows: ops/operation/orphan_rows.h says which. They are copied to <trash>/rows.sqlite3, which is complete, checked and synced
 *   before the transaction that deletes them commits. The space they took is free for Chroma's next rows; VACUUM is the operation
 *   clean's.
 * - A collection without one of its two segments is damage: -EILSEQ, and nothing is touched, since what looks like an orphan may be
 *   what it has lost. A row of `segments` whose collection is unknown is listed, and stays with all that belongs to it.
 * - A failure gives everything back. A crash leaves each directory either where it was or in the trash, and all rows or none.
 *
 * Result: {directories: [{name, bytes, files}], directories_total, kept: [{name, reason}], rows: {<table>: n}, wal_rows,
 * wal_rows_kept: sentence | null, trash: "trash/…" | null (nothing taken, or keep=0), bytes}. Lists have at most CLEAN_ORPHANS_SHOWN entries; rows has the
 * tables that there are but embeddings_queue, which is wal_rows; bytes are those of the directories' files and of the rows' values.
 */
#ifndef OPS_OPERATION_CLEAN_ORPHANS_H
#define OPS_OPERATION_CLEAN_ORPHANS_H

#include "ops/operation/operation.h"

#define CLEAN_ORPHANS_SHOWN 1000

extern const struct operation_type operation_clean_orphans;

#endif
