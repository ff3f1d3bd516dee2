# bash completion for chromafs-erase(1)
# shellcheck shell=bash

_chromafs_erase() {
    local cur=${COMP_WORDS[COMP_CWORD]}
    COMPREPLY=()
    if [[ $cur == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W '--text= --text-file= --vector= --empty-trash -n --scan --salvage --threads= -q --quiet -h --help -V --version' -- "$cur")
        [[ ${#COMPREPLY[@]} -ne 1 || ${COMPREPLY[0]} != *= ]] || compopt -o nospace
    else
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -d -- "$cur")
    fi
}

complete -F _chromafs_erase chromafs-erase
