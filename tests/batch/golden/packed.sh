#!/bin/bash

# Parameters
#SBATCH --array=0-1
#SBATCH --cpus-per-task=1
#SBATCH --job-name=run.map.2
#SBATCH --mem=4096M
#SBATCH --no-requeue
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --open-mode=append
#SBATCH --output=slurm/%A_%a.out
#SBATCH --signal=B:USR2@120
#SBATCH --time=60
#SBATCH --partition=gpu,gpu-long
#SBATCH --account="my project"
#SBATCH --qos="it's \"high\""
#SBATCH --constraint=a100|h100&ib
#SBATCH --exclude=node[07-08]
#SBATCH --wckey="$(touch owned)"
#SBATCH --reservation="of the night"
#SBATCH --exclusive

# setup
export CRATERMILL_SUBMISSION=2 CRATERMILL_MAX_REQUEUES=0
module load cuda/12.4 || exit 1
module load '$(touch owned); x' || exit 1
source /envs/it/bin/activate
export PYTHONPATH=/p/log/code/0123.zip${PYTHONPATH:+:$PYTHONPATH}
export CRATERMILL_CONFIGS='/opt/it'"'"'s/configs'
set -euo pipefail

# command
export SUBMITIT_EXECUTOR=slurm
exec python -u -m cratermill.batch /p/log/runs/r/slurm
