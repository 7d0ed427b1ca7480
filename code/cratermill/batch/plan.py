"""The frozen list of cells of one launch: one JSON file that every executor runs from."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ..core.errors import InputError, nearest
from ..core.files import fingerprint, read_json, write_json, write_text
from ..core.paths import Project
from . import disk, provenance

DIFF_NAME = "code.diff"
FORMAT = 2
READABLE = (1, 2)
SHORT_CHARS = 24
"""Values that take no more room than this stand in every cell; longer ones that several cells have in common are written once."""


@dataclass(frozen=True)
class Cell:
    """The unit of work: opaque `params` for one `stage`, published as the folder `product` (relative to the root)."""

    index: int
    stage: str
    key: str
    params: dict
    needs: tuple[int, ...]
    product: str
    fingerprint: str
    soft_needs: bool = False
    always: bool = False

    @property
    def group(self) -> tuple[str, str]:
        """Cells of one group cost about the same; used for estimates and reports only."""
        return self.stage, str(self.params.get("family", ""))


@dataclass(frozen=True)
class Plan:
    """Cells in an order in which each comes after those it needs; `root` is the project folder."""

    run: str
    root: Path
    config: dict
    seed: int
    provenance: dict
    cells: tuple[Cell, ...]

    @property
    def folder(self) -> Path:
        return Project(self.root).run(self.run)

    @property
    def path(self) -> Path:
        return Project(self.root).plan(self.run)

    def product(self, cell: Cell) -> Path:
        return self.root / cell.product

    def state_path(self, index: int) -> Path:
        return self.folder / "cells" / f"{index}.json"

    def log_path(self, index: int) -> Path:
        return self.folder / "cells" / f"{index}.log"

    def cell(self, index: int) -> Cell:
        """The cell of that index; InputError outside the plan."""
        if not 0 <= index < len(self.cells):
            raise InputError(f"Run {self.run} has no cell {index}", valid=f"0 to {len(self.cells) - 1}")
        return self.cells[index]

    def levels(self) -> list[list[int]]:
        """Indices of cells in groups, each of which needs only cells of those before it."""
        levels: list[int] = []
        for cell in self.cells:
            levels.append(1 + max((levels[need] for need in cell.needs), default=-1))
        return [[index for index, its in enumerate(levels) if its == level] for level in sorted(set(levels))]

    @property
    def identity(self) -> str:
        """sha256 of what is to be computed; equal plans continue the same run, whoever launches them from wherever."""
        return fingerprint({"config": self.config, "seed": self.seed, "cells": [asdict(cell) for cell in self.cells]})


def make_plan(name: str, root: Path, config: dict, seed: int, cells) -> Plan:
    """A checked plan whose run is called `<name>-<8 hex of its identity>`; provenance is that of this moment."""
    root = Path(root).resolve()
    plan = Plan("", root, config, seed, {}, tuple(cells))
    _check(plan)
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "run"
    return replace(plan, run=f"{safe[:60]}-{plan.identity[:8]}", provenance=provenance.describe_code(root))


def _check(plan: Plan) -> None:
    """A plan is made by our own code, so a broken one is a bug: assert."""
    problem = next(_problems(plan), None)
    assert problem is None, problem


def _problems(plan: Plan) -> Iterator[str]:
    """What is wrong with a plan; one that is read may come from anywhere, and must not lead out of its project."""
    if Path(plan.run).name != plan.run or plan.run == "..":
        yield f"run is called {plan.run}"
    seen_keys, seen_products = set[str](), set[str]()
    for position, cell in enumerate(plan.cells):
        if cell.index != position:
            yield f"cell {cell.key} has index {cell.index}, stands at {position}"
        if not cell.key.isprintable():
            yield f"cell {position} is called {cell.key!r}"
        if not all(type(need) is int and 0 <= need < position for need in cell.needs):
            yield f"cell {cell.key} needs cells that come after it: {cell.needs}"
        if cell.key in seen_keys:
            yield f"two cells are called {cell.key}"
        if cell.product in seen_products:
            yield f"two cells make {cell.product}"
        parts = cell.product.split("/")
        if not parts[0] or ".." in parts or not cell.product.isprintable() or not set(parts) - {"", "."}:
            yield f"product outside the project: {cell.product}"
        seen_keys.add(cell.key)
        seen_products.add(cell.product)


def freeze(plan: Plan) -> Path:
    """Write the plan below `log/runs/<run>/` and return its path; an identical plan continues the run that is there.

    When the code has changed since, the new provenance becomes the run's and the older one is kept in `earlier`.
    Each product records the provenance it was made under.
    """
    disk.make_folder(plan.folder / "cells", "the run's folder")
    old = load(plan.path) if plan.path.exists() else None
    if old and old.identity != plan.identity:
        raise InputError(f"{plan.path} holds another plan (its first 8 digits are the same)", next_step="give the config another name")
    if old and old.provenance.get("code_sha256") == plan.provenance.get("code_sha256"):
        return plan.path
    frozen = replace(plan, provenance={**plan.provenance, "earlier": _earlier(old)})
    try:
        diff = provenance.dirty_diff(plan.root) if plan.provenance.get("dirty") else ""
        if diff:
            write_text(plan.folder / DIFF_NAME, diff)
        write_json(plan.path, _as_json(frozen))
        disk.sync(plan.path)
    except OSError as error:
        raise disk.cannot_write(plan.path, "the plan", error) from error
    return plan.path


def _earlier(old: Plan | None) -> list[dict]:
    if old is None:
        return []
    last = {name: value for name, value in old.provenance.items() if name not in ("earlier", "packages")}
    return [*old.provenance.get("earlier", []), last]


def _as_json(plan: Plan) -> dict:
    shared, cells = _shared_and_cells(plan.cells)
    return {
        "format": FORMAT,
        "run": plan.run,
        "root": str(plan.root),
        "config": plan.config,
        "seed": plan.seed,
        "provenance": plan.provenance,
        "shared": shared,
        "cells": cells,
    }


def _shared_and_cells(cells: tuple[Cell, ...]) -> tuple[list, list[dict]]:
    """Values of params (and needs) that several cells have in common, and the cells that name them by their place in that list."""
    texts = [{name: json.dumps(value, sort_keys=True) for name, value in _sharable(cell).items()} for cell in cells]
    counts = Counter(text for one in texts for text in one.values() if len(text) > SHORT_CHARS)
    places = {text: place for place, text in enumerate(text for text, count in counts.items() if count > 1)}
    written = []
    for cell, one in zip(cells, texts, strict=True):
        common = {name: places[text] for name, text in one.items() if text in places}
        params = {name: value for name, value in cell.params.items() if name not in common}
        kept = {**vars(cell), "params": params, "needs": [] if NEEDS in common else list(cell.needs)}
        written.append(kept | ({"shared": common} if common else {}))
    return [json.loads(text) for text in places], written


NEEDS = "cell.needs"


def _sharable(cell: Cell) -> dict:
    return {**cell.params, NEEDS: cell.needs}


def _whole_cell(written: dict, shared: list) -> Cell:
    params, needs = written["params"], written["needs"]
    if places := written.get("shared"):
        if any(place < 0 for place in places.values()):
            raise IndexError(places)
        common = {name: shared[place] for name, place in places.items()}
        needs, params = common.pop(NEEDS, needs), {**params, **common}
    index, stage, key, product = written["index"], written["stage"], written["key"], written["product"]
    soft, always = written.get("soft_needs", False), written.get("always", False)
    return Cell(index, stage, key, params, tuple(needs), product, written["fingerprint"], soft, always)


def load(path) -> Plan:
    """Read a frozen plan; its root is the folder it lies in, so that a project may be moved or mounted elsewhere."""
    path = Path(path).absolute()
    if path.is_dir():
        path = path / "plan.json"
    value = read_json(path)
    if not isinstance(value, dict) or value.get("format") not in READABLE:
        raise _no_plan(path, "is no plan of this version of cratermill" if path.exists() else "is missing")
    try:
        plan = _from_json(path, value)
        problem = next(_problems(plan), None)
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise _no_plan(path, "is no whole plan of cratermill") from error
    if problem is not None:
        raise _no_plan(path, f"is no whole plan of cratermill: {problem}")
    return plan


def _newest_of(config: Path, paths: list[Path]) -> Plan:
    """The newest run, the last of ``paths``, of a configuration by its name, with which the names of its runs begin."""
    from ..core.models import read_keys

    name = str(read_keys(config).get("name"))
    plans = (load(path) for path in reversed(paths) if path.parent.name.startswith(f"{name}-"))
    if found := next((plan for plan in plans if plan.config.get("name") == name), None):
        return found
    raise InputError(f"{config} was not launched yet", valid="a configuration with a run", next_step=f"cratermill launch all {config}")


def _no_plan(path: Path, why: str) -> InputError:
    return InputError(f"{path} {why}", valid="a plan.json below log/runs/<run>/", next_step="cratermill launch train CONFIG")


def _from_json(path: Path, value: dict) -> Plan:
    cells = tuple(_whole_cell(cell, value.get("shared", [])) for cell in value["cells"])
    here = path.parents[3] if len(path.parents) > 3 else path.parent
    root = here if Project(here).plan(value["run"]) == path else Path(value["root"])
    return Plan(value["run"], root, value["config"], value["seed"], value["provenance"], cells)


def find_run(root, name: str) -> Plan:
    """The plan of a run given by name, unique beginning, `latest`, its folder or its plan file, or of a configuration's newest run."""
    given = Path(name)
    if given.suffix == ".json" or (given / "plan.json").is_file():
        return load(given)
    project = Project(Path(root))
    paths = sorted(project.run("any").parent.glob("*/plan.json"), key=lambda path: path.stat().st_mtime)
    if name == "latest" and paths:
        return load(paths[-1])
    if given.suffix in (".yaml", ".yml") and given.is_file():
        return _newest_of(given, paths)
    names = [path.parent.name for path in paths]
    hits = [path for path in paths if path.parent.name == name] or [path for path in paths if path.parent.name.startswith(name)]
    if len(hits) == 1:
        return load(hits[0])
    problem = f"Several runs begin with {name!r}" if hits else f"There is no run {name!r}"
    valid = nearest(name, [hit.parent.name for hit in hits] or names[::-1]) or "none yet"
    raise InputError(problem, valid=valid, next_step="cratermill launch train CONFIG" if not names else None)
