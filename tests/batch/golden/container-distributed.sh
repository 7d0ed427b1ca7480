#!/bin/bash

# Parameters
#SBATCH --array=0-0
#SBATCH --cpus-per-task=1
#SBATCH --job-name=run.train.3
#SBATCH --mem=4096M
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=2
#SBATCH --open-mode=append
#SBATCH --output=slurm/%A_%a.out
#SBATCH --requeue
#SBATCH --signal=USR2@120
#SBATCH --time=60
#SBATCH --gres=gpu:2

# setup
export CRATERMILL_SUBMISSION=3 CRATERMILL_MAX_REQUEUES=20
unset PYTHONPATH
export PYTHONNOUSERSITE=1
export PYTHONPATH=/p/log/code/0123.zip${PYTHONPATH:+:$PYTHONPATH}
export CRATERMILL_CONFIGS='/opt/it'"'"'s/configs'
set -euo pipefail
# Rank 0 runs on this node; its port is free now, and other jobs here ask the same way.
MASTER_PORT=$(apptainer exec --nv --rocm --bind /p/log/runs/r --bind '/opt/it'"'"'s/configs' --bind '/scratch/a b' --bind /c:/d:ro '/images/it'"'"'s $(x).sif' python -c 'import socket; s = socket.socket(); s.bind(("", 0)); print(s.getsockname()[1])')
MASTER_ADDR=$(hostname)
export MASTER_PORT MASTER_ADDR
# The tasks save themselves on SIGTERM; this shell and srun must outlive that.
trap : TERM USR2

# command
export SUBMITIT_EXECUTOR=slurm
export CRATERMILL_REQUEUE_FILE=/p/log/runs/r/slurm/requeue-$SLURM_JOB_ID
srun --kill-on-bad-exit=1 --cpus-per-task=1 apptainer exec --nv --rocm --bind /p/log/runs/r --bind '/opt/it'"'"'s/configs' --bind '/scratch/a b' --bind /c:/d:ro '/images/it'"'"'s $(x).sif' python -u -m cratermill.batch /p/log/runs/r/slurm & child=$!
code=0; while kill -0 "$child" 2>/dev/null; do wait "$child" || :; done; wait "$child" || code=$?
if [ -s "$CRATERMILL_REQUEUE_FILE" ]; then
  again=$(<"$CRATERMILL_REQUEUE_FILE"); rm -f "$CRATERMILL_REQUEUE_FILE"; scontrol requeue "$again"
fi
exit "$code"
