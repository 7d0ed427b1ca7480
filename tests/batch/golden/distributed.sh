#!/bin/bash

# Parameters
#SBATCH --array=0-0
#SBATCH --cpus-per-task=3
#SBATCH --job-name=run.train.3
#SBATCH --mem=4096M
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4
#SBATCH --open-mode=append
#SBATCH --output=slurm/%A_%a.out
#SBATCH --requeue
#SBATCH --signal=USR2@120
#SBATCH --time=60
#SBATCH --gres=gpu:4

# setup
export CRATERMILL_SUBMISSION=3 CRATERMILL_MAX_REQUEUES=20
unset PYTHONPATH
export PYTHONNOUSERSITE=1
export PYTHONPATH=/p/log/code/0123.zip${PYTHONPATH:+:$PYTHONPATH}
export CRATERMILL_CONFIGS='/opt/it'"'"'s/configs'
set -euo pipefail
# Rank 0 runs on this node; its port is free now, and other jobs here ask the same way.
MASTER_PORT=$(/v/python -c 'import socket; s = socket.socket(); s.bind(("", 0)); print(s.getsockname()[1])')
MASTER_ADDR=$(hostname)
export MASTER_PORT MASTER_ADDR
# The tasks save themselves on SIGTERM; this shell and srun must outlive that.
trap : TERM USR2

# command
export SUBMITIT_EXECUTOR=slurm
srun --kill-on-bad-exit=1 --cpus-per-task=3 /v/python -u -m cratermill.batch /p/log/runs/r/slurm
