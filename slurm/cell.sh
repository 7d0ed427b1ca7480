# shellcheck shell=bash
# What every job template does: execute cell number $SLURM_ARRAY_TASK_ID of the plan $1. Sourced, never run by itself.

if [ $# -ne 1 ] || [ -z "${SLURM_ARRAY_TASK_ID:-}" ]; then
  echo "usage: sbatch --array=FIRST-LAST slurm/train.slurm log/runs/RUN/plan.json" >&2
  echo "Next: cratermill launch train CONFIG --freeze   (writes a plan and says which lines submit it)" >&2
  exit 2
fi
unset PYTHONPATH
export PYTHONNOUSERSITE=1
# A cell that the time limit interrupts saves itself and goes back into the queue, so many times at most.
export CRATERMILL_MAX_REQUEUES="${CRATERMILL_MAX_REQUEUES:-20}"
exec "${root:?set by the template}/.venv/bin/cratermill" cell "$1" "$SLURM_ARRAY_TASK_ID"
