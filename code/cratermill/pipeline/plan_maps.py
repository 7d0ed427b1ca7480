"""From the maps of a configuration to cells of a plan: the parts of each map, what joins them, and what is asked of the whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import CratermillError, InputError
from ..core.files import fingerprint, read_json
from ..families import get_family
from ..report.palette import read_colours

if TYPE_CHECKING:
    from ..batch.plan import Cell, Plan
    from ..config import Config
    from ..families.base import Family

MOST_CELLS = 200_000
"""Cells of one plan: every look at a run reads all of them."""

ASKED = ("analyse", "compare")
"""Keys of a map that ask something of the whole; each is a stage of its own."""


NOT_OF_DATA = {"name", "trainer", "search", "cost", "map", "maps", "changed", "train"}


def asked_of_data(config: Config) -> list[Any]:
    """The keys of a configuration on which data may depend, beside those of rows and maps."""
    return [str(config.root), config.run.model_dump(mode="json", exclude=NOT_OF_DATA)]


def require_countable(count: int, next_step: str) -> None:
    """Raise ``InputError`` for more cells than a plan can hold."""
    if count > MOST_CELLS:
        raise InputError(f"the plan would have {count:,} cells", valid=f"at most {MOST_CELLS:,}", next_step=next_step)


def map_maker(config: Config) -> Family:
    """The family that makes the map at work; ``InputError`` where the versions name none, or several."""
    versions = config.map.versions if config.map else {}
    makers = makers_among(versions)
    if len(makers) != 1:
        raise InputError(
            f"map.versions names {list(versions)}",
            valid="one family that makes maps, and those it builds on",
            next_step="correct the config",
        )
    return get_family(makers[0])


def makers_among(versions: Iterable[str]) -> list[str]:
    """The families that make maps, without those that others of them build on."""
    helpers = {helper for name in versions for helper in get_family(name).maps_with}
    return [name for name in versions if get_family(name).maps and name not in helpers]


def each_map(config: Config) -> Iterator[Config]:
    """The configuration at work on each of its maps in turn; ``InputError`` where there is none."""
    maps = config.maps
    if not maps:
        raise InputError(
            "the config makes no map", valid="map: {versions: {…}, split: 0}", next_step="add a 'map' part; see configs/demo/demo.yaml"
        )
    yield from (config.of_map(one) for one in maps)


def at_work(config: Config, params: dict[str, Any]) -> Config:
    """The configuration at work on the map of a cell, under the name that it was planned with."""
    one = config.maps[params.get("map", 0)]
    return config.of_map(one.model_copy(update={"name": params.get("name") or one.name}))


def map_warnings(config: Config, params: dict[str, Any]) -> list[str]:
    """What the family of a map's cell has to say of its mosaic; where it can't tell, why.

    A damaged checkpoint, say, makes the parts fail that are made with it, and no others.
    """
    try:
        return get_family(params["family"]).map_warnings(at_work(config, params))
    except CratermillError as error:
        return [error.given]


def add_maps(
    config: Config,
    cells: list[Cell],
    candidates: Callable[[str], list[int]] | None = None,
    rows: dict[str, list[Any]] | None = None,
) -> None:
    """Add the cells of every map; those planned before are the trainings that maps may build on."""
    from ..families.members import Trainings

    planned, names = list(cells), set[str]()
    made: list[_OneMap] = []
    for number, one in enumerate(each_map(config)):
        trainings = Trainings(config, planned, candidates, rows)
        family = map_maker(one)
        name = family.map_name(one, trainings)
        if config.run.group and one.map_run.name is None:
            name = f"{config.run.group}_{name}"  # versions of a group may have the numbers of others
        if name in names:
            raise InputError(f"two maps of the config are called {name}", next_step="give each of them a name of its own")
        names.add(name)
        made.append(_OneMap(one, family, trainings, number, name, cells))
        made[-1].add()
    for one_map in made:
        one_map.add_asked({other.name: other.whole for other in made})


class _OneMap:
    def __init__(self, config: Config, family: Family, trainings: Any, number: int, name: str, cells: list[Cell]):
        self.config, self.family, self.trainings, self.name, self.cells = config, family, trainings, name, cells
        self.place = {"family": family.name, "map": number, "name": name}
        self.folder = config.project.map_log(name)

    def add(self) -> None:
        parts, compose = self._parts()
        require_countable(len(parts), "map fewer craters, or raise block_px, in one map")
        needs = tuple(sorted(self.trainings.needed))
        several = len(self.config.maps) > 1
        prefix = f"map_{self.place['name']}_" if several else "map_"
        computed = self._computed()
        made = [
            self._add("map", prefix + params["key"], self.folder / "cells" / params["key"], needs, {**params, **computed})
            for params in parts
        ]
        self._add_composite(made, compose)

    def _computed(self) -> dict[str, Any]:
        """Params of how the parts are computed, where that is not as usual: an asked for precision changes their numbers."""
        asked = self.config.run.trainer.precision
        return {"precision": asked} if self.family.obeys_precision and asked != "auto" else {}

    def _parts(self) -> tuple[list[dict[str, Any]], Any]:
        """The family's cells and mark of the whole, as they were told before while configuration, trainings and files are the same."""
        from ..samples.answers import remembered

        run, trainings = self.config.map_run, self.trainings

        def find() -> list[Any]:
            return [
                self.family.map_cells(self.config, trainings),
                self.family.compose_mark(self.config, trainings),
                sorted(trainings.needed),
            ]

        question = [run.model_dump(mode="json", exclude=set(ASKED)), asked_of_data(self.config), trainings.known(run.versions)]
        elsewhere = [self.config.path(run.data)] if run.data else []
        parts, compose, needed = remembered(self.config, ["parts", self.place, question], find, elsewhere, self.family.files_marked)
        trainings.needed.update(needed)
        return parts, compose

    def _add_composite(self, parts: list[Cell], compose: Any) -> None:
        needs = tuple(part.index for part in parts)  # the same in a plan of the maps alone; trainings come before the parts
        named = self.config.map_run.colours
        compose = [compose, str(read_colours(self.config.path(named)))] if named else compose
        mark = [self.config.map_run.model_dump(mode="json", exclude=set(ASKED)), compose, [part.fingerprint for part in parts]]
        flags = {"soft_needs": True, "always": True, "mark": mark}
        self.whole = self._add("composite", f"composite_{self.place['name']}", self.folder / "composite", needs, {}, **flags)

    def add_asked(self, planned: dict[str, Cell]) -> None:
        """The map's analysis and comparisons; ``planned``: the composites of this plan, which may be the truth of others."""
        asked, name = self.config.map_run, self.name
        if asked.analyse:
            flags: dict[str, Any] = {"always": True, "mark": [self.whole.fingerprint, asked.analyse.model_dump(mode="json"), None]}
            self._add("analyse", f"analyse_{name}", self.folder / "analyse", (self.whole.index,), {}, **flags)
        for number, one in enumerate(asked.compare):
            other = planned.get(one.truth)
            truth = other.fingerprint if other else truth_mark(truth_path(self.config, one.truth))
            needs = (self.whole.index, other.index) if other else (self.whole.index,)
            flags = {"always": True, "mark": [self.whole.fingerprint, one.model_dump(mode="json"), truth]}
            end = f"_{number}" if number else ""
            self._add("compare", f"compare_{name}{end}", self.folder / f"compare{end}", needs, {"number": number}, **flags)

    def _add(self, stage: str, key: str, product: Any, needs: tuple[int, ...], params: dict[str, Any], **flags: Any) -> Cell:
        from ..batch.plan import Cell

        mark = flags.pop("mark", {"family": self.family.name, **params})
        where = self.config.project.relative(product)
        cell = Cell(len(self.cells), stage, key, {**params, **self.place}, needs, where, fingerprint(mark), **flags)
        self.cells.append(cell)
        return cell


def truth_path(config: Config, given: str) -> Path:
    """What a map is compared with: a path of the project, or another map's name; ``InputError`` where it is neither."""
    path, map_folder = config.path(given), config.project.map_folder(given)
    if path.exists() or map_folder.is_dir():
        return path if path.exists() else map_folder
    raise InputError(
        f"map.compare names {given}, but there is no {path}, and no map of this name", valid="masks, polygons, a crater list, or a map"
    )


def truth_mark(path: Path) -> str:
    from ..samples.inputs import mark

    return mark(path)


# --- parts made with other weights ----------------------------------------------------------------------------------------------


def refuse_other_weights(config: Config, plan: Plan, overwrite: bool = False) -> None:
    """Parts whose networks were trained again since, or exchanged: refused, or moved aside when told to overwrite."""
    from ..batch.workspace import move_aside

    other = [(cell, what) for cell in plan.cells if cell.stage == "map" and (what := other_weights(config, plan, cell))]
    if not other:
        return
    if overwrite:
        for cell, _ in other:
            move_aside(plan.product(cell))
        return
    lines = "\n".join(f"  {cell.product}: {what}" for cell, what in other[:5])
    more = f"\n  … and {len(other) - 5} more" if len(other) > 5 else ""
    raise InputError(
        f"Some parts of a map exist already, made with other checkpoints:\n{lines}{more}",
        next_step="launch with --overwrite (the old parts are moved aside), or give the map another name",
    )


def other_weights(config: Config, plan: Plan, cell: Cell) -> str | None:
    """Which checkpoints of a finished part aren't those that lie there now; None where all are, or are to be trained yet."""
    from ..batch.state import CELL_FILE
    from ..families.members import used_weights

    made = read_json(plan.product(cell) / CELL_FILE)
    used = (made.get("metrics") or {}).get("weights") if made and made.get("fingerprint") == cell.fingerprint else None
    if not used:
        return None
    one = at_work(config, cell.params)
    now = used_weights(one, cell.params["weights"], one.map_run.split)
    for family, versions in used.items():
        for version, digests in versions.items():
            there = now.get(family, {}).get(version, {})
            changed = [number for number, digest in digests.items() if there.get(number) not in (None, digest)]
            if changed:
                return f"{family} version {version}, iteration {', '.join(changed)}"
            if family in now and version not in now[family]:
                return f"{family} version {version}, where {', '.join(now[family])} is the best now"
    return None
