"""A map against truth that nobody trained on: masks or polygons of whole craters, or another map."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..config import CompareOptions
from ..core.errors import InputError
from ..core.files import content_digest, write_json, write_table
from ..core.frames import rows_of
from .calibrate import calibrated
from .index import refresh
from .map_sources import PROVENANCE, MapSources, find_map, results_folder, sources_of

if TYPE_CHECKING:
    import pandas as pd

    from ..analysis.against_truth import Compared
    from ..analysis.given_ejecta import Ejecta
    from ..analysis.plane import Crater, Place
    from ..geo.grid import Grid
    from ..geo.mosaic import Mosaic

Progress = Callable[[str, int, int], None]
NOTES = {
    "not_mapped": "Not on the map, so nothing of them was found: {}",
    "not_listed": "The crater list lacks them, so they are left out: {}",
    "learned_from": "Their truth is the very mask that the map's networks learned from, which says little of other ground: {}",
}


def run_comparison(
    map_folder: Path | str,
    truth: Path | str,
    *,
    mosaic: Path | None = None,
    craters: Path | None = None,
    drawn: Path | None = None,
    options: CompareOptions | None = None,
    into: Path | None = None,
    progress: Progress | None = None,
) -> dict[str, object]:
    """Compare a map's masks with ``truth``: a folder of masks, polygons with ``crat_FID``, a synthetic planet, or another map.

    Writes EJMAP's tables, ``scores.csv``, pictures and ``index.html`` into ``compare_<truth>`` below the map's folder, or ``into``. Returns
    the scores of all craters together, and how many there were.
    """
    sources = sources_of(find_map(map_folder), mosaic=mosaic, craters=craters, drawn=drawn)
    truth_path = find_truth(truth)
    folder = into or results_folder(sources.folder) / f"compare_{name_of(truth_path)}"
    made = Comparison(sources, truth_path, folder, options or CompareOptions(), progress or (lambda *_: None)).run()
    refresh(folder)
    return made


def find_truth(given: Path | str) -> Path:
    """A file of polygons, a folder of masks, or a map's name; of a synthetic planet's folder its ``truth``."""
    path = Path(given)
    if path.is_file():
        return path
    folder = find_map(given)
    return folder / "truth" if (folder / "truth" / "planet.json").exists() else folder


def name_of(truth: Path) -> str:
    """A short name of the truth for a folder: that of a planet rather than ``truth``."""
    path = truth.resolve()
    return path.parent.name if (path / "planet.json").exists() else path.stem


@dataclass
class Comparison:
    """One comparison from its sources to its files."""

    sources: MapSources
    truth: Path
    folder: Path
    options: CompareOptions
    progress: Progress
    pictures: list[tuple[Path, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    calibration: dict[str, Any] = field(default_factory=dict)
    difference_km2: dict[str, float] | None = None

    @property
    def _is_a_map(self) -> str:
        """The name of the map that stands for the truth; nothing if it is none."""
        return self.truth.resolve().name if (self.truth / PROVENANCE).exists() else ""

    def run(self) -> dict[str, object]:
        from ..analysis.difference import NAME, write_difference
        from ..analysis.mapped_craters import read_craters

        with self.sources.open_grid() as raster:
            grid = raster.grid
            listed: dict[str, Any] = self.sources.listed
            craters = read_craters(self.sources.require_craters(), grid.body, **listed)
            mapped, truth = self._ejecta(grid, craters)
            fids = sorted(set(truth) & set(craters))
            found = self._each(fids, craters, mapped, truth, grid)
            tables = tables_of(found)
            known = calibrated(self.sources.folder, {fid: truth[fid] for fid in fids}, craters, grid, self.options.calibrate)
            self.difference_km2 = write_difference(self.folder / NAME, mapped, truth, fids, grid)
            mosaic = raster if self.sources.mosaic is not None else None
            self._draw(found, mapped, truth, grid, mosaic)
        if known is not None:
            tables["calibration"], self.calibration = known
        left = {"not_mapped": [fid for fid in fids if fid not in mapped], "not_listed": sorted(set(truth) - set(craters))}
        left["learned_from"] = self._learned_from(fids)
        return self._write(tables, found, left)

    def _ejecta(self, grid: Grid, craters: dict[int, Crater]) -> tuple[dict[int, Ejecta], dict[int, Ejecta]]:
        from ..analysis.given_ejecta import ejecta_of

        own = self._grid_of_truth(grid)
        mapped, truth = ejecta_of(self.sources.folder, grid), ejecta_of(self.truth, own)
        if own != grid:
            self.notes.append(
                f"The truth has pixels of {own.resolution_m:.0f} m, the map of {grid.resolution_m:.0f} m: compared at the map's."
            )
        if self._is_a_map:
            self.notes.append(f"{self._is_a_map} is a map itself: what is called truth is that map, and scores say how alike the two are.")
        common = sorted(set(truth) & set(craters) & set(mapped))
        if not common:
            numbers = [", ".join(map(str, sorted(found)[:8])) or "none" for found in (mapped, truth)]
            raise InputError(
                f"{self.truth} and the map {self.sources.folder.name} have no crater in common: the map's FIDs are {numbers[0]}, "
                f"those of the truth {numbers[1]}",
                valid="ejecta of the same craters under the same FIDs",
                next_step="name the files mask_crater_{FID}.tif, or fill the column crat_FID, by the map's crater list",
            )
        return mapped, truth

    def _grid_of_truth(self, grid: Grid) -> Grid:
        """Of another map, made of another mosaic of the body, that one's; else the map's."""
        from ..geo.bodies import require_same_body

        if not self._is_a_map:
            return grid
        with sources_of(self.truth).open_grid() as raster:
            require_same_body(grid.body, raster.grid.body, f"the map {self.truth}")
            return raster.grid

    def _each(self, fids: list[int], craters, mapped: dict, truth: dict, grid: Grid) -> list[Compared]:
        from ..analysis.against_truth import compare
        from ..analysis.given_ejecta import Drawn, Empty
        from ..analysis.masks import Mask
        from ..analysis.plane import Place

        found = []
        for number, fid in enumerate(fids):
            self.progress("craters", number, len(fids))
            others = [one for other, one in truth.items() if other != fid]
            place, drawn = Place(craters[fid], grid), self._drawn(fid, grid)
            options: dict[str, Any] = {"scales": self.options.scales, "min_size": self.options.min_size}
            for one in (mapped.get(fid), truth[fid]):
                if isinstance(one, Drawn) and isinstance(one.mask, Mask):
                    one.mask.reader.make_room()
            found.append(compare(place, mapped.get(fid, Empty()), truth[fid], others, drawn, **options))
        if not sum(int(one.counts[[0, 2]].sum()) for one in found):
            raise InputError(
                f"{self.truth} holds no ejecta outside the craters' rims", valid="masks with pixels above 0", next_step="look at it in QGIS"
            )
        return found

    def _drawn(self, fid: int, grid: Grid) -> tuple[Ejecta, Ejecta] | None:
        """The training mask of a crater, and the tiles in which it was drawn."""
        import pandas as pd

        from ..analysis.given_ejecta import Drawn, Tiles
        from ..analysis.masks import Mask
        from ..geo.grid import Window

        data, folder = self.sources.data, self.sources.drawn
        if data is None or folder is None or not data.human_positions.exists() or not (folder / f"mask_crater_{fid}.tif").exists():
            return None
        table = pd.read_csv(data.human_positions)
        windows = [Window(int(tile.y), int(tile.x), int(tile.height), int(tile.width)) for tile in rows_of(table)]
        mask = Mask.open(fid, folder / f"mask_crater_{fid}.tif", grid)
        return Drawn(mask), Drawn(Tiles(data.human_positions, windows, grid))

    def _learned_from(self, fids: list[int]) -> list[int]:
        """Craters of which the truth is byte for byte the training mask."""
        from ..analysis.masks import mask_files

        folder, files = self.sources.drawn, {} if self.truth.is_file() else mask_files(self.truth)
        pairs = {fid: (files[fid], folder / f"mask_crater_{fid}.tif") for fid in fids if folder and fid in files}
        return [fid for fid, (one, other) in pairs.items() if other.exists() and content_digest(one) == content_digest(other)]

    def _draw(self, found: list[Compared], mapped: dict, truth: dict, grid: Grid, mosaic: Mosaic | None) -> None:
        from ..report.compare_pictures import side_by_side

        largest = sorted(found, key=lambda one: -int(one.counts[[0, 2]].sum()))[: self.options.pictures]
        for one in sorted(largest, key=lambda one: one.crater.fid):
            pair = pair_of(one, mapped.get(one.crater.fid), truth[one.crater.fid], grid, mosaic)
            pair = replace(pair, other=self._is_a_map) if self._is_a_map else pair
            path = side_by_side(self.folder / f"crater_{one.crater.fid}.png", pair)
            self.pictures.append((path, f"Crater {one.crater.fid}: blanket of the map dashed, of the truth dotted."))

    def _write(self, tables: dict[str, pd.DataFrame], found: list[Compared], left: dict[str, list[int]]) -> dict[str, object]:
        from ..report.compare_page import write_compare_page
        from ..report.compare_pictures import blanket_pairs, reliability_picture, score_bars

        for name, table in tables.items():
            write_table(self.folder / f"{name}.csv", table)
        plots = [
            (score_bars(self.folder / "scores.png", tables["scores"]), "F1 of all craters together by part, 95 % intervals over craters."),
            (blanket_pairs(self.folder / "blankets.png", tables["blankets"]), "Blanket radii."),
        ]
        if "calibration" in tables:
            caption = "Reliability: of pixels with this forecast so many are ejecta; the line is perfect, 95 % intervals over craters."
            plots.append((reliability_picture(self.folder / "reliability.png", tables["calibration"]), caption))
        whole = tables["scores"].iloc[0]
        summary = {"craters": len(found), **left, "truth": self.truth.name}
        summary["notes"] = self.notes + [NOTES[name].format(", ".join(map(str, fids))) for name, fids in left.items() if fids]
        summary |= {name: float(whole[name]) for name in whole.index if name.startswith(("Precision", "Recall", "F1", "IoU"))}
        per_crater = tables["dl_hm_metrics"]["F1"]
        summary |= {"F1_of_craters_mean": float(per_crater.mean()), "F1_of_craters_min": float(per_crater.min())}
        summary |= {"F1_of_craters_max": float(per_crater.max()), "calibration": self.calibration}
        summary["difference_km2"] = self.difference_km2
        write_json(self.folder / "scores.json", summary)
        page = write_compare_page(self.folder / "index.html", self.sources.folder.name, summary, tables, plots, self.pictures)
        return {**summary, "folder": str(self.folder), "page": str(page)}


def tables_of(found: list[Compared]) -> dict[str, pd.DataFrame]:
    """EJMAP's tables, by crater in columns or rows as there, and ``scores``, all craters together."""
    import pandas as pd

    from ..analysis.against_truth import SCORES, score_table, scores

    names = [str(one.crater.fid) for one in found]
    rows = []
    for name, one in zip(names, found, strict=True):
        values = dict(zip(SCORES, scores(one.counts).tolist(), strict=True))
        tiles = dict(zip(SCORES, scores(one.tiles["drawn"]).tolist(), strict=True)) if one.tiles else {}
        in_tiles = scores(one.tiles["map"])[2] if one.tiles else float("nan")
        row: dict[str, object] = {"Name": name}
        for title in ("F1", "Precision", "Recall", "IoU"):
            row |= {title: values[title], f"{title}_tiles": tiles.get(title, float("nan"))}
        counts = dict(zip(("true_positive", "false_positive", "false_negative"), map(int, one.counts), strict=True))
        rows.append({**row, "F1_map_in_tiles": float(in_tiles), "crat_FID": one.crater.fid, **counts})
    tables = {"dl_hm_metrics": pd.DataFrame(rows)}
    tables["blankets"] = pd.DataFrame([{"Name": name, **one.blankets()} for name, one in zip(names, found, strict=True)])
    quadrants = [{part: counts for (by, part), counts in one.groups().items() if by == "quadrant"} for one in found]
    tables |= by_part("sq", "Name", names, quadrants)
    tables |= by_part("ring", "Ring", names, [one.circles() for one in found])
    return tables | {"scores": score_table(found)}


def by_part(ending: str, index: str, names: list[str], found: list[dict]) -> dict[str, pd.DataFrame]:
    """``dl_hm_{precision,recall,f1}_{ending}``: parts in rows, craters in columns."""
    import pandas as pd

    from ..analysis.against_truth import scores

    tables = {}
    for which, score in enumerate(("precision", "recall", "f1")):
        columns = {name: [float(scores(counts)[which]) for counts in one.values()] for name, one in zip(names, found, strict=True)}
        tables[f"dl_hm_{score}_{ending}"] = pd.DataFrame({index: list(found[0]), **columns})
    return tables


def pair_of(one: Compared, mapped: Ejecta | None, truth: Ejecta, grid: Grid, mosaic: Mosaic | None, size_px: int = 320):
    """What a picture of a crater shows, on a coarser plane of its own."""
    import numpy as np

    from ..analysis.against_truth import scores
    from ..analysis.plane import Place
    from ..geo.grid import Window
    from ..report.compare_pictures import Pair
    from ..report.images import seen

    crater = one.crater
    half_m = max(1.06 * float(one.distance.max(initial=0)) * one.resolution_m, 3 * crater.radius_m)
    place: Place = Place(crater, grid, 2 * half_m / size_px)
    start = round(place.middle + 0.5) - size_px // 2
    window = Window(start, start, size_px, size_px)
    ground = seen(mosaic, place.grid.window(window)) if mosaic else np.full((size_px, size_px, 3), 0.35)
    masks = [np.zeros((size_px, size_px), bool) if ejecta is None else ejecta.on_plane(place, window) for ejecta in (mapped, truth)]
    blankets = (one.blanket_map * one.resolution_m / 1e3, one.blanket_truth * one.resolution_m / 1e3)
    f1 = float(scores(one.counts)[2])
    return Pair(str(crater.fid), crater.radius_m / 1e3, half_m / 1e3, ground, masks[0], masks[1], blankets, f1)
