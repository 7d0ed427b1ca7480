"""Where a cell works: a `.part` folder of its own, published by one rename when everything is there."""

from __future__ import annotations

import contextlib
import shutil
import time
from pathlib import Path

from ..core.errors import InputError, WorkError
from ..core.files import read_json, write_json
from ..core.work import Stopped as Stopped
from . import disk, locks, state
from .plan import Cell, Plan
from .signals import StopFlag
from .snapshot import Snapshot

LOCK_NAME = ".lock"
# Only needed to go on with unfinished work.
NOT_KEPT = ("last.ckpt", LOCK_NAME, LOCK_NAME + locks.CLAIM)
POLL_S = 0.5


class Busy(WorkError):
    """Another process executes this very cell."""


class Workspace:
    """What the work of a cell gets: `folder`, `report`, `stop_requested`."""

    def __init__(self, plan: Plan, cell: Cell, stop: StopFlag, on_report=None):
        self.plan, self.cell = plan, cell
        self.product = plan.product(cell)
        self.folder = part_folder(self.product)
        self._stop, self._on_report = stop, on_report
        self._lock: locks.Lock | None = None

    @property
    def stop_requested(self) -> bool:
        """True when the work should save itself, then raise Stopped."""
        return self._stop.requested

    def report(self, **progress) -> None:
        """Tell how far the work is (epoch, epochs, step, metric, rate, ...); cheap, call it as often as you like."""
        if self._on_report:
            self._on_report(progress)

    def keep_going(self) -> None:
        """Raise Stopped when asked to stop; for work whose steps are all saved already."""
        if self.stop_requested:
            raise Stopped

    # ------------------------------------------------------------------ used by cell.py

    def open(self, wait_s: float = 0.0) -> None:
        """Create and lock the folder; remains of work on other parameters are removed.

        Raises Busy when another process still holds it after `wait_s`, Stopped when asked to stop while waiting.
        """
        until = time.monotonic() + wait_s
        while not self._try_lock():
            self.keep_going()
            if time.monotonic() >= until:
                raise Busy(f"{self.cell.key} is being executed by {self._holder()}", next_step="wait for it, or stop that process")
            time.sleep(POLL_S)
        made = read_json(self.folder / state.CELL_FILE) or self._read_lock()
        if made.get("fingerprint") not in (None, self.cell.fingerprint):
            self._empty()
        assert self._lock is not None
        self._lock.sign(fingerprint=self.cell.fingerprint)

    @property
    def finished(self) -> bool:
        """True when an earlier attempt was killed after its last file was written and before the folder got its name."""
        made = read_json(self.folder / state.CELL_FILE) or {}
        return made.get("fingerprint") == self.cell.fingerprint and not self.cell.always

    def publish(self, metrics, extra: dict) -> None:
        """Write `cell.json` last of all files, then name the folder; lasting when this returns."""
        made = {
            "key": self.cell.key,
            "stage": self.cell.stage,
            "fingerprint": self.cell.fingerprint,
            "params": self.cell.params,
            "metrics": metrics,
            **extra,
        }
        try:
            disk.sync_files(self.folder, NOT_KEPT)
            write_json(self.folder / state.CELL_FILE, made)
            disk.sync(self.folder / state.CELL_FILE)
            disk.sync(self.folder)
            self.name_product()
        except OSError as error:
            raise disk.cannot_write(self.product, f"the product of {self.cell.key}", error) from error

    def name_product(self) -> None:
        """Drop what needn't be kept and give the folder its final name."""
        for name in NOT_KEPT:
            (self.folder / name).unlink(missing_ok=True)
        self._rename()

    def discard(self) -> None:
        """Remove the folder; somebody else has made the product meanwhile."""
        _remove(self.folder)

    def close(self) -> None:
        """Unlock; what is in the folder stays for the next attempt."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _rename(self) -> None:
        replaced = old_folder(self.product)
        if self.product.exists():
            _remove(replaced)
            self.product.rename(replaced)
        self.folder.rename(self.product)
        disk.sync(self.product.parent)
        _remove(replaced)
        # Somebody may have tried to lock between the two steps above.
        for name in NOT_KEPT[1:]:
            (self.product / name).unlink(missing_ok=True)

    def _try_lock(self) -> bool:
        restore_replaced(self.product)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = locks.take(self.folder / LOCK_NAME)
        except OSError as error:
            raise disk.cannot_write(self.folder, f"the work of {self.cell.key}", error) from error
        return self._lock is not None

    def _read_lock(self) -> dict:
        return read_json(self.folder / LOCK_NAME) or {}

    def _holder(self) -> str:
        holder = self._read_lock()
        return f"process {holder['pid']} on {holder['host']}" if "pid" in holder else "another process"

    def _empty(self) -> None:
        for path in self.folder.iterdir():
            if not path.name.startswith(LOCK_NAME):
                _remove(path)


def part_folder(product: Path) -> Path:
    """Where the work on a product goes on before it is published."""
    return product.with_name(product.name + ".part")


def old_folder(product: Path) -> Path:
    """Where a product waits while the next one takes its name."""
    return product.with_name(product.name + ".old")


def restore_replaced(product: Path) -> None:
    """Undo a replacement that was killed between its two renames."""
    if not product.exists() and old_folder(product).exists():
        with contextlib.suppress(OSError):  # another process was faster
            old_folder(product).rename(product)


def check_products(plan: Plan, overwrite: bool = False) -> None:
    """Refuse a plan whose products exist with other parameters, or move those aside when told to overwrite."""
    conflicts, now = [], Snapshot(plan)
    for cell in plan.cells:
        if now.is_done(cell):
            continue
        product = plan.product(cell)
        restore_replaced(product)
        if product.exists() and not state.is_done(plan, cell) and not cell.always:
            conflicts.append((cell, read_json(product / state.CELL_FILE) or {}))
    if not conflicts:
        return
    if overwrite:
        for cell, _ in conflicts:
            move_aside(plan.product(cell))
        return
    lines = [f"{cell.product}: {describe_difference(made.get('params'), cell.params)}" for cell, made in conflicts[:5]]
    more = f"\n  … and {len(conflicts) - 5} more" if len(conflicts) > 5 else ""
    raise InputError(
        "Some results exist already, made with other parameters:\n  " + "\n  ".join(lines) + more,
        next_step="give the changed row a new version number, or the config a group of its own (versions of other data), "
        "or launch with --overwrite (the old results are moved aside)",
    )


def describe_difference(old, new, limit: int = 4) -> str:
    """The parameters in which two cells differ, as `name: old → new`."""
    if not isinstance(old, dict):
        return "no record of how it was made"
    before, after = _flat(old), _flat(new)
    names = [name for name in sorted({*before, *after}) if before.get(name, "absent") != after.get(name, "absent")]
    shown = [f"{name}: {before.get(name, 'absent')} → {after.get(name, 'absent')}" for name in names[:limit]]
    return "; ".join(shown + (["…"] if len(names) > limit else [])) or "other inputs or settings"


def _flat(value: dict, prefix: str = "") -> dict:
    flat = {}
    for name, item in value.items():
        if isinstance(item, dict):
            flat.update(_flat(item, f"{prefix}{name}."))
        else:
            flat[prefix + name] = item
    return flat


def move_aside(product: Path) -> None:
    """Keep a product that is about to be made in another way, under a name that tells when it was replaced."""
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    target = product.with_name(f"{product.name}.replaced-{stamp}")
    number = 1
    while target.exists():
        number += 1
        target = product.with_name(f"{product.name}.replaced-{stamp}-{number}")
    product.rename(target)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
