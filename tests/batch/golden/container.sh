#!/bin/bash

# Parameters
#SBATCH --array=0-0
#SBATCH --cpus-per-task=1
#SBATCH --job-name=run.map.2
#SBATCH --mem=4096M
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --open-mode=append
#SBATCH --output=slurm/%A_%a.out
#SBATCH --requeue
#SBATCH --signal=B:USR2@120
#SBATCH --time=60
#SBATCH --gres=gpu:1

# setup
export CRATERMILL_SUBMISSION=2 CRATERMILL_MAX_REQUEUES=20
unset PYTHONPATH
export PYTHONNOUSERSITE=1
export PYTHONPATH='/p it'"'"'s/log/code/0123.zip'${PYTHONPATH:+:$PYTHONPATH}
export CRATERMILL_CONFIGS='/opt/it'"'"'s/configs'
set -euo pipefail

# command
export SUBMITIT_EXECUTOR=slurm
export CRATERMILL_REQUEUE_FILE='/p it'"'"'s/log/runs/r/slurm/requeue-'$SLURM_JOB_ID
apptainer exec --nv --rocm --bind '/p it'"'"'s/log/runs/r' --bind '/opt/it'"'"'s/configs' --bind '/scratch/a b' --bind /c:/d:ro '/images/it'"'"'s $(x).sif' python -u -m cratermill.batch '/p it'"'"'s/log/runs/r/slurm' & child=$!
trap 'kill -USR2 "$child" 2>/dev/null || :' USR2
trap 'kill -TERM "$child" 2>/dev/null || :' TERM
code=0; while kill -0 "$child" 2>/dev/null; do wait "$child" || :; done; wait "$child" || code=$?
if [ -s "$CRATERMILL_REQUEUE_FILE" ]; then
  again=$(<"$CRATERMILL_REQUEUE_FILE"); rm -f "$CRATERMILL_REQUEUE_FILE"; scontrol requeue "$again"
fi
exit "$code"
