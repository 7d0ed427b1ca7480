"""What EJMAP left on disk: its folders, and the names of its files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import InputError
from ..core.paths import DataFolder

DATA_MARKS = ("conn_data", "ejc_data", "cyl_data", "mosaics")
TABLES = {"connection": "connection_version_hparams.csv", "ejecta": "ejecta_version_hparams.csv"}


class EjmapData(DataFolder):
    """EJMAP's ``data/``: as ours, and one npy file per tile and channel beside it."""

    def image(self, area: str, position: int, fid: int) -> Path:
        return self.root / area / "images" / f"image_{position}_crater_{fid}.npy"

    def attention(self, position: int, fid: int) -> Path:
        return self.root / "conn_data" / "attention" / f"att_{position}_crater_{fid}.npy"

    def tile_mask(self, position: int, fid: int) -> Path:
        return self.root / "ejc_data" / "masks" / f"mask_{position}_crater_{fid}.npy"

    def distance(self, position: int, fid: int) -> Path:
        return self.root / "ejc_data" / "distances" / f"distance_{position}_crater_{fid}.npy"

    def masks(self) -> dict[int, Path]:
        """The hand-drawn masks by crater."""
        return by_crater(self.root / "cyl_data", "mask_crater_*.tif")

    def crater_positions(self) -> dict[int, Path]:
        return by_crater(self.root / "cyl_data", "positions_crater_*.csv")

    def all_eval_positions(self) -> dict[int, Path]:
        return by_crater(self.root / "conn_data" / "eval_positions", "eval_positions_crater_*.csv")

    def crater_files(self) -> list[Path]:
        """The crater list with all files that belong to it: a shapefile is four or five of them."""
        return sorted(path for path in self.craters.parent.glob(f"{self.craters.stem}.*") if path.is_file())


@dataclass(frozen=True)
class Source:
    """A folder of EJMAP's: only ``data`` must be there."""

    folder: Path
    data: EjmapData

    def table(self, family: str) -> Path | None:
        """The family's hyper-parameters, where EJMAP's ``code/`` came along."""
        path = self.folder / "code" / TABLES[family]
        return path if path.exists() and self.data.root != self.folder else None

    def versions(self, kind: str, short: str) -> dict[int, Path]:
        """The folders ``{kind}/{short}_{kind}/version_N`` by version; ``kind``: results or log."""
        if self.data.root == self.folder:
            return {}
        return _numbered((self.folder / kind / f"{short}_{kind}").glob("version_*"), r"version_(\d+)$")


def find_source(folder: Path) -> Source:
    """EJMAP's folder, given itself or its ``data/``; raises ``InputError`` for any other."""
    folder = Path(folder).resolve()
    for data in (folder / "data", folder):
        if any((data / mark).is_dir() for mark in DATA_MARKS):
            return Source(folder, EjmapData(data))
    raise InputError(
        f"{folder} is no folder of EJMAP's" if folder.is_dir() else f"there is no folder {folder}",
        valid=f"a folder with data/, or the data folder itself, which holds {', '.join(DATA_MARKS)}",
        next_step="unzip EJMAP's data.zip and name the folder that holds data/",
    )


def by_crater(folder: Path, pattern: str) -> dict[int, Path]:
    """Files named ``…_crater_{FID}.…`` by FID; others of the pattern are no crater's and left out."""
    return _numbered(folder.glob(pattern), r"_crater_(\d+)\.[a-z]+$")


def _numbered(paths, pattern: str) -> dict[int, Path]:
    matches = ((re.search(pattern, path.name), path) for path in paths)
    return dict(sorted((int(match[1]), path) for match, path in matches if match))
