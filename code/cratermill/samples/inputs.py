"""All files that stand behind a name, and whether they changed: sources of a VRT, parts of a shapefile, masks beside a raster.

A mark is made of names, sizes and times, and costs no reading; a digest is made of contents.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ..config import band_marks
from ..core.errors import InputError
from ..core.files import content_digest, fingerprint, stat_fingerprint

if TYPE_CHECKING:
    from ..config import Config

VECTOR_PARTS = {
    ".shp": (".dbf", ".shx", ".prj", ".cpg"),
    ".tab": (".dat", ".map", ".id", ".ind"),
    ".mif": (".mid",),
}
BESIDE = (".ovr", ".msk", ".aux.xml", ".msk.ovr", "-wal")
"""Ends that are added to a file's whole name: GDAL's overviews, mask and metadata; changes of a GeoPackage that are not in it yet."""
NO_RASTERS = frozenset(
    {".csv", ".txt", ".npy", ".npz", ".zip", ".json", ".geojson", ".parquet", ".scc", ".diam", ".png", ".jpg", ".jpeg", *VECTOR_PARTS}
)
WHOLE_BELOW = 2**28
"""Bytes up to which a file's digest is made of all of it; of larger ones its time counts, too."""
MOST_CHUNKS = 256
_NO_MATTER = re.compile(r'<MDI key="STATISTICS_[^>]*>[^<]*</MDI>|<Histograms>.*?</Histograms>|<\?xml[^>]*>|<!--.*?-->|\s+', re.DOTALL)
_EMPTY = re.compile(r"<(PAMDataset|PAMRasterBand|Metadata)[^<>]*></\1>")


def mark(path: Path) -> str:
    """A hash of name, size and time of every file behind ``path`` (a file, a folder, or a link to one); changes when any of them does.

    Raises ``InputError`` where there is nothing.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path} does not exist", next_step="check the paths in the config")
    return f"#{fingerprint([[_name(file, path), *_stat(file)] for file in files_behind(path)])}"


def mosaic_mark(config: Config) -> str:
    """The mark of a configuration's mosaic and of the bands that it chooses."""
    found = mark(config.mosaic)
    return found if config.bands is None else f"#{fingerprint([found, band_marks(config.bands)])}"


def digest(path: Path) -> str:
    """One hash of the contents of every file behind ``path``; the same wherever the files lie.

    Files over 256 MB are hashed in evenly spaced parts, together with their time, so that nobody waits for it.
    """
    files = files_behind(path)
    if Path(path).suffix == ".zarr" and len(files) > MOST_CHUNKS:
        # Of a store of many chunks some are read whole, as parts of a large file are; of all of them name and size count.
        listed = [[_name(file, Path(path)), file.stat().st_size] for file in files]
        return fingerprint([listed, [_content(file) for file in files[:: len(files) // MOST_CHUNKS]]])
    if len(files) == 1:
        return _content(files[0])
    return fingerprint([[_name(file, Path(path)), _content(file)] for file in files])


def files_behind(path: Path) -> list[Path]:
    """The files that are read when ``path`` is, itself included, in a fixed order."""
    path, found = Path(path), dict[Path, None]()
    if path.is_dir():
        found = dict.fromkeys(sorted(_walk(path)))
    else:
        _collect(path, found)
    note(path, () if path.is_dir() else found)
    return list(found)


_noted: list[dict[str, list[str]]] = []


def note(path: Path, files: Iterable[Path] = ()) -> None:
    """Tell who is :func:`noting` that an answer follows from a file, and those behind it, or from all that a folder holds."""
    for one in _noted:
        one[str(path.absolute())] = [str(file.absolute()) for file in files]


@contextmanager
def noting() -> Iterator[dict[str, list[str]]]:
    """Collects which files stand behind each path that is asked about meanwhile, on whichever thread; of a folder none: it tells itself."""
    found: dict[str, list[str]] = {}
    _noted.append(found)
    try:
        yield found
    finally:
        _noted[:] = [one for one in _noted if one is not found]


def _collect(path: Path, found: dict[Path, None]) -> None:
    if path in found:
        return
    found[path] = None
    for part in [*_beside(path), *_listed(path)]:
        if part.suffix.lower() == ".vrt":
            _collect(part, found)  # sources that have sources
        else:
            found.setdefault(part)
            for other in _beside(part):
                found.setdefault(other)


def _beside(path: Path) -> Iterator[Path]:
    for end in BESIDE:
        other = path.with_name(path.name + end)
        if other.is_file() and not (end == ".aux.xml" and not _metadata(other)):
            yield other
    parts = VECTOR_PARTS.get(path.suffix.lower())
    if parts:
        yield from sorted(other for other in path.parent.glob(f"{_plain(path.stem)}.*") if other.suffix.lower() in parts)


def _listed(path: Path) -> list[Path]:
    """The files that GDAL says a raster consists of."""
    if path.suffix.lower() in NO_RASTERS:
        return []
    import rasterio

    try:
        with rasterio.open(path) as file:
            names = list(file.files)
    except (rasterio.errors.RasterioError, OSError):
        return []  # no raster, or a broken one, which whoever reads it names
    parts = [_on_disk(name) for name in names]
    return [part for part in parts if part is not None and part != path and not (part.name.endswith(".aux.xml") and not _metadata(part))]


def _on_disk(name: str) -> Path | None:
    """The file behind one of GDAL's names: an archive for what lies in it, None for what comes from the network."""
    if not name.startswith("/vsi"):
        return Path(name) if Path(name).is_file() else None
    inner = Path(re.sub(r"^(/vsi\w+/)+", "", name).replace("{", "").replace("}", ""))
    return next((part for part in (inner, *inner.parents) if part.is_file()), None)


def _walk(folder: Path, above: tuple[str, ...] = ()) -> Iterator[Path]:
    """All files of a folder and of the folders in it, linked ones included, once around."""
    real = os.path.realpath(folder)
    if real in above:
        return
    for path in folder.iterdir():
        if path.is_dir():
            yield from _walk(path, (*above, real))
        elif path.is_file():
            yield path


def _name(file: Path, path: Path) -> str:
    """A file's name as seen from ``path``, and where it leads if it is a link; the same when all of them are moved together."""
    base = path if path.is_dir() else path.parent
    name = os.path.relpath(file, base)
    return f"{name} -> {file.readlink()}" if file.is_symlink() else name


def _stat(path: Path) -> list:
    return [fingerprint(_metadata(path))[:16]] if path.name.endswith(".aux.xml") else stat_fingerprint(path)


def _content(path: Path) -> str:
    if path.name.endswith(".aux.xml"):
        return fingerprint(_metadata(path))
    size, time = stat_fingerprint(path)
    return content_digest(path) if size <= WHOLE_BELOW else fingerprint([content_digest(path), time])


def _metadata(path: Path) -> str:
    """What a file of GDAL's metadata says of a raster, without statistics: viewers write those, and they change no pixel."""
    text = _NO_MATTER.sub("", path.read_text(encoding="utf-8", errors="replace"))
    while (shorter := _EMPTY.sub("", text)) != text:
        text = shorter
    return text


def _plain(name: str) -> str:
    """A name in which no letter stands for others."""
    return re.sub(r"([*?[])", r"[\1]", name)
