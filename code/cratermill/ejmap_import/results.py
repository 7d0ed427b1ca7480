"""EJMAP's results into ours: which tiles are connected, scores, and checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import InputError
from ..core.files import write_table
from ..families import get_family
from ..samples.inputs import mark
from ..tables.table import read_table
from .copying import bring
from .positions import read_eval_positions, shifted
from .source import TABLES

if TYPE_CHECKING:
    from ..families.ejecta_common.prepare import Preparation
    from .source import Source

METRICS = ("test_metrics.csv", "eval_metrics.csv")
WHAT_TRUST_MEANS = (
    "they are pickles, and reading a pickle can run code that its maker has put in. With --trust they are read in a process of their own "
    "where every class but tensors is replaced by a stand-in; no such guard is perfect, so trust only files whose origin you know"
)

PAIRS_DIFFER = (
    "EJMAP's connection networks were trained on pairs whose layout was not at hand here; they are shown our pairs, so look at their "
    "votes before you trust them (EJMAP's own connected tiles came along and serve evaluation)"
)


class Results:
    """Brings the results of all versions; ``brought``, ``notes`` and ``refused`` say what became of them."""

    def __init__(self, source: Source, work: Preparation, shift_px: int, trust: bool):
        self.source, self.work, self.project = source, work, work.config.project
        self.shift_px, self.trust = shift_px, trust
        self.brought = {"connected tiles (tables)": 0, "tables of scores": 0, "checkpoints": 0}
        self.notes: list[str] = []
        self.refused: list[str] = []
        self.untrusted: list[str] = []
        self.stand_ins: set[str] = set()
        self.connections = False

    def bring(self) -> None:
        for family in TABLES:
            short = get_family(family).short
            for version, folder in self.source.versions("results", short).items():
                if self._is_free(short, version):
                    self._tables(short, version, folder)
            self._checkpoints(family, short)
        if self.connections:
            self.notes.append(PAIRS_DIFFER)
        if self.untrusted:
            self.notes.append(f"{len(self.untrusted)} checkpoints are left out ({_few(self.untrusted)}): {WHAT_TRUST_MEANS}")
        if self.stand_ins:
            self.notes.append(f"stand-ins took the place of {len(self.stand_ins)} names in the checkpoints: {_few(sorted(self.stand_ins))}")

    def _is_free(self, short: str, version: int) -> bool:
        """Whether nothing was trained here under this version, whose results would be mixed up with EJMAP's."""
        cells = self.project.version_log(short, version) / "cells"
        if not cells.is_dir():
            return True
        note = f"{short} version {version} was trained in this project: EJMAP's results of that number are left out"
        self.notes += [note] if note not in self.notes else []
        return False

    def _tables(self, short: str, version: int, folder: Path) -> None:
        into = self.project.version_results(short, version)
        for path in [folder / name for name in METRICS] + sorted(folder.glob("best-norm_test-set-*.npy")):
            if path.exists():
                bring(path, into / path.name)
                self.brought["tables of scores"] += path.suffix == ".csv"
        paths = sorted((folder / "conn_positions").glob("conn-pos_test-set-*_crater-*.csv"))
        targets = {path: into / "conn_positions" / path.name for path in paths}

        def write() -> None:
            for path, target in targets.items():
                write_table(target, shifted(read_eval_positions(path), self.shift_px))

        inputs = {"tables": [mark(path) for path in paths], "shift": self.shift_px}
        if paths:
            self.work.step(f"import connected tiles {version}", inputs, targets.values(), write)
        self.brought["connected tiles (tables)"] += len(paths)

    def _checkpoints(self, family: str, short: str) -> None:
        from .checkpoints import find_checkpoints

        found = [one for one in find_checkpoints(self.source, family) if self._is_free(short, one.version)]
        rows = self._rows(family, sorted({one.version for one in found}))
        for number, one in enumerate(found, 1):
            self.work.progress(f"{family} checkpoints", number, len(found))
            self._checkpoint(one, rows.get(one.version), self.project.version_results(short, one.version) / one.name)

    def _checkpoint(self, found: Any, row: Any, target: Path) -> None:
        from .checkpoints import NeedsTrust, Refused, convert

        label = f"{found.family} version {found.version}: {found.path.name}"
        if row is None:
            self.refused.append(f"{label}: its row is not known: EJMAP's code/ with its tables did not come along, or the row has a flaw")
            return
        inputs = {"checkpoint": mark(found.path), "norm": found.norm and mark(found.norm), "row": row.model_dump(mode="json")}
        try:
            self.work.step(f"import {label}", inputs, [target], lambda: self.stand_ins.update(convert(found, row, target, self.trust)))
            self.brought["checkpoints"] += 1
            self.connections |= found.family == "connection"
        except NeedsTrust:
            self.untrusted.append(label)
        except Refused as reason:
            self.refused.append(f"{label}: {reason}")
        except InputError as error:
            self.refused.append(f"{label}: its network can't be built: {error.given}")

    def _rows(self, family: str, versions: list[int]) -> dict[int, Any]:
        """The rows of these versions, as far as they are sound."""
        path = self.source.table(family)
        rows = {row.version: row for row in read_table(path, get_family(family).hparams_model()).rows} if path and versions else {}
        return {version: rows[version] for version in versions if version in rows}


def _few(names: list[str], most: int = 3) -> str:
    return ", ".join(names[:most]) + (f", … {len(names) - most} more" if len(names) > most else "")
