# bash completion for chromafs-wal-backup(1)
# shellcheck shell=bash

_chromafs_wal_backup() {
    local cur=${COMP_WORDS[COMP_CWORD]}
    COMPREPLY=()
    if [[ $cur == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W '--keep= --rsync-option= -v --verbose -h --help -V --version' -- "$cur")
        [[ ${#COMPREPLY[@]} -ne 1 || ${COMPREPLY[0]} != *= ]] || compopt -o nospace
    else
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -d -- "$cur")
    fi
}

complete -F _chromafs_wal_backup chromafs-wal-backup
