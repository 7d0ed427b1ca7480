"""Reading a ``*_version_hparams.csv``: every row becomes a validated model, every flaw a :class:`Problem`; the file is never written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from ..core.delimited import read_cells
from ..core.errors import InputError, nearest
from ..samples.recipe import recipe_folder
from ..training.fields import OneOf, integer
from ..training.hparams import RowHparams
from . import keywords

HEADER_LINE = 1


@dataclass(frozen=True)
class Problem:
    """One flaw of a table: where it is, what stands there, why it can't be used and what could stand there."""

    file: str
    line: int
    version: str | None
    column: str
    value: str
    reason: str
    valid: str
    changed: bool = False
    """Whether the value stands in no file, but was set for the launch."""

    def __str__(self) -> str:
        version = f" (version {self.version})" if self.version else ""
        value = f"'{self.value}' " if self.value else ""
        valid = f". Valid: {self.valid}" if self.valid else ""
        where = f"{self.file}, line {self.line}{version}, column {self.column}"
        set_by = " as changed by --set, or by 'set' in the configuration" if self.changed else ""
        return f"{where}{set_by}: {value}{self.reason}{valid}"


@dataclass
class Table:
    """The sound rows of a table, in file order, and what is wrong with the others. ``lines`` gives each version's line."""

    path: Path
    rows: list[RowHparams] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    lines: dict[int, int] = field(default_factory=dict)

    def require(self) -> list[RowHparams]:
        """All rows; raises ``InputError`` listing every problem."""
        require_none(self.path, self.problems)
        return self.rows


def require_none(path: Path, problems: list[Problem]) -> None:
    """Raises ``InputError`` listing every problem, if there is one."""
    if problems:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        listed = "".join(f"\n  {problem}" for problem in problems)
        step = "correct these cells, then run 'cratermill versions check' on the file"
        if all(problem.changed for problem in problems):
            step = "correct what is set; the file itself needn't change"
        raise InputError(f"{count} in {path}:{listed}", next_step=step)


def read_table(
    path: Path | str, model: type[RowHparams], look_up: Callable[[RowHparams], bool] = lambda row: True, changes: Changes | None = None
) -> Table:
    """Read and check a whole table of rows of one model. Raises ``InputError`` only if the file can't be read as a table at all.

    ``look_up`` says of which rows the networks are looked up in their libraries, some of which take long to import.
    """
    path = Path(path)
    header, lines = _changed(*_read_cells(path), changes or {})
    table = Table(path)
    table.problems += [replace(one, changed=_is_changed(changes or {}, one.column, None)) for one in _header_problems(path, header, model)]
    for line, cells in lines:
        row = _Row(path, line, dict(zip(header, cells, strict=False)), model, changes or {})
        _add_row(table, row, len(cells), len(header), look_up)
    return table


def load_versions(
    path: Path | str, model: type[RowHparams], versions: Iterable[int] | None = None, changes: Changes | None = None
) -> list[RowHparams]:
    """The rows with these versions, or all with ``version_run`` True; raises ``InputError`` on problems.

    With ``versions``, only flaws of the header and of these rows count, so that a flaw elsewhere stops nobody. ``changes`` overrule cells.
    """
    if versions is None:
        return [row for row in read_table(path, model, lambda row: row.version_run, changes).require() if row.version_run]
    wanted = list(dict.fromkeys(versions))
    table = read_table(path, model, lambda row: row.version in wanted, changes)
    require_none(table.path, [p for p in table.problems if p.line == HEADER_LINE or _version_of(p) in wanted])
    rows = {row.version: row for row in table.rows}
    for version in wanted:
        if version not in rows:
            valid = ", ".join(str(known) for known in rows) or "none: the table has no sound row"
            raise InputError(f"{path} has no version {version}", valid=valid, next_step="name one of these versions, or add a row")
    return [rows[version] for version in wanted]


Changes = Mapping[str, Any]
"""Values that overrule a table's: by column for all rows, or by version (as text) and column for one row."""


def _changed(header: list[str], lines: list[tuple[int, list[str]]], changes: Changes) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The table as if the changes stood in it."""
    single = {name: dict(values) for name, values in changes.items() if name.isdigit() and isinstance(values, Mapping)}
    everywhere = {name: value for name, value in changes.items() if name not in single}
    columns = dict.fromkeys([*header, *everywhere, *(name for values in single.values() for name in values)])
    if not changes or "version" not in header:
        return header, lines
    place, found = header.index("version"), []
    for line, cells in lines:
        if len(cells) == len(header):
            row = dict(zip(header, cells, strict=True)) | everywhere | single.get(cells[place].removesuffix(".0"), {})
            cells = ["" if (value := row.get(name)) is None else str(value) for name in columns]
        found.append((line, cells))
    unknown = sorted(set(single) - {cells[place].removesuffix(".0") for _, cells in lines if len(cells) > place})
    if unknown:
        raise InputError(f"columns are changed of version {unknown[0]}, which the table hasn't", next_step="correct the number")
    return list(columns), found


def _is_changed(changes: Changes, column: str, version: str | None) -> bool:
    """Whether a column's value comes from the changes: of all rows, or of one (of any, where ``version`` is None)."""
    rows = [value for name, value in changes.items() if name.isdigit() and (version is None or name == version.removesuffix(".0"))]
    return column in changes or any(isinstance(row, Mapping) and column in row for row in rows)


def _version_of(problem: Problem) -> int | None:
    """The version as a number: spreadsheets write 3 as 3.0 or 03, and it is the same row."""
    try:
        return integer(problem.version)
    except PydanticCustomError:
        return None


def _read_cells(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The header and the filled lines with their line numbers; cells stripped of blanks around them."""
    header, lines = read_cells(path)
    if not lines:
        raise InputError(f"the table {path} has no rows below its header", valid="one row per version", next_step="add a row")
    return header, lines


def _header_problems(path: Path, header: list[str], model: type[RowHparams]) -> list[Problem]:
    fields = model.columns()
    prefixes = tuple(model.keyword_groups)
    found = []
    for column in header:
        flaw = Problem(path.name, HEADER_LINE, None, column or "without a name", "", "unknown column", "")
        if header.count(column) > 1:
            found.append(replace(flaw, reason="appears twice" if header.count(column) == 2 else f"appears {header.count(column)} times"))
        elif column not in fields and not (column.split("_")[0] in prefixes and keywords.is_keyword(column) and keywords.find(column)):
            known = [
                *fields,
                *(name for prefix in prefixes for name in (keywords.column_names(prefix) if column.startswith(prefix) else [])),
            ]
            found.append(replace(flaw, reason="is no column of this family", valid=nearest(column, known)))
    for column, name in fields.items():
        if column not in header and model.model_fields[name].is_required():
            found.append(Problem(path.name, HEADER_LINE, None, column, "", "is missing", model.model_fields[name].description or ""))
    return list(dict.fromkeys(found))


def _add_row(table: Table, row: _Row, cells: int, columns: int, look_up: Callable[[RowHparams], bool]) -> None:
    hparams = None
    if cells == columns:
        hparams = row.read(look_up)
    else:
        row.add("(whole row)", f"has {cells} cells, the header {columns}", "as many cells as the header, quotes around lists", value="")
    if hparams is not None and hparams.version in table.lines:
        row.add("version", f"stands in line {table.lines[hparams.version]} already", "a number of its own")
    table.problems += row.problems
    if hparams is not None and not row.problems:
        table.rows.append(hparams)
        table.lines[hparams.version] = row.line


class _Row:
    """One line of the file on its way to a model."""

    def __init__(self, path: Path, line: int, cells: dict[str, str], model: type[RowHparams], changes: Changes):
        self.file, self.line, self.cells, self.model, self.changes = path.name, line, cells, model, changes
        self.context = {"recipes": recipe_folder(path)}
        self.problems: list[Problem] = []

    def add(self, column: str, reason: str, valid: str = "", value: str | None = None) -> None:
        value = self.cells.get(column, "") if value is None else value
        version = self.cells.get("version")
        changed = _is_changed(self.changes, column, version or "")
        self.problems.append(Problem(self.file, self.line, version, column, value, reason, valid, changed))

    def read(self, look_up: Callable[[RowHparams], bool]) -> RowHparams | None:
        """The model of this row; None if its cells don't make one."""
        values = self._fields()
        values["keywords"] = self._keywords()
        try:
            hparams = self.model.model_validate(values, context=self.context)
        except ValidationError as error:
            for flaw in error.errors():
                self._add_flaw(flaw)
            return None
        if not self.problems:
            self._check_keywords(hparams)
            if look_up(hparams):
                self._check_networks(hparams)
        return hparams

    def _fields(self) -> dict[str, Any]:
        """The filled cells; a blank one stands for None, or else for the column's default, or else is a problem."""
        values: dict[str, Any] = {}
        for column, name in self.model.columns().items():
            text = self.cells.get(column, "")
            if text:
                values[column] = text
            elif column in self.cells and self.model.model_fields[name].is_required():
                self.add(column, "is blank, but a value is needed", self.model.model_fields[name].description or "")
        return values

    def _keywords(self) -> dict[str, Any]:
        values = {}
        for column, text in self.cells.items():
            keyword = keywords.find(column) if text and keywords.is_keyword(column) else None
            if keyword is not None:
                try:
                    values[column] = keyword.read(text)
                except PydanticCustomError as error:
                    context = error.context or {}
                    self.add(column, context["reason"], context["valid"])
        return values

    def _add_flaw(self, flaw: Mapping[str, Any]) -> None:
        """A pydantic error as problems in the words of the table."""
        context = flaw.get("ctx", {})
        if flaw["type"] == "conflicts":
            for column, reason, valid in context["conflicts"]:
                self.add(column, reason, valid)
            return
        column = str(flaw["loc"][0]) if flaw["loc"] else "(whole row)"
        if flaw["type"] == "missing" or any(problem.column == column for problem in self.problems):
            return  # a blank or missing column is reported already
        if flaw["type"] == "cell":
            self.add(column, context["reason"], context["valid"])
        elif flaw["type"] == "literal_error":
            annotation = self.model.model_fields[self.model.columns()[column]].annotation
            self.add(column, "is none of the choices", nearest(self.cells.get(column, ""), _choices(annotation)))
        else:
            self.add(column, "is out of range", flaw["msg"].removeprefix("Input should be ").lower())

    def _check_keywords(self, hparams: RowHparams) -> None:
        """Whether the keywords that have no default are given."""
        for prefix in hparams.keyword_groups:
            name = hparams.chosen(prefix)
            for column in keywords.missing(prefix, name, hparams.keywords_of(prefix)) if name else []:
                self.add(column, f"is blank, but {hparams.keyword_groups[prefix]} {name} needs it", "a value")

    def _check_networks(self, hparams: RowHparams) -> None:
        for column, name, home in self._named_networks(hparams):
            self._check_network(hparams, column, name, home)

    def _named_networks(self, hparams: RowHparams) -> list[tuple[str, str, str]]:
        """The row's networks, and encoders in columns of models that it doesn't use: a wrong name there would show later."""
        used = hparams.backbones()
        columns = {column for column, _, _ in used}
        idle = [(c, str(v), "smp") for c, v in hparams.keywords.items() if c.endswith("_encoder_name") and c not in columns]
        return used + idle

    def _check_network(self, hparams: RowHparams, column: str, name: str, home: str) -> None:
        from ..networks.names import resolve, tags
        from ..networks.weights import weights_of

        try:
            backbone = resolve(name, home)
        except InputError as error:
            # The line begins with the name, and libraries share some of theirs.
            reason = error.given.removeprefix(f"'{name}'").removesuffix(f" in '{name}'").lstrip(": ")
            self.add(column, reason, ", ".join(dict.fromkeys((error.valid or "").split(", "))), value=name)
            return
        if hparams.begins_pretrained and column in {c for c, _, _ in hparams.backbones()} and weights_of(backbone) is None:
            tagged = ", ".join(f"{backbone}.{tag}" for tag in tags(backbone.library, backbone.name)[:3])
            self.add(
                "pretrained",
                f"is True, but {backbone} names no published weights",
                f"False{', or ' + tagged if tagged else ''}",
                value="True",
            )


def _choices(annotation: Any) -> list[str]:
    """The names in a Literal or of a registry, also inside Optional."""
    if isinstance(annotation, OneOf):
        return list(annotation.names())
    parts = [[part] if isinstance(part, str) else _choices(part) for part in get_args(annotation)]
    return [choice for part in parts for choice in part]


_RANGES = {"ge": "from {}", "gt": "above {}", "le": "to {}", "lt": "below {}"}


def valid_values(field: FieldInfo) -> str:
    """What may stand in a column, as its model says it: the names, or the range of its numbers; "" where anything of its type may."""
    # pydantic takes the marks of a column off its type, unless they stand inside Optional.
    if choices := [name for part in (field.annotation, *field.metadata) for name in _choices(part)]:
        return ", ".join(choices)
    limits = [(words, getattr(one, bound, None)) for one in field.metadata for bound, words in _RANGES.items()]
    return ", ".join(words.format(limit) for words, limit in limits if limit is not None)
