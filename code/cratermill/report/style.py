"""One look for the plots that people put into papers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

BLANKET, RAYS, RIM, TRUTH = "#f28e2b", "#4e9bd6", "#ffffff", "#59a14f"
ANALYSED, DISCARDED, INK = "#59a14f", "#c2185b", "#30363b"
Line = tuple[str, Literal["-", "--", ":"]]
"""Colour and style."""
RIM_LINE: dict[str, Line] = {"rim": (RIM, "-")}
BLANKET_OF_MAP: Line = ("#ff00c8", "--")
BLANKET_OF_TRUTH: Line = ("#ffe14d", ":")
SIZES = (1, 2, 5)
SAFE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#000000", "#e69f00", "#56b4e9")
"""Okabe and Ito's colours without their yellow, which vanishes on white: told apart by the colour-blind, too."""


def new_figure(width: float, height: float) -> Figure:
    """A figure of so many inches, without pyplot's global state."""
    return Figure(figsize=(width, height), layout="constrained")


def key(figure: Figure, areas: dict[str, str], lines: dict[str, Line]) -> None:
    """A key below the panels: colours of areas, colours and styles of lines; on grey, where white shows too."""
    handles: list[Artist] = [Patch(color=colour, label=name) for name, colour in areas.items()]
    handles += [Line2D([], [], color=colour, linestyle=style, linewidth=1.4, label=name) for name, (colour, style) in lines.items()]
    look: dict[str, Any] = {"fontsize": 8, "facecolor": "#666666", "labelcolor": "white", "framealpha": 1}
    figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 9), **look)


def tidy(axes: Axes, xlabel: str, ylabel: str) -> Axes:
    """Labels, a faint grid, no frame above and to the right."""
    axes.set_xlabel(xlabel, fontsize=9)
    axes.set_ylabel(ylabel, fontsize=9)
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.25, linewidth=0.6)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return axes


def plain_ticks(axes: Axes) -> None:
    """Numbers as they are spoken on logarithmic axes."""
    for axis in (axes.xaxis, axes.yaxis):
        for formatter in (axis.set_major_formatter, axis.set_minor_formatter):
            formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.tick_params(which="minor", labelsize=7)


def few_ticks(axis: Axis, steps: Sequence[float] = ()) -> None:
    """Plain numbers at some steps of each decade of a logarithmic axis, as many as fit where none are given, and no small ticks:
    matplotlib's own, which are set as formulas, take as long as all else on a plot."""
    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=steps or (SIZES if high < 100 * low else (1,))))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))


def short(value: float) -> str:
    """A number as it is spoken; far below and above 1 with its power of ten."""
    if 1e-3 <= value < 1e5:
        return f"{value:g}"
    digits, power = f"{value:e}".split("e")
    tens = "10" + str(int(power)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return tens if float(digits) == 1 else f"{float(digits):g}·{tens}"


def scale_bar(axes: Axes, width_km: float) -> None:
    """A bar of a round number of kilometres, about a quarter of a picture whose axes are kilometres."""
    length = round_length(width_km / 4)
    left, right = axes.get_xlim()
    bottom, top = axes.get_ylim()
    x, y = right - 0.05 * (right - left) - length, bottom + 0.06 * (top - bottom)
    axes.plot([x, x + length], [y, y], color="black", linewidth=4.5, solid_capstyle="butt")
    axes.plot([x, x + length], [y, y], color="white", linewidth=2.5, solid_capstyle="butt")
    box = {"pad": 0.8, "facecolor": "black", "alpha": 0.5, "edgecolor": "none"}
    axes.text(x + length / 2, y + 0.02 * (top - bottom), f"{length:g} km", color="white", ha="center", va="bottom", fontsize=7, bbox=box)


def round_length(about: float) -> float:
    """The largest of 1, 2, 5, 10, … that isn't longer."""
    if about <= 0:
        return 1.0
    power = 10.0 ** len(str(int(about))) if about >= 1 else 1.0
    steps = [step * power * factor for factor in (1e-4, 1e-3, 1e-2, 0.1, 1) for step in SIZES]
    return max([step for step in steps if step <= about], default=about)
