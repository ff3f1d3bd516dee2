#!/bin/sh
# usage: scripts/install-deps.sh [GROUP...]
# Installs those Debian packages of the groups that are missing, and does nothing when none is. Groups:
#   build      to build and run chromafs (the default)
#   test       for `make check`
#   lint       for `make lint`
#   fuzz       for `make fuzz`, and for a build with clang
#   chroma     for the tests against real Chroma releases
#   coverage   for `make coverage`
#   bench      for `make bench`
#   all        all of these
# As root, or with sudo. Elsewhere than on Debian and its descendants it says what is needed, and exits with 1.
set -eu

say() { printf 'install-deps: %s\n' "$*" >&2; }

packages_of() {
    case $1 in
    build) echo gcc libc6-dev make pkg-config fuse3 libfuse3-dev libsqlite3-dev libjson-c-dev libxxhash-dev libssl-dev uthash-dev xz-utils scdoc ;;
    test) echo libcmocka-dev attr acl jq procps rsync sqlite3 ;;
    lint) echo clang-format clang-tidy cppcheck shellcheck codespell ;;
    fuzz) echo clang libclang-rt-dev ;;
    chroma) echo python3 python3-pip python3-venv ca-certificates ;;
    coverage) echo gcovr ;;
    bench) echo hyperfine python3 g++ libhnswlib-dev ;;
    all) for group in build test lint fuzz chroma coverage bench; do packages_of "$group"; done ;;
    *)
        say "unknown group '$1': build, test, lint, fuzz, chroma, coverage, bench or all"
        return 2
        ;;
    esac
}

# is_installed PACKAGE: pkg-config may also be pkgconf, which provides it
is_installed() {
    dpkg-query -W -f '${Status}\n' "$1" 2>/dev/null | grep -q 'ok installed' && return 0
    [ "$1" = pkg-config ] && command -v pkg-config >/dev/null
}

missing_of() {
    for package in "$@"; do
        is_installed "$package" || printf '%s ' "$package"
    done
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        say "not root, and there is no sudo; as root: $*"
        exit 1
    fi
}

install() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -q install -y --no-install-recommends "$@" >&2 </dev/null
}

# The package lists may be absent (containers) or too old for what the mirrors still hold: then they are fetched first.
install_missing() {
    if [ -z "$(find /var/lib/apt/lists -name '*Packages*' -print -quit 2>/dev/null)" ] || ! install "$@"; then
        as_root apt-get -o DPkg::Lock::Timeout=300 -q update >&2 </dev/null
        install "$@"
    fi
}

main() {
    packages=
    for group in "${@:-build}"; do
        packages="$packages $(packages_of "$group")"
    done
    if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
        say 'this is no Debian; needed are what Debian calls:'
        # shellcheck disable=SC2086  # a list of words
        printf '  %s\n' $packages | sort -u >&2
        exit 1
    fi
    # shellcheck disable=SC2046,SC2086  # a list of words
    missing=$(missing_of $(printf '%s\n' $packages | sort -u))
    [ -n "$missing" ] || exit 0
    say "missing: $missing"
    # shellcheck disable=SC2086  # a list of words
    install_missing $missing
}

main "$@"
