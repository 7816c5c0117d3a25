#compdef spillfs

_spillfs_options() {
  _values -s , option \
    @OPTIONS@
}

_spillfs() {
  local context state state_descr line
  typeset -A opt_args
  local -a verbs=(
@VERBS@
  )
  _arguments '--help[print the help]' '--version[print the version]' '1:verb:->verb' \
    '*::argument:->argument'
  case $state in
    verb) _describe verb verbs ;;
    argument) case $line[1] in
@FLAGS@
    esac ;;
  esac
}

_spillfs "$@"
