"""The trained iterations that a map is made with: asked for before they are trained, found by version and split, recognised by content."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ..config import BEST
from ..core.errors import InputError, WorkError
from ..core.files import content_digest, read_json, stat_fingerprint
from ..samples.inputs import note
from . import get_family, row_model

if TYPE_CHECKING:
    from ..config import Config
    from ..training.hparams import RowHparams

Marks = dict[str, str]
"""Iteration number (as text, since plans are JSON) and what its weights follow from: the fingerprint of the cell that trains them, or
the digest of a checkpoint that was trained elsewhere."""
CELL, WEIGHTS, CHECKPOINT = "cell.json", "weights.json", "best.ckpt"


# --- what lies in log/ and results/ -------------------------------------------------------------------------------------------


def training_product(config: Config, family: str, version: int, split: int, iteration: int) -> Path:
    return config.project.cell_product(get_family(family).short, version, "train", split, iteration)


def _cells(config: Config, family: str, version: int, stage: str, name: str, split: int | None = None) -> dict[tuple[int, int], Path]:
    """:meth:`Project.cells` of a version; whoever remembers what follows from them and from the version's results is told so."""
    short, project = get_family(family).short, config.project
    for folder in (project.version_log(short, version) / "cells", project.version_results(short, version)):
        note(folder)
    return project.cells(short, version, stage, name, split)


def find_checkpoints(config: Config, family: str, version: int, split: int) -> dict[int, Path]:
    """The checkpoint of every iteration: a published train cell's, else the one in ``results/`` (EJMAP's, or another machine's)."""
    short, project = get_family(family).short, config.project
    results = project.version_results(short, version).glob(f"best-checkpoint_test-set-{split}_iteration-*.ckpt")
    found = {_iteration(path.stem): path for path in results}
    cells = _cells(config, family, version, "train", CHECKPOINT, split)
    found |= {iteration: path for (_, iteration), path in cells.items() if (path.parent / CELL).exists()}
    found.pop(-1, None)
    return dict(sorted(found.items()))


def checkpoint_paths(config: Config, family: str, version: int, split: int) -> dict[int, Path]:
    """The same; ``InputError`` where there is none."""
    found = find_checkpoints(config, family, version, split)
    if not found:
        folder = config.project.relative(config.project.version_results(get_family(family).short, version))
        splits = trained_splits(config, family, version)
        raise InputError(
            f"{family} version {version} has no checkpoint for split {split}",
            valid=f"splits {', '.join(map(str, splits))}" if splits else "none: this version was never trained here",
            next_step=f"train it (cratermill launch train CONFIG), or copy checkpoints to {folder}",
        )
    return found


def trained_splits(config: Config, family: str, version: int) -> list[int]:
    short, project = get_family(family).short, config.project
    names = [path.name for path in project.version_results(short, version).glob("best-checkpoint_test-set-*_iteration-*.ckpt")]
    found = {split for split, _ in _cells(config, family, version, "train", CELL)}
    return sorted(found | {int(match[1]) for name in names if (match := re.search(r"test-set-(\d+)", name))})


def trained_versions(config: Config, family: str) -> list[int]:
    folders = config.project.version_results(get_family(family).short, 0).parent.glob("version_*")
    return sorted(int(path.name.removeprefix("version_")) for path in folders if path.name.removeprefix("version_").isdigit())


def marks_on_disk(config: Config, family: str, version: int, split: int) -> Marks:
    paths = find_checkpoints(config, family, version, split)
    return {str(iteration): _mark(config, family, version, split, iteration, path) for iteration, path in paths.items()}


def _mark(config: Config, family: str, version: int, split: int, iteration: int, path: Path) -> str:
    made = read_json(training_product(config, family, version, split, iteration) / CELL) or {}
    return made.get("fingerprint") or digest(path)


def row_of(config: Config, family: str, version: int, split: int) -> RowHparams:
    """The row that a version's networks were trained by."""
    iteration, path = next(iter(checkpoint_paths(config, family, version, split).items()))
    made = read_json(training_product(config, family, version, split, iteration) / CELL)
    if made and "hparams" in made.get("params", {}):
        return row_model(family).from_plan(made["params"]["hparams"])
    return row_model(family).from_plan(_hparams(path, family, version, *stat_fingerprint(path)))


@lru_cache(maxsize=64)
def _hparams(path: Path, family: str, version: int, *_stat: int) -> dict[str, Any]:
    row: dict[str, Any] = plain_of(path, family, version)["hparams"]
    return row


def plain_of(path: Path, family: str, version: int) -> dict[str, Any]:
    """``hparams`` and ``seen`` of a checkpoint, without loading torch unless it has to be said what is wrong with it."""
    from ..training.checkpoint_plain import plain_in

    if (found := plain_in(path, family, version)) is not None:
        return found
    from ..training.checkpoint import load

    one = load(path, family, version)
    return {"hparams": one.hparams, "seen": one.seen}


def evaluated_row(config: Config, family: str, version: int, split: int) -> RowHparams | None:
    """The row as a version was last evaluated here, which may judge otherwise than when it was trained; None where it wasn't."""
    files = _cells(config, family, version, "evaluate", CELL, split).values()
    made = next((one for path in files if (one := read_json(path))), None)
    return row_model(family).from_plan(made["params"]["hparams"]) if made else None


def frozen_paths(config: Config, family: str, version: int, split: int, marks: Marks) -> list[Path]:
    """The checkpoints that a plan asks for; ``WorkError`` if one is missing or isn't the one that was meant at launch."""
    paths = checkpoint_paths(config, family, version, split)
    for iteration, wanted in marks.items():
        path = paths.get(int(iteration))
        if path is None or _mark(config, family, version, split, int(iteration), path) != wanted:
            what = "is gone" if path is None else f"({path}) is not the one that was there at launch"
            name = f"{family} version {version}, split {split}, iteration {iteration}"
            raise WorkError(f"the checkpoint of {name} {what}", next_step="launch the map again")
    return [paths[int(iteration)] for iteration in marks]


def digest(path: Path) -> str:
    return _digest(path, *stat_fingerprint(path))


@lru_cache(maxsize=1024)
def _digest(path: Path, *_stat: int) -> str:
    return content_digest(path)


def _iteration(name: str) -> int:
    match = re.search(r"iteration-(\d+)$", name)
    return int(match[1]) if match else -1


# --- the best by validation ---------------------------------------------------------------------------------------------------


def validation_scores(metrics: dict[str, Any]) -> dict[str, float]:
    return {name.removeprefix("val_"): value for name, value in metrics.items() if name.startswith("val_")}


def best_iteration(config: Config, family: str, version: int, split: int) -> int | None:
    """The iteration with the best validation score; None where no training of this machine is known."""
    rank = row_model(family).validation_rank
    numbers = find_checkpoints(config, family, version, split)
    made = {number: read_json(training_product(config, family, version, split, number) / CELL) for number in numbers}
    ranks = {number: rank(one["params"]["hparams"]["val_metric"], validation_scores(one["metrics"])) for number, one in made.items() if one}
    return max(ranks, key=lambda number: (ranks[number], -number)) if ranks else None


def best_version(config: Config, family: str, candidates: dict[str, dict[str, Marks]]) -> int:
    """The version with the best mean validation score over its splits; ``candidates``: version, split, marks of its trainings."""
    scores = {int(version): _mean_scores(config, family, int(version), splits) for version, splits in candidates.items()}
    scores = {version: one for version, one in scores.items() if one}
    known = get_family(family)
    names = [name.removeprefix("test_") for name in (*known.metrics, "loss")]
    shared = next((name for name in names if scores and all(name in one for one in scores.values())), None)
    if shared is None:
        raise WorkError(
            f"no version of {family} has validation scores to choose the best by",
            next_step="train its rows here, or give the version's number in the config's map.versions",
        )
    better = -1 if shared in known.hparams_model().lower_is_better else 1
    return max(scores, key=lambda version: (better * scores[version][shared], -version))


def _mean_scores(config: Config, family: str, version: int, splits: dict[str, Marks]) -> dict[str, float]:
    """Means over the splits of the means over their iterations."""
    means = []
    for split, marks in splits.items():
        made = [read_json(training_product(config, family, version, int(split), int(number)) / CELL) for number in marks]
        means.append(_mean([validation_scores(one["metrics"]) for one in made if one]))
    return _mean([one for one in means if one])


def _mean(scores: list[dict[str, float]]) -> dict[str, float]:
    names = set.intersection(*(set(one) for one in scores)) if scores else set()
    return {name: sum(one[name] for one in scores) / len(scores) for name in names}


# --- what a map asks for ------------------------------------------------------------------------------------------------------

Weights = dict[str, dict[str, dict[str, Marks]]]
"""What a map cell's params hold: family, version, split and the marks of its trainings. Of ``best`` all versions it is chosen from."""


class Planned(Protocol):
    """What is needed of a plan's cell."""

    @property
    def index(self) -> int: ...
    @property
    def stage(self) -> str: ...
    @property
    def params(self) -> dict[str, Any]: ...
    @property
    def fingerprint(self) -> str: ...


class Trainings:
    """Trainings that maps may build on: cells of a launch of ``rows``, and what lies on disk. Notes which cells were asked for."""

    def __init__(
        self,
        config: Config,
        planned: Iterable[Planned] = (),
        candidates: Callable[[str], list[int]] | None = None,
        rows: Mapping[str, list[Any]] | None = None,
    ):
        self.config, self.needed = config, set[int]()
        self._rows = {(family, row.version): row for family, of_family in (rows or {}).items() for row in of_family}
        self._candidates = candidates or (lambda family: trained_versions(config, family))
        self._planned: dict[tuple[str, str, int, int], dict[int, Planned]] = {}
        for cell in planned:
            if cell.stage in ("train", "evaluate"):
                one = cell.params
                self._planned.setdefault((cell.stage, one["family"], one["version"], one["split"]), {})[one["iteration"]] = cell

    def _cells(self, stage: str, family: str, version: int, split: int) -> dict[int, Planned]:
        found = self._planned.get((stage, family, version, split), {})
        self.needed |= {cell.index for cell in found.values()}
        return found

    def marks(self, family: str, version: int, split: int) -> Marks:
        """Marks of all iterations, planned or there; ``InputError`` where there is none."""
        cells = self._cells("train", family, version, split)
        there = marks_on_disk(self.config, family, version, split)
        if not cells and not there:
            checkpoint_paths(self.config, family, version, split)
        found = {int(iteration): mark for iteration, mark in there.items()} | {number: cell.fingerprint for number, cell in cells.items()}
        return {str(iteration): mark for iteration, mark in sorted(found.items())}

    def row(self, family: str, version: int, split: int) -> RowHparams:
        """The row as its networks are trained."""
        if self._cells("train", family, version, split):
            return self._rows[family, version]
        return row_of(self.config, family, version, split)

    def evaluated_row(self, family: str, version: int, split: int) -> RowHparams | None:
        """The row of the planned evaluations, else as it was last evaluated; None where it never was."""
        if self._cells("evaluate", family, version, split):
            return self._rows[family, version]
        return evaluated_row(self.config, family, version, split)

    def evaluations(self, family: str, version: int, split: int) -> Marks:
        """Fingerprints of the evaluations of all iterations, planned or there."""
        files = _cells(self.config, family, version, "evaluate", CELL, split)
        found = {number: made["fingerprint"] for (_, number), path in files.items() if (made := read_json(path))}
        found |= {number: cell.fingerprint for number, cell in self._cells("evaluate", family, version, split).items()}
        return {str(iteration): mark for iteration, mark in sorted(found.items())}

    def known(self, wanted: dict[str, int | str]) -> list[Any]:
        """A plain value that changes when what was planned of these families does, or the versions among which the best is chosen."""
        planned = [
            [list(place), number, cell.index, cell.fingerprint]
            for place, cells in self._planned.items()
            for number, cell in cells.items()
            if place[1] in wanted
        ]
        return [planned, {name: self.versions(name, version) for name, version in wanted.items()}]

    def versions(self, family: str, wanted: int | str) -> list[int]:
        """The one that is wanted, or those among which the best will be chosen."""
        if wanted != BEST:
            return [int(wanted)]
        found = self._candidates(family)
        if not found:
            raise InputError(
                f"map.versions asks for the best {family}, but there is none to choose from",
                valid="a version's number, or rows of this family under 'train'",
                next_step="train some versions first",
            )
        return found

    def weights(self, family: str, wanted: int | str, split: int) -> dict[str, dict[str, Marks]]:
        """By version and split what a map of ``split`` needs: of the best also the trainings by which it is chosen."""
        found = {}
        for version in self.versions(family, wanted):
            splits = self.splits(family, version) if wanted == BEST else []
            found[str(version)] = {str(one): self.marks(family, version, one) for one in sorted({*splits, split})}
        return found

    def splits(self, family: str, version: int) -> list[int]:
        planned = {split for stage, name, number, split in self._planned if (stage, name, number) == ("train", family, version)}
        return sorted(planned) or trained_splits(self.config, family, version)


def chosen_version(config: Config, family: str, weights: dict[str, dict[str, Marks]]) -> int:
    """The version of a map cell's weights: the only one, or the best by validation now that all are trained."""
    return int(next(iter(weights))) if len(weights) == 1 else best_version(config, family, weights)


def used_weights(config: Config, weights: Weights, split: int) -> dict[str, dict[str, Any]]:
    """Which weights these are now: by family the version and the digest of each iteration's checkpoint."""
    found: dict[str, dict[str, Any]] = {}
    for family, versions in weights.items():
        wanted = versions if config.map is None or config.map.versions.get(family) != BEST else [chosen_version(config, family, versions)]
        for version in map(int, wanted):
            marks = versions[str(version)][str(split)]
            digests = {number: known_digest(config, family, version, split, int(number)) for number in marks}
            found.setdefault(family, {})[str(version)] = digests
    return found


def known_digest(config: Config, family: str, version: int, split: int, iteration: int) -> str | None:
    """The digest of a checkpoint: as its training noted it, unless the file was written since; None where it is gone."""
    path = find_checkpoints(config, family, version, split).get(iteration)
    if path is None:
        return None
    product = training_product(config, family, version, split, iteration)
    noted = (read_json(product / WEIGHTS) or {}).get(CHECKPOINT)
    if noted and (product / CELL).exists() and path.stat().st_mtime_ns <= (product / CELL).stat().st_mtime_ns:
        return str(noted)
    return digest(path)
