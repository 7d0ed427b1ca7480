"""`python -m cratermill …`, with training steps of at least a second until Slurm has requeued the job: time to disturb it."""

import os
import sys
import time

from cratermill.__main__ import main
from cratermill.training.loop import Training

STEP_S = 1.0


def slowed(tell):
    def slow(training):
        time.sleep(STEP_S)
        tell(training)

    return slow


if __name__ == "__main__":
    if os.environ.get("SLURM_RESTART_COUNT", "0") == "0":
        Training.tell = slowed(Training.tell)
    sys.exit(main())
