"""What a map was made of: its mosaic, crater list and drawn masks, from its provenance or as named."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import InputError, nearest
from ..core.files import read_json
from ..core.models import read_keys
from ..core.paths import DataFolder, Project, find_root

if TYPE_CHECKING:
    from ..geo.mosaic import Mosaic

PROVENANCE = "provenance.json"
GRID_RASTERS = ("ml_FID_map_all.tif", "owner.tif")
"""Rasters of the whole mosaic's grid that lie beside masks, for where the mosaic itself isn't there."""


def find_map(given: Path | str) -> Path:
    """The folder of a map, by its path or by its name below ``results/output_masks`` of the project around the current folder."""
    path = Path(given)
    if path.is_dir():
        return path
    maps = Project(find_root(Path.cwd())).map_folder("any").parent
    if (maps / path).is_dir():
        return maps / path
    names = sorted(folder.name for folder in maps.iterdir() if folder.is_dir()) if maps.is_dir() else []
    valid = f"a folder, or a map of this project: {nearest(str(given), names)}" if names else "the folder of a map"
    raise InputError(f"there is no map {given}", valid=valid, next_step="make one: cratermill launch map CONFIG")


def map_or_list(given: Path) -> Path:
    """A crater list's file as it is, or a map as :func:`find_map` finds it."""
    from ..craters.catalogue import FORMATS

    if given.suffix.lower() in FORMATS and not given.exists():
        raise InputError(f"there is no crater list {given}", valid="a file, a map's folder or its name", next_step="check the path")
    return given if given.is_file() else find_map(given)


def results_folder(masks: Path) -> Path:
    """Where what is found of masks is written: a map's own folder; never into data."""
    if (masks / PROVENANCE).exists():
        return masks
    project = Project(find_root(Path.cwd()))
    return project.results / "analysis" / (masks.resolve().name or "masks")


@dataclass(frozen=True)
class MapSources:
    """``folder`` holds the masks; the others may be missing (None)."""

    folder: Path
    mosaic: Path | None
    craters: Path | None
    drawn: Path | None
    bands: list[int | str] | None
    data: DataFolder | None = None
    listed: dict[str, str | None] = field(default_factory=dict)
    """Units and layer of the crater list, where the map's configuration had to tell them."""

    def open_grid(self) -> Mosaic:
        """The mosaic, or another raster of its grid; ``InputError`` without any."""
        from ..geo.layers import open_mosaic
        from ..geo.mosaic import Mosaic

        if self.mosaic is not None:
            return open_mosaic(self.mosaic, self.bands)
        found = next((self.folder / name for name in GRID_RASTERS if (self.folder / name).exists()), None)
        if found is None:
            raise InputError(
                f"{self.folder} doesn't say which mosaic its masks lie on",
                valid=f"a map with {PROVENANCE}, or the mosaic by name",
                next_step="name it: --mosaic FILE",
            )
        return Mosaic.open(found)

    def require_craters(self) -> Path:
        if self.craters is None:
            raise InputError(
                f"{self.folder} doesn't say which craters its masks belong to", valid="a crater list", next_step="name it: --craters FILE"
            )
        return self.craters

    def described(self) -> dict[str, str]:
        """For pages: file names, not paths."""
        named = {"Mosaic": self.mosaic, "Crater list": self.craters, "Drawn masks": self.drawn}
        return {what: path.name for what, path in named.items() if path is not None}


def sources_of(folder: Path, *, mosaic: Path | None = None, craters: Path | None = None, drawn: Path | None = None) -> MapSources:
    """What is named wins; else what the map was made of; else what lies in the folder around the masks."""
    for what, path in (("mosaic", mosaic), ("crater list", craters), ("folder of drawn masks", drawn)):
        if path is not None and not path.exists():
            raise InputError(f"the {what} {path} is missing", next_step="check the path")
    config = read_json(folder / PROVENANCE, {}).get("config") or {}
    data = _data_folder(folder, config)
    made = config.get("map") or {}
    root = find_root(folder)
    elsewhere = _first(root, made.get("mosaic"), None if made.get("data") else config.get("mosaic"))
    found_mosaic = mosaic or elsewhere or _there(data.mosaic if data else None)
    listed = _first(root, made.get("catalogue")) or _there(data.craters if data else None)
    found_craters = craters or listed or _there(folder / "craters.csv")
    bands = _bands(config, root) if mosaic is None else None
    told = {} if craters else made.get("crater_list") or ({} if made.get("catalogue") else config.get("crater_list")) or {}
    units_layer = {name: told.get(name) for name in ("units", "layer")}  # all of its craters: drawn masks may be of any
    return MapSources(folder, found_mosaic, found_craters, drawn or _drawn(folder, data), bands, data, units_layer)


def _bands(config: dict[str, Any], root: Path) -> list[int | str] | None:
    """The bands that a map's configuration names, with what defines those of other rasters."""
    bands: list[int | str] | None = (config.get("map") or {}).get("bands") or config.get("bands")
    if not config.get("derived"):
        return bands
    from ..config import Config, RunConfig

    named = {name: config[name] for name in ("name", "data", "derived")} | {"bands": bands}
    return Config(RunConfig(**named), root).bands


def config_of(folder: Path) -> Path | None:
    """The run configuration of a map: the file below the project's ``configs`` with its name and data, if one alone has them.

    A map keeps what its configuration said, not where it lay, since files move.
    """
    made, root = read_json(folder / PROVENANCE, {}).get("config") or {}, find_root(folder)
    if not made:
        return None
    found = [path for path in sorted((root / "configs").rglob("*.yaml")) if _same_run(path, made)]
    return found[0] if len(found) == 1 else None


def _same_run(path: Path, made: dict[str, Any]) -> bool:
    try:
        content = read_keys(path)
    except InputError:  # it is no configuration, whatever else it is
        return False
    return all(content.get(key) == made.get(key) for key in ("name", "data"))


def _data_folder(folder: Path, config: dict[str, Any]) -> DataFolder | None:
    """The data folder that a map was made of, or the one that the masks lie in."""
    named = (config.get("map") or {}).get("data") or config.get("data")
    if named:
        return DataFolder(find_root(folder) / named)
    around = [DataFolder(place) for place in (folder, folder.parent) if DataFolder(place).craters.exists()]
    return around[0] if around else None


def _first(root: Path, *names: str | None) -> Path | None:
    return next((path for name in names if name and (path := root / name).exists()), None)


def _there(path: Path | None) -> Path | None:
    return path if path is not None and path.exists() else None


def _drawn(folder: Path, data: DataFolder | None) -> Path | None:
    """Drawn masks of the map's data; none where the masks looked at are those."""
    place = data.mask(0).parent if data else None
    if place is None or not place.is_dir() or place.resolve() in (folder.resolve(), (folder / "cyl_data").resolve()):
        return None
    return place if any(place.glob("mask_crater_*.tif")) else None
