# shellcheck shell=bash
# What the launchers share; sourced by them.

# Takes --through STAGE out of the options: sets verb (what to launch) and rest (the other options).
split_through() {
  verb=("$1") rest=()
  shift
  while [ $# -gt 0 ]; do
    case "$1" in
      --through) verb=(all --until "${2:?--through needs a stage, e.g. map}"); shift ;;
      --through=*) set -- --through "${1#--through=}" "${@:2}"; continue ;;
      *) rest+=("$1") ;;
    esac
    shift
  done
  # Nobody who asks for a map wants its parts without the whole.
  if [ "${verb[*]}" = "all --until map" ]; then verb=(all); fi
}

launch_on_slurm() {
  local stage=$1 root config
  shift
  if [ $# -eq 0 ] || [ "$1" = -h ] || [ "$1" = --help ]; then
    cat <<USAGE
Usage: bash slurm/${0##*/} CONFIG [--profile NAME] [OPTIONS]

Runs: cratermill launch $stage CONFIG --executor slurm --profile NAME OPTIONS (e.g. --dry-run)
With --through STAGE: cratermill launch all, up to that stage; --through map makes the whole map, in one go.
NAME is a file of configs/clusters, without .yaml; the variable CRATERMILL_PROFILE gives it, too.
USAGE
    [ $# -gt 0 ] || return 2
    return 0
  fi
  root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
  config=$1
  shift
  if [ -e "$config" ]; then
    config=$(cd -- "$(dirname -- "$config")" && pwd -P)/$(basename -- "$config")
  fi # else it may be named relative to the project
  bash "$root/install.sh" --quiet
  cd -- "$root" || return
  unset PYTHONPATH
  export PYTHONNOUSERSITE=1
  split_through "$stage" "$@"
  exec .venv/bin/cratermill launch "${verb[@]}" "$config" --executor slurm ${rest[@]+"${rest[@]}"}
}
