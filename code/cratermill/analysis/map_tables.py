"""All craters of a map, one at a time: rows of EJMAP's tables, and what pictures need of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import geopandas
import pandas as pd

from ..core.files import atomic_path
from ..geo.bodies import Body
from ..geo.mosaic import Mosaic
from .masks import Claims, MaskSet
from .pattern import FEAT_MIN_SIZE, Patterns, analyse, metres
from .plane import Crater, Place, plane_of

INDEX = "crat_FID"


@dataclass(frozen=True)
class Analysed:
    """One crater with its patterns; the arrays in them live as long as nobody keeps them."""

    crater: Crater
    place: Place
    patterns: Patterns
    neighbours: list[int]


def each_crater(
    masks: MaskSet, craters: dict[int, Crater], mosaic: Mosaic | None, names: list[str], min_size: int = FEAT_MIN_SIZE
) -> Iterator[Analysed]:
    """The craters that have masks, by FID. Memory holds one crater's plane, and of masks no more than their reader keeps."""
    opened = masks.all()
    for mask in opened:
        crater = craters[mask.fid]
        place, claims = Place(crater, masks.grid), Claims.of(mask, opened)
        plane = plane_of(place, claims)
        radius_px = crater.radius_m / place.grid.resolution_m
        yield Analysed(crater, place, analyse(plane, radius_px, mosaic, names, min_size), [other.fid for other in claims.others])
        mask.reader.make_room()


def frames(found: Iterable[Analysed], look: Callable[[Analysed], object] | None = None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """``analysis_overlaps`` and ``analysis_clean``, by FID; ``look`` sees each crater while its arrays are there."""
    rows: tuple[list[dict], list[dict]] = ([], [])
    for one in found:
        for kept, row in zip(rows, (one.patterns.overlaps_row, one.patterns.clean_row), strict=True):
            kept.append(whole_row(one.crater, row, one.place.grid.resolution_m))
        if look is not None:
            look(one)
    return _frame(rows[0]), _frame(rows[1])


def whole_row(crater: Crater, row: dict, resolution_m: float) -> dict:
    """EJMAP's columns, then those in metres and km², and where the crater lies."""
    public = {name: value for name, value in row.items() if not name.startswith("_")}
    return {INDEX: crater.fid, **public, **metres(row, resolution_m), "lon": crater.lon, "lat": crater.lat}


def _frame(rows: list[dict]) -> pd.DataFrame:
    return pd.DataFrame(rows).sort_values(INDEX, ignore_index=True) if rows else pd.DataFrame(columns=[INDEX])


def band_names(mosaic: Mosaic, given: list[str] | None = None) -> list[str]:
    """The names of a mosaic's bands: as given, else as they stand in the file, else ``band1`` and so on."""
    if given:
        return given
    names = [band if isinstance(band, str) else mosaic.described(band) or f"band{band}" for band in mosaic.bands]
    return names if len(set(names)) == len(names) else [f"band{number}" for number in range(1, len(names) + 1)]


def write_geopackage(path: Path, layers: dict[str, pd.DataFrame], body: Body) -> Path:
    """Tables as layers of points at the craters' centres, in degrees on the body."""
    with atomic_path(path) as temporary:
        for number, (name, table) in enumerate(layers.items()):
            points = geopandas.points_from_xy(table["lon"], table["lat"])
            frame = geopandas.GeoDataFrame(table, geometry=points, crs=body.geographic_crs())
            frame.to_file(temporary, driver="GPKG", layer=name, mode="a" if number else "w")
    return path


def half_width_m(one: Analysed) -> float:
    """Half the side of a picture that shows a crater's ejecta whole."""
    return max(1.08 * one.patterns.overlaps_row["max_distance"] * one.place.grid.resolution_m, 3 * one.crater.radius_m)
