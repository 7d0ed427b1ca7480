#!/usr/bin/env bash
# Map on a Slurm cluster: freeze the plan of CONFIG and submit what it still lacks.
set -euo pipefail
source "$(dirname -- "${BASH_SOURCE[0]}")/launcher.sh"
launch_on_slurm map "$@"
