#!/bin/bash
#SBATCH --job-name=run.train.1
#SBATCH --array=0-0
#SBATCH --output=slurm/%A_%a.out
#SBATCH --open-mode=append
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=1
#SBATCH --mem=4096M
#SBATCH --time=60
#SBATCH --signal=B:USR2@120
#SBATCH --requeue
export CRATERMILL_SUBMISSION=1 CRATERMILL_MAX_REQUEUES=20
unset PYTHONPATH
export PYTHONNOUSERSITE=1
set -euo pipefail

# The cells of each array task.
cells=(
  3
)
plan=/project/log/runs/r/plan.json

exec /venv/bin/python -m cratermill cell "$plan" ${cells[$SLURM_ARRAY_TASK_ID]}
