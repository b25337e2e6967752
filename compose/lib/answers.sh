# shellcheck shell=bash
# The answers of a deployment in an environment file, to be kept in a repository and to
# deploy the same elsewhere: one NAME=TEXT on each line, and two names for what is no
# variable. It is sourced, never run, and needs die.
#
#   WAGGLE_FILES=a.yml:b.yml   further stack files; a relative one is beside the file
#   WAGGLE_FLAGS=WORDS         flags of docker stack deploy

# read_answers prints a file of answers as lines of memory.sh.
read_answers() {
  local folder line name text number=0 one words=()
  folder=$(cd "$(dirname "$1")" && pwd)
  while IFS= read -r line || [ -n "$line" ]; do
    number=$((number + 1))
    case $line in '' | '#'*) continue ;; esac
    name=${line%%=*} text=${line#*=}
    [[ $line == *=* && $name =~ ^[A-Za-z_][A-Za-z0-9_]*$ ]] || die "$1, line $number: '$line' is no NAME=TEXT"
    # Quotes around the whole text are not part of it, as elsewhere in such files.
    case $text in \"*\" | \'*\') text=${text:1:-1} ;; esac
    case $name in
      WAGGLE_FILES)
        while IFS= read -r -d : one; do
          [ -z "$one" ] || case $one in /*) printf 'file %s\n' "$one" ;; *) printf 'file %s/%s\n' "$folder" "$one" ;; esac
        done <<<"$text:"
        ;;
      WAGGLE_FLAGS)
        read -ra words <<<"$text"
        for one in "${!words[@]}"; do
          case ${words[one]} in
            --with-registry-auth) printf 'flag %s\n' "${words[one]}" ;;
            --resolve-image) printf 'flag %s %s\n' "${words[one]}" "${words[one + 1]:-}" ;;
            -*) die "$1, line $number: the flag ${words[one]} cannot be kept; want --with-registry-auth or --resolve-image WORD" ;;
          esac
        done
        ;;
      *) printf 'variable %s=%s\n' "$name" "$text" ;;
    esac
  done <"$1"
}

# write_answers makes lines of memory.sh, on its standard input, a file of answers. Who may
# not read the former file may not read the new one.
write_answers() {
  local folder kind rest files='' flags='' scratch
  folder=$(cd "$(dirname "$1")" && pwd)
  scratch=$(mktemp "$folder/.answers.XXXXXX")
  [ ! -e "$1" ] || chmod --reference="$1" "$scratch"
  {
    echo "# What Waggle is deployed with, written by compose/deploy --env-file. It holds no secret."
    while read -r kind rest; do
      case $kind in
        variable) printf '%s\n' "$rest" ;;
        file) files+=${files:+:}${rest#"$folder/"} ;;
        flag) flags+=${flags:+ }$rest ;;
      esac
    done
    [ -z "$files" ] || printf 'WAGGLE_FILES=%s\n' "$files"
    [ -z "$flags" ] || printf 'WAGGLE_FLAGS=%s\n' "$flags"
  } >"$scratch"
  mv "$scratch" "$1"
}
