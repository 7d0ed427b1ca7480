"""Craters of ready-made images: one list of all, with longitudes and latitudes where the files know their place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from ...core.errors import InputError
from ...core.files import atomic_path
from ...core.work import Workspace
from ...geo.cog import write_cog
from ..pictures import Picture, write_list
from .prediction_raster import FULL, NO_DATA
from .sources import grey

Look = Callable[[np.ndarray, float], tuple[np.ndarray, np.ndarray | None]]
"""A grey image (h, w) and metres per pixel (NaN where nobody knows) → circles (N, …) x, y, radius in pixels, …, and the probability (h, w),
if there is one."""


def predict_pictures(pictures: Sequence[Picture], look: Look, columns: Sequence[str], workspace: Workspace) -> dict[str, Any]:
    """``craters.csv``, ``craters.gpkg`` and ``prediction/`` of all images; ``columns`` of the circles, x, y and radius_px first."""
    parts = []
    for number, picture in enumerate(pictures):
        workspace.keep_going()
        image = grey(picture.content(), picture.name)
        resolution = picture.grid.resolution_m if picture.grid else float("nan")
        circles, probability = look(image, resolution)
        table = pd.DataFrame(circles[:, : len(columns)], columns=list(columns)[: circles.shape[1]])
        places = picture.place(circles[:, 1], circles[:, 0])
        if places:
            table = table.assign(**places, radius_m=circles[:, 2] * resolution)
        parts.append((picture, table))
        if probability is not None:
            write_prediction(workspace.folder / "prediction", picture, probability)
        workspace.report(item=number + 1, items=len(pictures), doing="images")
    return {"images": len(pictures), "craters": len(write_list(workspace.folder, "craters", parts))}


def write_prediction(folder: Path, picture: Picture, probability: np.ndarray) -> Path:
    """A probability (h, w) as bytes: 254 is certain, 255 is no data. GeoTIFF where the image has a place, else PNG."""
    values = np.where(np.isnan(probability), NO_DATA, np.rint(probability * FULL)).astype(np.uint8)
    path = folder / picture.name
    path.parent.mkdir(parents=True, exist_ok=True)
    if picture.grid is not None:
        tags = {"scale": f"probability = value / {FULL}"}
        return write_cog(path.with_name(path.name + ".tif"), values, picture.grid, nodata=NO_DATA, names=["probability"], tags=tags)
    with atomic_path(path.with_name(path.name + ".png")) as temporary:
        cv2.imwrite(str(temporary), values)
    return path


def mask_of(image: np.ndarray) -> np.ndarray:
    """A mask or probability (h, w) from 0 to 1 of an image of bytes, or of shares."""
    values = image.astype(np.float32)
    low, high = float(np.nanmin(values, initial=0.0)), float(np.nanmax(values, initial=0.0))
    if not 0 <= low <= high <= 255:
        raise InputError(f"a mask holds values from {low:g} to {high:g}", valid="0 to 255, or shares from 0 to 1")
    return values if high <= 1 else values / 255
