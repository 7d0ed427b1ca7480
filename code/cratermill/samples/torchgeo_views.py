"""Mosaics and prepared samples as torchgeo's datasets, for its samplers, transforms and trainers; planetary CRSs stay what they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas as pd
import shapely
import torch
from affine import Affine
from torchgeo.datasets import GeoDataset

from ..core.errors import InputError
from ..geo.grid import Grid
from ..geo.mosaic import Mosaic
from ..geo.sampling import sample_masked
from .store import Store

Transforms = Callable[[dict[str, Any]], dict[str, Any]]
ALWAYS = pd.Interval(pd.Timestamp.min, pd.Timestamp.max, closed="both")
"""torchgeo indexes by time, too; planets' mosaics have none."""


class _View(GeoDataset):
    def _index(self, footprints: list[shapely.Geometry], crs: Any, res: tuple[float, float]) -> None:
        times = pd.IntervalIndex([ALWAYS] * len(footprints), closed="both", name="datetime")
        self.index = geopandas.GeoDataFrame({"number": np.arange(len(footprints))}, index=times, geometry=footprints, crs=crs)
        self._res = res

    def _asked(self, query: Any) -> tuple[slice, slice]:
        """Where a query lies, in the units of the CRS; ``IndexError``, as torchgeo has it, where there is nothing."""
        x, y, _ = self._disambiguate_slice(query)
        if self.index.cx[x.start : x.stop, y.start : y.stop].empty:
            raise IndexError(f"query: {query} not found in index with bounds: {self.bounds}")
        return x, y


class MosaicDataset(_View):
    """A mosaic as torchgeo's samplers take it: ``image`` (C, h, w) float32, or ``mask`` (h, w) of ``labels``.

    Read by the sampler of this package: any resolution that a query asks for, no seam on global mosaics, missing pixels by the mosaic's own
    rule; they are ``fill`` in images, 0 in masks, and False in ``valid`` (h, w). ``bands``: numbers from 1, names or formulas.
    Raises ``InputError`` for files that can't be read or have no CRS.
    """

    def __init__(
        self,
        path: str | Path,
        bands: list[int | str] | None = None,
        *,
        labels: bool = False,
        fill: float = 0.0,
        transforms: Transforms | None = None,
    ):
        self.mosaic = Mosaic.open(path, bands, labels=labels)
        self.paths, self.is_image, self.fill, self.transforms = str(path), not labels, fill, transforms
        grid = self.mosaic.grid
        self._index([shapely.box(*grid.bounds)], grid.crs, (abs(grid.affine.a), abs(grid.affine.e)))

    def __getitem__(self, query: Any) -> dict[str, Any]:
        x, y = self._asked(query)
        shape = max(1, round((y.stop - y.start) / y.step)), max(1, round((x.stop - x.start) / x.step))
        step_x, step_y = (x.stop - x.start) / shape[1], (y.stop - y.start) / shape[0]
        grid = Grid(self.crs, Affine(step_x, 0, x.start, 0, -step_y, y.stop), shape)
        pixels, missing = sample_masked(self.mosaic, grid, "auto" if self.is_image else "nearest")
        gone = np.zeros(shape, bool) if missing is None else np.asarray(missing.any(axis=0))
        values = np.where(gone, self.fill if self.is_image else 0, pixels)
        sample: dict[str, Any] = {"crs": self.crs, "bounds": query, "valid": torch.from_numpy(~gone)}
        if self.is_image:
            sample["image"] = torch.from_numpy(values.astype(np.float32))
        else:
            sample["mask"] = torch.from_numpy(values[0].astype(np.int64))
        return self.transforms(sample) if self.transforms else sample


class StoreDataset(_View):
    """A prepared store of crops or chips around craters, each where it lies: for ``PreChippedGeoSampler``, which deals them one by one.

    ``image`` (C, h, w) float32, further ``arrays`` of the store as they are, and ``number``, the sample's row. Footprints are squares of
    ``half_side_radii`` crater radii to each side, in degrees on the ``body``'s geographic CRS (``crs``). A query gives the sample whose
    centre is nearest to the query's. Raises ``InputError`` for a store without ``lon``, ``lat`` and ``radius_m``.
    """

    is_image = True

    def __init__(
        self,
        folder: str | Path,
        crs: Any,
        *,
        half_side_radii: float = 1.5,
        arrays: tuple[str, ...] = (),
        transforms: Transforms | None = None,
    ):
        from ..geo.bodies import body_of_crs

        self.store, self.paths, self.transforms = Store(Path(folder)), str(folder), transforms
        self.rows = self.store.rows()
        if lacking := [name for name in ("lon", "lat", "radius_m") if name not in self.rows]:
            raise InputError(f"the store {folder} has no {', '.join(lacking)}", valid="a store of crops or chips cut around craters")
        body = body_of_crs(crs)
        self.image, self.others = self.store.array("image"), {name: self.store.array(name) for name in arrays}
        lon, lat, radius_m = (self.rows[name].to_numpy(float) for name in ("lon", "lat", "radius_m"))
        up = np.degrees(half_side_radii * radius_m / body.semi_major_m)
        across = np.minimum(up / np.maximum(np.cos(np.radians(lat)), 1e-6), 180.0)
        boxes = shapely.box(lon - across, lat - up, lon + across, lat + up)
        step = float(np.median(2 * up / self.image.shape[-1]))
        self._index(list(boxes), body.geographic_crs(), (step, step))
        self._centres = np.column_stack([lon, lat])

    def __getitem__(self, query: Any) -> dict[str, Any]:
        x, y = self._asked(query)
        off = self._centres - ((x.start + x.stop) / 2, (y.start + y.stop) / 2)
        number = int(np.argmin(np.hypot(*off.T)))
        image = np.asarray(self.image[number], np.float32)
        sample: dict[str, Any] = {"crs": self.crs, "bounds": query, "number": number}
        sample["image"] = torch.from_numpy(image.reshape(-1, *image.shape[-2:]).copy())
        sample |= {name: torch.from_numpy(np.array(values[number])) for name, values in self.others.items()}
        return self.transforms(sample) if self.transforms else sample
