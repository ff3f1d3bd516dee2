/*
 * Which Chroma wrote a directory: a range of releases, from the migrations that were applied (FORMAT 1). The exact release is recorded
 * nowhere; the newest migration of each of the three lists tells the newest release that opened the directory, as a range.
 */
#ifndef OPS_VERSION_H
#define OPS_VERSION_H

#include <stdbool.h>

#include "ops/db.h"
#include "ops/error.h"

struct chroma_version {
        int sysdb, metadb, embeddings_queue; /* highest applied migration of each list; 0 for none */
        const char *min, *max; /* releases, static text, e.g. "1.5.0" and "1.5.9"; max is NULL when newer than all known */
        bool known;            /* exactly a combination that a release leaves */
        bool newer;            /* some migration is newer than all known: nothing may be written */
        bool rust;             /* metadb >= 5: Chroma 1.x */
};

/* From the three numbers alone. A combination that no release leaves gets the widest range that fits and known = false. */
void chroma_version_of(int sysdb, int metadb, int embeddings_queue, struct chroma_version *ret);

/* Reads table `migrations`. -EILSEQ without it: then this is no Chroma directory. */
int chroma_version_read(struct db *db, struct chroma_version *ret, struct error *e);

#endif
