"""The stages, with trainings that wait after their first step until Slurm asks them to stop: found at work however slow the machine."""

import time

from cratermill.pipeline import run_cell


def held(plan):
    """A file that is there once a training waits."""
    return plan.root / "held"


def holding(tell):
    def hold(training):
        tell(training)
        # The other processes wait for this one, which alone tells them to stop.
        if training.fabric.is_global_zero:
            held(training.workspace.plan).touch()
            while not training.workspace.stop_requested:
                time.sleep(0.05)

    return hold


def slowly(plan, cell, workspace):
    """The work of a cell, for executors to name."""
    from cratermill.training.loop import Training

    if not held(plan).exists():
        Training.tell = holding(Training.tell)
    return run_cell(plan, cell, workspace)
