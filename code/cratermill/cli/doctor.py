"""What this machine offers and what is missing, each finding with the next step."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from ..core.machine import cores

OK, WARN, FAIL = "ok", "warn", "fail"
_GIB = 2**30
COMPILED = ("torch", "torchvision", "pandas", "lightning", "timm", "terratorch")
_NEEDED_MEM_GB, _NEEDED_DISK_GB, _NEEDED_SHM_GB = 4, 5, 1


@dataclass(frozen=True)
class Finding:
    """One checked fact: ``state`` is ok, warn (works, but) or fail (something will not work)."""

    name: str
    state: str
    found: str
    next_step: str | None = None


def report(root: Path, as_json: bool = False) -> int:
    """Print the findings for the project at or above ``root``; the exit code: 1 if any failed."""
    findings = examine(root)
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings], indent=1))
    else:
        for finding in findings:
            print(_line(finding))
    return int(any(finding.state == FAIL for finding in findings))


def examine(folder: Path) -> list[Finding]:
    from ..core.paths import find_root

    root = find_root(folder)
    checks: list[Callable[[], Iterable[Finding]]] = [
        python_version,
        lambda: packages(root),
        bytecode,
        devices,
        processor,
        memory,
        lambda: disk(root),
        lambda: folders(root),
        weights_cache,
        slurm,
    ]
    return [finding for check in checks for finding in check()]


def _line(finding: Finding) -> str:
    text = f"{finding.state:<5} {finding.name:<12} {finding.found}"
    return text + (f"\n{'':<19}Next: {finding.next_step}" if finding.next_step else "")


def python_version() -> Iterable[Finding]:
    """The Python in use; a PYTHONPATH, as clusters' modules set it, would win over the environment's own packages."""
    found = f"{'.'.join(map(str, sys.version_info[:3]))} at {sys.executable}"
    if foreign := os.environ.get("PYTHONPATH"):
        yield Finding("python", WARN, f"{found}, with PYTHONPATH={foreign}", "unset PYTHONPATH")
    else:
        yield Finding("python", OK, found)


def packages(root: Path) -> Iterable[Finding]:
    """Is every package that cratermill declares installed, and at the locked version?"""
    locked = locked_versions(root / "requirements.lock")
    missing, other = [], []
    for name in declared():
        version = installed_version(name)
        if version is None:
            missing.append(name)
        elif name in locked and version.split("+")[0] != locked[name]:
            other.append(f"{name} {version} (locked: {locked[name]})")
    if missing:
        yield Finding("packages", FAIL, f"missing: {', '.join(missing)}", "bash install.sh")
    elif other:
        yield Finding("packages", WARN, f"not the tested versions: {', '.join(other)}", "bash install.sh, if something does not work")
    else:
        yield Finding("packages", OK, f"{len(list(declared()))} as declared" + (", at their locked versions" if locked else ""))


def bytecode() -> Iterable[Finding]:
    """Are the large packages compiled? Else every process that can't write there compiles them anew, for half a minute."""
    import shlex
    import sysconfig

    lacking = [name for name in COMPILED if not is_compiled(name)]
    if lacking:
        command = f"{shlex.quote(sys.executable)} -m compileall -q -j 0 {shlex.quote(sysconfig.get_path('purelib'))}"
        yield Finding("bytecode", WARN, f"not compiled: {', '.join(lacking)}; processes start slowly", command)
    else:
        yield Finding("bytecode", OK, "packages are compiled")


def is_compiled(name: str) -> bool:
    """Whether the bytecode of an installed package lies beside it; what isn't installed counts as compiled."""
    from importlib.util import cache_from_source, find_spec

    spec = find_spec(name)
    return spec is None or spec.origin is None or Path(cache_from_source(spec.origin)).exists()


def declared() -> list[str]:
    """Names of the packages that the installed cratermill asks for, extras left out."""
    import re
    from importlib import metadata

    try:
        wanted = metadata.requires("cratermill") or []
    except metadata.PackageNotFoundError:
        return []
    names = (re.match(r"[\w.-]+", line) for line in wanted if "extra ==" not in line)
    return [name.group().lower() for name in names if name]


def installed_version(name: str) -> str | None:
    from importlib import metadata

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def locked_versions(lock: Path) -> dict[str, str]:
    """``{name: version}`` of a requirements lock; empty where there is none."""
    if not lock.exists():
        return {}
    lines = [line.split(";")[0].strip() for line in lock.read_text(encoding="utf-8").splitlines() if "==" in line and line[0] != "#"]
    return dict(line.split("==") for line in lines)


def devices() -> Iterable[Finding]:
    """Torch's view of the machine, and whether a GPU that is there goes unused."""
    try:
        import torch
        import torchvision  # noqa: F401 - fails here when its build does not belong to torch's
    except (ImportError, RuntimeError, OSError) as error:
        yield Finding("torch", FAIL, f"can't be imported: {error}", "bash uninstall.sh --yes && bash install.sh")
        return
    cuda = torch.version.cuda or "none"
    yield Finding("torch", OK, f"{torch.__version__}, built for CUDA {cuda}")
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            card = torch.cuda.get_device_properties(index)
            bf16 = "bf16" if torch.cuda.is_bf16_supported() else "no bf16"
            yield Finding("gpu", OK, f"{index}: {card.name}, {card.total_memory / _GIB:.0f} GiB, {bf16}")
    elif driver := _ask("nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"):
        yield Finding(
            "gpu",
            WARN,
            f"there ({driver.splitlines()[0]}) but torch can't use it",
            f"update the driver to one for CUDA {cuda}, or 'bash install.sh --conda', which picks a build for the driver",
        )
    else:
        yield Finding("gpu", OK, "none; training and mapping run on the CPU")


def processor() -> Iterable[Finding]:
    flags = _read(Path("/proc/cpuinfo"))
    bf16 = "with" if "avx512_bf16" in flags or "amx_bf16" in flags else "without"
    yield Finding("cpu", OK, f"{cores()} cores, {bf16} bf16")


def memory() -> Iterable[Finding]:
    """Memory this process may use (its control group's limit counts), and shared memory for the data loaders."""
    total = _memory_bytes()
    if total:
        short = total < _NEEDED_MEM_GB * _GIB
        step = f"the demo needs {_NEEDED_MEM_GB} GiB" if short else None
        yield Finding("memory", WARN if short else OK, f"{total / _GIB:.1f} GiB", step)
    shm = Path("/dev/shm")
    if shm.is_dir():
        free = shutil.disk_usage(shm).free
        short = free < _NEEDED_SHM_GB * _GIB
        step = "set 'trainer: {loader_workers: 0}' in the config if loaders die with a bus error" if short else None
        yield Finding("/dev/shm", WARN if short else OK, f"{free / _GIB:.1f} GiB free", step)


def _memory_bytes() -> int | None:
    sizes = []
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        text = _read(Path(path)).strip()
        sizes += [int(text)] if text.isdigit() else []
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        sizes.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return min(sizes, default=None)


def disk(root: Path) -> Iterable[Finding]:
    free = shutil.disk_usage(root).free
    short = free < _NEEDED_DISK_GB * _GIB
    yield Finding("disk", WARN if short else OK, f"{free / _GIB:.1f} GiB free at {root}", "free some space" if short else None)


def folders(root: Path) -> Iterable[Finding]:
    """May the program write where it must?"""
    for name in ("data", "results", "log"):
        folder = root / name
        nearest = folder if folder.exists() else root
        if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
            yield Finding(name, FAIL, f"{folder} can't be written", "make it a folder of yours, or work in a copy of the project")
        else:
            yield Finding(name, OK, f"{folder} can be written")


def weights_cache() -> Iterable[Finding]:
    """Where pretrained weights are kept; nothing is asked over the network."""
    home = Path(os.environ.get("HF_HOME", Path.home() / ".cache" / "huggingface"))
    hub = Path(os.environ.get("HF_HUB_CACHE", home / "hub"))
    count = len(list(hub.glob("models--*"))) if hub.is_dir() else 0
    yield Finding("weights", OK, f"{count} pretrained models in {hub}")


def slurm() -> Iterable[Finding]:
    if not shutil.which("sbatch"):
        yield Finding("slurm", OK, "none here; runs use this machine")
        return
    version = _ask("sbatch", "--version") or "sbatch is installed"
    partitions = _ask("sinfo", "--noheader", "--format=%P %l %G")
    if partitions is None:
        step = "nothing for runs on this machine; for a cluster, see what 'sinfo' says"
        yield Finding("slurm", WARN, f"{version}, but no controller answers", step)
        return
    yield Finding("slurm", OK, f"{version}; partitions (time limit, gres): " + "; ".join(sorted(set(partitions.splitlines()))))
    if _ask("sacct", "--noheader", "--starttime=now") is None:
        yield Finding("sacct", OK, "no accounting here; states come from the run's own files and squeue")


def _ask(*command: str) -> str | None:
    """The command's output, or None when it is missing, fails or takes longer than 10 s."""
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
