#!/bin/sh
# A directory that this Chroma release writes now is shown as the release itself sees it.
# limit: 240
# shellcheck source=tests/chroma/lib.sh
. "$CHROMAFS_CHROMA/lib.sh"

write_fresh "$SUBJECT" "$WORK/dir"
truth "$SUBJECT" "$WORK/dir" "$WORK/truth.json"
mount_dir "$WORK/dir" "$MNT"
agrees "$WORK/truth.json"
agrees_on_parameters "$SUBJECT" "$WORK/dir"
