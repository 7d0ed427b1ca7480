"""Pictures of samples as networks get them, and of what augmentation makes of a tile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from .images import literal, save_figure

PANEL_INCHES = 1.9


def sample_picture(path: Path, draws: dict[str, dict[str, np.ndarray]], title: str) -> Path:
    """A row per draw, a column per plane (h, w) of a sample; each column has one range of greys, said below it."""
    names = list(next(iter(draws.values())))
    panels, figure = _panels(len(draws), len(names), title)
    for column, (place, name) in enumerate(zip(range(len(names)), names, strict=True)):
        found = [list(planes.values())[place] for planes in draws.values()]
        low, high = min(float(np.nanmin(one)) for one in found), max(float(np.nanmax(one)) for one in found)
        for row, plane in enumerate(found):
            panels[row, column].imshow(plane, cmap="gray", vmin=low, vmax=max(high, low + 1e-9))
        panels[0, column].set_title(literal(name), fontsize=7)
        panels[-1, column].set_xlabel(f"{low:.4g} … {high:.4g}", fontsize=7)
    for row, name in enumerate(draws):
        panels[row, 0].set_ylabel(literal(name), fontsize=8)
    return save_figure(figure, path, dpi=110)


def changes_picture(path: Path, tile_HWC: np.ndarray, changes: dict[str, list[np.ndarray]], title: str) -> Path:
    """A row per change: the tile as it is, then a few draws."""
    panels, figure = _panels(len(changes), 1 + max(map(len, changes.values())), title)
    for row, (name, draws) in enumerate(changes.items()):
        for axes, image in zip(panels[row], [tile_HWC, *draws], strict=False):
            axes.imshow(image if image.shape[2] == 3 else image[..., 0], cmap="gray", vmin=0, vmax=255)
        panels[row, 0].set_ylabel(literal(name), fontsize=8)
    panels[0, 0].set_title("as it is", fontsize=8)
    return save_figure(figure, path, dpi=110)


def _panels(rows: int, columns: int, title: str) -> tuple[Any, Figure]:
    figure = Figure(figsize=(PANEL_INCHES * columns + 0.6, PANEL_INCHES * rows + 0.7), layout="constrained")
    figure.suptitle(literal(title), fontsize=9)
    panels = figure.subplots(rows, columns, squeeze=False)
    for axes in panels.ravel():
        axes.set(xticks=[], yticks=[])
    return panels, figure
