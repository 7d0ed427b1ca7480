#!/bin/bash
#SBATCH --job-name=run.train.3
#SBATCH --array=0-0
#SBATCH --output=slurm/%A_%a.out
#SBATCH --open-mode=append
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4
#SBATCH --cpus-per-task=1
#SBATCH --mem=4096M
#SBATCH --time=60
#SBATCH --gres=gpu:4
#SBATCH --signal=USR2@120
#SBATCH --requeue
export CRATERMILL_SUBMISSION=3 CRATERMILL_MAX_REQUEUES=20
unset PYTHONPATH
export PYTHONNOUSERSITE=1
set -euo pipefail

# The cells of each array task.
cells=(
  0
)
plan=/p/plan.json

# Rank 0 runs on this node; its port is free now, and other jobs here ask the same way.
MASTER_PORT=$(/v/python -c 'import socket; s = socket.socket(); s.bind(("", 0)); print(s.getsockname()[1])')
MASTER_ADDR=$(hostname)
export MASTER_PORT MASTER_ADDR
# The tasks save themselves on SIGTERM; this shell and srun must outlive that.
trap : TERM USR2
srun --kill-on-bad-exit=1 /v/python -m cratermill cell "$plan" ${cells[$SLURM_ARRAY_TASK_ID]}
