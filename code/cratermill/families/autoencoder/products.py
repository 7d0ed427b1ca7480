"""The files that users look for, from crops, latents and clusters; the same for a version's results and for a map."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ...core.files import atomic_path, write_table
from ...craters.catalogue import write_catalogue
from ...geo.bodies import Body
from ...geo.mosaic import Mosaic
from . import pictures
from .projection_2d import plane

if TYPE_CHECKING:
    from .hparams import Hparams

TABLE_COLUMNS = (
    "FID",
    "id",
    "lon",
    "lat",
    "radius_m",
    "upsampling",
    "flipped",
    "light_deg",
    "light_contrast",
    "brightness",
    "label",
    "cluster",
)
AXES = {"pca": "PC", "tsne": "t-SNE ", "umap": "UMAP "}


def write_products(
    into: Path,
    rows: pd.DataFrame,
    features: np.ndarray,
    crops: Any,
    row: Hparams,
    mosaic: Mosaic | None,
    window: Sequence[float] | None = None,
    most_thumbnails: int = 400,
    display: bool = True,
    body: Body | None = None,
) -> list[Path]:
    """Tables with positions and clusters, with ``display`` also pictures; ``rows`` has the clusters, ``crops[i]`` is the i-th crop.

    ``body``: where the craters are, if there is no mosaic that says so.
    """
    made = write_tables(into, rows, row.cluster_method, mosaic.grid.body if mosaic else body)
    if not display:
        return made
    made += latent_pictures(into, rows, features, crops, row.cluster_view)
    placed = rows[["lon", "lat"]].notna().all(axis=1).to_numpy()
    if mosaic is not None and placed.any():
        made += mosaic_pictures(into, mosaic, rows[placed], _Chosen(crops, np.flatnonzero(placed)), window, most_thumbnails)
    return made


def write_tables(into: Path, rows: pd.DataFrame, method: str, body: Body | None) -> list[Path]:
    """``crater_clusters_<method>.csv``, and with a body GeoJSON and GeoPackage with its CRS."""
    table = rows[[name for name in TABLE_COLUMNS if name in rows]]
    made = [write_table(into / f"crater_clusters_{method}.csv", table)]
    placed = table[table[["lon", "lat"]].notna().all(axis=1)]
    if body is not None and len(placed):
        made += [
            write_geojson(into / f"crater_clusters_{method}_clusters.geojson", placed, body),
            write_catalogue(into / f"crater_clusters_{method}.gpkg", placed, body),
        ]
    return made


def write_geojson(path: Path, table: pd.DataFrame, body: Body) -> Path:
    """Points with the body's CRS, as WKT in the ``crs`` member that GDAL reads; it writes none, since RFC 7946 knows only the Earth's."""
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".writing-") as folder:
        plain = write_catalogue(Path(folder) / path.name, table, body)
        member = json.dumps({"type": "name", "properties": {"name": body.geographic_crs().to_wkt()}})
        with plain.open("rb") as source, atomic_path(path) as temporary, temporary.open("wb") as target:
            head = source.read(4096)
            assert b'"features"' in head, "GDAL's GeoJSON begins with its features"
            target.write(head.replace(b'"features"', b'"crs": ' + member.encode() + b',\n"features"', 1))
            shutil.copyfileobj(source, target)
    return path


def latent_pictures(into: Path, rows: pd.DataFrame, features: np.ndarray, crops: Any, view: str) -> list[Path]:
    clusters = rows["cluster"].to_numpy()
    chosen, places, shares = plane(features, view)

    def label(number: int) -> str:
        share = shares.get(f"PC{number}")
        return f"{AXES[view]}{number}" if share is None else f"{AXES[view]}{number} ({share:.0%})"

    labels = label(1), label(2)
    shown = _Chosen(crops, chosen)
    made = [
        pictures.dots(into / "clustering_dots.png", places, clusters[chosen], labels),
        pictures.thumbnails(into / "clustering_imgs.png", places, clusters[chosen], shown, labels),
        pictures.montage(into / "clustering_montage.png", clusters, distances(features, clusters), crops),
        pictures.histograms(into / "clustering_histograms.png", rows),
    ]
    return [path for path in made if path is not None]


def mosaic_pictures(into: Path, mosaic: Mosaic, rows: pd.DataFrame, crops: Any, window: Sequence[float] | None, most: int) -> list[Path]:
    """Dots and thumbnails on the whole mosaic, and on a window if one is given."""
    from .mosaic_pictures import View, mosaic_dots, mosaic_thumbnails

    made = []
    for name, part in (("mosaic", None), ("window", window)):
        if name == "window" and part is None:
            continue
        view = View(mosaic, part)
        made.append(mosaic_dots(into / f"{name}_dots.png", view, rows))
        if most:
            made.append(mosaic_thumbnails(into / f"{name}_imgs.png", view, rows, crops, most))
    return made


def distances(features: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """Of each feature from the middle of its cluster."""
    found = np.zeros(len(features))
    for cluster in np.unique(clusters):
        one = clusters == cluster
        found[one] = np.linalg.norm(features[one] - features[one].mean(0), axis=1)
    return found


class _Chosen:
    """Some crops of an array, read only when asked for."""

    def __init__(self, crops: Any, numbers: np.ndarray):
        self.crops, self.numbers = crops, numbers

    def __getitem__(self, index: int) -> np.ndarray:
        return self.crops[int(self.numbers[index])]
