# bash completion for spillfs

# What may follow `-o`: the names, or the words of the one that is being written.
_spillfs_options() {
  local item=${1##*,} words='@OPTION_NAMES@' name=''
  case $item in
@VALUES@
    *=*) words='' ;;
  esac
  case $item in
    *=*) name=${item%"${item##*[=:]}"} ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "${item#"$name"}"))
  # Readline replaces what stands behind the last word break; "=" is one, "," is none.
  if [ -z "$name" ] && [ "$1" != "$item" ]; then
    local before=${1%"$item"}
    COMPREPLY=("${COMPREPLY[@]/#/${before##*[=:]}}")
  fi
  compopt -o nospace 2>/dev/null
}

_spillfs() {
  local line=${COMP_LINE:0:COMP_POINT} words word previous verb flags=''
  read -ra words <<<"$line"
  case $line in
    *[[:space:]]) words+=('') ;;
  esac
  word=${words[-1]} previous=${words[-2]:-} verb=${words[1]:-}
  COMPREPLY=()
  if [ ${#words[@]} -le 2 ]; then
    COMPREPLY=($(compgen -W '@VERB_NAMES@ --help --version' -- "$word"))
    return
  fi
  case $verb,$previous in
    mount,-o | config,-o) _spillfs_options "$word"; return ;;
  esac
  case $verb in
@FLAGS@
  esac
  case $word in
    -*) COMPREPLY=($(compgen -W "$flags" -- "$word")) ;;
    *) compopt -o default 2>/dev/null ;;
  esac
}

complete -F _spillfs spillfs
