"""The page of all results: runs, families, maps, bodies, each with its picture, its date, its state and a way to it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pandas as pd

from . import html


@dataclass(frozen=True)
class Card:
    """What one page of the results is about; ``picture`` lies below the results, ``made`` is a date as text."""

    page: Path
    title: str
    facts: str
    made: str
    picture: Path | None = None


def write_index(path: Path, groups: dict[str, list[Card]], runs: pd.DataFrame, bodies: pd.DataFrame) -> Path:
    """``results/index.html``. ``groups``: headings and their cards; ``runs`` and ``bodies``: one row each."""
    sections = [html.section(heading, _cards(path.parent, cards)) for heading, cards in groups.items() if cards]
    sections += [html.section(heading, html.table(table)) for heading, table in (("Bodies", bodies), ("Runs", runs)) if len(table)]
    nothing = html.paragraph("Nothing was summarised yet. Next: cratermill launch train CONFIG.")
    return html.write_page(path, "Results", sections or [nothing])


def _cards(folder: Path, cards: list[Card]) -> str:
    return f'<ul class="cards">{"".join(_card(folder, card) for card in cards)}</ul>'


def _card(folder: Path, card: Card) -> str:
    shown = f'<img alt="" loading="lazy" src="{_link(folder, card.picture)}">' if card.picture else ""
    words = html.paragraph(f"{card.facts}{', ' if card.facts else ''}{card.made}")
    return f'<li>{shown}<h3><a href="{_link(folder, card.page)}">{html.escape(card.title)}</a></h3>{words}</li>'


def _link(folder: Path, path: Path) -> str:
    return html.escape(quote(Path(os.path.relpath(path, folder)).as_posix()))
