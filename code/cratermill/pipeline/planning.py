"""From a run configuration to the cells of a plan; knows the families only by their common shape."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..batch.plan import Cell, make_plan
from ..config import BEST
from ..core.errors import InputError, WorkError
from ..core.files import fingerprint, read_json
from ..core.locks import holder_of
from ..core.seeds import seed_of
from ..families import get_family
from ..samples.answers import remembered
from ..samples.inputs import mark
from ..samples.recipe import require_on_device
from .plan_maps import add_maps, asked_of_data, require_countable

if TYPE_CHECKING:
    from ..batch.plan import Plan
    from ..config import Config, Trainer

Rows = dict[str, list[Any]]


def wanted_rows(config: Config) -> Rows:
    """The rows to train, by family, read from their tables and checked; refuses tables with problems in those rows."""
    if not config.run.train:
        raise InputError(
            "the config trains nothing", valid="train: {connection: {table: …}}", next_step="add a 'train' part; see configs/demo/demo.yaml"
        )
    return {name: _rows_of(config, name) for name in config.run.train}


def _rows_of(config: Config, family: str) -> list[Any]:
    from ..tables.table import load_versions

    run = config.run.train[family]
    return load_versions(config.path(run.table), get_family(family).hparams_model(), run.versions, run.set)


STAGES = ("train", "evaluate", "summarise", "map", "composite", "analyse", "compare")
"""In the order of a run; each needs only those before it."""


def train_plan(config: Config, rows: Rows | None = None) -> Plan:
    """Train and evaluate cells of every wanted row, and one summarise cell that always runs."""
    return _make_plan(config, "train", _training_cells(config, rows or wanted_rows(config)))


def map_plan(config: Config) -> Plan:
    """Of every map one cell per independent part and one that joins them."""
    cells: list[Cell] = []
    add_maps(config, cells, lambda family: _candidates(config, family))
    return _make_plan(config, "map", cells)


def all_plan(config: Config, rows: Rows, until: str = STAGES[-1], unprepared: bool = False) -> Plan:
    """From the rows to the finished maps: maps stand behind the trainings whose weights they take when they start.

    ``unprepared``: a plan to look at only, of data that are to be prepared yet.
    """
    cells = _training_cells(config, rows, unprepared, until) if any(rows.values()) and until != "prepare" else []
    if config.maps and until in STAGES[STAGES.index("map") :]:
        add_maps(config, cells, lambda family: [row.version for row in rows.get(family, [])] or trained_versions(config, family), rows)
    return _make_plan(config, "all", up_to(cells, until) if cells else [])


def up_to(cells: list[Cell], until: str) -> list[Cell]:
    """The cells of the stages up to and including this one, numbered anew."""
    kept = [cell for cell in cells if STAGES.index(cell.stage) <= STAGES.index(until)]
    places = {cell.index: place for place, cell in enumerate(kept)}
    return [replace(cell, index=places[cell.index], needs=tuple(places[need] for need in cell.needs if need in places)) for cell in kept]


def _candidates(config: Config, family: str) -> list[int]:
    """The versions among which the best is chosen: those that the config trains, else all that were trained here."""
    if family in config.run.train:
        return [row.version for row in _rows_of(config, family)]
    return trained_versions(config, family)


def trained_versions(config: Config, family: str) -> list[int]:
    from ..families.members import trained_versions as found

    return found(config, family)


def _make_plan(config: Config, kind: str, cells: list[Cell]) -> Plan:
    return make_plan(f"{config.run.name}-{kind}", config.root, config.dump(), config.run.seed, cells)


def _training_cells(config: Config, rows: Rows, unprepared: bool = False, until: str = STAGES[-1]) -> list[Cell]:
    cells = _TrainCells(config, {} if unprepared else data_marks(config, rows))
    count = sum(_trainings(config, name, row) for name, family_rows in rows.items() for row in family_rows)
    # Each is trained and evaluated.
    require_countable(2 * count, "lower iterations or trainings_per_test, or train fewer versions and splits in one run")
    for name, family_rows in rows.items():
        for row in family_rows:
            cells.add(name, row)
    if until != "train":  # training alone needs nobody's evaluations
        cells.evaluate()
        cells.summarise()
    return cells.cells


def _trainings(config: Config, name: str, row: Any) -> int:
    run = config.run.train[name]
    return len(run.splits_of(row)) * (run.iterations or row.trainings_per_test)


class _TrainCells:
    def __init__(self, config: Config, data: dict[str, dict[str, Any]]):
        self.config, self.data, self.cells = config, data, list[Cell]()
        self.trained, self.evaluated = list[Cell](), dict[tuple[str, int, int], list[int]]()
        self.rows = dict[tuple[str, int], Any]()

    def add(self, name: str, row: Any) -> None:
        run = self.config.run.train[name]
        self.rows[name, row.version] = row
        data = self.data.get(name, {}).get(str(row.version))
        if self.config.run.trainer.augment_on == "device":
            require_on_device(getattr(row, "img_augment", False))  # some families have no such column
        for split in run.splits_of(row):
            for iteration in range(run.iterations or row.trainings_per_test):
                seed = seed_of(self.config.run.seed, name, row.version, split, iteration)
                hparams = row.model_dump(mode="json")
                params = {"family": name, "version": row.version, "split": split, "iteration": iteration, "seed": seed, "hparams": hparams}
                trainer = _mark_of(self.config.run.trainer)
                self.trained.append(self._cell("train", params, (), [training_params(params), data, trainer]))

    def evaluate(self) -> None:
        """Evaluate cells, those that others need first; families are asked whom they need."""
        self._require_upstream()
        waiting = list(self.trained)
        while waiting:
            ready = [cell for cell in waiting if all(self._known(need, waiting) for need in self._upstream(cell))]
            assert ready, f"the evaluations need each other in a circle: {[cell.key for cell in waiting]}"
            for cell in ready:
                needs = [cell.index, *(index for need in self._upstream(cell) for index in self.evaluated.get(need, []))]
                tiles = self.config.run.tiles.model_dump(mode="json")
                mark = [marked(cell.params)["hparams"], tiles, [self.cells[need].fingerprint for need in needs]]
                made = self._cell("evaluate", cell.params, tuple(needs), mark)
                self.evaluated.setdefault(_of(cell), []).append(made.index)
            waiting = [cell for cell in waiting if cell not in ready]

    def summarise(self) -> None:
        index = len(self.cells)
        product = f"log/summaries/{self.config.run.name}-train"
        needs = tuple(range(index))
        self.cells.append(Cell(index, "summarise", "summarise", {}, needs, product, fingerprint("summarise"), soft_needs=True, always=True))

    def _upstream(self, cell: Cell) -> list[tuple[str, int, int]]:
        name, version, split = _of(cell)
        return get_family(name).upstream(self.rows[name, version], split)

    def _require_upstream(self) -> None:
        """Evaluations that lean on rows outside this plan need their results now, not in the middle of the night."""
        for cell in self.trained:
            for name, version, split in self._upstream(cell):
                if (name, version, split) not in {_of(one) for one in self.trained}:
                    get_family(name).require_evaluated(self.config, version, split)

    def _known(self, need: tuple[str, int, int], waiting: list[Cell]) -> bool:
        """Whether what is needed stands in the plan already, or is no part of it (then earlier results must serve)."""
        return all(_of(cell) != need for cell in waiting)

    def _cell(self, stage: str, params: dict, needs: tuple[int, ...], mark: Any) -> Cell:
        family = get_family(params["family"])
        product = self.config.project.cell_product(family.short, params["version"], stage, params["split"], params["iteration"])
        key = f"{stage}_{params['family']}-v{params['version']}_test-set-{params['split']}_iteration-{params['iteration']}"
        cell = Cell(len(self.cells), stage, key, params, needs, self.config.project.relative(product), fingerprint(mark))
        self.cells.append(cell)
        return cell


def _mark_of(trainer: Trainer) -> dict[str, Any]:
    """What of the trainer's options changes more than last digits; the usual way of augmenting came first, and leaves no mark."""
    found = trainer.model_dump(mode="json", include={"precision", "augment_on"})
    return {name: value for name, value in found.items() if value != "workers"}


def _of(cell: Cell) -> tuple[str, int, int]:
    return cell.params["family"], cell.params["version"], cell.params["split"]


def marked(params: dict[str, Any], ignored: tuple[str, ...] = ()) -> dict[str, Any]:
    """What of a cell's parameters its results hang on: without ``ignored`` columns, and without later ones that hold their default."""
    model = get_family(params["family"]).hparams_model()
    usual = {name: model.model_fields[name].default for name in model.came_later}
    kept = {name: value for name, value in params["hparams"].items() if name not in ignored and (name not in usual or value != usual[name])}
    return params | {"hparams": kept}


def training_params(params: dict[str, Any]) -> dict[str, Any]:
    return marked(params, get_family(params["family"]).hparams_model().not_trained_on)


def prepared_or_refuse(config: Config, rows: Rows) -> None:
    """Launching needs prepared data, made from the files and keys that are there now; says so before anything is planned."""
    idle_or_refuse(config)
    whole_or_refuse(config)
    _remembered(config, rows, "prepared", lambda: _require_prepared(config, rows))


def _require_prepared(config: Config, rows: Rows) -> None:
    for name, found in rows.items():
        family, run = get_family(name), config.run.train[name]
        family.require_prepared(config, found)
        family.require_splits(config, sorted({split for row in found for split in run.splits_of(row)}))


def data_marks(config: Config, rows: Rows) -> dict[str, dict[str, Any]]:
    """By family and version (as text) what changes when the data that a row trains on do."""

    def find() -> dict[str, dict[str, Any]]:
        return {name: {str(row.version): get_family(name).data_fingerprint(config, row) for row in found} for name, found in rows.items()}

    marks: dict[str, dict[str, Any]] = _remembered(config, rows, "data", find)
    return marks


def _remembered(config: Config, rows: Rows, what: Any, find: Callable[[], Any], folders: Iterable[Path] = ()) -> Any:
    """What is found of these rows' data, once for the same configuration, rows and files."""
    marked = all(get_family(name).files_marked for name in rows)
    return remembered(config, [what, *_asked(config, rows)] if marked else [], find, folders, marked)


def _asked(config: Config, rows: Rows) -> list[Any]:
    # Files that rows name lie anywhere; a text without a separator names a model or a choice.
    plain = {name: [row.model_dump(mode="json") for row in found] for name, found in rows.items()}
    named = [value for found in plain.values() for row in found for value in row.values() if isinstance(value, str) and os.sep in value]
    files = [mark(Path(value)) for value in sorted(set(named)) if Path(value).exists()]
    runs = {name: run.model_dump(mode="json") for name, run in config.run.train.items() if name in rows}
    return [asked_of_data(config), runs, plain, files]


def map_data_or_refuse(config: Config) -> None:
    """What was prepared for a map's own mosaic must be of this very mosaic, crater list and configuration, or the map would be stale."""
    for one in map(config.of_map, config.maps):
        run = one.map
        if run is None or run.mosaic or run.catalogue:
            continue  # nothing prepared is used
        idle_or_refuse(one)
        whole_or_refuse(one)
        makers = {name: wanted for name, wanted in run.versions.items() if get_family(name).maps}
        rows = {
            name: _rows_there(one, name, _candidates(one, name) if wanted == BEST else [int(wanted)]) for name, wanted in makers.items()
        }
        elsewhere = [one.path(run.data)] if run.data else []
        _remembered(one, rows, ["map data", run.model_dump(mode="json")], partial(_require_map_data, one, rows), elsewhere)


def _require_map_data(config: Config, rows: Rows) -> None:
    for name, found in rows.items():
        get_family(name).require_map_data(config, found)


def _rows_there(config: Config, name: str, versions: list[int]) -> list[Any]:
    """Versions' rows, if the config names their table and they are still there: maps are made by checkpoints, which know their own."""
    from ..tables.table import read_table

    given = config.run.train.get(name)
    if given is None or not config.path(given.table).exists():
        return []
    rows = read_table(config.path(given.table), get_family(name).hparams_model(), lambda row: row.version in versions, given.set).rows
    return [row for row in rows if row.version in versions]


def idle_or_refuse(config: Config) -> None:
    """Data that somebody is at work on are not ready."""
    holder = holder_of(config.data.lock)
    if holder is not None:
        raise WorkError(f"{holder.words} prepares {config.data.root} at this moment", next_step="wait for it, then launch again")


def whole_or_refuse(config: Config) -> None:
    """Data of an import that was interrupted must not be mixed with what prepare would make in their place."""
    made = (read_json(config.data.prepared) or {}).get("import", {})
    if not made.get("complete", True):
        raise InputError(
            f"the import into {config.data.root} did not come to its end",
            next_step=f"run again: cratermill import-ejmap {shlex.quote(str(made['source']))} --into {shlex.quote(config.run.data)}",
        )
