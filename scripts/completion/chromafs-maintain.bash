# bash completion for chromafs-maintain(1)
# shellcheck shell=bash

_chromafs_maintain() {
    local cur=${COMP_WORDS[COMP_CWORD]}
    COMPREPLY=()
    if [[ $cur == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W '--backup= -n --dry-run --no-commit --no-clean --no-vacuum --no-rebuild-fts --no-rebuild-hnsw --no-clean-orphans
            --fragmentation= --salvage --erase
            --skip= --keep= --threads= --ignore= -v --verbose -q --quiet -h --help -V --version' -- "$cur")
        [[ ${#COMPREPLY[@]} -ne 1 || ${COMPREPLY[0]} != *= ]] || compopt -o nospace
    else
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -d -- "$cur")
    fi
}

complete -F _chromafs_maintain chromafs-maintain
