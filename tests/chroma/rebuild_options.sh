#!/bin/sh
# Each option of rebuild-hnsw, alone and with others, on collections that Chroma has written: what Chroma then says its parameters are, the distances that it returns, the embeddings, what is in the
# index's header, and in config/. What can't be is refused, and dry runs change nothing. Then Chroma writes more, is started again, and later releases take over. The subject A-B is a directory that A
# has made and B writes.
# limit: 900
# shellcheck source=tests/chroma/lib.sh
. "$CHROMAFS_CHROMA/lib.sh"

FIRST=${SUBJECT%-*}
LAST=${SUBJECT#*-}
DIR=$WORK/dir
MODEL=$WORK/model.json

options() {
    options_version=$1
    shift
    chroma "$options_version" "$CHROMAFS_CHROMA/rebuild_options.py" "$@"
}

# later VERSION: releases that directories of it are upgraded to
later() {
    case $1 in
    0.4.*) echo '0.5.23 1.5.9' ;;
    0.5.23) echo '0.6.3 1.5.9' ;;
    0.[56].* | 1.0.*) echo 1.5.9 ;;
    esac
}

mkdir "$DIR"
# It purges what other collections still need (FORMAT 4).
[ "$FIRST" != 0.5.11 ] || chroma "$FIRST" "$CHROMAFS_CHROMA/../fixtures/make.py" keep-wal "$DIR"
options "$FIRST" fill "$DIR" "$MODEL"
if [ "$FIRST" != "$LAST" ]; then
    options "$LAST" more "$DIR" "$MODEL"
fi
options "$LAST" check "$DIR" "$MODEL"
find "$DIR" -exec touch -d '-1 hour' {} +
mount_dir "$DIR" "$MNT"
python3 "$CHROMAFS_CHROMA/rebuild_options.py" operate "$DIR" "$MNT" "$MODEL" "$LAST" >&2
unmount
assert_eq ok "$(sqlite3 "$DIR/chroma.sqlite3" 'PRAGMA integrity_check')"
rm -rf "$WORK/upgraded"
cp -a "$DIR" "$WORK/upgraded"
for release in $(later "$LAST"); do
    options "$release" check "$WORK/upgraded" "$MODEL"
done
options "$LAST" check "$DIR" "$MODEL"
options "$LAST" more "$DIR" "$MODEL"
options "$LAST" check "$DIR" "$MODEL"
case $LAST in
1.*)
    options "$LAST" modify "$DIR" "$MODEL"
    options "$LAST" check "$DIR" "$MODEL"
    ;;
esac
for release in $(later "$LAST"); do
    options "$release" check "$DIR" "$MODEL"
done
case $FIRST-$LAST in
0.*-1.*)
    options "$LAST" misread "$DIR" "$MODEL"
    find "$DIR" -exec touch -d '-1 hour' {} +
    for space in cosine l2; do
        rm -rf "$WORK/mended"
        cp -a "$DIR" "$WORK/mended"
        cp "$MODEL" "$MODEL.$space"
        mount_dir "$WORK/mended" "$MNT"
        python3 "$CHROMAFS_CHROMA/rebuild_options.py" mend "$WORK/mended" "$MNT" "$MODEL.$space" "$LAST" "$space" >&2
        unmount
        options "$LAST" check "$WORK/mended" "$MODEL.$space"
    done
    ;;
esac
