"""The facts of one cluster (or of this machine), as data: configs/clusters/<name>.yaml."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, StringConstraints, field_validator, model_validator

from ..core.errors import INSIDE, OPTION, WORDS, InputError, nearest
from ..core.models import Strict, checked, read_keys

# What becomes part of an #SBATCH line must stay on it; quotes and $ are harmless there, line breaks are not.
Word = Annotated[str, StringConstraints(pattern=WORDS, strip_whitespace=True)]
Bound = Annotated[str, StringConstraints(pattern=INSIDE, strip_whitespace=True)]
Flag = Annotated[str, StringConstraints(pattern=OPTION)]


EXECUTORS = {"local": f"{__package__}.local:LocalExecutor", "slurm": f"{__package__}.slurm:SlurmExecutor"}
"""Names that profiles may say, and the classes behind them (`executor.py`)."""
GROUP = "cratermill.executors"
"""Entry points by which other packages bring executors, `name = "module:Class"`; see docs/another-scheduler.md."""


def all_executors() -> dict[str, str]:
    """EXECUTORS and those of installed packages; takes a look at every package's metadata."""
    from importlib.metadata import entry_points

    return {**{entry.name: entry.value for entry in entry_points(group=GROUP)}, **EXECUTORS}


class Resources(Strict):
    """What one job of a stage asks for. A job runs `pack` cells, or as many as it gets with `pull`; `side_by_side` of them at a time."""

    cpus: int = Field(1, ge=1, description="per task")
    mem_gb: float = Field(4.0, gt=0, description="per node")
    time_min: int = Field(60, ge=1)
    gpus: int = Field(0, ge=0, description="per node")
    nodes: int = Field(1, ge=1)
    tasks_per_node: int = Field(1, ge=1, description="processes per node of one distributed training; equals its devices")
    partition: Word | None = Field(None, description="instead of the profile's")
    pack: int = Field(1, ge=1, description="cells per job, one after another; for small cells")
    side_by_side: int = Field(1, ge=1, description="how many of a job's cells share its CPUs and GPU at a time")
    pull: int = Field(0, ge=0, description="so many jobs share all cells, each taking the next open one; for many small cells")

    @property
    def tasks(self) -> int:
        return self.nodes * self.tasks_per_node


class Retry(Strict):
    """How far `retry` may go."""

    attempts: int = Field(4, ge=1, description="jobs per cell, the first included; requeues don't count")
    mem_factor: float = Field(2.0, ge=1)
    mem_gb_max: float | None = None
    time_factor: float = Field(2.0, ge=1)
    time_min_max: int | None = None


class Limits(Strict):
    """Bounds of the site; read from scontrol and sacctmgr when left out."""

    max_array_size: int | None = Field(None, ge=2, description="Slurm's MaxArraySize: the highest index is one less")
    max_submitted: int | None = Field(None, ge=1, description="jobs (array tasks) in the queue at a time")
    max_concurrent: int | None = Field(None, ge=1, description="jobs of one run running at a time; none: as the scheduler likes")


class Container(Strict):
    """Jobs run in an Apptainer (or Singularity) image; see slurm/cratermill.def."""

    image: Word = Field(description="the .sif file, a path that all nodes see")
    command: Word = Field("apptainer", description="or singularity, or its path")
    bind: tuple[Bound, ...] = Field((), description="folders outside the project that jobs read, e.g. /scratch/mosaics or /a:/b:ro")
    flags: tuple[Flag, ...] = Field((), description="further options of exec, e.g. --rocm; never --cleanenv, jobs need their environment")


class Profile(Strict):
    """One cluster. `stages` holds what differs from `default` per stage; `modules` and `activate` prepare each job's shell."""

    name: str
    executor: str = Field("slurm", description="slurm, local, or one that a package brings")
    partition: Word | None = Field(None, description="one, or several with commas")
    account: Word | None = None
    qos: Word | None = None
    constraint: Word | None = None
    exclude: Word | None = None
    wckey: Word | None = None
    gres_name: Word = Field("gpu", description="gpu, or with a type: gpu:a100")
    modules: tuple[Word, ...] = ()
    activate: tuple[str, ...] = Field((), description="shell lines run as they are before the work, e.g. source .../activate")
    flags: tuple[Flag, ...] = Field((), description="further options of sbatch, e.g. --reservation=night")
    container: Container | None = Field(None, description="run jobs in an image instead of the Python that launched")
    requeue: bool = Field(True, description="whether jobs may be requeued; without, cells wait for retry or the next launch")
    warn_s: int = Field(120, ge=10, description="seconds before the time limit at which a cell is asked to save itself")
    max_requeues: int = Field(20, ge=0)
    default: Resources = Resources()
    stages: dict[str, Resources] = Field(default_factory=dict)
    limits: Limits = Limits()
    retry: Retry = Retry()
    workers: int = Field(1, ge=1, description="local only")
    workers_per_gpu: int = Field(1, ge=1, description="local only")

    @field_validator("executor")
    @classmethod
    def _is_known(cls, name: str) -> str:
        if name not in EXECUTORS and name not in (known := all_executors()):
            raise ValueError(f"no executor of that name. Valid: {', '.join(known)}")
        return name

    @model_validator(mode="after")
    def _sound(self) -> Profile:
        """A warning before the job even begins would never come, or at once, again and again; a key that does nothing would mislead."""
        if self.container is not None and self.executor == "local":
            raise ValueError("a container needs executor slurm; on this machine run cratermill itself in it: apptainer run IMAGE …")
        for name, asked in {"default": self.default, **self.stages}.items():
            if asked.pull and asked.pack > 1:
                raise ValueError(f"{name} has pull {asked.pull} and pack {asked.pack}: jobs that pull take what is open. Set pack to 1")
            if self.executor == "slurm" and self.warn_s >= 60 * asked.time_min:
                raise ValueError(f"warn_s {self.warn_s} is no less than {name}'s time_min {asked.time_min} ({60 * asked.time_min} s)")
        return self

    def resources(self, stage: str) -> Resources:
        return self.stages.get(stage, self.default)


def load_profile(name: str, root: Path, known_stages: Collection[str] = ()) -> Profile:
    """A profile by name (configs/clusters/<name>.yaml) or by path; InputError names file, key and what is valid."""
    path = profile_path(name, root)
    step = "see configs/clusters/example.yaml"
    values = {"name": path.stem, **read_keys(path, next_step=step)}
    profile = checked(Profile, values | {"stages": _with_default(values)}, str(path), next_step=step)
    for stage in profile.stages:
        if known_stages and stage not in known_stages:
            raise InputError(f"{path}: stages.{stage} is no stage", valid=nearest(stage, known_stages))
    return profile


def _with_default(values: dict[str, Any]) -> Any:
    """Stages inherit what they don't say from `default`."""
    stages, default = values.get("stages") or {}, values.get("default") or {}
    if not isinstance(stages, dict) or not isinstance(default, dict):
        return stages
    return {stage: {**default, **own} if isinstance(own, dict) else own for stage, own in stages.items()}


def profile_path(name: str, root: Path) -> Path:
    """The file of a profile; InputError lists those there are."""
    folder = root / "configs" / "clusters"
    for path in (Path(name), folder / f"{name}.yaml"):
        if path.suffix == ".yaml" and path.is_file():
            return path
    names = sorted(path.stem for path in folder.glob("*.yaml"))
    raise InputError(
        f"There is no profile {name!r}", valid=nearest(name, names) or "none in configs/clusters", next_step="copy example.yaml there"
    )
