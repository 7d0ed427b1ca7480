"""What a page shows of a crater list against another one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from ..craters.comparison import BY_CLASS, BY_LATITUDE, BY_SIZE, MISSED, NEW, SCORES, Comparison, strict_rows
from ..craters.matching import RULES
from ..craters.score_tables import size_table
from . import html
from .palette import MISSED as MISSED_COLOUR
from .palette import NEW as NEW_COLOUR

if TYPE_CHECKING:
    from ..geo.mosaic import Mosaic

COMPLETENESS, NEW_SHEET, MISSED_SHEET = "completeness.png", "new.png", "missed.png"
FILES = {
    SCORES: "precision, recall and F1 against the list",
    BY_SIZE: "the same by diameter in km",
    BY_LATITUDE: "the same by latitude",
    BY_CLASS: "the share that was found, by class of the list's craters",
    f"{NEW}.csv": "craters that were found, and are in no list",
    f"{MISSED}.csv": "craters of the list that were not found",
}
SECTIONS = {BY_SIZE: "Scores by size", BY_LATITUDE: "Scores by latitude", BY_CLASS: "Found by class"}


def draw_comparison(folder: Path, made: Comparison, mosaic: Mosaic | None) -> list[tuple[Path, str]]:
    """``completeness.png`` and, where the mosaic is there, the sheets of new and missed craters; each with its caption."""
    from .completeness import PER_OCTAVE, completeness
    from .contact_sheet import MOST_SHOWN, contact_sheet, on_ground

    table = size_table(made.strict, "strict", 1000.0, PER_OCTAVE)
    curve = completeness(folder / COMPLETENESS, table, made.found_km, made.known_km, "km")
    pictures = [(curve, "completeness against size by the strict rule, 95 % intervals over squares of 10°; craters at least as large as D")]
    if mosaic is None:
        return pictures
    new = made.new.sort_values("confidence", ascending=False, kind="stable") if "confidence" in made.new else made.new
    missed = made.missed.sort_values("radius_m", ascending=False, kind="stable")
    order = "surest" if "confidence" in made.new else "first"
    for name, table, what, colour in (
        (NEW_SHEET, new, f"{order} of the found craters that the list lacks", NEW_COLOUR),
        (MISSED_SHEET, missed, "largest of the list's craters that were not found", MISSED_COLOUR),
    ):
        if len(table):
            title = f"{min(len(table), MOST_SHOWN)} {what}, of {len(table):,}"
            pictures.append((contact_sheet(folder / name, title, on_ground(mosaic, table), colour), title))
    return pictures


def rule_facts(scores: dict[str, float]) -> dict[str, str]:
    facts = {}
    for rule in RULES:
        values = [f"{title} {scores[f'{title}_{rule.name}']:.3f}" for title in ("Precision", "Recall", "F1")]
        facts[f"Scores, {rule.name} rule"] = ", ".join(values)
    return facts


def table_sections(tables: dict[str, pd.DataFrame]) -> list[str]:
    """The strict rule's tables."""
    return [html.section(SECTIONS[name], html.table(strict_rows(table))) for name, table in tables.items()]


def write_lists_page(path: Path, title: str, facts: dict[str, object], made: Comparison, pictures: list[tuple[Path, str]]) -> Path:
    shown = [html.picture(*one) for one in pictures]
    sections = [html.facts({**facts, **rule_facts(made.scores)}), *shown, *table_sections(made.tables)]
    return html.write_page(path, title, [*sections, html.section("Files", html.files(path.parent, FILES))])
