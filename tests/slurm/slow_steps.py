"""The stages, with training steps of at least a second until Slurm has requeued the job: time to disturb it."""

import os
import time

from cratermill.pipeline import run_cell

STEP_S = 1.0


def slowed(tell):
    def slow(training):
        time.sleep(STEP_S)
        tell(training)

    return slow


def slowly(plan, cell, workspace):
    """The work of a cell, for executors to name."""
    from cratermill.training.loop import Training

    if os.environ.get("SLURM_RESTART_COUNT", "0") == "0":
        Training.tell = slowed(Training.tell)
    return run_cell(plan, cell, workspace)
