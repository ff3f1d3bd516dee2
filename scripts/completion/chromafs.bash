# bash completion for chromafs(1)
# shellcheck shell=bash

_chromafs() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} word
    COMPREPLY=()
    if [[ $prev == -o ]]; then
        # Several options are one word, joined by commas: the last one is completed.
        local head=
        [[ $cur != *,* ]] || head=${cur%,*},
        while IFS= read -r word; do
            COMPREPLY+=("$head$word")
        done < <(compgen -W 'ro allow_other privacy skip=' -- "${cur##*,}")
        [[ ${#COMPREPLY[@]} -ne 1 || ${COMPREPLY[0]} != *= ]] || compopt -o nospace
    elif [[ $cur == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W '-o -f -d -h --help -V --version' -- "$cur")
    else
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -d -- "$cur")
    fi
}

complete -F _chromafs chromafs
