"""What can be known before anything is queued: the site's limits, whether jobs like ours are allowed, room to write."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import CratermillError, InputError
from ..core.files import write_text
from . import locks, scheduler
from .jobscript import Job
from .plan import Plan
from .profile import Profile, Resources

LEAST_FREE_BYTES = 1 << 30
FILES_PER_CELL = 6


@dataclass(frozen=True)
class Check:
    """One question and its answer; `ok` is None when it couldn't be asked here."""

    name: str
    ok: bool | None
    detail: str


def with_site_limits(profile: Profile) -> Profile:
    """The profile with the limits it leaves out, as scontrol and sacctmgr tell them."""
    limits = profile.limits
    if limits.max_array_size is None:
        size = scheduler.configuration().get("MaxArraySize", "")
        limits = limits.model_copy(update={"max_array_size": int(size) if size.isdigit() and int(size) > 1 else None})
    if limits.max_submitted is None:
        limits = limits.model_copy(update={"max_submitted": _quota(profile)})
    return profile.model_copy(update={"limits": limits})


def _quota(profile: Profile) -> int | None:
    """The smallest bound on jobs in the queue that applies to this user here; None when there is none or it isn't told."""
    bounds, qos = _association_bounds(profile)
    return min([*bounds, *_qos_bounds(qos)], default=None)


def _association_bounds(profile: Profile) -> tuple[list[int], set[str]]:
    """Bounds of the user's associations, and the names of the QOS that jobs get."""
    options = ("--noheader", "--parsable2", "format=Account,Partition,MaxSubmitJobs,GrpSubmitJobs,DefaultQOS,QOS")
    bounds, names = list[int](), {profile.qos} if profile.qos else set[str]()
    for line in _said("sacctmgr", "show", "assoc", f"user={_user()}", *options):
        account, partition, most, group, default, all_qos = (line.split("|") + [""] * 6)[:6]
        if account in ("", profile.account or account) and partition in ("", profile.partition):
            bounds += [int(number) for number in (most, group) if number.isdigit()]
            if not profile.qos:
                names.add(default or (all_qos if "," not in all_qos else "normal"))
    return bounds, names - {""}


def _qos_bounds(names: set[str]) -> list[int]:
    options = ("--noheader", "--parsable2", "format=Name,MaxSubmitJobsPerUser,MaxSubmitJobsPerAccount,GrpSubmitJobs")
    rows = [line.split("|") for line in _said("sacctmgr", "show", "qos", *options)] if names else []
    return [int(number) for name, *numbers in rows if name in names for number in numbers if number.isdigit()]


def _said(*command: str) -> list[str]:
    try:
        return scheduler.ask(*command).splitlines()
    except CratermillError:
        return []


def _user() -> str:
    import pwd

    return pwd.getpwuid(os.geteuid()).pw_name


def run_checks(plan: Plan, profile: Profile, more: Callable[[], list[Check]] | None = None) -> list[Check]:
    """All checks of a launch; submits nothing. `more` adds those that know of the work (rows, weights, data)."""
    stages = {cell.stage: profile.resources(cell.stage) for cell in plan.cells}
    return check_profile(plan.root, profile, stages, len(plan.cells)) + (more() if more else [])


def check_profile(root: Path, profile: Profile, stages: dict[str, Resources], cells: int = 1) -> list[Check]:
    """What can be said of a profile on this machine: folders, room, and whether the scheduler takes jobs of these stages."""
    checks = [check_folder(root / name) for name in ("log", "results")]
    checks += check_rooms(root, cells)
    checks.append(check_locks(root))
    if profile.executor == "slurm":
        checks += [check_name(root), *check_container(root, profile), *check_jobs(profile, stages)]
    return checks


def require(checks: list[Check]) -> None:
    """InputError naming every check that failed."""
    failed = [check for check in checks if check.ok is False]
    if failed:
        lines = "\n".join(f"  {check.name}: {check.detail}" for check in failed)
        raise InputError(
            f"Preflight found {len(failed)} problem(s), so nothing was submitted:\n{lines}", next_step="mend these and launch again"
        )


def check_folder(folder: Path) -> Check:
    """Whether files can be made in a folder, tried truly."""
    name = f"write in {folder.name}/"
    nearest = _nearest(folder)
    try:
        with tempfile.NamedTemporaryFile(dir=nearest, prefix=".cratermill-probe-") as stream:
            stream.write(b"x" * 4096)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        return Check(name, False, f"{nearest}: {error.strerror}")
    return Check(name, True, str(folder))


def check_name(root: Path) -> Check:
    """Whether Slurm can write its output below a folder of that name: it drops backslashes, whatever stands before them."""
    odd = "\\" in str(root) or ("%" in str(root) and not str(root).isprintable())
    said = "Slurm can't write below a folder with a backslash, or with % and a line break, in its path; rename it"
    return Check("name of the project's folder", not odd, f"{said}: {str(root)!r}" if odd else "fit for Slurm")


def check_container(root: Path, profile: Profile) -> list[Check]:
    """Whether a profile's image is there, and the project's folder can be named to apptainer's --bind."""
    if profile.container is None:
        return []
    image, name = Path(profile.container.image), "container image"
    if {":", ","} & set(str(root)):
        return [Check(name, False, f"apptainer can't be shown a folder with a colon or comma in its path: {root}")]
    if not image.is_absolute() or not image.exists():
        hint = "build it: apptainer build cratermill.sif slurm/cratermill.def"
        return [Check(name, False, f"{image} isn't the full path of an image that is there; {hint}")]
    return [Check(name, True, str(image))]


def check_rooms(root: Path, cells: int) -> list[Check]:
    """Room where a run writes: log/ and results/ may be on disks of their own."""
    folders = {_nearest(root / name): name for name in ("results", "log")}
    devices = {folder.stat().st_dev: (folder, name) for folder, name in folders.items()}
    return [check_room(folder, cells, f"{name}/" if len(devices) > 1 else "") for folder, name in devices.values()]


def _nearest(folder: Path) -> Path:
    return next(parent for parent in (folder, *folder.parents) if parent.exists())


def check_room(folder: Path, cells: int, where: str = "") -> Check:
    """Free bytes and files where the run will write; quotas show themselves in what the file system reports, or not at all."""
    found = os.statvfs(folder)
    free, files = found.f_bavail * found.f_frsize, found.f_favail
    needed = FILES_PER_CELL * cells
    detail = f"{free / 2**30:.1f} GiB free, " + (f"{files} files" if found.f_files else "files without limit")
    # Some file systems have no fixed number of files and say 0.
    short = free < LEAST_FREE_BYTES or (found.f_files and files < needed)
    name = f"room on the disk of {where}" if where else "room on the disk"
    return Check(name, not short, detail + (f"; needs {LEAST_FREE_BYTES >> 30} GiB and {needed} files" if short else ""))


def check_locks(root: Path) -> Check:
    """Whether two processes on two machines would know of each other by locks; if not, a beat decides, more slowly."""
    try:
        works, detail = locks.locks_work(_nearest(root / "log"))
    except OSError as error:
        return Check("locks on the disk", None, error.strerror or str(error))
    return Check("locks on the disk", True if works else None, detail)


def check_jobs(profile: Profile, stages: dict[str, Resources]) -> list[Check]:
    """One `sbatch --test-only` per stage: the scheduler itself judges partition, account, QOS, time, memory, GPUs."""
    if not shutil.which("sbatch"):
        return [Check("sbatch", False, "not on this machine; use a login node")]
    times = _time_limits()
    return [_test_only(stage, asked, profile, times) for stage, asked in stages.items()]


def _time_limits() -> dict[str, float]:
    """Minutes by partition; empty where sinfo doesn't say."""
    try:
        return scheduler.time_limits()
    except CratermillError:
        return {}


def _test_only(stage: str, asked: Resources, profile: Profile, times: dict[str, float]) -> Check:
    name, names = f"jobs of {stage}", asked.partition or profile.partition or "default"
    from .by_submitit import script_of

    with tempfile.TemporaryDirectory(prefix="cratermill-") as folder:
        job = Job(f"test.{stage}", 0, f"{folder}/slurm", 1, asked, "python")
        script = write_text(Path(folder) / "test.sh", script_of(job, profile))
        try:
            scheduler.test_only(script, Path(folder))
        except CratermillError as error:
            said = re.sub(r"^sbatch: (error: )?", "", str(error).split("\n")[0].removeprefix("sbatch: "))
            return Check(name, False, said + _hint(said, times))
    # Many sites accept jobs that ask for more time than their partition gives, and let them wait for ever.
    allowed = [times[name] for name in names.split(",") if name in times]
    if allowed and asked.time_min > max(allowed):
        return Check(name, False, f"time_min {asked.time_min} is more than partition {names} allows: {max(allowed):.0f} minutes")
    return Check(name, True, "accepted by sbatch --test-only")


def _hint(said: str, times: dict[str, float]) -> str:
    """What would be valid, where it can be told."""
    if "partition" in said.lower() and times:
        return f"; there are {', '.join(name for name in times if name != 'default')}"
    if "node configuration" in said:
        return "; compare cpus, mem_gb, gpus and nodes with: sinfo --format='%P %D %c %m %G'"
    if "account" in said.lower() or "qos" in said.lower():
        return "; see: sacctmgr show assoc user=$USER format=account,partition,qos"
    return ""
