"""Clusters where their craters are: dots and thumbnails on the mosaic, the whole of it or a window, also across ±180°."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from affine import Affine
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from ...core.errors import InputError
from ...geo.bodies import wrap_lon
from ...geo.extent import extent
from ...geo.grid import Grid
from ...geo.mosaic import Mosaic
from ...report.images import grey_or_colour, reduced_shape, save_figure, seen
from ...report.palette import cluster_colour
from .pictures import cluster_look, names, place_crop

WIDTH_PX = 1600
WIDEST_INCHES, TALLEST_INCHES = 16.0, 11.0


class View:
    """A picture of a stretch of longitude and latitude, plate carrée, west to east, to draw craters on.

    ``window``: west, south, east, north in degrees; None for everything that the mosaic shows. East below west crosses ±180°.
    """

    def __init__(self, mosaic: Mosaic, window: Sequence[float] | None = None):
        self.whole = window is None
        self.west, self.south, self.east, self.north = window or extent(mosaic.grid)
        if self.east <= self.west:
            self.east += 360
        if not (-90 <= self.south < self.north <= 90 and self.east - self.west <= 360 + 1e-6):
            raise InputError(f"window {list(window or ())}", valid="west, south, east, north in degrees, south below north")
        self.picture = self._picture(mosaic)

    def _picture(self, mosaic: Mosaic) -> np.ndarray:
        """(h, w, 3) of 0…1."""
        if self.whole and mosaic.grid.columns_per_turn is not None:
            return grey_or_colour(mosaic, reduced_shape(mosaic.grid, WIDTH_PX))
        step = (self.east - self.west) / WIDTH_PX
        shape = max(2, round((self.north - self.south) / step)), WIDTH_PX
        body = mosaic.grid.body
        # A cylindrical grid of its own, centred on the window, has no seam inside it.
        middle = (self.west + self.east) / 2
        metres = np.radians(1) * body.semi_major_m
        affine = Affine(step * metres, 0, (self.west - middle) * metres, 0, -step * metres, self.north * metres)
        return seen(mosaic, Grid(body.cylindrical_crs(wrap_lon(middle)), affine, shape))

    def places(self, lon: ArrayLike, lat: ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Longitudes counted on from the western edge, latitudes, and which lie in the view."""
        lon = self.west + np.mod(np.asarray(lon, float) - self.west, 360)
        lat = np.asarray(lat, float)
        return lon, lat, (lon <= self.east) & (lat >= self.south) & (lat <= self.north)

    def axes(self):
        inches = min(WIDEST_INCHES / (self.east - self.west), TALLEST_INCHES / (self.north - self.south))
        size = inches * (self.east - self.west) + 0.6, inches * (self.north - self.south) + 0.6
        figure = Figure(figsize=(max(size[0], 4.0), max(size[1], 3.0)), layout="constrained")
        axes = figure.add_subplot()
        axes.imshow(self.picture, extent=(self.west, self.east, self.south, self.north), interpolation="nearest", aspect="equal")
        ticks = _round_degrees(self.west, self.east)
        axes.set_xticks(ticks, [f"{_signed(tick):g}°" for tick in ticks])
        axes.set(xlim=(self.west, self.east), ylim=(self.south, self.north))
        axes.tick_params(labelsize=8)
        return figure, axes


def mosaic_dots(path: Path, view: View, rows: pd.DataFrame) -> Path:
    """Craters as dots in their cluster's colour."""
    figure, axes = view.axes()
    lon, lat, inside = view.places(rows["lon"], rows["lat"])
    clusters = rows["cluster"].to_numpy()
    size = float(np.clip(60_000 / max(int(inside.sum()), 1), 1.0, 40))
    for cluster, name in names(clusters[inside]):
        one = inside & (clusters == cluster)
        axes.scatter(lon[one], lat[one], s=size, **cluster_look(cluster), label=name, linewidths=0, alpha=0.8, rasterized=True)
    if inside.any():
        axes.legend(fontsize=9, loc="lower left", markerscale=max(1.0, 6 / size**0.5))
    return save_figure(figure, path, dpi=100)


def mosaic_thumbnails(path: Path, view: View, rows: pd.DataFrame, crops, most: int, seed: int = 0) -> Path:
    """Crops at their craters' places, at most ``most``, spread evenly and in a frame of their cluster's colour."""
    figure, axes = view.axes()
    lon, lat, inside = view.places(rows["lon"], rows["lat"])
    shown = spread(lon[inside], lat[inside], most, seed)
    zoom = float(np.clip(0.22 * (400 / max(len(shown), 1)) ** 0.5, 0.16, 0.6))
    clusters = rows["cluster"].to_numpy()
    for number in np.flatnonzero(inside)[shown]:
        place_crop(axes, (lon[number], lat[number]), crops[number], cluster_colour(int(clusters[number])), zoom)
    return save_figure(figure, path, dpi=100)


def spread(lon: np.ndarray, lat: np.ndarray, most: int, seed: int) -> np.ndarray:
    """Numbers of at most ``most`` points, one from each occupied cell of a grid of squares."""
    if not len(lon) or not most:
        return np.zeros(0, int)
    order = np.random.default_rng([seed, 13]).permutation(len(lon))
    area = max(float(np.ptp(lon)), 1e-6) * max(float(np.ptp(lat)), 1e-6)
    side = (area / most) ** 0.5
    cells = np.stack([np.floor(lon[order] / side), np.floor(lat[order] / side)], axis=1)
    _, first = np.unique(cells, axis=0, return_index=True)
    return np.sort(order[np.sort(first)[:most]])


def _round_degrees(low: float, high: float) -> np.ndarray:
    step = next(step for step in (0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60) if (high - low) / step <= 13 or step == 60)
    return np.arange(np.ceil(low / step), np.floor(high / step) + 1) * step


def _signed(lon: float) -> float:
    """In −180…180, and 180 rather than −180."""
    signed = wrap_lon(lon)
    return 180.0 if signed == -180.0 else round(signed, 6)
