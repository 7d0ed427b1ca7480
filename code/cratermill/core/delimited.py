"""Delimited text (CSV and its kin) as spreadsheets, data bases and people write it: the one reader of all tables that users may edit.

Read: commas, semicolons, tabs or bars between the cells; a ``sep=`` line of Excel's; lines of comments (``#``) and blank ones; cells beyond
the header, if nothing stands in them. Refused, with the line: rows that are longer or shorter than the header, and columns named twice.
"""

from __future__ import annotations

import csv
import io
import re
from array import array
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import InputError, first_line
from .notices import notice
from .text import decode, read_text

if TYPE_CHECKING:
    import pandas as pd

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
COMMENT = "#"
_SEP_LINE = re.compile(r'\s*"?sep=([^\w\s"]|\t)"?\s*', re.IGNORECASE)


class Delimited:
    """A table of texts: its header, its rows as long as the header, and each row's line in the file (from 1)."""

    def __init__(self, what: str, names: list[str], separator: str):
        self.what, self.separator = what, separator
        self.lines = array("q")
        self.width, self.names = len(names), names
        while self.names and not self.names[-1]:
            self.names = self.names[:-1]  # nameless columns at the end count only if anything stands in them
        # As bytes of a plain CSV: lists of a million rows would take gigabytes.
        self._rows = io.BytesIO()
        self._text = io.TextIOWrapper(self._rows, "utf-8", newline="")
        self._writer = csv.writer(self._text, lineterminator="\n")
        self._tails, self._point, self._comma, self._grouped = False, False, False, ""

    @property
    def header(self) -> list[str]:
        return self.names + [""] * (self.width - len(self.names)) * self._tails

    def add(self, line: int, cells: list[str]) -> None:
        """Take in a row; ``InputError`` if its cells can't be told from each other."""
        if len(cells) < len(self.names) or (len(cells) > self.width and any(cells[self.width :])):
            raise InputError(
                f"{self.what}, line {line} (row {len(self.lines) + 1}) has {len(cells)} cells, the header {len(self.names)}: "
                f"{self.separator.join(cells)[:80]}",
                valid="as many cells in each row as in the header; quotes around cells that hold the separator",
                next_step="correct the row: it can't be told which value belongs to which column",
            )
        self._tails |= any(cells[len(self.names) : self.width])
        self.lines.append(line)
        self._writer.writerow([*cells[: self.width], *[""] * (self.width - len(cells))])
        if self.separator != "," and len(self.lines) <= _LOOKED_AT:
            grouped = [cell for cell in cells if _POINT_THOUSANDS.fullmatch(cell)]
            self._grouped = self._grouped or "".join(grouped[:1])
            self._point |= any(_POINT_NUMBER.fullmatch(cell) and cell not in grouped for cell in cells)
            self._comma |= any(_COMMA_NUMBER.fullmatch(cell) and not _THOUSANDS.fullmatch(cell) for cell in cells)
            self._comma |= any("," in cell or cell.count(".") > 1 for cell in grouped)

    @property
    def rows(self) -> Iterator[list[str]]:
        width = len(self.header)
        return (cells[:width] for cells in csv.reader(io.TextIOWrapper(self._start(), "utf-8", newline="")))

    def _start(self) -> io.BytesIO:
        self._text.flush()
        return io.BytesIO(self._rows.getbuffer())

    def frame(self, texts: bool = False) -> pd.DataFrame:
        """The table with its numbers as numbers, like ``pandas.read_csv``; with ``texts`` every cell stays a text, blank ones NaN."""
        import pandas as pd

        names = [name or f"Unnamed: {number}{'.1' * (f'Unnamed: {number}' in self.names)}" for number, name in enumerate(self.header)]
        # Rows are whole here, so pandas can't take the first column for row names. Numbers 12,5 are possible where commas part no cells.
        kinds: dict[str, Any] = {"dtype": str} if texts else self._numbers()
        columns: dict[str, Any] = {"header": None, "names": names, "usecols": range(len(names)), "index_col": False}
        if len(self.lines):
            return pd.read_csv(self._start(), **columns, skip_blank_lines=False, low_memory=False, **kinds)
        return pd.DataFrame(columns=names)

    def _numbers(self) -> dict[str, Any]:
        """How pandas is to read them."""
        if self._comma and not self._point:
            if self._grouped:
                self._require_thousands()
            return {"decimal": ",", "thousands": "." if self._grouped else None}
        if self._grouped and not self._point:  # nor is there any number with a comma
            notice(
                f"{self.what}: numbers such as {self._grouped} are read with a decimal point, as {float(self._grouped):g}; "
                "if the point parts thousands, export the file without it"
            )
        return {"decimal": "."}

    def _require_thousands(self) -> None:
        """Where points part thousands, ``12.5`` would become 125: rows behind those that told are looked at, too."""
        for line, cells in zip(self.lines[_LOOKED_AT:], islice(self.rows, _LOOKED_AT, None), strict=True):
            point = next((cell for cell in cells if _POINT_NUMBER.fullmatch(cell) and not _POINT_THOUSANDS.fullmatch(cell)), None)
            if point is not None:
                raise InputError(
                    f"{self.what}, line {line}: {point} has a decimal point, where {self._grouped} above has one between thousands",
                    valid="one way of writing numbers in the whole file",
                    next_step="export the file again, with decimal points and nothing between thousands",
                )


_LOOKED_AT = 1000
_COMMA_NUMBER = re.compile(r"[+-]?\d+,\d+")
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(,\d{3})+")
_POINT_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(\.\d{3})+(,\d+)?")
_POINT_NUMBER = re.compile(r"[+-]?\d*\.\d+")


def read_frame(path: Path, texts: bool = False, next_step: str = "check the path") -> pd.DataFrame:
    """The table of a file as a data frame; ``InputError`` names file and line."""
    return read_delimited(path, next_step).frame(texts)


def read_delimited(path: Path, next_step: str = "check the path") -> Delimited:
    """The table of a file; ``next_step`` is for one that isn't there. Raises ``InputError`` for whatever can't be read as one."""
    return parse(_text(path, next_step), str(path))


def read_cells(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The header and the rows with their lines as they stand, for readers that judge each row themselves; blank ends cut off."""
    _, (_, header), records = _opened(_text(path, "check the path"), str(path))
    rows = list(records)
    width = len(header)
    while header and not header[-1] and not any(any(cells[len(header) - 1 : width]) for _, cells in rows):
        header = header[:-1]
    return header, [(line, cells[: len(header)] if not any(cells[len(header) :]) else cells) for line, cells in rows]


def _text(path: Path, next_step: str) -> str:
    try:
        return read_text(path)
    except OSError as error:
        raise InputError(f"{path} can't be read: {error.strerror or error}", valid="a table of text", next_step=next_step) from error


def parse_bytes(content: bytes, what: str) -> Delimited:
    """The table in a file's content; ``what`` names the file."""
    return parse(decode(content, what), what)


def parse(text: str, what: str) -> Delimited:
    separator, (_, header), records = _opened(text, what)
    table = Delimited(what, header, separator)
    _require_different(table)
    for line, cells in records:
        table.add(line, cells)
    return table


def _opened(text: str, what: str) -> tuple[str, tuple[int, list[str]], Iterator[tuple[int, list[str]]]]:
    """The separator, the header with its line, and the rows below it."""
    lines = _lines(text)
    first, start = next(lines, (0, ""))
    if not first:
        raise InputError(f"{what} is empty", valid="a header and at least one row")
    separator, named = _separator(start)
    if named:  # Excel's line names the separator, the header follows
        first, start = next(lines, (0, ""))
        if not first:
            raise InputError(f"{what} is empty but for its sep= line", valid="a header and at least one row")
    records = _records(text, first, separator, what)
    header = next(records, None)
    if header is None:
        raise InputError(f"{what} has a header without names: {start[:80]!r}", valid="a header that names the columns")
    return separator, header, records


def _lines(content: str) -> Iterator[tuple[int, str]]:
    """(number, text) of lines that are neither blank nor comments."""
    for number, line in enumerate(io.StringIO(content, newline=None), start=1):
        if line.strip() and not line.lstrip().startswith(COMMENT):
            yield number, line.rstrip("\n")


def _separator(line: str) -> tuple[str, bool]:
    """The separator of a header, or the one that a ``sep=`` line names, and whether it is such a line."""
    if named := _SEP_LINE.fullmatch(line):
        return named[1], True
    return max(SEPARATORS, key=lambda separator: len(_split(line, separator))), False


def _split(line: str, separator: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=separator, skipinitialspace=True), [])
    except csv.Error:
        return []


def _records(content: str, first: int, separator: str, what: str) -> Iterator[tuple[int, list[str]]]:
    """(line, cells) from a line on, without blank rows and comments; cells stripped."""
    stream = io.StringIO(content, newline=None)
    for _ in range(first - 1):
        next(stream)
    reader, width = csv.reader(stream, delimiter=separator, skipinitialspace=True, strict=True), 0
    while True:
        line = first + reader.line_num
        try:
            cells = [cell.strip() for cell in next(reader)]
        except StopIteration:
            return
        except csv.Error as error:
            raise InputError(
                f"{what} can't be read from line {line} on: {first_line(error)}",
                valid='cells in "quotes" that end, whole rows',
                next_step="open it in a text editor: a quote is missing there, or the file is cut off",
            ) from error
        if not any(cells):
            continue
        width = width or len(cells)
        if cells[0].startswith(COMMENT) and _is_comment(cells, width, line, what):
            continue
        yield line, cells


def _is_comment(cells: list[str], width: int, line: int, what: str) -> bool:
    """A row that is commented out can't be told from one whose first cell begins with the sign."""
    if width > 1 and len(cells) == width:
        raise InputError(
            f"{what}, line {line} begins with {COMMENT} and has as many cells as the header: {','.join(cells)[:80]}",
            valid=f"comments that are no rows, and rows that don't begin with {COMMENT}",
            next_step="remove the line or the sign",
        )
    return True


def _require_different(table: Delimited) -> None:
    twice = [name for name, count in Counter(table.names).items() if name and count > 1]
    if twice:
        raise InputError(
            f"{table.what} has the column {twice[0]} {table.names.count(twice[0])} times",
            valid="a different name for each column",
            next_step="rename or remove one of them: it can't be told which is meant",
        )
