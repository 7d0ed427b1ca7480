"""The text of a job script, as a pure function; nothing of it is ever interpreted by a shell unquoted."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from .profile import Profile, Resources


@dataclass(frozen=True)
class Job:
    """One submission: an array whose task i executes the cells `tasks[i]` of `plan_path` with `command PLAN CELL...`."""

    name: str
    stage: str
    number: int
    plan_path: str
    command: tuple[str, ...]
    tasks: tuple[tuple[int, ...], ...]
    resources: Resources
    max_concurrent: int | None = None


def job_script(job: Job, profile: Profile) -> str:
    """The whole script; sbatch is called in the run's folder."""
    lines = ["#!/bin/bash", *(f"#SBATCH {text}" for text in directives(job, profile)), *_prepare(job, profile)]
    lines += ["", "# The cells of each array task.", "cells=("]
    lines += [f"  {shlex.quote(' '.join(str(index) for index in task))}" for task in job.tasks]
    lines += [")", f"plan={shlex.quote(job.plan_path)}", "", *_work(job, profile)]
    return "\n".join(lines) + "\n"


def directives(job: Job, profile: Profile) -> list[str]:
    """The options of sbatch; an AssertionError if a value could leave its line."""
    resources = job.resources
    array = f"0-{len(job.tasks) - 1}" + (f"%{job.max_concurrent}" if job.max_concurrent else "")
    options = {
        "job-name": job.name,
        "array": array,
        # Relative to the run's folder, where sbatch is called; a % in that folder's name only a whole path can say to be none.
        "output": output_pattern(job.plan_path if "%" in job.plan_path else "./plan.json").removeprefix("./"),
        "open-mode": "append",
        "partition": resources.partition or profile.partition,
        "account": profile.account,
        "qos": profile.qos,
        "constraint": profile.constraint,
        "exclude": profile.exclude,
        "wckey": profile.wckey,
        "nodes": resources.nodes,
        "ntasks-per-node": resources.tasks_per_node,
        "cpus-per-task": resources.cpus,
        "mem": f"{round(resources.mem_gb * 1024)}M",
        "time": resources.time_min,
        "gres": f"{profile.gres_name}:{resources.gpus}" if resources.gpus else None,
        # One process: the shell becomes it, so B: reaches it alone. Several: srun's tasks get the signal, B: would not reach them.
        "signal": ("B:" if resources.tasks == 1 else "") + f"USR2@{profile.warn_s}",
    }
    found = [f"--{name}={quoted(value)}" for name, value in options.items() if value is not None]
    found += ["--requeue" if profile.requeue else "--no-requeue", *(_flag(flag) for flag in profile.flags)]
    assert not any(ord(character) < 32 for text in found for character in text), f"control character in {found}"
    return found


def output_pattern(plan_path: str) -> str:
    """Where Slurm writes what a job says, beside the plan; a % in that folder's own name is no placeholder."""
    return plan_path.rpartition("/")[0].replace("%", "%%") + "/slurm/%A_%a.out"


def quoted(value) -> str:
    """A value as sbatch reads it from a script line: its own quoting, not the shell's."""
    text = str(value)
    if all(character.isalnum() or character in "._-+:,/%@=[]|&*" for character in text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _flag(flag: str) -> str:
    name, equals, value = flag.partition("=")
    return f"{name}={quoted(value)}" if equals else name


def _prepare(job: Job, profile: Profile) -> list[str]:
    lines = [f"export CRATERMILL_SUBMISSION={job.number} CRATERMILL_MAX_REQUEUES={profile.max_requeues if profile.requeue else 0}"]
    lines += [f"module load {shlex.quote(name)} || exit 1" for name in profile.modules]
    # Modules may set PYTHONPATH, and it would win over the environment's own packages; so would those in the user's home.
    lines += profile.activate or ("unset PYTHONPATH", "export PYTHONNOUSERSITE=1")
    # Modules and activation scripts don't bear strictness; the rest does.
    return [*lines, "set -euo pipefail"]


def _work(job: Job, profile: Profile) -> list[str]:
    # A site's own activation brings its own Python.
    python = "python" if profile.activate else shlex.quote(job.command[0])
    command = " ".join([python, *map(shlex.quote, job.command[1:])])
    options = f" --side-by-side {job.resources.side_by_side}" if job.resources.side_by_side > 1 else ""
    line = f'{command} "$plan"{options} ${{cells[$SLURM_ARRAY_TASK_ID]}}'
    if job.resources.tasks == 1:
        return [f"exec {line}"]
    return [
        "# Rank 0 runs on this node; its port is free now, and other jobs here ask the same way.",
        f"MASTER_PORT=$({python} -c 'import socket; s = socket.socket(); s.bind((\"\", 0)); print(s.getsockname()[1])')",
        "MASTER_ADDR=$(hostname)",
        "export MASTER_PORT MASTER_ADDR",
        "# The tasks save themselves on SIGTERM; this shell and srun must outlive that.",
        "trap : TERM USR2",
        f"srun --kill-on-bad-exit=1 {line}",
    ]
