#!/bin/bash
#SBATCH --job-name=run.map.2
#SBATCH --array=0-1
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
#SBATCH --cpus-per-task=1
#SBATCH --mem=4096M
#SBATCH --time=60
#SBATCH --signal=B:USR2@120
#SBATCH --no-requeue
#SBATCH --reservation="of the night"
#SBATCH --exclusive
export CRATERMILL_SUBMISSION=2 CRATERMILL_MAX_REQUEUES=0
module load cuda/12.4 || exit 1
module load '$(touch owned); x' || exit 1
source /envs/it/bin/activate
set -euo pipefail

# The cells of each array task.
cells=(
  '0 1 2'
  3
)
plan=/p/plan.json

exec python -m cratermill cell "$plan" --side-by-side 2 ${cells[$SLURM_ARRAY_TASK_ID]}
