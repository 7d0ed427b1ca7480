"""What of a shell's environment goes on to jobs and workers, and what of a job's own says which process this is."""

from __future__ import annotations

import os

# Of a shell that is itself a job or a process of a distributed training: it would be handed on, and ours would take it for theirs.
FOREIGN = (
    *("SBATCH_", "SLURM_", "SLURMD_", "SQUEUE_", "SACCT_", "SRUN_", "PMI_", "PMIX_", "OMPI_"),
    *("TORCHELASTIC_", "CRATERMILL_SUBMISSION", "CRATERMILL_MAX_REQUEUES"),
)
FOREIGN_NAMES = {
    *("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_RANK", "NODE_RANK", "ROLE_RANK", "MASTER_ADDR", "MASTER_PORT"),
    *("SUBMITIT_EXECUTOR", "SUBMITIT_FOLDER", "_TEST_CLUSTER_"),
}
REQUEUE_FILE = "CRATERMILL_REQUEUE_FILE"
"""Names the file in which a cell asks its job's shell to requeue the job, where it can't itself."""
KEPT = {"SLURM_CONF", "SLURM_CLUSTERS"}


def clean_environment() -> dict[str, str]:
    """Without SBATCH_* (they override the script) and without what the launching shell is to another job; PYTHON's stay."""
    return {name: value for name, value in os.environ.items() if name in KEPT or not _is_foreign(name)}


def _is_foreign(name: str) -> bool:
    return name.startswith(FOREIGN) or name in FOREIGN_NAMES


def rank() -> int:
    """Global rank as torchrun (RANK), Lightning's own launcher (LOCAL_RANK) or srun (SLURM_PROCID) tell it; 0 otherwise."""
    for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID"):
        if os.environ.get(name, "").isdigit():
            return int(os.environ[name])
    return 0
