"""Analysing a map: patterns of its craters' ejecta, as mapped, cleaned of overlaps, and as drawn by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..config import AnalysisOptions
from ..core.errors import InputError
from ..core.files import read_json, stat_fingerprint, write_json, write_table
from .index import refresh
from .map_sources import PROVENANCE, MapSources, find_map, results_folder, sources_of

if TYPE_CHECKING:
    import pandas as pd

    from ..analysis.map_tables import Analysed
    from ..analysis.masks import MaskSet
    from ..geo.grid import Grid
    from ..geo.mosaic import Mosaic

Progress = Callable[[str, int, int], None]
RECORD, PAGE, PICTURES = "analysis.json", "analysis.html", "analysis"
FORMAT = 1
"""Of the tables; another number makes all of them again."""


def run_analysis(
    map_folder: Path | str,
    *,
    mosaic: Path | None = None,
    craters: Path | None = None,
    drawn: Path | None = None,
    options: AnalysisOptions | None = None,
    progress: Progress | None = None,
    into: Path | None = None,
    again: bool = False,
) -> dict[str, Any]:
    """Write ``analysis_overlaps.csv``, ``analysis_clean.csv``, maybe ``analysis_hm.csv``, ``analysis.gpkg``, pictures and a page.

    ``map_folder``: a map's folder or name, or any folder of masks. What isn't named is taken from what the map was made of. The files go
    into the map's folder, those of other masks below ``results/analysis`` of the current project, or ``into``. Nothing is done where the
    same analysis of the same files is there already. Returns counts and what was written.
    """
    sources = sources_of(find_map(map_folder), mosaic=mosaic, craters=craters, drawn=drawn)
    folder = into or results_folder(sources.folder)
    options = options or AnalysisOptions()
    made_of = record(sources, options)
    known = read_json(folder / RECORD, {})
    if not again and known.get("made_of") == made_of and all((folder / name).exists() for name in known.get("files", [])):
        return {**known["summary"], "folder": str(folder), "files": known["files"], "done": "before"}
    made = Analysis(sources, folder, options, progress or (lambda *_: None)).run(made_of)
    refresh(folder)
    return made


def record(sources: MapSources, options: AnalysisOptions) -> dict[str, object]:
    """A plain value that changes when the analysis would."""
    from ..analysis.masks import mask_files

    folders = [folder for folder in (sources.folder, sources.drawn) if folder is not None]
    masks = {str(path): stat_fingerprint(path) for folder in folders for path in mask_files(folder).values()}
    inputs = {str(path): stat_fingerprint(path) for path in (sources.mosaic, sources.craters) if path is not None}
    given = options.model_dump(include={"min_size", "pictures", "band_names"})
    return {"format": FORMAT, **given, "bands": sources.bands, "masks": masks, "inputs": inputs}


@dataclass
class Analysis:
    """One analysis from its sources to its files."""

    sources: MapSources
    folder: Path
    options: AnalysisOptions
    progress: Progress
    too_small: int = 0
    """Masks with ejecta, but none in a cluster that counts."""

    def run(self, made_of: dict[str, object]) -> dict[str, object]:
        from ..analysis.map_tables import band_names
        from ..analysis.mapped_craters import read_craters
        from ..analysis.masks import MaskSet

        folder = self.folder
        with self.sources.open_grid() as raster:
            grid = raster.grid
            mosaic = raster if self.sources.mosaic is not None else None
            names = band_names(raster, self.options.band_names) if mosaic is not None else []
            self._require_names(names, mosaic)
            masks = MaskSet.of(self.sources.folder, grid)
            drawn = MaskSet.of(self.sources.drawn, grid) if self.sources.drawn else None
            fids = {*masks.files, *(drawn.files if drawn else ())}
            craters = read_craters(self.sources.require_craters(), grid.body, fids, **self.sources.listed)
            looker = Looker(folder / PICTURES, mosaic, self._chosen(masks), masks, drawn)
            tables = self._tables(masks, drawn, craters, mosaic, names, looker)
            files = self._write(tables, grid.body, looker) + self._ensemble(grid)
        summary = self._summary(tables) | {"too_small": self.too_small}
        write_json(folder / RECORD, {"made_of": made_of, "summary": summary, "files": files})
        return {**summary, "folder": str(folder), "files": files, "done": "now"}

    def _require_names(self, names: list[str], mosaic: Mosaic | None) -> None:
        if mosaic is not None and (len(names) != mosaic.count or len(set(names)) != len(names)):
            given = f"{len(names)} names for the {mosaic.count} band(s) of {mosaic.path}: {', '.join(names)}"
            raise InputError(given, valid="a name of its own for each band", next_step="correct --band-names")

    def _chosen(self, masks: MaskSet) -> list[int]:
        """The craters that get a picture: those with most ejecta, by the map's table, or by FID where there is none."""
        import pandas as pd

        path = self.sources.folder / "craters.csv"
        if path.exists() and self.options.pictures:
            table = pd.read_csv(path)
            if {"crat_FID", "area_km2"} <= set(table):
                table = table[table["crat_FID"].isin(masks.files) & (table["area_km2"] > 0)]
                return sorted(table.nlargest(self.options.pictures, "area_km2")["crat_FID"].tolist())
        return sorted(masks.files)[: self.options.pictures]

    def _tables(self, masks, drawn, craters, mosaic, names: list[str], looker: Looker) -> dict[str, pd.DataFrame]:
        from ..analysis.map_tables import each_crater, frames

        total = len(masks.files) + (len(drawn.files) if drawn else 0)

        def counted(found, first: int):
            for number, one in enumerate(found, first):
                self.progress("craters", number, total)
                self.too_small += int(one.patterns.overlaps is not None and not one.patterns.overlaps.any())
                yield one

        size = self.options.min_size
        overlaps, clean = frames(counted(each_crater(masks, craters, mosaic, names, size), 0), looker)
        tables = {"analysis_overlaps": overlaps, "analysis_clean": clean}
        if drawn:
            tables["analysis_hm"] = frames(counted(each_crater(drawn, craters, mosaic, names, size), len(masks.files)))[0]
        return tables

    def _write(self, tables: dict[str, pd.DataFrame], body, looker: Looker) -> list[str]:
        from ..analysis.map_tables import write_geopackage
        from ..report.analysis_page import write_analysis_page
        from ..report.palette import colours_of

        folder = self.folder
        for name, table in tables.items():
            write_table(folder / f"{name}.csv", table)
        write_geopackage(folder / "analysis.gpkg", tables, body)
        pictures = self._pictures(tables["analysis_overlaps"])
        counts = {name.replace("_", " ").capitalize(): count for name, count in self._summary(tables).items()}
        facts = {**counts, "Smallest cluster (pixels)": self.options.min_size, **self.sources.described()}
        write_analysis_page(
            folder / PAGE, f"Patterns of {self.sources.folder.name}", tables, facts, pictures, looker.made, colours_of(self.sources.folder)
        )
        made = [path.relative_to(folder).as_posix() for path, _ in [*pictures, *looker.made]]
        return [*(f"{name}.csv" for name in tables), "analysis.gpkg", PAGE, *made]

    def _ensemble(self, grid: Grid) -> list[str]:
        """Areas with intervals and the map of disagreement, where the masks are those of an ensemble."""
        from ..analysis.shares import DISAGREEMENT, ensemble_areas, share_files, write_disagreement

        files = share_files(self.sources.folder)
        if not files:
            return []
        threshold = float(read_json(self.sources.folder / PROVENANCE, {}).get("threshold") or 0.5)
        write_table(self.folder / "ensemble_areas.csv", ensemble_areas(files, grid, threshold))
        write_disagreement(self.folder / DISAGREEMENT, files, grid)
        return ["ensemble_areas.csv", DISAGREEMENT]

    def _pictures(self, table: pd.DataFrame) -> list[tuple[Path, str]]:
        """Of all craters together; the overlaps from the map's own table of pairs, if it has one."""
        import pandas as pd

        from ..report.palette import colours_of
        from ..report.pattern_pictures import blanket_picture, overlap_graph, radii_histogram

        folder = self.folder / PICTURES
        path = self.sources.folder / "overlaps_pairs.csv"
        pairs = pd.read_csv(path) if path.exists() else pd.DataFrame(columns=["FID_a", "FID_b", "overlap_km2"])
        blankets = "Blanket radius against crater radius; the power law is that of the analysed craters."
        made = [
            (blanket_picture(folder / "blankets.png", table), blankets),
            (radii_histogram(folder / "radii.png", table), "Radii of analysed and discarded craters."),
            (
                overlap_graph(folder / "overlaps.png", table, pairs, colours_of(self.sources.folder)),
                "Which craters' ejecta overlap; thicker lines share more ground.",
            ),
        ]
        return [(path, caption) for path, caption in made if path is not None]

    @staticmethod
    def _summary(tables: dict[str, pd.DataFrame]) -> dict[str, object]:
        table = tables["analysis_overlaps"]
        return {
            "craters": len(table),
            "with_ejecta": int((table["area"] > 0).sum()),
            "analysed": int((~table["invalid"].astype(bool)).sum()),
            "drawn": len(tables.get("analysis_hm", ())),
        }


@dataclass
class Looker:
    """Draws chosen craters while their arrays are in memory."""

    folder: Path
    mosaic: Mosaic | None
    chosen: list[int]
    masks: MaskSet
    drawn: MaskSet | None

    def __post_init__(self) -> None:
        self.made: list[tuple[Path, str]] = []

    def __call__(self, one: Analysed) -> None:
        import numpy as np
        import pandas as pd

        from ..analysis.pattern import STEP_PX
        from ..analysis.views import square_around, view_of
        from ..report.images import seen
        from ..report.palette import colours_of
        from ..report.pattern_pictures import View, crater_picture

        row = one.patterns.overlaps_row
        if one.crater.fid not in self.chosen or not row["area"]:
            return
        grid = square_around(one)
        ground = seen(self.mosaic, grid) if self.mosaic else np.full((*grid.shape, 3), 0.35)
        view = View(**view_of(one, grid, self.masks, self.drawn), ground=ground, colours=colours_of(self.masks.folder))
        ring_km = STEP_PX * one.place.grid.resolution_m / 1e3
        path = crater_picture(self.folder / f"crater_{one.crater.fid}.png", view, pd.Series(row), one.patterns.coverage, ring_km)
        self.made.append((path, f"Crater {one.crater.fid}: blanket (orange) within the dashed circle, rays (blue)."))
