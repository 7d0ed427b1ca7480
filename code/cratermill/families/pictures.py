"""Ready-made images that trained networks are applied to, with their place on a body where their files know it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..core.errors import InputError
from ..core.files import write_table
from ..core.folder_or_zip import FolderOrZip

if TYPE_CHECKING:
    from ..geo.grid import Grid

IMAGES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".pgm")


@dataclass(frozen=True)
class Picture:
    """An image file: its name below the folder that was given, its bytes when they are wanted, and its grid; None for one without a CRS."""

    name: str
    content: Callable[[], bytes]
    grid: Grid | None = None

    def place(self, rows: np.ndarray, cols: np.ndarray) -> dict[str, np.ndarray]:
        """Columns ``lon`` and ``lat`` of pixels; nothing where the image has no place."""
        return {} if self.grid is None else dict(zip(("lon", "lat"), self.grid.lonlat(rows, cols), strict=True))

    def middle(self) -> dict[str, float]:
        """The same of the image's centre."""
        rows, cols = (0, 0) if self.grid is None else ((length - 1) / 2 for length in self.grid.shape)
        return {name: float(value) for name, value in self.place(np.asarray(rows), np.asarray(cols)).items()}


def read_pictures(path: Path) -> list[Picture]:
    """The images of a file, of a folder at any depth, or of a zip; ``InputError`` where there are none."""
    from ..geo.raster_files import place_of

    if path.is_file() and path.suffix.lower() != ".zip":
        files, names = FolderOrZip(path.parent), [path.name]
    else:
        files = FolderOrZip(path)
        names = files.ending(IMAGES)
    if not names:
        raise InputError(f"{path} holds no images", valid=", ".join(IMAGES), next_step="check the path")

    def content(name: str) -> Callable[[], bytes]:
        return lambda: files.read(name)

    return [Picture(name, content(name), None if files.archive else place_of(files.path / name)) for name in names]


def write_list(folder: Path, stem: str, parts: Sequence[tuple[Picture, pd.DataFrame]]) -> pd.DataFrame:
    """``{stem}.csv`` of what was found on all images, with their names, and ``{stem}.gpkg`` of what has a place (``lon``, ``lat``)."""
    from ..craters.catalogue import write_catalogue

    tables = [table.assign(image=picture.name) for picture, table in parts]
    found = pd.concat(tables, ignore_index=True)
    found.insert(0, "image", found.pop("image"))
    write_table(folder / f"{stem}.csv", found)
    bodies = [picture.grid.body for picture, _ in parts if picture.grid is not None]
    if bodies and all(body == bodies[0] for body in bodies):
        write_catalogue(folder / f"{stem}.gpkg", found[found["lon"].notna()].reset_index(drop=True), bodies[0])
    return found
