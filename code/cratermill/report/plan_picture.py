"""The graph of a plan as a picture: a box per stage of a row or map, an arrow to what waits for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..core.files import atomic_path

WIDTH, HEIGHT, ACROSS, DOWN = 2.6, 0.62, 3.5, 0.95
"""Inches: a box, and the steps from one to the next."""


def draw_plan(path: Path, boxes: list[tuple[str, str, int, list[int], bool]]) -> Path:
    """Draw ``boxes``: title, second line, level (column), the boxes it waits for by number, whether all is done. SVG or PNG by suffix."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    places: list[tuple[float, float]] = []
    rows: dict[int, int] = {}
    for _, _, level, _, _ in boxes:
        rows[level] = rows.get(level, -1) + 1
        places.append((level * ACROSS, -rows[level] * DOWN))
    wide, high = max(rows) * ACROSS + WIDTH + 0.4, max(rows.values()) * DOWN + HEIGHT + 0.4
    figure = Figure(figsize=(wide, high))
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(-0.2, wide - 0.2), ylim=(HEIGHT + 0.2 - high, HEIGHT + 0.2))
    axes.axis("off")
    for (title, second, _, after, done), (x, y) in zip(boxes, places, strict=True):
        _box(axes, x, y, title, second, done)
        for one in after:
            start = places[one][0] + WIDTH, places[one][1] + HEIGHT / 2
            axes.annotate("", (x, y + HEIGHT / 2), start, arrowprops={"arrowstyle": "->", "color": "0.35", "shrinkA": 0, "shrinkB": 0})
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=120)
    return path


def _box(axes, x: float, y: float, title: str, second: str, done: bool) -> None:
    from matplotlib.patches import FancyBboxPatch

    look: dict[str, Any] = {"boxstyle": "round,pad=0.04", "facecolor": "#dcefdc" if done else "#eef2f8", "edgecolor": "0.4"}
    axes.add_patch(FancyBboxPatch((x + 0.04, y + 0.04), WIDTH - 0.08, HEIGHT - 0.08, **look))
    middle = x + WIDTH / 2
    shown = title if len(title) <= 36 else title[:35] + "…"
    # Names of users may hold $, which would begin a formula.
    axes.text(middle, y + 0.4, shown, ha="center", va="center", fontsize=9, weight="bold", parse_math=False)
    axes.text(middle, y + 0.19, second, ha="center", va="center", fontsize=8, color="0.3", parse_math=False)
