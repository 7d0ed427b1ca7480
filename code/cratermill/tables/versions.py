"""What ``cratermill versions list | show | check`` say, as plain data."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

from ..core.errors import CratermillError, InputError, first_line
from ..core.files import fingerprint
from ..core.remembered import remembered
from ..training.hparams import RowHparams
from .table import Problem, Table, load_versions, read_table, require_none, valid_values

UNBUILDABLE = (CratermillError, ValueError, TypeError, RuntimeError, AssertionError, IndexError)
"""What libraries raise at values that they can't build with."""
Progress = Callable[[str, int, int], None]


@dataclass
class Built:
    """One distinct network that was built: which versions use it, its size, and how long building and a forward pass took."""

    network: str
    versions: list[int]
    parameters: int
    seconds: float

    @property
    def version_ranges(self) -> str:
        """``0, 3, 5–9`` rather than every one."""
        starts = [v for v in self.versions if v - 1 not in self.versions]
        ends = [v for v in self.versions if v + 1 not in self.versions]
        return ", ".join(str(a) if a == b else f"{a}–{b}" for a, b in zip(sorted(starts), sorted(ends), strict=True))


@dataclass
class CheckReport:
    """The outcome of a check. ``table`` holds the sound rows, ``problems`` those of reading and of building."""

    table: Table
    built: list[Built] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def require(self) -> None:
        """Raises ``InputError`` listing every problem."""
        require_none(self.table.path, self.problems)


def list_versions(path: Path | str, model: type[RowHparams]) -> list[dict[str, Any]]:
    """One dict per sound row with what tells versions apart at a glance."""
    shown = (
        "version",
        "version_run",
        "test_set",
        "trainings_per_test",
        "model_name",
        "loss",
        "lr",
        "scheduler",
        "optimizer",
        "batch_size",
        "max_epochs",
    )
    return [{name: getattr(row, name, None) for name in shown} for row in read_table(path, model, lambda row: False).rows]


def show_version(path: Path | str, model: type[RowHparams], version: int) -> list[tuple[str, Any, str]]:
    """(column, value, meaning and valid values) of one row; keyword columns only where filled, marked where the row doesn't use them."""
    row = load_versions(path, model, [version])[0]
    fields = model.model_fields
    lines = [(column, getattr(row, name), _meaning(fields[name])) for column, name in row.columns().items()]
    used = {f"{prefix}_{row.chosen(prefix)}_{keyword}" for prefix in row.keyword_groups for keyword in row.keywords_of(prefix)}
    return lines + [(column, value, "" if column in used else "not used by this row") for column, value in row.keywords.items()]


def _meaning(field: FieldInfo) -> str:
    """What a column means, and what may stand in it."""
    valid = valid_values(field)
    return (field.description or "") + (f" (valid: {valid})" if valid else "")


def check_table(
    path: Path | str, model: type[RowHparams], build: bool = False, size_px: int | None = None, progress: Progress | None = None
) -> CheckReport:
    """Check a table; with ``build`` also run each distinct network once, and make loss, optimiser and scheduler of every row.

    Published weights are not loaded: only what a row says is checked. ``size_px`` overrules the rows' tile_size_px.
    """
    table = read_table(path, model)
    report = CheckReport(table, problems=list(table.problems))
    if build:
        _build_all(report, [row if size_px is None else row.model_copy(update={"tile_size_px": size_px}) for row in table.rows], progress)
    return report


def _build_all(report: CheckReport, rows: list[RowHparams], progress: Progress | None) -> None:
    groups: dict[tuple, list[RowHparams]] = {}
    for row in rows:
        groups.setdefault(row.network_key(), []).append(row)
        _try(report, [row], _make_training)
    for done, group in enumerate(groups.values()):
        if progress:
            progress(group[0].network_label(), done, len(groups))
        start = time.perf_counter()
        parameters = _try(report, group, _run_network)
        if parameters is not None:
            report.built.append(Built(group[0].network_label(), [row.version for row in group], parameters, time.perf_counter() - start))
    if progress:
        progress("", len(groups), len(groups))


def _try(report: CheckReport, group: list[RowHparams], work: Callable[[RowHparams], int]) -> int | None:
    """Do ``work`` on the first row of a group of alike; a failure becomes a problem of each."""
    try:
        return work(group[0])
    except UNBUILDABLE as error:
        column, name = (group[0].backbones()[0][:2]) if work is _run_network else ("optimizer", group[0].optimizer)
        reason = error.given if isinstance(error, CratermillError) else f"can't be used: {error}"
        valid = (error.valid or "") if isinstance(error, InputError) else ""
        line = report.table.lines
        file = report.table.path.name
        report.problems += [Problem(file, line[row.version], str(row.version), column, name, reason, valid) for row in group]
        return None


def require_trainable(family: str, rows: list[RowHparams]) -> None:
    """Raise ``InputError`` for a row whose loss, optimiser or scheduler can't be made: cheap, and sooner than in its first cell."""
    for row in rows:
        try:
            _remember_trainable(row)
        except UNBUILDABLE as error:
            reason = error.given if isinstance(error, InputError) else first_line(error)
            raise InputError(
                f"{family} version {row.version}: its loss, optimizer or scheduler can't be made: {reason}",
                next_step="correct the row's LS_, OPT_ and LR_ columns, then run 'cratermill versions check --build'",
            ) from error


def _remember_trainable(row: RowHparams) -> None:
    """Make them once, and not again for rows of the same ones while torch is the same: it takes seconds to import."""
    chosen = {name: getattr(row, name, None) for name in ("loss", "optimizer", "scheduler", "lr", "LR_Warmup_milestone", "keywords")}
    modules = (__name__, "cratermill.training.optim", "cratermill.training.registry")
    mark = fingerprint([type(row).__name__, chosen])[:16]
    remembered(f"trainable-{mark}", ("torch", "timm", "segmentation-models-pytorch"), modules, lambda: _make_training(row))


def _make_training(row: RowHparams) -> int:
    """Loss, optimiser and scheduler of a row on a module of one weight."""
    from torch import nn

    from ..training.optim import build_loss, build_optimizer, build_scheduler

    if "LS" in row.keyword_groups:
        build_loss(row)
    build_scheduler(row, build_optimizer(row, nn.Linear(1, 1)))
    return 0


def _run_network(row: RowHparams) -> int:
    """Build, run once, and give the number of parameters."""
    import torch

    network = row.build_network(pretrained=False).eval()
    with torch.no_grad():
        output = network(*row.sample_input(batch=1))
    if row.outputs not in (None, output.shape[1]) or not torch.isfinite(output).all():
        raise InputError(f"{row.network_label()} gives {tuple(output.shape)}", valid=f"{row.outputs or 'any number of'} finite channels")
    return sum(parameter.numel() for parameter in network.parameters())
