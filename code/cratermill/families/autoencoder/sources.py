"""Which craters there are: from a catalogue and a mosaic, or from ready-made crops."""

from __future__ import annotations

import tempfile
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from ...config import CraterList
from ...core.delimited import parse_bytes
from ...core.errors import InputError
from ...core.folder_or_zip import FolderOrZip
from ...core.notices import notice
from ...core.pictures import opened
from ...craters.catalogue import read_catalogue
from ...craters.columns import LAT_NAMES, LON_NAMES, SIZE_NAMES, WEST_NAMES, plain_name
from ...samples.crops import Cutter
from ...samples.grey import grey_bytes
from .options import CropData, Selection

SUFFIXES = (".jpg", ".jpeg", ".png")
METADATA = "metadata.csv"
COLUMNS = ["FID", "lon", "lat", "radius_m"]
POSITION_NAMES = set(map(plain_name, (*LON_NAMES, *WEST_NAMES, *LAT_NAMES, *(name for name, *_ in SIZE_NAMES))))


def selected(
    craters: pd.DataFrame, chosen: Selection, upsampling: np.ndarray | None, seed: int, what: str
) -> tuple[pd.DataFrame, list[str]]:
    """The craters that pass the filters, and warnings. ``InputError`` if none does, saying which filter took how many."""
    diameter_km = craters["radius_m"].to_numpy() * 2 / 1000
    tests = {
        f"|latitude| > {chosen.max_abs_lat}": np.abs(craters["lat"].to_numpy()) > _or_inf(chosen.max_abs_lat),
        f"diameter < {chosen.min_diameter_km} km": diameter_km < (chosen.min_diameter_km or 0),
        f"diameter > {chosen.max_diameter_km} km": diameter_km > _or_inf(chosen.max_diameter_km),
    }
    if upsampling is not None:
        tests[f"upsampled more than {chosen.max_upsampling} times"] = upsampling > _or_inf(chosen.max_upsampling)
    kept = ~np.any(list(tests.values()), axis=0)
    if not kept.any():
        lost = "; ".join(f"{count} with {why}" for why, mask in tests.items() if (count := int(mask.sum())))
        raise InputError(
            f"none of the {len(craters)} craters of {what} is left: {lost or 'the list is empty'}",
            valid="at least one crater inside the limits",
            next_step="widen max_abs_lat, min_diameter_km, max_diameter_km or max_upsampling",
        )
    numbers = np.flatnonzero(kept)
    if chosen.count is not None and chosen.count < len(numbers):
        numbers = np.sort(np.random.default_rng([seed, 1]).choice(numbers, chosen.count, replace=False))
    warnings = []
    if upsampling is not None and (blurred := int((upsampling[numbers] > chosen.warn_upsampling).sum())):
        warnings.append(
            f"{blurred} of {len(numbers)} crops have more than {chosen.warn_upsampling:g} pixels a side per pixel of the "
            f"mosaic: they are blurred; raise min_diameter_km, set max_upsampling, or lower crop_px"
        )
    return craters.iloc[numbers].reset_index(drop=True), warnings


def _or_inf(limit: float | None) -> float:
    return np.inf if limit is None else limit


def catalogue_craters(path: Path, cutter: Cutter, chosen: Selection, listed: CraterList, seed: int) -> tuple[pd.DataFrame, list[str]]:
    """Craters of a list that can be cut from the mosaic, in the order in which they are cut, with their upsampling; and warnings."""
    found = read_catalogue(path, cutter.grid.body, pixel_m=cutter.grid.resolution_m, **listed.told)
    craters = pd.DataFrame(found).drop(columns="geometry", errors="ignore")
    name = next((column for column in craters if str(column).lower() in ("crater_id", "id")), None)
    table = craters[COLUMNS].assign(id=craters[name].astype(str) if name else craters["FID"].astype(str))
    table["upsampling"] = cutter.geometry.upsampling(table["radius_m"].to_numpy(), cutter.grid.resolution_m)
    table, warnings = selected(table, chosen, table["upsampling"].to_numpy(), seed, str(path))
    inside = cutter.inside(table)
    if not inside.any():
        raise InputError(
            f"no crop of {path} lies on the mosaic {cutter.mosaic.path}", valid="craters inside the mosaic", next_step="check both files"
        )
    if not inside.all():
        warnings.append(f"{int((~inside).sum())} of {len(inside)} crops reach over the mosaic's edge and are left out")
        table = table[inside].reset_index(drop=True)
    return table.iloc[cutter.order(table)].reset_index(drop=True), warnings


class ReadyMade:
    """A folder or zip of crops; ``names`` are its pictures, sorted."""

    def __init__(self, path: Path):
        self.path, self.files = path, FolderOrZip(path)
        self.names = self.files.ending(SUFFIXES)
        self._metadata = next((name for name in self.files.names if Path(name).name == METADATA), None)
        if not self.names:
            raise InputError(f"{path} holds no pictures", valid=", ".join(SUFFIXES), next_step="check the path")

    def craters(self, options: CropData, size_px: int, half_side_radii: float) -> pd.DataFrame:
        """One row per picture: file, id, label, and, where metadata.csv has them, lon, lat, radius_m and upsampling (else NaN)."""
        table = pd.DataFrame({"file": self.names, "id": [Path(name).stem for name in self.names]})
        if options.labelled:
            parts = table["id"].str.rpartition("_")
            if (parts[1] == "").any():
                raise InputError(
                    f"{self.path}: {table['id'][parts[1] == ''].iloc[0]} has no state in its name",
                    valid="<id>_<state>.png",
                    next_step="rename the pictures, or set labelled to false",
                )
            table["id"], table["label"] = parts[0], parts[2]
        known = self._known(options.units, table["id"])
        table = table.merge(known, on="id", how="left") if known is not None else table.assign(lon=np.nan, lat=np.nan, radius_m=np.nan)
        resolution = options.source_m_per_px or np.nan
        table["upsampling"] = size_px * resolution / (2 * half_side_radii * table["radius_m"])
        return table.assign(FID=np.arange(len(table)))

    def _known(self, units: str | None, ids: pd.Series) -> pd.DataFrame | None:
        """Positions by id, without ids that have none; None if nothing is known."""
        if self._metadata is None:
            return None
        where = f"{self.path}/{self._metadata}"
        given = parse_bytes(self.files.read(self._metadata), where).frame(texts=True)
        if "id" not in given:
            columns = ", ".join(map(str, given.columns))
            raise InputError(f"{where} has no column id", valid="id, lon, lat, diam", next_step=f"its columns: {columns}")
        # A row that is blank in all of these says that the place is unknown. It is read as if it had one, so that rows keep their numbers.
        places = [name for name in given.columns if plain_name(name) in POSITION_NAMES]
        blank = given[places].isna().all(axis=1).to_numpy()
        if blank.all():
            return None
        given.loc[blank, places] = "1"
        found = _positions(given, units, where)
        return _require_one_each(found.assign(id=given["id"].to_numpy())[~blank], ids, where)

    def crops(self, table: pd.DataFrame, size_px: int) -> np.ndarray:
        """Grey crops (n, S, S) uint8 of the table's pictures."""
        return np.stack([read_crop(self.files.read(name), f"{self.path}: the picture {name}", size_px) for name in table["file"]])


def read_crop(content: bytes, name: str, size_px: int) -> np.ndarray:
    """A picture of a file's bytes as a grey crop (S, S) uint8."""
    with opened(content, name) as picture:
        # Values beyond a byte would all become white.
        grey = np.asarray(picture if picture.mode[0] in "IF" else picture.convert("L"))
    grey = grey_bytes(grey, name)
    if grey.shape == (size_px, size_px):
        return grey
    shrinks = min(grey.shape) >= 2 * size_px
    return cv2.resize(grey, (size_px, size_px), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)


def _positions(table: pd.DataFrame, units: str | None, where: str) -> pd.DataFrame:
    """lon, lat, radius_m of every row, read as a crater list; messages name the table that the user knows."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / METADATA
        table.to_csv(copy, index=False)
        return pd.DataFrame(read_catalogue(copy, units=units, called=where)[["lon", "lat", "radius_m"]])


def _require_one_each(found: pd.DataFrame, ids: pd.Series, where: str) -> pd.DataFrame:
    """Of rows that say the same one; ``InputError`` where rows of one id differ, or none belongs to a picture, of which ``ids`` are."""
    found = found.drop_duplicates()
    twice = found["id"][found["id"].duplicated()]
    if len(twice):
        raise InputError(f"{where} has several rows of the id {twice.iloc[0]}, which differ", valid="one place for each crop")
    lacking = ids[~ids.isin(found["id"])]
    if len(lacking) == len(ids):
        raise InputError(
            f"{where} holds no id of a picture: {', '.join(found['id'][:3])}; the pictures are {', '.join(ids[:3])}",
            valid="the pictures' names without .png, letter by letter, in the column id",
            next_step="correct the ids (spreadsheets take zeros away: 007 becomes 7), or remove the file",
        )
    if len(lacking):
        notice(f"{where} says nothing of the places of {len(lacking)} of {len(ids)} pictures, such as {lacking.iloc[0]}")
    return found
