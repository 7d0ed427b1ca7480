"""What a job's script calls on a node: `python -m cratermill.batch FOLDER` runs the pickle of its submission, by submitit."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

from submitit.core import plugins, submission, utils
from submitit.slurm.slurm import SlurmJobEnvironment

from .submissions import pickle_path, result_path


class ArrayPaths(utils.JobPaths):
    """submitit's paths for tasks that share a pickle; a % or an id's mark in the folder's own name means nothing."""

    @property
    def submitted_pickle(self) -> Path:
        return pickle_path(self._folder, os.environ["CRATERMILL_SUBMISSION"])

    @property
    def result_pickle(self) -> Path:
        """Only functions that return have one (a probe); cells end by an exit code and leave products."""
        return result_path(self._folder, os.environ["CRATERMILL_SUBMISSION"])

    def _format_id(self, path: Path | str) -> Path:
        return Path(path)


class ArrayEnvironment(SlurmJobEnvironment):
    """submitit's environment of a Slurm job, with these paths; signals are left to the cell, which saves itself at its next step."""

    @classmethod
    def name(cls) -> str:
        """The script says `slurm`."""
        return "slurm"

    @property
    def paths(self) -> ArrayPaths:
        return ArrayPaths(os.environ["SUBMITIT_FOLDER"], job_id=self.job_id, task_id=self.global_rank)

    def _handle_signals(self, paths: utils.JobPaths, submission: utils.DelayedSubmission) -> None:
        """submitit would pickle and exit in the middle of whatever runs, and takes every job of ten minutes for timed out."""


def main() -> None:
    environments = plugins.get_job_environments()
    assert isinstance(environments, dict), "submitit keeps its environments in a dict"
    environments["slurm"] = ArrayEnvironment()
    logging.getLogger("submitit").setLevel(logging.WARNING)
    submission.process_job(sys.argv[1])


if __name__ == "__main__":
    main()
