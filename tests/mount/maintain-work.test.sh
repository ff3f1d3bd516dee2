#!/bin/sh
# What chromafs-maintain does: on every fixture, where nothing is to be done, where problems ask for more, dry, without some steps, on a mount.
# limit: 300
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"
# shellcheck source=tests/mount/helpers/control.sh
. "${CHROMAFS_LIB%/*}/helpers/control.sh"
# shellcheck source=tests/mount/helpers/maintain.sh
. "${CHROMAFS_LIB%/*}/helpers/maintain.sh"

# Of the fixtures: nothing of this cures that.
IGNORE=--ignore=ids_without_vector,orphan_labels

# problems DIR: the codes of those that are listed
problems() {
    mount_dir "$1" "$MNT"
    wait_measured
    jq -r '.problems[].code' "$MNT/info.json" | sort -u | tr '\n' ' '
    unmount
}

# no_jq: what a machine has that lacks jq
no_jq() {
    mkdir without
    find /usr/bin /bin /usr/sbin /sbin -maxdepth 1 ! -type d ! -name 'jq*' ! -name 'python*' ! -name 'sqlite3' ! -name 'perl*' -exec ln -sft without {} +
    ln -sf "$WORK/bin/chromafs" "$WORK/bin/chromafs-maintain" without/
}

each_fixture() {
    fixtures >list
    while read -r name <&9; do
        copy_fixture "$name"
        fts=$(sql "$DIR" "SELECT count(*) FROM sqlite_master WHERE name = 'embedding_fulltext_search'")
        MAINTAIN="env PATH=$WORK/without chromafs-maintain"
        run_maintain "$IGNORE" "$DIR"
        MAINTAIN=$WORK/bin/chromafs-maintain
        assert_eq 0 "$STATUS" "status with $name: $(cat err)"
        assert_eq '' "$(cat out err)" "output with $name"
        assert_nothing_left
        assert_sound "$DIR"
        assert_eq "$fts" "$(sql "$DIR" "SELECT count(*) FROM sqlite_master WHERE name = 'embedding_fulltext_search'")" "the full-text table of $name"
        # The second run finds nothing to do.
        before=$(contents_of "$DIR")
        maintain "$IGNORE" "$DIR"
        assert_eq "$before" "$(contents_of "$DIR")" "$name after a second run"
        rm -rf "$DIR"
    done 9<list
}

# break_it DIR: an orphan is there already; the full-text index gets a stale row, the log one for a collection that waits for the index
break_it() {
    change "$1" "INSERT INTO embedding_fulltext_search (rowid, string_value) VALUES (987654, 'stale');
        INSERT INTO embeddings_queue (operation, topic, id, vector, encoding, metadata)
            SELECT 2, 'persistent://default/default/' || id, 'late', zeroblob(4 * dimension), 'FLOAT32', '{\"chroma:document\":\"a late one\"}'
            FROM collections WHERE name = 'unicode'"
}

what_problems_ask_for() {
    copy_fixture chroma-1.5.9-nopurge
    break_it "$DIR"
    assert_eq 'fragmented fts_stale orphan_directories ' "$(problems "$DIR")" 'problems before'
    log=$(rows "$DIR")
    run_maintain -v --backup=backup "$IGNORE" "$DIR"
    assert_eq '0 ' "$STATUS $(cat err)" 'status and errors'
    assert_eq 'backup:done commit:done rebuild-fts:done rebuild-hnsw:done clean-orphans:done clean:done ' "$(operations "$DIR")" 'operations'
    assert_contains out 'rebuild-fts    459 documents; 1 stale rows away, 0 missing ones added'
    assert_contains out "$log -> $(rows "$DIR") rows of the log"
    assert_contains out "-> $(stat -c %s "$DIR/chroma.sqlite3") bytes of the database"
    assert_contains out ": $WORK/backup"
    assert_eq '' "$(problems "$DIR")" 'problems afterwards'
    assert_eq "$log" "$(rows backup)" 'rows in the backup, which was made first'
    assert_eq 1 "$(sql "$DIR" "SELECT count(*) FROM embeddings WHERE embedding_id = 'late'")" 'the record of the log'
    rm -rf "$DIR" backup
}

# A collection that commit leaves because the full-text table is gone is committed once that is there again.
commit_again() {
    copy_fixture chroma-1.5.9-nopurge
    break_it "$DIR"
    change "$DIR" 'DROP TABLE embedding_fulltext_search'
    maintain "$IGNORE" "$DIR"
    assert_eq 'commit:done rebuild-fts:done rebuild-hnsw:done commit:done clean-orphans:done clean:done ' "$(operations "$DIR")" 'operations'
    assert_eq 1 "$(sql "$DIR" "SELECT count(*) FROM embeddings WHERE embedding_id = 'late'")" 'the record of the log'
    # Where that must not be, it is told.
    rm -rf "$DIR"
    copy_fixture chroma-1.5.9-nopurge
    break_it "$DIR"
    change "$DIR" 'DROP TABLE embedding_fulltext_search'
    run_maintain "$IGNORE,database_damaged" --no-rebuild-fts "$DIR"
    assert_eq 3 "$STATUS" "status without rebuild-fts: $(cat err)"
    assert_contains err 'unicode (default_tenant, default_database): commit leaves it as it is: '
    assert_contains err '[left]'
    rm -rf "$DIR"
}

dry_runs() {
    copy_fixture chroma-1.5.9-nopurge
    break_it "$DIR"
    fingerprint "$DIR" >before
    run_maintain -n --backup="$WORK/backup" "$IGNORE" "$DIR"
    assert_eq '0 ' "$STATUS $(cat err)" 'status and errors of a dry run'
    assert_eq 'backup commit rebuild-fts rebuild-hnsw clean-orphans clean' "$(cut -d ' ' -f 1 out | tr '\n' ' ' | sed 's/ $//')" 'lines of a dry run'
    assert_nothing_left
    fingerprint "$DIR" | diff before - >&2 || fail 'a dry run has changed something'
    [ ! -e backup ] || fail 'a dry run has made a backup'
    rm -rf "$DIR"
}

without_steps() {
    copy_fixture chroma-1.5.9-nopurge
    break_it "$DIR"
    log=$(rows "$DIR") size=$(stat -c %s "$DIR/chroma.sqlite3")
    maintain "$IGNORE" --no-commit --no-clean --no-rebuild-fts --no-rebuild-hnsw --no-clean-orphans "$DIR"
    [ ! -e "$DIR/.chromafs/history.jsonl" ] || fail "operations without any step: $(operations "$DIR")"
    maintain "$IGNORE" --no-commit --no-rebuild-fts --no-rebuild-hnsw --no-clean-orphans --no-vacuum "$DIR"
    assert_eq 'clean:done ' "$(operations "$DIR")" 'operations with clean alone'
    [ "$(rows "$DIR")" -lt "$log" ] || fail 'clean alone has deleted nothing'
    assert_eq "$size" "$(stat -c %s "$DIR/chroma.sqlite3")" 'the size of the database without a VACUUM'
    maintain "$IGNORE" --skip=unicode --keep=0 --threads=1 "$DIR"
    assert_eq 0 "$(sql "$DIR" "SELECT count(*) FROM embeddings WHERE embedding_id = 'late'")" 'the record of a collection that is left out'
    assert_eq 'threads=1 keep=0' "$(jq -r 'select(.operation == "commit") | .options | sub("^skip=[^ ]* "; "")' "$DIR/.chromafs/history.jsonl")" 'the options of commit'
    assert_eq '' "$(find "$DIR/.chromafs/trash" -mindepth 1 2>/dev/null)" 'the trash with --keep=0'
    assert_maintain 1 "skip: there is no collection 'no such, 100%'" "$IGNORE" --no-clean "--skip=no such, 100%" "$DIR"
    maintain "$IGNORE" "$DIR"
    assert_eq 1 "$(sql "$DIR" "SELECT count(*) FROM embeddings WHERE embedding_id = 'late'")" 'the record in the end'
    rm -rf "$DIR"
}

# A mount is used as it is, and stays.
on_a_mount() {
    mount_fixture chroma-1.5.9-nopurge -o skip=unicode
    break_it "$DIR"
    run_maintain -v "$IGNORE" mnt/
    assert_eq '0 ' "$STATUS $(cat err)" 'status and errors on a mount'
    assert_contains out "maintained through $MNT"
    mountpoint -q "$MNT" || fail 'it was unmounted'
    assert_eq clean "$(status .last.operation)" 'what the mount tells'
    assert_eq 0 "$(sql "$DIR" "SELECT count(*) FROM embeddings WHERE embedding_id = 'late'")" 'the record that the mount leaves out'
    # Its directory has a mount of its own.
    run_maintain -v "$IGNORE" "$DIR"
    assert_contains out "maintained through $TMPDIR/chromafs-maintain."
    assert_eq 1 "$(sql "$DIR" "SELECT count(*) FROM embeddings WHERE embedding_id = 'late'")" 'the record that the mount leaves out, through the directory'
    unmount
    mount_dir "$DIR" "$MNT" -o privacy
    maintain "$IGNORE" "$MNT"
    unmount
    rm -rf "$DIR"
}

# fragmentation NAME: of a collection's index
fragmentation() {
    mount_dir "$DIR" "$MNT"
    cat "$MNT/segments/$(segment_of "$DIR" "$1" VECTOR)/fragmentation"
    unmount
}

# rebuilt: how often rebuild-hnsw has run
rebuilt() { grep -c '^{"operation":"rebuild-hnsw"' "$DIR/.chromafs/history.jsonl" || :; }

# What is fragmented more than that, in collections with other names, and nothing else.
rebuild_fragmented() {
    fixtures >list
    while read -r name <&9; do
        copy_fixture "$name"
        [ -n "$(entry_of "$DIR" fragmented)" ] || { rm -rf "$DIR" && continue; }
        run_maintain -v "$IGNORE" "$DIR"
        assert_eq '0 ' "$STATUS $(cat err)" "status and errors with $name"
        assert_contains out 'rebuild-hnsw   collections/fragmented: 130 vectors, 0 lost; '
        assert_eq 0.0 "$(fragmentation fragmented)" "the fragmentation with $name"
        assert_sound "$DIR"
        rm -rf "$DIR"
    done 9<list
    copy_fixture chroma-1.5.9
    maintain --fragmentation=100 "$DIR"
    assert_eq 0 "$(rebuilt)" 'rebuilt with --fragmentation=100'
    maintain --fragmentation=61 "$DIR"
    assert_eq 1 "$(rebuilt)" 'rebuilt with --fragmentation=61: emptied'
    maintain --fragmentation=60 --skip=fragmented "$DIR"
    assert_eq 1 "$(rebuilt)" 'rebuilt with --fragmentation=60 and --skip'
    maintain --no-rebuild-hnsw "$DIR"
    maintain --fragmentation=60 --threads=2 "$DIR"
    assert_eq 2 "$(rebuilt)" 'rebuilt with --fragmentation=60'
    maintain --fragmentation=9 "$DIR"
    assert_eq 5 "$(rebuilt)" 'rebuilt with --fragmentation=9: three with 9.5 %'
    maintain --fragmentation=0 "$DIR"
    before=$(rebuilt)
    maintain --fragmentation=0 "$DIR"
    assert_eq "$before" "$(rebuilt)" 'rebuilt the second time with --fragmentation=0'
    rm -rf "$DIR"
}

# An index that lacks nothing but links, and a collection whose log waits for it.
rebuild_torn() {
    copy_fixture chroma-1.5.9-nopurge
    tear "$DIR" unicode header.bin 10
    break_it "$DIR"
    run_maintain -n "$IGNORE" "$DIR"
    assert_eq '0 ' "$STATUS $(cat err)" 'status and errors of a dry run'
    assert_contains out 'rebuild-hnsw   collections/unicode: '
    run_maintain "$IGNORE" --no-rebuild-hnsw "$DIR"
    assert_eq 3 "$STATUS" "status with --no-rebuild-hnsw: $(cat err)"
    assert_contains err '[left]'
    maintain "$IGNORE" "$DIR"
    assert_eq '' "$(problems "$DIR")" 'problems afterwards'
    assert_eq 1 "$(sql "$DIR" "SELECT count(*) FROM embeddings WHERE embedding_id = 'late'")" 'the record of the log'
    rm -rf "$DIR"
}

# What only commit has seen: that the links of an index are no links. Others that it leaves, of whatever name, are told in a dry run all the same.
rebuild_what_commit_left() {
    copy_fixture chroma-1.5.9-nopurge
    break_it "$DIR"
    torn=$DIR/$(segment_of "$DIR" unicode VECTOR)
    printf '\377' | dd of="$torn/link_lists.bin" conv=notrunc status=none
    touch -d '-1 hour' "$torn"/* "$torn"
    cp -a "$DIR" other
    run_maintain "$IGNORE" --no-rebuild-hnsw other
    assert_eq 3 "$STATUS" "status with --no-rebuild-hnsw: $(cat err)"
    assert_contains err 'unicode (default_tenant, default_database): commit leaves it as it is: '
    assert_contains err 'link_lists.bin: the entry of element 0'
    rm -rf other
    run_maintain -v "$IGNORE" "$DIR"
    assert_eq '0 ' "$STATUS $(cat err)" 'status and errors'
    assert_contains out 'rebuild-hnsw   collections/unicode: '
    assert_eq 1 "$(sql "$DIR" "SELECT count(*) FROM embeddings WHERE embedding_id = 'late'")" 'the record of the log'
    assert_sound "$DIR"
    rm -rf "$DIR"
}

# Where records would be left without a vector, only the user says so.
salvage() {
    copy_fixture chroma-1.5.9
    tear "$DIR" fragmented data_level0.bin 20000
    run_maintain -n "$DIR"
    assert_eq 3 "$STATUS" "status of a dry run: $(cat err)"
    assert_contains err 'collections/fragmented: 79 records have no vector anywhere: without --salvage'
    run_maintain "$DIR"
    assert_eq 3 "$STATUS" "status without --salvage: $(cat err)"
    assert_contains err '79 records have no vector anywhere, neither in the index nor in the log; the first is '
    assert_contains err ': with --salvage they stay, without one, and the index is built again [lost]'
    assert_contains err '[index_damaged]'
    assert_fails grep -q salvage=1 err
    assert_maintain 3 'collections/fragmented: 79 records have no vector any more: .chromafs/lost.jsonl lists them [lost]' --salvage "$DIR"
    assert_eq 79 "$(wc -l <"$DIR/.chromafs/lost.jsonl")" 'lines of lost.jsonl'
    assert_eq 130 "$(sql "$DIR" "SELECT count(*) FROM embeddings WHERE segment_id = '$(segment_of "$DIR" fragmented METADATA)'")" 'records'
    before=$(contents_of "$DIR")
    maintain "$IGNORE" "$DIR"
    assert_eq "$before" "$(contents_of "$DIR")" 'the directory after a second run'
    rm -rf "$DIR"
}

# Rows that can't be applied are told, and their file until it is moved away.
rejected_rows() {
    copy_fixture chroma-1.5.9-nopurge
    change "$DIR" "INSERT INTO embeddings_queue (operation, topic, id, metadata) SELECT 77, 'persistent://default/default/' || id, 'odd', '{}' FROM collections
        WHERE name = 'types'"
    run_maintain "$IGNORE" "$DIR"
    assert_eq '3 2' "$STATUS $(wc -l <err)" "status and lines on stderr: $(cat err)"
    assert_contains err '[rejected]'
    assert_contains err '.chromafs/rejected.jsonl'
    assert_maintain 3 '[rejected_rows]' "$IGNORE" "$DIR"
    maintain "$IGNORE,rejected_rows" "$DIR"
    mv "$DIR/.chromafs/rejected.jsonl" .
    maintain "$IGNORE" "$DIR"
    rm -rf "$DIR"
}

# What -v says, in place of nothing, on a terminal too, but with -q.
on_a_terminal() {
    copy_fixture chroma-1.5.9
    script -qec "chromafs-maintain $IGNORE '$DIR'" /dev/null </dev/null >out
    assert_contains out 'altogether     111 -> '
    script -qec "chromafs-maintain -q $IGNORE '$DIR'" /dev/null </dev/null >out
    assert_eq 0 "$(wc -c <out)" 'bytes on a terminal with -q'
    rm -rf "$DIR"
}

# One more step needs a name, two functions and its control: where there is none, it is told, and the others go on.
a_step_more() {
    copy_fixture chroma-1.5.9
    sed "s/^STEPS='.*'/STEPS='commit no-such-control clean'/; s/^begin_clean() {/begin_no_such_control() { is_wanted clean-orphans; }\n&/" bin/chromafs-maintain >bin/more
    chmod 755 bin/more
    MAINTAIN=$WORK/bin/more
    run_maintain "$IGNORE" "$DIR"
    MAINTAIN=$WORK/bin/chromafs-maintain
    assert_eq 1 "$STATUS" "status with a step more: $(cat err)"
    assert_contains err 'there is no control no-such-control in '
    assert_eq 'commit:done clean:done ' "$(operations "$DIR")" 'operations with a step more'
    assert_nothing_left
    rm -rf "$DIR"
}

no_jq
for part in ${PARTS:-each_fixture what_problems_ask_for commit_again dry_runs without_steps rebuild_fragmented rebuild_torn rebuild_what_commit_left salvage on_a_mount rejected_rows on_a_terminal a_step_more}; do
    note "$part"
    "$part"
done
