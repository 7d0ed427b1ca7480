"""What a profile and a submission come to as options of sbatch, and the job script that submitit makes of them.

Nothing of it is ever interpreted by a shell unquoted. Scripts are pure text: a dry run needs no scheduler.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from .environment import REQUEUE_FILE
from .profile import Container, Profile, Resources

OUTPUT = "%A_%a.out"


@dataclass(frozen=True)
class Job:
    """One submission: an array of `tasks` jobs that all run the pickle `number` of `folder` (absolute, with a file per submission)."""

    name: str
    number: int
    folder: str
    tasks: int
    resources: Resources
    python: str
    code: str | None = None
    """The copy of the package that runs; None: the installed one."""
    configs: str | None = None
    """The folder configs/ of the installation, which the copy doesn't hold."""
    max_concurrent: int | None = None
    root: str | None = None
    """The project's folder, which containers are shown; None: the one above the job's."""


def parameters(job: Job, profile: Profile) -> dict[str, object]:
    """What submitit is given for a submission; with `own_lines`, all that a profile says of jobs is turned into options here."""
    asked = job.resources
    # One process: the shell becomes it, so B: reaches it alone. Several: srun's tasks get the signal, B: would not reach them.
    signal = ("B:" if asked.tasks == 1 else "") + f"USR2@{profile.warn_s}"
    limit = f"%{job.max_concurrent}" if job.max_concurrent else ""
    more: dict[str, object] = {"array": f"0-{job.tasks - 1}{limit}", "signal": signal, "output": f"{Path(job.folder).name}/{OUTPUT}"}
    more["requeue" if profile.requeue else "no-requeue"] = True
    return {
        "job_name": job.name,
        "time": asked.time_min,
        "mem": f"{round(asked.mem_gb * 1024)}M",
        "nodes": asked.nodes,
        "ntasks_per_node": asked.tasks_per_node,
        "cpus_per_task": asked.cpus,
        "wckey": None,  # submitit's default is refused on some sites
        "setup": _setup(job, profile),
        "stderr_to_stdout": True,
        "use_srun": False,  # our own line, in `command`: submitit's gives each process a terminal and files of its own
        "additional_parameters": more,
    }


def own_lines(job: Job, profile: Profile) -> list[str]:
    """Lines of the script for what people may write freely: sbatch's quoting isn't the shell's, which submitit uses. They win."""
    # Relative to where sbatch is called; that a % in the folder's name is no placeholder only a whole path can say.
    output = job.folder.replace("%", "%%") + f"/{OUTPUT}" if "%" in job.folder else None
    return [f"#SBATCH {text}" for text in site_options(profile, job.resources, output)]


def site_options(profile: Profile, asked: Resources, output: str | None = None) -> list[str]:
    """Options of sbatch that a profile and a stage's resources come to, quoted as sbatch reads them from a script."""
    options = {
        "output": output,
        "partition": asked.partition or profile.partition,
        "account": profile.account,
        "qos": profile.qos,
        "constraint": profile.constraint,
        "exclude": profile.exclude,
        "wckey": profile.wckey,
        "gres": f"{profile.gres_name}:{asked.gpus}" if asked.gpus else None,
    }
    found = [f"--{name}={quoted(value)}" for name, value in options.items() if value is not None]
    found += [_flag(flag) for flag in profile.flags]
    assert not any(ord(character) < 32 for text in found for character in text), f"control character in {found}"
    return found


def quoted(value: object) -> str:
    """A value as sbatch reads it from a script line: its own quoting, not the shell's."""
    text = str(value)
    if all(character.isalnum() or character in "._-+:,/%@=[]|&*" for character in text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _flag(flag: str) -> str:
    name, equals, value = flag.partition("=")
    return f"{name}={quoted(value)}" if equals else name


def command(job: Job, profile: Profile) -> str:
    """The lines of shell that run a job's cells."""
    line = f"{python_words(job, profile)} -u -m cratermill.batch {shlex.quote(job.folder)}"
    if job.resources.tasks > 1:
        # Without its own --cpus-per-task srun gives each process one core (22.05 and later).
        line = f"srun --kill-on-bad-exit=1 --cpus-per-task={job.resources.cpus} {line}"
    elif profile.container is None:
        return f"exec {line}"
    return line if profile.container is None else "\n".join(_watched(job, line))


def _watched(job: Job, line: str) -> list[str]:
    """Run a container with the shell staying behind: scontrol is out here, so that cells in it can only ask to be requeued."""
    asked = f"{shlex.quote(job.folder + '/requeue-')}$SLURM_JOB_ID"
    # Bash runs a trap at once only while it waits; apptainer hands signals on to what runs in it. Tasks of srun get them from Slurm.
    hand_on = [f"trap 'kill -{name} \"$child\" 2>/dev/null || :' {name}" for name in ("USR2", "TERM")] if job.resources.tasks == 1 else []
    return [
        f"export {REQUEUE_FILE}={asked}",
        f"{line} & child=$!",
        *hand_on,
        'code=0; while kill -0 "$child" 2>/dev/null; do wait "$child" || :; done; wait "$child" || code=$?',
        f'if [ -s "${REQUEUE_FILE}" ]; then',
        f'  again=$(<"${REQUEUE_FILE}"); rm -f "${REQUEUE_FILE}"; scontrol requeue "$again"',
        "fi",
        'exit "$code"',
    ]


def python_words(job: Job, profile: Profile) -> str:
    """What a job's shell runs as Python."""
    if profile.container is not None:
        return _in_container(job, profile.container)
    # A site's own activation brings its own Python.
    return "python" if profile.activate else shlex.quote(job.python)


def _in_container(job: Job, container: Container) -> str:
    """The image's own Python, which sees the project (with the copy of the code) and the folders of the profile where they are outside."""
    shown = (job.root or str(Path(job.folder).parent), *([job.configs] if job.configs else []), *container.bind)
    words = [container.command, "exec", *(["--nv"] if job.resources.gpus else []), *container.flags]
    words += [word for one in dict.fromkeys(shown) for word in ("--bind", one)]
    return shlex.join([*words, container.image, "python"])


def environment_lines(profile: Profile) -> list[str]:
    """What a job's shell needs before Python starts."""
    lines = [f"module load {shlex.quote(name)} || exit 1" for name in profile.modules]
    # Modules may set PYTHONPATH, and it would win over the environment's own packages; so would those in the user's home.
    return lines + list(profile.activate or ("unset PYTHONPATH", "export PYTHONNOUSERSITE=1"))


def _setup(job: Job, profile: Profile) -> list[str]:
    lines = [f"export CRATERMILL_SUBMISSION={job.number} CRATERMILL_MAX_REQUEUES={profile.max_requeues if profile.requeue else 0}"]
    lines += environment_lines(profile)
    if job.code:
        lines += [f"export PYTHONPATH={shlex.quote(job.code)}${{PYTHONPATH:+:$PYTHONPATH}}"]
    if job.code and job.configs:
        lines += [f"export CRATERMILL_CONFIGS={shlex.quote(job.configs)}"]
    # Modules and activation scripts don't bear strictness; the rest does.
    lines += ["set -euo pipefail"]
    return lines if job.resources.tasks == 1 else [*lines, *_meeting_point(job, profile)]


def _meeting_point(job: Job, profile: Profile) -> list[str]:
    free_port = 'import socket; s = socket.socket(); s.bind(("", 0)); print(s.getsockname()[1])'
    return [
        "# Rank 0 runs on this node; its port is free now, and other jobs here ask the same way.",
        f"MASTER_PORT=$({python_words(job, profile)} -c '{free_port}')",
        "MASTER_ADDR=$(hostname)",
        "export MASTER_PORT MASTER_ADDR",
        "# The tasks save themselves on SIGTERM; this shell and srun must outlive that.",
        "trap : TERM USR2",
    ]
