"""Pictures of a map: the whole body with ejecta and rims, and the craters one by one."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ..core.frames import rows_of
from ..geo.grid import Grid, square_grid
from ..geo.mosaic import Mosaic
from ..geo.sampling import sample
from .images import as_bytes, grey_or_colour, overlaid, reduced_rgba, reduced_shape, save_figure, seen
from .palette import CRATERS, Colours
from .sheet import Panel, draw_circle, write_sheet

MOST_LABELS = 80
SHEET_CRATERS, SHEET_COLUMNS = 12, 3
PANEL_PX = 300
OPACITY = 0.55


def preview(path: Path, mosaic: Mosaic, composite: Path, craters: pd.DataFrame) -> Path:
    """The mosaic with the colour composite over it and every crater's rim, north up, degrees at the sides."""
    shape = reduced_shape(mosaic.grid)
    picture = overlaid(grey_or_colour(mosaic, shape), reduced_rgba(composite), OPACITY)
    # Room for the degrees by hand: layouts that find it draw everything twice.
    wide, high = 16.0, 15.4 * shape[0] / shape[1] + 0.45
    figure = Figure(figsize=(wide, high))
    axes = figure.add_axes((0.5 / wide, 0.35 / high, 15.4 / wide, (high - 0.45) / high))
    axes.imshow(as_bytes(picture), interpolation="nearest", extent=(-0.5, mosaic.grid.width - 0.5, mosaic.grid.height - 0.5, -0.5))
    draw_rims(axes, craters, mosaic.grid)
    degree_ticks(axes, mosaic.grid)
    return save_figure(figure, path, dpi=128)


def draw_rims(axes, craters: pd.DataFrame, grid: Grid) -> None:
    """Rims as circles on the ground, in the colours of their ejecta on a dark edge; the FID beside each unless there are too many."""
    for crater, (rows, cols) in zip(rows_of(craters), rims(grid, craters), strict=True):
        axes.plot(cols, rows, color="black", linewidth=2.0, alpha=0.6)
        axes.plot(cols, rows, color="white", linewidth=0.9)
        if len(craters) <= MOST_LABELS:
            at = int(np.nanargmin(rows))
            box = {"pad": 0.6, "facecolor": "black", "alpha": 0.45, "edgecolor": "none"}
            look = {"fontsize": 7, "color": "white", "ha": "center", "va": "bottom", "clip_on": True, "bbox": box}
            axes.annotate(str(crater.crat_FID), (cols[at], rows[at]), **look)
    axes.set_xlim(-0.5, grid.width - 0.5)
    axes.set_ylim(grid.height - 0.5, -0.5)


def rims(grid: Grid, craters: pd.DataFrame, points: int = 121) -> list[np.ndarray]:
    """Of each crater (lon, lat, radius_m) the rows and columns (2, K) of a geodesic circle on the mosaic, broken by NaN where it crosses
    the seam."""
    azimuth = np.tile(np.linspace(0, 360, points), len(craters))
    lon, lat, radius_m = (np.repeat(craters[name].to_numpy(float), points) for name in ("lon", "lat", "radius_m"))
    there = grid.body.geod.fwd(lon, lat, azimuth, radius_m)
    circles = np.stack(grid.rowcol_of_lonlat(there[0], there[1])).reshape(2, len(craters), points).transpose(1, 0, 2)
    jumps = abs(np.diff(circles[:, 1])) > (grid.period_px or math.inf) / 2
    return [np.insert(one, np.flatnonzero(at) + 1, np.nan, axis=1) if at.any() else one for one, at in zip(circles, jumps, strict=True)]


def degree_ticks(axes, grid: Grid) -> None:
    """Longitudes and latitudes along the edges, at round numbers of degrees."""
    _, lat = grid.lonlat(np.array([0, grid.height - 1]), np.zeros(2))
    step = next(step for step in (5, 10, 15, 30) if abs(lat[0] - lat[1]) / step <= 8 or step == 30)
    lats = np.arange(-90, 91, step)
    rows = grid.rowcol_of_lonlat(0.0, lats)[0]
    lons = np.arange(-180, 180, step)
    cols = grid.rowcol_of_lonlat(lons, 0.0)[1]
    seen = (cols >= -0.5) & (cols <= grid.width - 0.5)
    axes.set_xticks(cols[seen], [f"{lon}°" for lon in lons[seen]])
    seen = (rows >= -0.6) & (rows <= grid.height - 0.4)
    axes.set_yticks(rows[seen], [f"{lat}°" for lat in lats[seen]])
    axes.tick_params(labelsize=8)


def crater_sheet(path: Path, mosaic: Mosaic, masks: dict[int, Path], craters: pd.DataFrame, colours: Colours = CRATERS) -> Path | None:
    """The craters with most ejecta, each seen from above: the mosaic alone, and with the mask over it. None if no crater has any."""
    chosen = craters[craters["area_km2"] > 0].nlargest(SHEET_CRATERS, "area_km2").sort_values("crat_FID")
    if chosen.empty:
        return None
    panels = [_crater_seen(mosaic, masks[crater.crat_FID], crater, colours.rgb(crater.crat_FID)) for crater in rows_of(chosen)]
    return write_sheet(path, panels, SHEET_COLUMNS)


def _crater_seen(mosaic: Mosaic, mask_path: Path, crater, colour: tuple[int, int, int]) -> Panel:
    """The mosaic from above, and beside it the mask over it, with the rim on both."""
    half_m = max(crater.max_extent_m * 1.08, 3 * crater.radius_m)
    grid = square_grid(mosaic.grid.body, crater.lon, crater.lat, half_m, PANEL_PX)
    picture = seen(mosaic, grid)
    with Mosaic.open(mask_path, labels=True) as mask:
        ejecta = sample(mask, grid, "nearest", nodata="ignore")[0] > 0
    tint = np.zeros((*grid.shape, 4), np.float32)
    tint[ejecta] = (*(channel / 255 for channel in colour), 1.0)
    panels = np.ascontiguousarray(np.concatenate([as_bytes(picture), as_bytes(overlaid(picture, tint, OPACITY))], axis=1))
    for middle in (PANEL_PX / 2, 1.5 * PANEL_PX):
        draw_circle(panels, middle - 0.5, PANEL_PX / 2 - 0.5, crater.radius_m / half_m * PANEL_PX / 2, (255, 255, 255))
    said = f"crater {crater.crat_FID}   {crater.lon:.1f}°, {crater.lat:.1f}°   {2 * half_m / 1e3:.0f} km across"
    return Panel(panels, said, f"{crater.area_km2:,.0f} km²")
