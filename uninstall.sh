#!/usr/bin/env bash
# Remove what install.sh made; your data, results and logs only when told.
set -euo pipefail

usage() {
  cat <<'EOF'
Usage: bash uninstall.sh [--data] [--results] [--log] [--all] [--yes]

Removes the environment (.venv, .tools). Nothing else, unless told:
  --data, --results, --log  also empty that folder, after asking; of a link only the link goes
  --all                     all three
  --yes                     do not ask
EOF
}

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
cd -- "$root"
folders=() yes=0

while [ $# -gt 0 ]; do
  case "$1" in
    --data | --results | --log) folders+=("${1#--}") ;;
    --all) folders=(data results log) ;;
    --yes) yes=1 ;;
    -h | --help) usage; exit 0 ;;
    *) printf 'uninstall.sh: unknown option %s\n\n' "$1" >&2; usage >&2; exit 2 ;;
  esac
  shift
done

confirmed() { # QUESTION: asks once per folder
  [ "$yes" = 0 ] || return 0
  local answer=""
  printf '%s? [y/N] ' "$1"
  read -r answer || true
  [ "$answer" = y ] || [ "$answer" = Y ] || [ "$answer" = yes ]
}

empty_folder() { # all but the README that belongs to the project; of a link the link alone, since others may use what it leads to
  if [ -L "$1" ]; then
    remove_link "$1"
  elif [ ! -d "$1" ] || [ -z "$(find "$1/" -mindepth 1 -maxdepth 1 ! -name README.md -print -quit)" ]; then
    echo "$1/ is empty."
  elif confirmed "Delete all in $(cd -- "$1" && pwd -P) ($(du -sh -- "$1/" 2>/dev/null | cut -f 1))"; then
    find "$1/" -mindepth 1 -maxdepth 1 ! -name README.md -exec rm -rf -- {} +
    echo "Emptied $1/."
  else
    echo "Kept $1/."
  fi
}

remove_link() {
  local target
  target=$(readlink -- "$1")
  if confirmed "Remove the link $1 (what it leads to, $target, stays)"; then
    rm -- "$1"
    echo "Removed the link $1; what it led to, $target, is as it was."
  else
    echo "Kept the link $1."
  fi
}

remove_environment() {
  if [ ! -f .tools/stamp ]; then
    if [ -e .venv ]; then echo "Kept .venv: install.sh did not make it."; else echo "No environment here."; fi
    rm -rf -- .tools
    return
  fi
  rm -rf -- .venv .tools code/cratermill.egg-info
  echo "Removed .venv and .tools."
}

if [ "${#folders[@]}" -gt 0 ] && [ "$yes" = 0 ] && [ ! -t 0 ]; then
  echo "uninstall.sh: nobody can be asked here. Next: give --yes to delete ${folders[*]} without asking." >&2
  exit 2
fi

remove_environment
for folder in ${folders[@]+"${folders[@]}"}; do
  empty_folder "$folder"
done
