"""``cratermill …``: each verb is one lazy call into the package, so that ``--help`` stays quick."""

from __future__ import annotations

import os
import sys

from . import cluster, data, labels, latents, machine, predict, rows, runs, science, show
from .app import app
from .failures import silence_output


def main() -> None:
    # Threads that spin while they wait starve each other on a shared machine: a demo cell took 39 s instead of 200 s this way
    # beside other work. It has to be said before torch is imported; workers and jobs come through here, too.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        app(prog_name="cratermill")  # the same for `python -m cratermill`
    finally:
        try:
            sys.stdout.flush()
        except BrokenPipeError:
            silence_output()


__all__ = ["app", "cluster", "data", "labels", "latents", "machine", "main", "predict", "rows", "runs", "science", "show"]
