#!/bin/bash

# Parameters
#SBATCH --array=0-2%4
#SBATCH --cpus-per-task=8
#SBATCH --job-name=run.train.12
#SBATCH --mem=512M
#SBATCH --no-requeue
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --open-mode=append
#SBATCH --output=slurm/%A_%a.out
#SBATCH --signal=B:USR2@120
#SBATCH --time=90
#SBATCH --partition=gpu,gpu-long
#SBATCH --account="my project"
#SBATCH --qos="it's \"high\""
#SBATCH --constraint=a100|h100&ib
#SBATCH --exclude=node[07-08]
#SBATCH --wckey="$(touch owned)"
#SBATCH --gres=gpu:a100:2
#SBATCH --reservation="of the night"
#SBATCH --exclusive

# setup
export CRATERMILL_SUBMISSION=12 CRATERMILL_MAX_REQUEUES=0
module load cuda/12.4 || exit 1
module load '$(touch owned); x' || exit 1
unset PYTHONPATH
export PYTHONNOUSERSITE=1
export PYTHONPATH='/data/it'"'"'s "x" $(touch owned)
`touch owned`;#/log/code/0123.zip'${PYTHONPATH:+:$PYTHONPATH}
export CRATERMILL_CONFIGS='/opt/it'"'"'s/configs'
set -euo pipefail

# command
export SUBMITIT_EXECUTOR=slurm
exec '/envs/it'"'"'s $(x)/python' -u -m cratermill.batch '/data/it'"'"'s "x" $(touch owned)
`touch owned`;#/log/runs/r/slurm'
