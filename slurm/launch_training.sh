#!/usr/bin/env bash
# Train on this machine, one cell after the other; installs what is missing first.
set -euo pipefail

usage() {
  cat <<'EOF'
Usage: bash slurm/launch_training.sh [CONFIG] [OPTIONS]

Without CONFIG: the demo, from a synthetic planet to a map, in about ten minutes.
With CONFIG:    cratermill launch train CONFIG --executor local OPTIONS (e.g. --workers 2, --dry-run)
With --through STAGE (prepare, train, evaluate, summarise, map, composite, analyse) as well: cratermill launch all, up to that stage.
--through map makes the whole map.
EOF
}

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
source "$root/slurm/launcher.sh"

case "${1:-}" in
  -h | --help) usage; exit 0 ;;
esac

config=""
if [ $# -gt 0 ] && [ "${1#-}" = "$1" ]; then
  config=$1
  shift
  if [ -e "$config" ]; then
    config=$(cd -- "$(dirname -- "$config")" && pwd -P)/$(basename -- "$config")
  fi # else it may be named relative to the project, e.g. configs/demo/demo.yaml
fi

bash "$root/install.sh" --quiet
cd -- "$root"
unset PYTHONPATH            # a cluster's modules may set it, and it would win over the environment's own packages
export PYTHONNOUSERSITE=1   # nor may packages in the user's home

if [ -z "$config" ]; then
  exec .venv/bin/cratermill demo "$@"
fi
split_through train "$@"
exec .venv/bin/cratermill launch "${verb[@]}" "$config" --executor local ${rest[@]+"${rest[@]}"}
