"""Which pixels of a raster count as data: the one place that decides, for samplers, statistics, crops, chips, tiles and maps alike.

A pixel is missing where

- an alpha band, a mask inside the file, a mask beside it (``.msk``) or a mask band of a VRT says so;
- it holds the nodata value of its band. In bytes every value can be a legitimate one, so there all chosen bands have to hold theirs, if
  each has one;
- it is not finite, or at least 10³⁸ in size: ISIS marks saturated pixels so, and undeclared fill values are written so;
- the file comes from ISIS and it holds one of ISIS's special values for its type (SpecialPixel.h). Other programs' int16 files keep these
  values as data, since heights may take any of them.

An alpha band is never one of the mosaic's bands, and indices into a palette are no brightness.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any
from xml.etree import ElementTree

import numpy as np
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.windows import Window as RasterioWindow

from ..core.errors import InputError

HUGE = 1e38
ISIS_LIMITS = {"int16": (-32764, None), "uint16": (2, 65534)}
"""Values up to the first and from the second on are special in files of ISIS: Null, and low and high saturation."""
ISIS_DRIVERS = ("ISIS3", "ISIS2")


@dataclass(frozen=True)
class Validity:
    """What of the chosen bands of one file counts as data.

    ``nodata``: one value per band, None where there is none. ``together``: only where all bands hold theirs. ``low``, ``high``: values up
    to and from which on nothing is data. ``alpha``, ``masks``: numbers of bands whose values, or whose masks, hide pixels.
    """

    nodata: tuple[int | float | None, ...]
    together: bool = False
    low: float | None = None
    high: float | None = None
    alpha: tuple[int, ...] = ()
    masks: tuple[int, ...] = ()

    @property
    def hides(self) -> bool:
        """Whether values alone don't tell what is missing."""
        return bool(self.alpha or self.masks)

    @property
    def leaves_values(self) -> bool:
        """Whether missing pixels hold one and the same declared value already."""
        return not self.hides and self.low is None and len(set(self.nodata)) == 1

    def hidden(self, dataset: Any, window: RasterioWindow | None, shape: tuple[int, int]) -> np.ndarray | None:
        """Mask (1 or C, h, w) of pixels that the file's own alpha or mask bands hide; None if it has none. ``shape`` is (h, w)."""
        if not self.hides:
            return None
        hidden = np.zeros((1, *shape), bool)
        for band in self.alpha:
            hidden = hidden | ~(dataset.read(band, window=window, out_shape=shape) > 0)
        if self.masks:
            hidden = hidden | (dataset.read_masks(list(self.masks), window=window, out_shape=(len(self.masks), *shape)) == 0)
        return hidden

    def missing(self, pixels: np.ndarray, hidden: np.ndarray | None = None, *, declared: bool = True) -> np.ndarray | None:
        """Mask (1, h, w) or (C, h, w), True where pixels (C, h, w) are missing; None if none are. ``hidden``: what :meth:`hidden` gave.

        With ``declared=False`` nodata values count as data; what is hidden, special or not finite never does.
        """
        found = [] if hidden is None else [hidden]
        if self.low is not None and not _all_within(pixels, self.low, self.high):
            found.append(_outside(pixels, self.low, self.high))
        if declared and any(value is not None for value in self.nodata):
            found.append(self._flagged(pixels))
        if not found:
            return None
        missing = found[0] if len(found) == 1 else np.logical_or.reduce(np.broadcast_arrays(*found))
        return missing if missing.any() else None

    def _flagged(self, pixels: np.ndarray) -> np.ndarray:
        if len(set(self.nodata)) == 1:
            flagged = pixels == self.nodata[0]
        else:
            flagged = np.stack(
                [np.zeros(band.shape, bool) if value is None else band == value for band, value in zip(pixels, self.nodata, strict=True)]
            )
        return flagged.all(axis=0, keepdims=True) if self.together else flagged


def validity_of(dataset: Any, bands: Sequence[int], dtype: np.dtype) -> Validity:
    """What counts as data in these bands of a file opened by rasterio; ``dtype`` is the one they are read as."""
    shared = _shared_nodata(dataset)
    given = shared or tuple(_usable(dataset.nodatavals[band - 1], np.dtype(dataset.dtypes[band - 1])) for band in dataset.indexes)
    # Of bands that have a value and bands that have none, each says for itself what it lacks.
    together = len(bands) > 1 and all(given[band - 1] is not None for band in bands)
    low, high = (-HUGE, HUGE) if dtype.kind == "f" else ISIS_LIMITS.get(dtype.name, (None, None)) if is_from_isis(dataset) else (None, None)
    return Validity(
        nodata=tuple(given[band - 1] for band in bands),
        together=together and (dtype == np.uint8 or shared is not None),
        low=low,
        high=high,
        alpha=tuple(alpha_bands(dataset)),
        # ISIS's own driver has masks too, which say what the values say.
        masks=() if low is not None and dataset.driver in ISIS_DRIVERS else _masks(dataset, bands),
    )


def alpha_bands(dataset: Any) -> list[int]:
    return [band for band in dataset.indexes if dataset.colorinterp[band - 1] is ColorInterp.alpha]


def require_brightness(dataset: Any, bands: Sequence[int], path: Path) -> None:
    """Raise InputError if a chosen band holds alpha, or indices into a palette that aren't the grey values themselves."""
    for band in bands:
        if band in alpha_bands(dataset):
            raise InputError(
                f"band {band} of {path} is its alpha band: it says where data are, and is no channel",
                valid=f"bands {', '.join(str(b) for b in dataset.indexes if b not in alpha_bands(dataset))}",
                next_step=f"if it really holds brightness: gdal_edit.py -colorinterp_{band} undefined {quote(str(path))}",
            )
        if dataset.colorinterp[band - 1] is ColorInterp.palette:
            _refuse_palette(dataset.colormap(band), band, path)


def is_from_isis(dataset: Any) -> bool:
    """Whether a file, or every source of a VRT, was made by ISIS: by its driver, or by the label that GDAL keeps in copies."""
    if dataset.driver in ISIS_DRIVERS or "json:ISIS3" in dataset.tag_namespaces():
        return True
    if dataset.driver != "VRT":
        return False
    import rasterio

    found = []
    for name in _vrt_sources(dataset):
        try:
            with rasterio.open(name) as source:
                found.append(is_from_isis(source))
        except rasterio.errors.RasterioError:
            return False
    return bool(found) and all(found)


def _vrt_sources(dataset: Any) -> list[str]:
    try:
        tree = ElementTree.fromstring(dataset.tags(ns="xml:VRT").get("xml:VRT", "") or Path(dataset.name).read_text(encoding="utf-8"))
    except (OSError, ValueError, ElementTree.ParseError):
        return []
    folder = Path(dataset.name).parent
    names = {(node.text or "", node.get("relativeToVRT", "0")) for node in tree.iter("SourceFilename")}
    return [str(folder / name) if relative == "1" else name for name, relative in sorted(names) if name]


def _refuse_palette(palette: dict[int, tuple[int, ...]], band: int, path: Path) -> None:
    colours = [entry[:3] for entry in palette.values()]
    if all(entry[:3] == (index,) * 3 for index, entry in palette.items()):
        return
    expand = "gray" if all(red == green == blue for red, green, blue in colours) else "rgb"
    raise InputError(
        f"band {band} of {path} holds indices into a palette, and an index is no brightness",
        valid="pixels that are grey values or colours themselves",
        next_step=f"gdal_translate -expand {expand} {quote(str(path))} expanded.tif writes them",
    )


def _shared_nodata(dataset: Any) -> tuple[int | float | None, ...] | None:
    """GDAL's NODATA_VALUES: one value per band, missing only where all bands hold theirs."""
    words = dataset.tags().get("NODATA_VALUES", "").split()
    if len(words) != dataset.count:
        return None
    try:
        return tuple(_usable(float(word), np.dtype(dtype)) for word, dtype in zip(words, dataset.dtypes, strict=True))
    except ValueError:
        return None


def _usable(nodata: float | None, dtype: np.dtype) -> int | float | None:
    # NaN and huge values are never data anyway; one that the type can't hold (−9999 in a uint8 file) flags nothing.
    if nodata is None or not np.isfinite(nodata) or (dtype.kind == "f" and abs(nodata) >= HUGE):
        return None
    if dtype.kind == "f":
        return float(dtype.type(nodata))
    limits = np.iinfo(dtype)
    return int(nodata) if float(nodata).is_integer() and limits.min <= nodata <= limits.max else None


def _masks(dataset: Any, bands: Sequence[int]) -> tuple[int, ...]:
    """Bands whose masks are to be read: one if all share it."""
    flags = {band: dataset.mask_flag_enums[band - 1] for band in bands}
    derived = {MaskFlags.all_valid, MaskFlags.nodata, MaskFlags.alpha}
    own = [band for band in bands if not derived & set(flags[band])]
    if own and len(own) == len(bands) and all(MaskFlags.per_dataset in flags[band] for band in own):
        return (own[0],)
    # One per band, so that masks line up with pixels; bands without a mask of their own are valid throughout.
    return tuple(bands) if own else ()


def _all_within(pixels: np.ndarray, low: float, high: float | None) -> bool:
    # Two reductions without a copy; False for NaN.
    return bool(pixels.size == 0 or (pixels.min() > low and (high is None or pixels.max() < high)))


def _outside(pixels: np.ndarray, low: float, high: float | None) -> np.ndarray:
    within = pixels > low
    return ~within if high is None else ~(within & (pixels < high))
