"""The page of one search: its trials, one by one and as pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from . import html, plots
from .assets import PLOTS

if TYPE_CHECKING:
    import pandas as pd


def write_search_page(
    path: Path, name: str, facts: dict[str, str], metric: str, trials: pd.DataFrame, importances: dict[str, float]
) -> Path:
    """``trials``: a row each, with its number (``trial``) and last score (``metric``); ``importances``: by column, {} if unknown."""
    dots = {"type": "scatter", "mode": "markers", "x": trials["trial"].tolist(), "y": [plots.plain(value) for value in trials[metric]]}
    history = {"data": [dots], "layout": {"xaxis": {"title": {"text": "trial"}}, "yaxis": {"title": {"text": metric}}}}
    sections = [
        html.facts(facts),
        plots.WHEN_SEEN,
        plots.shown("history", history, f"{metric} of each trial, at the last epoch that it was trained to."),
    ]
    if importances:
        bars = {"type": "bar", "orientation": "h", "x": list(importances.values()), "y": list(importances)}
        figure = {"data": [bars], "layout": {"xaxis": {"title": {"text": "share of variance"}}, "yaxis": {"automargin": True}}}
        sections.append(plots.shown("importance", figure, "Importance of columns (fANOVA over full trials)."))
    return html.write_page(path, f"Search {name}", [*sections, html.section("Trials", plots.rows("trials", trials))], PLOTS)
