#!/bin/bash

# Parameters
#SBATCH --array=0-0
#SBATCH --cpus-per-task=1
#SBATCH --job-name=run.train.1
#SBATCH --mem=4096M
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --open-mode=append
#SBATCH --output=slurm/%A_%a.out
#SBATCH --requeue
#SBATCH --signal=B:USR2@120
#SBATCH --time=60

# setup
export CRATERMILL_SUBMISSION=1 CRATERMILL_MAX_REQUEUES=20
unset PYTHONPATH
export PYTHONNOUSERSITE=1
export PYTHONPATH=/project/log/code/0123.zip${PYTHONPATH:+:$PYTHONPATH}
export CRATERMILL_CONFIGS='/opt/it'"'"'s/configs'
set -euo pipefail

# command
export SUBMITIT_EXECUTOR=slurm
exec /venv/bin/python -u -m cratermill.batch /project/log/runs/r/slurm
