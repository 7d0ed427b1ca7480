"""EJMAP's two ``.cfg`` files, shell assignments that are read and never executed, as parts of a run configuration."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..core.errors import InputError
from ..training.fields import integer

TRAIN, MAPPING = "train_run_config.cfg", "mapping_run_config.cfg"
ASSIGNMENT = re.compile(r"\s*(?:export\s+)?([A-Za-z_]\w*)=(.*)")
KEYS = {"connection": ("CONN_VERSIONS_TO_RUN", "CONN_TRAININGS_PER_TEST"), "ejecta": ("EJC_VERSIONS_TO_RUN", "EJC_TRAININGS_PER_TEST")}
PARTNERS = {"connection": ("EVAL_EJC_VERSION", "eval_ejc_version"), "ejecta": ("EVAL_CONN_VERSION", "eval_conn_version")}


@dataclass
class Settings:
    """The assignments of one file."""

    path: Path
    values: dict[str, list[str]]

    def numbers(self, key: str) -> list[int]:
        """The whole numbers of a value or of an array ``(1 2 3)``; none where it is blank or missing."""
        try:
            return [integer(text) for text in self.values.get(key, [])]
        except ValueError as error:
            said = " ".join(self.values[key])
            raise InputError(
                f"{self.path}: {key} is {said!r}", valid=f"{key}=(1 2 3), or {key}=1", next_step="correct the file, then import again"
            ) from error

    def number(self, key: str) -> int | None:
        return next(iter(self.numbers(key)), None)


def read_settings(path: Path) -> Settings | None:
    """The file's assignments; None where it is missing. Nothing in it is run: `$(…)` stays text."""
    if not path.exists():
        return None
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"can't read {path}: {error}", valid="a text file in UTF-8", next_step="check the file") from error
    found = {}
    for number, line in enumerate(lines, 1):
        match = ASSIGNMENT.fullmatch(line)
        if match:
            found[match[1]] = _words(match[2], path, number)
    return Settings(path, found)


def _words(text: str, path: Path, line: int) -> list[str]:
    try:
        words = shlex.split(text, comments=True)
    except ValueError as error:
        raise InputError(f"{path}, line {line}: {error}", valid="KEY=value or KEY=(1 2 3)", next_step="correct the file") from error
    return " ".join(words).strip().removeprefix("(").removesuffix(")").split()


@dataclass
class Wanted:
    """What the two files ask for: ``train`` and ``map`` of a run configuration, and what a user should know of the rest."""

    train: dict[str, dict[str, Any]] = field(default_factory=dict)
    map: dict[str, Any] | None = None
    notes: list[str] = field(default_factory=list)


def wanted(folder: Path, known: dict[str, list[int]], results: dict[str, list[int]], drawn: Iterable[int]) -> Wanted:
    """What ``folder`` (EJMAP's code/) asks for. ``known``: versions of the tables, ``results``: versions with results, by family;
    ``drawn``: craters with training masks."""
    found = Wanted()
    settings = read_settings(folder / TRAIN)
    if settings:
        _add_training(found, settings, known, results)
    settings = read_settings(folder / MAPPING)
    if settings:
        _add_map(found, settings, known, list(drawn))
    return found


def _add_training(found: Wanted, settings: Settings, known: dict[str, list[int]], results: dict[str, list[int]]) -> None:
    family = "connection" if settings.number("CONN_TRAIN") == 1 else "ejecta"
    versions_key, iterations_key = KEYS[family]
    versions = _in_table(found, settings, versions_key, family, known)
    if not versions:
        return
    one: dict[str, Any] = {"versions": versions}
    if splits := settings.numbers("TEST_SETS"):
        one["splits"] = splits
    if iterations := settings.number(iterations_key):
        one["iterations"] = iterations
    key, column = PARTNERS[family]
    partner, other = settings.number(key), "ejecta" if family == "connection" else "connection"
    one["set"] = {column: partner}
    found.train[family] = one
    if partner is not None and partner in known.get(other, []) and partner not in results.get(other, []):
        found.train[other] = {"versions": [partner], **{name: one[name] for name in ("splits",) if name in one}}
        found.notes.append(f"{other} version {partner}, which {settings.path.name} evaluates with, has no results: it is trained, too")
    if settings.number("RM_LOG"):
        found.notes.append("RM_LOG is 1: nothing is removed by itself; 'cratermill prune' does it, and says how much")
    if settings.number("SAVE_CKPT") == 0:
        found.notes.append("SAVE_CKPT is 0: checkpoints are kept all the same; 'cratermill prune --checkpoints' removes them")


def _in_table(found: Wanted, settings: Settings, key: str, family: str, known: dict[str, list[int]]) -> list[int]:
    versions = settings.numbers(key)
    lacking = [version for version in versions if version not in known.get(family, [])]
    if lacking:
        found.notes.append(f"{settings.path.name}: {key} names {', '.join(map(str, lacking))}, which the table of {family} doesn't have")
    return [version for version in versions if version not in lacking]


def _add_map(found: Wanted, settings: Settings, known: dict[str, list[int]], drawn: list[int]) -> None:
    keys = {"connection": "CONN_VERSIONS", "ejecta": "EJC_VERSIONS"}
    versions = {family: _in_table(found, settings, key, family, known) for family, key in keys.items()}
    if not versions["ejecta"]:
        return
    found.map = {"versions": {family: _single(numbers) for family, numbers in versions.items() if numbers}}
    if splits := settings.numbers("TEST_SETS"):
        found.map["split"] = _single(splits)
    if settings.number("EVAL_CRATS") == 1 and drawn:
        found.map["craters"] = drawn
    if settings.number("USE_ITER_CKPT") == 0:
        found.notes.append("USE_ITER_CKPT is 0, but maps are made by the ensemble of all iterations that are there")
    if settings.number("LOAD_MASKS") == 1:
        found.notes.append("LOAD_MASKS is 1: a launch composes what is mapped already by itself, and maps only what is missing")


def _single(numbers: list[int]) -> int | list[int]:
    return numbers[0] if len(numbers) == 1 else numbers
