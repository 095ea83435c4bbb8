# What bash-completion does when a person presses Tab behind the words of "$@", and what it offers.
# shellcheck disable=SC1091,SC2034
source /usr/share/bash-completion/bash_completion
_comp_load "$1" 2>/dev/null || __load_completion "$1" || _completion_loader "$1"
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_LINE="$*" COMP_POINT=${#COMP_LINE}
entry="$(complete -p "$1")"
handler="${entry##*-F }"
"${handler%% *}" "$1" "${*: -1}" "${*: -2:1}"
printf '%s\n' "${COMPREPLY[@]}"
