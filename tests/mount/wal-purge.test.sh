#!/bin/sh
# Rows leave: what is open keeps its offsets, gives ESTALE for exactly the rows that have left, the others as ever, and new ones
# behind; a new open is another generation, without them.
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"
# shellcheck source=tests/mount/helpers/wal.sh
. "${CHROMAFS_LIB%/*}/helpers/wal.sh"

# begin: the log anew: ten rows of A, ten of B, and so on. Opens all three files and notes their lines.
begin() {
    change "$DIR" 'DELETE FROM embeddings_queue'
    assert_wals "$DIR" "$A" "$B" # so that nothing of before comes back
    for first in 101 121 141 161; do
        add_rows "$DIR" "$A" "$first" $((first + 9))
        add_rows "$DIR" "$B" $((first + 10)) $((first + 19))
    done
    exec 3<"$MNT/wal.jsonl" 4<"$(wal_of "$A")" 5<"$(wal_of "$B")"
    wal_lines "$DIR" >root
    wal_lines "$DIR" "$(of_collection "$A")" >a
    wal_lines "$DIR" "$(of_collection "$B")" >b
    inodes=$(stat -L -c %i "$MNT/wal.jsonl" "$(wal_of "$A")" "$(wal_of "$B")")
    for lines in gone gone-a gone-b; do : >$lines; done
}

# leave CONDITION
leave() {
    wal_lines "$DIR" "$1" | tee -a gone >left
    grep -F "$A" left >>gone-a || :
    grep -F "$B" left >>gone-b || :
    take_rows "$DIR" "$1"
}

# come ID FIRST LAST
come() {
    add_rows "$DIR" "$1" "$2" "$3"
    wal_lines "$DIR" "seq_id BETWEEN $2 AND $3" | tee -a root >>new
    case $1 in
    "$A") cat new >>a ;;
    *) cat new >>b ;;
    esac
    rm new
}

# check: what is open, and what is opened now
check() {
    assert_held root gone 3
    assert_held a gone-a 4
    assert_held b gone-b 5
    assert_wals "$DIR" "$A" "$B"
}

# assert_generation FILE OLD_NUMBER same|other
assert_generation() {
    now=$(stat -L -c %i "$1")
    case $3 in
    same) assert_eq "$2" "$now" "inode number of $1" ;;
    *) [ "$2" != "$now" ] || fail "$1 is another generation with the same inode number" ;;
    esac
}

# assert_generations ROOT A B: same or other
assert_generations() {
    # shellcheck disable=SC2086  # three numbers
    set -- "$@" $inodes
    assert_generation "$MNT/wal.jsonl" "$4" "$1"
    assert_generation "$(wal_of "$A")" "$5" "$2"
    assert_generation "$(wal_of "$B")" "$6" "$3"
}

end() { exec 3<&- 4<&- 5<&-; }

a_prefix_of_one() {
    begin
    leave "$(of_collection "$A") AND seq_id < 125"
    check
    assert_generations other other same
    come "$B" 181 185
    come "$A" 186 190
    check
    end
}

# Chroma's purge leaves at least one row; the next ones go further.
again_and_again() {
    begin
    for limit in 103 121 128 150 169; do
        leave "$(of_collection "$A") AND seq_id < $limit"
        come "$B" $((limit + 100)) $((limit + 101))
        leave "$(of_collection "$B") AND seq_id < $((limit - 10))"
        check
    done
    end
}

# In one commit, while nobody looks.
purged_and_appended() {
    begin
    wal_lines "$DIR" 'seq_id < 150' >gone
    grep -F "$A" gone >gone-a
    grep -F "$B" gone >gone-b
    change "$DIR" "BEGIN; DELETE FROM embeddings_queue WHERE seq_id < 150; $(add_rows_sql "$A" 181 190) $(add_rows_sql "$B" 191 200) COMMIT"
    wal_lines "$DIR" 'seq_id > 180' >>root
    wal_lines "$DIR" "seq_id > 180 AND $(of_collection "$A")" >>a
    wal_lines "$DIR" "seq_id > 180 AND $(of_collection "$B")" >>b
    check
    assert_generations other other other
    end
}

# Deleting a collection takes all of its rows, which may be the last ones: their seq_ids are given again.
used_again() {
    begin
    leave "$(of_collection "$B")"
    check
    come "$A" 171 200
    check
    assert_generations other same other
    end
}

# The same in one commit.
used_again_at_once() {
    begin
    change "$DIR" "BEGIN; DELETE FROM embeddings_queue WHERE $(of_collection "$B"); $(add_rows_sql "$A" 171 200) COMMIT"
    wal_lines "$DIR" "seq_id > 170" | tee -a a >>root
    assert_held a none 4
    assert_held b b 5
    assert_wals "$DIR" "$A" "$B"
    end
}

# All leaves, and the count begins again.
everything() {
    begin
    leave 1
    check
    assert_eq 0 "$(stat -c %s "$MNT/wal.jsonl")" 'size of an empty log'
    come "$A" 1 3
    assert_wals "$DIR" "$A" "$B"
    assert_errno ESTALE helper wal_pread 0 10 <&3
    assert_errno ESTALE helper wal_pread 0 10 <&4
    end
}

# A read across the boundary gives what is left before it, and only the next one fails.
read_across() {
    begin
    exec 6<"$MNT/wal.jsonl"
    leave "$(of_collection "$B") AND seq_id < 130"
    length=$(head -n 10 root | wc -c)
    assert_eq "$length" "$(helper wal_pread 0 1000000 <&6 | wc -c)" 'bytes of a read across the rows that have left'
    assert_errno ESTALE helper wal_pread "$length" 1 <&6
    timeout 20 cat <&6 >got 2>err && fail 'cat reads what has left'
    assert_contains err "$(errno_text ESTALE)"
    head -n 10 root | cmp - got >&2 || fail 'what cat reads before it fails'
    exec 6<&-
    end
}

# What was purged while it was being read, by a reader that is slow and reads in small pieces.
read_slowly() {
    begin
    exec 6<"$(wal_of "$A")"
    head -c 100 <&6 >/dev/null
    leave "$(of_collection "$A") AND seq_id < 150"
    assert_wals "$DIR" "$A" "$B"
    come "$A" 181 182
    tail -n 2 <&6 >last || fail 'tail can not seek over rows that have left'
    wal_lines "$DIR" 'seq_id > 180' | cmp - last >&2 || fail 'the last rows'
    exec 6<&-
    end
}

touch none
mount_fixture chroma-1.5.9
A=$(id_of "$DIR" space_l2) B=$(id_of "$DIR" types)
for part in a_prefix_of_one again_and_again purged_and_appended used_again used_again_at_once everything read_across read_slowly; do
    note "$part"
    "$part"
done
