"""submitit as the way to the scheduler: it writes the script, pickles the work and brings it to the node.

What differs from its own SlurmExecutor, and why, stands in docs/submitit.md; the private parts used here are pinned by a test.
Only this module and `__main__` know submitit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import submitit
from submitit.core import utils

from ..core.files import write_text
from . import disk, scheduler
from .jobscript import Job, command, own_lines, parameters
from .profile import Profile
from .submissions import pickle_path

SETUP = "\n\n# setup\n"


class CellExecutor(submitit.SlurmExecutor):
    """submitit's executor for one submission: an array whose tasks share one pickle, written under its final name before sbatch."""

    def __init__(self, job: Job, profile: Profile):
        super().__init__(job.folder, max_num_timeout=0, python=job.python)
        self.job, self.profile = job, profile
        self.after: tuple[str, ...] = ()
        self.update_parameters(**parameters(job, profile))

    @classmethod
    def affinity(cls) -> int:
        """Scripts are written on machines without Slurm, too."""
        return 2

    @property
    def script(self) -> Path:
        return Path(self.job.folder) / f"{self.job.number}.sh"

    def submit_array(self, function: Callable[[], object], after: Sequence[str] = ()) -> int:  # type: ignore[override]
        """Hand over the work of all tasks, to begin once the jobs `after` (5, 5_3) have ended; returns the job id."""
        self.after = tuple(after)
        delayed = utils.DelayedSubmission(function)
        delayed.set_timeout(self.job.resources.time_min, 0)
        path = pickle_path(Path(self.job.folder), self.job.number)
        try:
            delayed.dump(path)
            write_text(self.script, self.text())
        except OSError as error:
            raise disk.cannot_write(path, "a submission", error) from error
        return int(self._submit_command(self._submitit_command_str).job_id)

    def text(self) -> str:
        return self._make_submission_file_text(self._submitit_command_str, "")

    @property
    def _submitit_command_str(self) -> str:
        return command(self.job, self.profile)

    def _make_submission_file_text(self, command: str, uid: str) -> str:
        text = super()._make_submission_file_text(command, uid)
        return text.replace(SETUP, "\n".join(["", *own_lines(self.job, self.profile), SETUP.removeprefix("\n")]), 1)

    def _submit_command(self, command: str) -> submitit.SlurmJob[object]:
        """Through our own call of sbatch: with a clean environment, a time-out, and an answer that is read line by line."""
        job_id = scheduler.submit(self.script, Path(self.job.folder).parent, self.after)
        return self.job_class(folder=self.folder, job_id=str(job_id), tasks=list(range(self._num_tasks())))


def script_of(job: Job, profile: Profile) -> str:
    """The whole script of a submission; sbatch is called in the folder above the job's."""
    return CellExecutor(job, profile).text()
