"""Which process of a distributed training this is; all execute the same cell, rank 0 alone keeps its files."""

from __future__ import annotations

import os


def rank() -> int:
    """Global rank as torchrun (RANK), Lightning's own launcher (LOCAL_RANK) or srun (SLURM_PROCID) tell it; 0 otherwise."""
    for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID"):
        if os.environ.get(name, "").isdigit():
            return int(os.environ[name])
    return 0
