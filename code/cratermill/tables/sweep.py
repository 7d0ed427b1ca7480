"""New rows of a table from a few lines of YAML: every combination, or random ones. Old rows are never touched."""

from __future__ import annotations

import csv
import io
import itertools
import math
import random
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, model_validator

from ..core.errors import InputError, nearest
from ..core.files import atomic_path
from ..core.models import Strict, checked, read_keys
from ..training.hparams import RowHparams
from .table import load_versions

MOST_ROWS = 10_000


class Range(Strict):
    """Numbers from ``low`` to ``high``: ``n`` of them evenly spaced, or random ones."""

    low: float
    high: float
    n: int | None = Field(None, ge=2)
    log: bool = False
    integer: bool = False

    @model_validator(mode="after")
    def _sound(self) -> Range:
        if not self.low < self.high or (self.log and self.low <= 0):
            raise ValueError("needs low < high, and with log: true a positive low")
        return self

    def values(self) -> list[float | int]:
        """``n`` values, evenly spaced, on the logarithm with ``log``."""
        assert self.n is not None
        return list(dict.fromkeys(self._at(place / (self.n - 1)) for place in range(self.n)))

    def draw(self, chance: random.Random) -> float | int:
        return self._at(chance.random())

    def _at(self, share: float) -> float | int:
        ends = (math.log(self.low), math.log(self.high)) if self.log else (self.low, self.high)
        value = ends[0] + share * (ends[1] - ends[0])
        value = math.exp(value) if self.log else value
        return round(value) if self.integer else float(f"{value:.4g}")


Choices = Annotated[list[Any], Field(min_length=1)] | Range


class Condition(Strict):
    """Where all of ``if`` hold, the columns of ``set`` get these values, or the row is left out."""

    when: dict[str, Any] = Field(alias="if")
    set: dict[str, Any] = Field(default_factory=dict)
    skip: bool = False

    def holds(self, row: dict[str, Any]) -> bool:
        return all(
            text_of(row.get(name)) in map(text_of, value if isinstance(value, list) else [value]) for name, value in self.when.items()
        )


class GridFile(Strict):
    """``from``: the row that is copied; ``columns``: lists or ranges; ``sample``: so many random combinations instead of all."""

    base: int = Field(alias="from", ge=0)
    columns: dict[str, Choices] = Field(min_length=1)
    conditions: list[Condition] = []
    sample: int | None = Field(None, ge=1, le=MOST_ROWS)
    seed: int = 0

    def combinations(self) -> list[dict[str, Any]]:
        """What each new row changes, after the conditions, none twice."""
        found: dict[tuple[tuple[str, str], ...], dict[str, Any]] = {}
        for row in self._draws() if self.sample else self._all():
            changed = self._conditioned(row)
            if changed is not None:
                found.setdefault(tuple(sorted((name, text_of(value)) for name, value in changed.items())), changed)
            if self.sample and len(found) == self.sample:
                break
        return list(found.values())

    def _all(self) -> Any:
        loose = [name for name, choices in self.columns.items() if isinstance(choices, Range) and choices.n is None]
        if loose:
            raise InputError(f"the range of {loose[0]} has no n", valid="n: how many values, or sample: how many random rows")
        lists = [choices.values() if isinstance(choices, Range) else choices for choices in self.columns.values()]
        if math.prod(map(len, lists)) > MOST_ROWS:
            raise InputError(f"the grid has {math.prod(map(len, lists))} rows", valid=f"up to {MOST_ROWS}", next_step="use sample: 100")
        return (dict(zip(self.columns, chosen, strict=True)) for chosen in itertools.product(*lists))

    def _draws(self) -> Any:
        chance = random.Random(self.seed)
        for _ in range(50 * (self.sample or 0)):  # small grids have fewer different rows than were asked for
            yield {name: one.draw(chance) if isinstance(one, Range) else chance.choice(one) for name, one in self.columns.items()}

    def _conditioned(self, row: dict[str, Any]) -> dict[str, Any] | None:
        row = dict(row)
        for condition in self.conditions:
            if condition.holds(row):
                if condition.skip:
                    return None
                row |= condition.set
        return row


def read_grid(path: Path) -> GridFile:
    example = "from: 200, columns: {lr: [0.001, 0.0001], batch_size: {low: 4, high: 32, n: 4, log: true, integer: true}}"
    keys = read_keys(path, "the grid ", "see 'Many rows at once' in docs/families.md")
    return checked(GridFile, keys, str(path), valid=example)


def text_of(value: Any) -> str:
    """A value as it stands in a cell."""
    return "" if value is None else str(value)


def new_rows(table: Path, model: type[RowHparams], grid: GridFile, taken: set[int] | None = None) -> list[dict[str, str]]:
    """The cells of new rows, each checked as a row of the table is; numbers follow the largest there is, and those ``taken``."""
    with table.open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    header = list(rows[0]) if rows else []
    unknown = [name for name in {*grid.columns, *(name for one in grid.conditions for name in one.set)} if name not in header]
    if unknown:
        raise InputError(
            f"{table} has no column {unknown[0]}", valid=nearest(unknown[0], header), next_step="name one of these, or add the column first"
        )
    base = next((row for row in rows if row["version"].strip() == str(grid.base)), None)
    if base is None:
        raise InputError(f"{table} has no version {grid.base} to copy", valid=", ".join(row["version"] for row in rows[:20]))
    changes = grid.combinations()
    for change in changes:
        load_versions(table, model, [grid.base], {str(grid.base): change})
    first = max([*(int(row["version"]) for row in rows if row["version"].strip().isdecimal()), *(taken or ())], default=-1) + 1
    return [
        base | {name: text_of(value) for name, value in change.items()} | {"version": str(first + number)}
        for number, change in enumerate(changes)
    ]


def append_rows(table: Path, rows: list[dict[str, str]]) -> None:
    """Write rows behind those of a table, whose bytes stay as they are."""
    old = table.read_bytes()
    end = "\r\n" if b"\r\n" in old else "\n"
    with io.StringIO(newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator=end)
        writer.writerows(rows)
        added = file.getvalue()
    with atomic_path(table) as temporary:
        temporary.write_bytes(old + (b"" if old.endswith(b"\n") else end.encode()) + added.encode("utf-8"))
