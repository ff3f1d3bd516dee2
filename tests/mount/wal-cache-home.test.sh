#!/bin/sh
# skip-allowed: it needs root
# Where the cache of root is without a home, as of a service that systemd starts: in /var/cache/chromafs.
# shellcheck source=tests/mount/lib.sh
. "$CHROMAFS_LIB"

# In a mount namespace of its own: this machine's /var/cache is left alone.
need_root
if [ "${OWN_CACHE-}" != 1 ]; then
    # shellcheck disable=SC2016  # for the inner shell
    OWN_CACHE=1 unshare -m --propagation private sh -ec 'mount -t tmpfs none /var/cache; exec "$0"' "$0"
    exit 0
fi

unset XDG_CACHE_HOME HOME
for turn in first second; do
    mount_fixture chroma-1.5.9
    cat "$MNT/wal.jsonl" >"$turn"
    [ -s "$turn" ] || fail "the $turn mount shows no row"
    unmount
    assert_eq 1 "$(find /var/cache/chromafs -type f | wc -l)" 'files in /var/cache/chromafs'
    assert_eq '700 root' "$(stat -c '%a %U' /var/cache/chromafs)" 'mode and owner of /var/cache/chromafs'
done
assert_same_file first second
