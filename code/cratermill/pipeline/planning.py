"""From a run configuration to the cells of a plan; knows the families only by their common shape."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..core.errors import InputError, WorkError
from ..core.files import fingerprint, read_json
from ..core.locks import holder_of
from ..core.seeds import seed_of
from ..families import get_family

if TYPE_CHECKING:
    from ..batch.plan import Cell, Plan
    from ..config import Config

Rows = dict[str, list[Any]]


def wanted_rows(config: Config) -> Rows:
    """The rows to train, by family, read from their tables and checked; refuses tables with problems in those rows."""
    from ..tables.table import load_versions

    if not config.run.train:
        raise InputError(
            "the config trains nothing", valid="train: {connection: {table: …}}", next_step="add a 'train' part; see configs/demo/demo.yaml"
        )
    return {
        name: load_versions(config.path(run.table), get_family(name).hparams_model(), run.versions)
        for name, run in config.run.train.items()
    }


def train_plan(config: Config, rows: Rows | None = None) -> Plan:
    """Train and evaluate cells of every wanted row, and one summarise cell that always runs."""
    from ..batch.plan import make_plan

    cells = _TrainCells(config)
    for name, family_rows in (rows or wanted_rows(config)).items():
        for row in family_rows:
            cells.add(name, row)
    cells.evaluate()
    cells.summarise()
    return make_plan(f"{config.run.name}-train", config.root, config.dump(), config.run.seed, cells.cells)


class _TrainCells:
    def __init__(self, config: Config):
        self.config, self.cells, self.trained, self.evaluated = config, [], [], {}

    def add(self, name: str, row: Any) -> None:
        run, family = self.config.run.train[name], get_family(name)
        data = family.data_fingerprint(self.config, row)
        for split in run.splits_of(row):
            for iteration in range(run.iterations or row.trainings_per_test):
                seed = seed_of(self.config.run.seed, name, row.version, split, iteration)
                hparams = row.model_dump(mode="json")
                params = {"family": name, "version": row.version, "split": split, "iteration": iteration, "seed": seed, "hparams": hparams}
                trainer = self.config.run.trainer.model_dump(mode="json", include={"precision"})
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
                mark = [cell.params["hparams"], tiles, [self.cells[need].fingerprint for need in needs]]
                made = self._cell("evaluate", cell.params, tuple(needs), mark)
                self.evaluated.setdefault(_of(cell), []).append(made.index)
            waiting = [cell for cell in waiting if cell not in ready]

    def summarise(self) -> None:
        from ..batch.plan import Cell

        index = len(self.cells)
        product = f"log/summaries/{self.config.run.name}-train"
        needs = tuple(range(index))
        self.cells.append(Cell(index, "summarise", "summarise", {}, needs, product, fingerprint("summarise"), soft_needs=True, always=True))

    def _upstream(self, cell: Cell) -> list[tuple[str, int, int]]:
        return get_family(cell.params["family"]).upstream(cell.params["hparams"], cell.params["split"])

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
        from ..batch.plan import Cell

        family = get_family(params["family"])
        product = self.config.project.cell_product(family.short, params["version"], stage, params["split"], params["iteration"])
        key = f"{stage}_{params['family']}-v{params['version']}_test-set-{params['split']}_iteration-{params['iteration']}"
        cell = Cell(len(self.cells), stage, key, params, needs, self.config.project.relative(product), fingerprint(mark))
        self.cells.append(cell)
        return cell


def _of(cell: Cell) -> tuple[str, int, int]:
    return cell.params["family"], cell.params["version"], cell.params["split"]


def training_params(params: dict[str, Any]) -> dict[str, Any]:
    ignored = get_family(params["family"]).hparams_model().not_trained_on
    return params | {"hparams": {name: value for name, value in params["hparams"].items() if name not in ignored}}


def map_plan(config: Config) -> Plan:
    """One cell per independent part of the map and one that joins them."""
    from ..batch.plan import Cell, make_plan

    if config.run.map is None:
        raise InputError(
            "the config makes no map", valid="map: {versions: {…}, split: 0}", next_step="add a 'map' part; see configs/demo/demo.yaml"
        )
    makers = [name for name in config.run.map.versions if get_family(name).maps]
    if len(makers) != 1:
        raise InputError(
            f"map.versions names {list(config.run.map.versions)}",
            valid="one family that makes maps, and those it builds on",
            next_step="correct the config",
        )
    family = get_family(makers[0])
    name, folder = family.map_name(config), config.project.map_log(family.map_name(config))
    cells = []
    for params in family.map_cells(config):
        product = config.project.relative(folder / "cells" / params["key"])
        full = {"family": family.name, **params}
        cells.append(Cell(len(cells), "map", f"map_{params['key']}", full, (), product, fingerprint(full)))
    product = config.project.relative(folder / "composite")
    needs = tuple(range(len(cells)))
    mark = [config.run.map.model_dump(mode="json"), [cell.fingerprint for cell in cells]]
    cells.append(
        Cell(
            len(cells),
            "composite",
            f"composite_{name}",
            {"family": family.name},
            needs,
            product,
            fingerprint(mark),
            soft_needs=True,
            always=True,
        )
    )
    return make_plan(f"{config.run.name}-map", config.root, config.dump(), config.run.seed, cells)


def prepared_or_refuse(config: Config, rows: Rows) -> None:
    """Launching needs prepared data, made from the files and keys that are there now; says so before anything is planned."""
    idle_or_refuse(config)
    whole_or_refuse(config)
    for name, found in rows.items():
        family, run = get_family(name), config.run.train[name]
        family.require_prepared(config, found)
        family.require_splits(config, sorted({split for row in found for split in run.splits_of(row)}))


def map_data_or_refuse(config: Config) -> None:
    """What was prepared for a map's own mosaic must be of this very mosaic, crater list and configuration, or the map would be stale."""
    run = config.run.map
    if run is None or run.mosaic or run.catalogue:
        return  # nothing prepared is used
    idle_or_refuse(config)
    whole_or_refuse(config)
    for name, version in run.versions.items():
        if get_family(name).maps:
            get_family(name).require_map_data(config, _rows_of(config, name, version))


def _rows_of(config: Config, name: str, version: int) -> list[Any]:
    """A version's row, if the config names its table and it is still there: maps are made by checkpoints, which know their own."""
    from ..tables.table import read_table

    given = config.run.train.get(name)
    if given is None or not config.path(given.table).exists():
        return []
    rows = read_table(config.path(given.table), get_family(name).hparams_model(), lambda row: row.version == version).rows
    return [row for row in rows if row.version == version]


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
            next_step=f"run 'cratermill import-ejmap {made['source']} --into {config.run.data}' again",
        )
