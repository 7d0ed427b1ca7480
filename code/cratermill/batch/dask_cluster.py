"""Workers of dask as jobs of a cluster's profile, made by dask-jobqueue: for steps over whole rasters, from here or from a notebook.

Whoever reaches a scheduler of dask runs code on its workers. So it speaks TLS alone, with a key made for this start that only its owner
can read, and has no dashboard.
"""

from __future__ import annotations

import contextlib
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ..core.errors import WorkError
from ..core.files import write_text
from .cluster import require_slurm
from .jobscript import Job, environment_lines, python_words, site_options
from .profile import Profile

STAGE = "composite"
"""Whose resources a worker asks for: the step that works on whole rasters."""
CERTIFICATE, KEY, ENVIRONMENT = "cert.pem", "key.pem", "use.sh"
ROLES, TLS = ("client", "worker", "scheduler"), "DASK_DISTRIBUTED__COMM__TLS__"
POLL_S = 2.0


def options(profile: Profile, root: Path, folder: Path) -> dict[str, Any]:
    """What ``dask_jobqueue.SLURMCluster`` is given, but for the keys: one worker per job, with a thread per core."""
    asked, where = profile.resources(STAGE), str(folder)
    return {
        "cores": asked.cpus,
        "processes": 1,
        "memory": f"{asked.mem_gb}GiB",
        "walltime": f"{asked.time_min // 60:02d}:{asked.time_min % 60:02d}:00",
        "job_name": "cratermill-dask",
        "python": python_words(Job("cratermill-dask", 0, where, 1, asked, sys.executable, root=str(root)), profile),
        "job_extra_directives": site_options(profile, asked, f"{where.replace('%', '%%')}/%j.out"),
        "job_script_prologue": [*environment_lines(profile), f". {shlex.quote(str(folder / ENVIRONMENT))}"],
        # A worker ends, and hands over what it holds, before its job's time is up.
        "worker_extra_args": ["--lifetime", f"{max(asked.time_min * 60 - profile.warn_s, 60)}s", "--local-directory", "${TMPDIR:-/tmp}"],
        "death_timeout": 300,
    }


def script(profile: Profile, root: Path, folder: Path) -> str:
    """The script of a worker's job, as far as it is known before there is a scheduler."""
    from dask_jobqueue.slurm import SLURMJob

    job = SLURMJob("tls://SCHEDULER", name="worker", protocol="tls", **options(profile, root, folder))
    return str(job.job_script())


def start(profile: Profile, root: Path, jobs: int, say: Callable[[str], None] = print) -> None:
    """Start a scheduler here and ``jobs`` workers as jobs, and say how to use them; ends them all on Ctrl-C.

    Raises ``InputError`` for a profile without Slurm, ``WorkError`` where no key can be made or the workers can't be submitted.
    """
    require_slurm(profile)
    with _folder(root) as folder, _cluster(profile, root, folder) as cluster:
        cluster.adapt(minimum_jobs=jobs, maximum_jobs=jobs)  # workers that are lost are submitted again
        say(f"{jobs} worker(s) of {profile.name} submitted; their output lies in {folder}")
        say("Use them in another shell, or in a notebook's environment:")
        say(f"  source {shlex.quote(str(_environment(folder, cluster.scheduler_address)))}")
        say("What works on whole rasters then runs there: statistics, composites, tables, notebooks. Ctrl-C here ends the workers.")
        with contextlib.suppress(KeyboardInterrupt):
            _watch(cluster, jobs, say)


def _watch(cluster: Any, jobs: int, say: Callable[[str], None]) -> None:
    """Say how many workers there are whenever that changes."""
    seen = None
    while True:
        there = len(cluster.scheduler_info["workers"])
        if there != seen:
            say(f"{there} of {jobs} worker(s) are there")
            seen = there
        time.sleep(POLL_S)


@contextlib.contextmanager
def _cluster(profile: Profile, root: Path, folder: Path) -> Iterator[Any]:
    import dask
    from dask_jobqueue import SLURMCluster

    _make_key(folder)
    files = {"ca-file": str(folder / CERTIFICATE)}
    files |= {f"{role}.{what}": str(folder / name) for role in ROLES for what, name in (("cert", CERTIFICATE), ("key", KEY))}
    # By the configuration, and in jobs by the environment: dask-jobqueue writes paths into its script as they are.
    with dask.config.set({f"distributed.comm.tls.{name}": path for name, path in files.items()}):
        try:
            cluster = SLURMCluster(protocol="tls", scheduler_options={"dashboard": False}, n_workers=0, **options(profile, root, folder))
        except (OSError, RuntimeError, ValueError) as error:
            raise WorkError(f"dask's scheduler can't be started: {error}", next_step="try on another login node") from error
        with cluster:
            yield cluster


@contextlib.contextmanager
def _folder(root: Path) -> Iterator[Path]:
    """A folder below ``log/dask`` that only its owner can read; it is kept, without the key."""
    place = root / "log" / "dask"
    place.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=time.strftime("%Y%m%d-%H%M%S-"), dir=place))
    try:
        yield folder
    finally:
        for name in (CERTIFICATE, KEY, ENVIRONMENT):
            (folder / name).unlink(missing_ok=True)


def _make_key(folder: Path) -> None:
    """A certificate that signs itself; whoever has its key is trusted, and nobody else."""
    line = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "365"]
    line += ["-subj", "/CN=cratermill", "-keyout", str(folder / KEY), "-out", str(folder / CERTIFICATE)]
    try:
        subprocess.run(line, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", None) or str(error)
        raise WorkError(f"no key can be made for the scheduler: {said.strip()}", next_step="install openssl") from error
    (folder / KEY).chmod(0o600)


def _environment(folder: Path, address: str) -> Path:
    """A file of shell that names the scheduler and its key."""
    values = {"DASK_SCHEDULER_ADDRESS": address, "DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION": "True"}
    values |= {f"{TLS}CA_FILE": str(folder / CERTIFICATE)}
    values |= {f"{TLS}{role.upper()}__{what}": str(folder / name) for role in ROLES for what, name in (("CERT", CERTIFICATE), ("KEY", KEY))}
    return write_text(folder / ENVIRONMENT, "".join(f"export {name}={shlex.quote(value)}\n" for name, value in values.items()))
