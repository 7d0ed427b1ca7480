#!/bin/bash
#SBATCH --job-name=run.train.12
#SBATCH --array=0-2%4
#SBATCH --output=slurm/%A_%a.out
#SBATCH --open-mode=append
#SBATCH --partition=gpu,gpu-long
#SBATCH --account="my project"
#SBATCH --qos="it's \"high\""
#SBATCH --constraint=a100|h100&ib
#SBATCH --exclude=node[07-08]
#SBATCH --wckey="$(touch owned)"
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --mem=512M
#SBATCH --time=90
#SBATCH --gres=gpu:a100:2
#SBATCH --signal=B:USR2@120
#SBATCH --no-requeue
#SBATCH --reservation="of the night"
#SBATCH --exclusive
export CRATERMILL_SUBMISSION=12 CRATERMILL_MAX_REQUEUES=0
module load cuda/12.4 || exit 1
module load '$(touch owned); x' || exit 1
unset PYTHONPATH
export PYTHONNOUSERSITE=1
set -euo pipefail

# The cells of each array task.
cells=(
  0
  4
  7
)
plan='/data/it'"'"'s "x" $(touch owned)
`touch owned`;#/log/runs/r/plan.json'

exec '/envs/it'"'"'s $(x)/python' -m cratermill cell "$plan" ${cells[$SLURM_ARRAY_TASK_ID]}
