# shellcheck shell=bash
# What the Slurm launchers share; sourced by them.

launch_on_slurm() {
  local verb=$1 root config
  shift
  if [ $# -eq 0 ] || [ "$1" = -h ] || [ "$1" = --help ]; then
    cat <<USAGE
Usage: bash slurm/${0##*/} CONFIG [--profile NAME] [OPTIONS]

Runs: cratermill launch $verb CONFIG --executor slurm --profile NAME OPTIONS (e.g. --dry-run)
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
  exec .venv/bin/cratermill launch "$verb" "$config" --executor slurm "$@"
}
