"""From a source of chips to one stack per size and one table: labels, copies, splits. Both families of chips prepare alike."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ...core.errors import InputError
from ...core.files import write_table
from ...core.progress import Progress
from ...core.seeds import seed_of
from ...craters.catalogue import read_catalogue
from ...geo.mosaic import Mosaic, require_body
from ...samples.grey import grey_mark
from ...samples.hold_outs import TV, UNUSED, Squares, Ways, by_name, region_marks
from ...samples.hold_outs import held_out as held_out_by
from ...samples.inputs import mark
from ...samples.steps import Steps, hash_of
from ...samples.store import Piece, Spec, Store, write_store
from .. import family_data
from .chipset import UNLABELLED, ChipSet, Keeping, joined, require_classes
from .cutting import cut_chips
from .options import ChipData
from .readers import left_out_folders, npy_companions, read_labelled, read_unlabelled
from .splits import held_out

if TYPE_CHECKING:
    from ...config import Config

LABELLED, TEST, EXTRA, PREDICT = "labelled", "test", "unlabelled", "predict"
"""Roles of chips: ``test`` are those that the data's authors set aside."""
PX = "px"
IMBALANCED = 0.4
"""A class with less than this part of its equal share is worth a warning."""


@dataclass(frozen=True)
class ChipFolder:
    """``<data>/<family>/``: what prepare makes there. The table of chips, one row each: name, role, label (−1: none), group (equal for
    copies), ``test_{S}`` (1 test, 0 train or validate, −1 no); ``chips.csv`` is the same to look at."""

    root: Path

    @property
    def store(self) -> Store:
        return Store(self.root / "chips")

    @property
    def cut(self) -> Path:
        """Where chips cut from a mosaic are kept until the others are made of them; pictures as they are read in folders beside it."""
        return self.root / "cut"

    @property
    def table(self) -> Path:
        return self.root / "chips.csv"

    @cached_property
    def rows(self) -> pd.DataFrame:
        return self.store.rows()

    def sizes(self) -> list[int]:
        """The sizes in pixels that chips are kept at."""
        return sorted(int(name.removesuffix(PX)) for name in self.store.arrays()) if self.store.exists else []

    def images(self, size_px: int) -> np.ndarray:
        """(N, size_px, size_px) uint8, in the table's order."""
        if size_px not in self.sizes():
            raise InputError(f"{self.root} holds no chips of {size_px} px", next_step="run 'cratermill prepare CONFIG'")
        return self.store.array(f"{size_px}{PX}")

    def digest(self, size_px: int) -> list[Any]:
        return [self.store.digest(f"{size_px}{PX}")]


@dataclass(frozen=True)
class AtSizes(Store):
    """The chips, at least at these sizes."""

    sizes: tuple[int, ...] = ()

    def fault(self) -> str | None:
        fault = super().fault()
        lacking = [size for size in self.sizes if fault is None and f"{size}{PX}" not in self.arrays()]
        return f"{self.folder.parent} holds no chips of {lacking[0]} px" if lacking else fault


def make_data(config: Config, family: str, rows: Iterable[Any], work: Steps) -> dict[str, Any]:
    """Read, compare, split and store the chips of a family; only what changed. Returns counts for the user."""
    folder, data = ChipFolder(config.data.family(family)), family_data(config, family)
    wanted = {row.chip_size_px for row in rows}
    # Rows prepared earlier keep their chips, and with them the size at which chips are cut.
    sizes = sorted(wanted | set(folder.sizes())) if wanted else folder.sizes()
    given = inputs(config, data)
    made_of = hash_of([given, sizes])
    store = AtSizes(folder.store.folder, tuple(sorted(wanted)))
    work.step(step_name(family), given, [store, folder.table], partial(_make_and_tidy, config, data, folder, sizes, made_of, work))
    if work.check:
        return {}
    counts = folder.store.facts()
    return {"made": work.made, **counts, "notes": notes(counts, data.classes), "warnings": warnings(counts)}


def step_name(family: str) -> str:
    return f"{family} chips"


def inputs(config: Config, data: ChipData) -> dict[str, Any]:
    """What chips are made of, as plain values."""
    splits = config.run.splits
    given = data.model_dump(mode="json") | {"splits": splits.model_dump(mode="json"), "seed": config.run.seed}
    given |= region_marks(splits, config.path)
    files = {"chips": data.chips, "unlabelled": data.unlabelled, "predict": data.predict}
    if data.cut:
        files |= {"mosaic": data.cut.mosaic, "catalogue": data.cut.catalogue}
        given["grey"] = grey_mark(config.path(data.cut.mosaic), [data.cut.band])
    return given | {what: mark(config.path(path)) for what, path in files.items() if path is not None}


def _make_and_tidy(config: Config, data: ChipData, folder: ChipFolder, sizes: list[int], made_of: str, work: Steps) -> None:
    make(config, data, folder, sizes, made_of, work)
    for left in folder.root.glob(f"{folder.cut.name}*"):  # mapped until the line before has ended
        shutil.rmtree(left, ignore_errors=True)


def make(config: Config, data: ChipData, folder: ChipFolder, sizes: list[int], made_of: str, work: Steps) -> None:
    chips, roles, ties = read_all(config, data, max(sizes), Keeping(folder.cut, made_of, work.workers), work.progress)
    copies = find_copies(chips, data, work.progress)
    counts = copies_of(chips, copies)
    groups = tied(copies, ties) if data.duplicates != "ignore" else copies
    if data.duplicates == "drop":
        kept = first_of_groups(copies, roles)
        chips, roles, groups = chips.chosen(kept), roles[kept], groups[kept]
    table = pd.DataFrame({"name": chips.names, "role": roles, "label": chips.labels, "group": groups})
    for split in range(config.run.splits.count):
        seed = seed_of(config.run.seed, "chips", "test", split)
        table[f"test_{split}"] = test_column(roles, chips.labels, groups, config.run.splits.test_fraction, seed)
    for split, one in enumerate(config.run.splits.hold_out, config.run.splits.count):
        side = held_out_by(one, ways(config, data, chips), groups)
        table[f"test_{split}"] = np.where((side == TV) | (roles == LABELLED), side, UNUSED)
        table.loc[np.isin(roles, (TEST, PREDICT)), f"test_{split}"] = UNUSED
    others = left_out_folders(config.path(data.chips), data.classes) if data.chips else {}
    facts = {**counts, **summary(table, data), "folders_left_out": others}

    def resize(rows: pd.DataFrame) -> Piece:
        part = chips.chosen(rows.index.to_numpy())
        return Piece(rows, {f"{size}{PX}": part.stack(size) for size in sizes})

    arrays = {f"{size}{PX}": Spec((size, size), np.dtype(np.uint8)) for size in sizes}
    write_store(folder.store.folder, made_of, table, arrays, resize, finish=lambda rows: (rows, facts), workers=work.workers)
    write_table(folder.table, table)


def read_all(config: Config, data: ChipData, size_px: int, keeping: Keeping, progress: Progress) -> tuple[ChipSet, np.ndarray, np.ndarray]:
    """All chips with their roles (N,), and pairs (2, M) known to show the same ground."""
    ties, companions = np.zeros((2, 0), np.int64), {}

    def kept(role: str) -> Keeping:
        folder = keeping.folder.with_name(f"{keeping.folder.name}-{role}")
        return replace(keeping, folder=folder, tell=partial(progress, f"reading {role} chips"))

    if data.cut is not None:
        if config.run.body:
            with Mosaic.open(config.path(data.cut.mosaic), [data.cut.band]) as mosaic:
                require_body(mosaic, config.run.body)
        seed = seed_of(config.run.seed, "chips", "cut")
        labelled, ties = cut_chips(data.cut, config.root, size_px, seed, keeping, progress, config.data.statistics)
        sets, roles = [labelled], [np.where(labelled.labels == UNLABELLED, EXTRA, LABELLED)]
    else:
        source = config.path(data.chips or "")
        labelled, test = read_labelled(source, data.classes, kept(LABELLED))
        given = {LABELLED: labelled, TEST: test}
        sets = [one.trimmed(data.trim_px) for one in given.values() if one is not None]
        roles = [np.full(len(one), role) for role, one in given.items() if one is not None]
        companions = npy_companions(source) if source.is_dir() else {}
    require_classes(labelled.labels, data.classes, data.chips or "the cut")
    named = {EXTRA: data.unlabelled, PREDICT: data.predict}
    for role, path in (companions | {role: config.path(path) for role, path in named.items() if path is not None}).items():
        sets.append(read_unlabelled(path, kept(role)).trimmed(data.trim_px))
        roles.append(np.full(len(sets[-1]), role))
    return joined(sets), np.concatenate(roles), ties


def ways(config: Config, data: ChipData, chips: ChipSet) -> Ways:
    """Chips are found by their names, those cut from a mosaic by craters and regions, too."""
    named = by_name(chips.names, "chip")
    if data.cut is None or chips.squares is None:
        return Ways("chip", names=named)
    with Mosaic.open(config.path(data.cut.mosaic), [data.cut.band]) as mosaic:
        body, pixel_m = mosaic.grid.body, mosaic.grid.resolution_m
    squares = Squares(body, *chips.squares.T)
    craters = read_catalogue(config.path(data.cut.catalogue), body, pixel_m=pixel_m, **data.cut.told)
    return Ways("chip", partial(squares.with_craters, craters), lambda path: squares.in_regions(config.path(path)), named)


def find_copies(chips: ChipSet, data: ChipData, progress: Progress) -> np.ndarray:
    """Group numbers (N,), equal for copies; where copies are to be ignored they are not looked for."""
    from .duplicates import SIDE_PX, duplicate_groups

    if data.duplicates == "ignore":
        return np.arange(len(chips))
    return duplicate_groups(chips.stack(SIDE_PX), data.same_correlation, data.same_detail, progress)


def tied(groups: np.ndarray, ties: np.ndarray) -> np.ndarray:
    """Group numbers (N,) of groups joined by pairs (2, M) of chips that show the same ground, copies or not."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    pairs = coo_matrix((np.ones(ties.shape[1], bool), (groups[ties[0]], groups[ties[1]])), shape=(groups.max() + 1,) * 2)
    return connected_components(pairs, directed=False)[1][groups].astype(np.int64)


def first_of_groups(groups: np.ndarray, roles: np.ndarray) -> np.ndarray:
    """Row numbers of one chip per group, the authors' test chips before labelled before unlabelled ones; all chips to predict."""
    rank = np.select([roles == TEST, roles == LABELLED, roles == EXTRA], [0, 1, 2], 3)
    order = np.lexsort((np.arange(len(groups)), rank))
    order = order[rank[order] < 3]
    _, first = np.unique(groups[order], return_index=True)
    return np.sort(np.concatenate([order[first], np.flatnonzero(roles == PREDICT)]))


def test_column(roles: np.ndarray, labels: np.ndarray, groups: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """1: tests; 0: trains or validates; −1: unused. An unlabelled copy of a test chip is unused, chips to predict are never trained on."""
    if np.any(roles == TEST):
        tests = np.isin(groups, np.unique(groups[roles == TEST]))
        column = np.where(roles == TEST, 1, np.where(tests, -1, 0))
    else:
        known = np.where(roles == LABELLED, labels, UNLABELLED)
        tests = held_out(known, groups, fraction, seed)
        column = np.where(tests, np.where(roles == LABELLED, 1, -1), 0)
    return np.where(roles == PREDICT, -1, column)


def copies_of(chips: ChipSet, groups: np.ndarray) -> dict[str, int]:
    """How many chips were read, how many of them are no copies of each other, and how often copies have different labels."""
    labels = pd.Series(chips.labels).where(chips.labels != UNLABELLED)
    return {
        "chips_read": len(chips),
        "different_chips": int(len(np.unique(groups))),
        "largest_group_of_copies": int(np.bincount(groups).max()),
        "groups_of_contradicting_labels": int((labels.groupby(groups).nunique() > 1).sum()),
    }


def summary(table: pd.DataFrame, data: ChipData) -> dict[str, Any]:
    """Counts of what is kept by role and class, and the share of each class."""
    labelled = table[table["role"].isin([LABELLED, TEST])]
    counts = {name: int((labelled["label"] == number).sum()) for number, name in enumerate(data.classes)}
    return {
        "chips": {role: int(count) for role, count in table["role"].value_counts().items()},
        "classes": counts,
        "copies_looked_for": data.duplicates != "ignore",
        "share_of_classes": {name: round(count / max(1, len(labelled)), 4) for name, count in counts.items()},
    }


def notes(counts: dict[str, Any], classes: list[str]) -> list[str]:
    """The classes' numbers and the copies, in words."""
    labelled = [f"{name} {counts['classes'][name]} ({counts['share_of_classes'][name]:.0%})" for name in classes]
    others = [f"{role} {count}" for role, count in counts["chips"].items() if role in (EXTRA, PREDICT)]
    found = f"{counts['different_chips']} of them no copies of another" if counts["copies_looked_for"] else "copies not looked for"
    copies = f"{counts['chips_read']} chips read, {found}"
    return [f"labelled: {', '.join(labelled)}" + (f"; {', '.join(others)}" if others else ""), copies]


def warnings(counts: dict[str, Any]) -> list[str]:
    found = []
    if counts.get("folders_left_out"):  # chips that older versions made don't say
        others = ", ".join(f"{name} ({count} pictures)" for name, count in counts["folders_left_out"].items())
        found.append(f"folders that data.classes doesn't name are left out: {others}")
    if counts["groups_of_contradicting_labels"]:
        found.append(f"{counts['groups_of_contradicting_labels']} group(s) of copies have chips of different labels: look at chips.csv")
    if min(counts["share_of_classes"].values()) < IMBALANCED / len(counts["classes"]):
        found.append("the classes are far from equal: judge by balanced accuracy or macro F1, not by accuracy")
    return found
