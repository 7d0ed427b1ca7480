"""Maps of classifiers of chips: a scan looks at every place of a mosaic through windows, a sieve rates the craters of a list.

Both cut chips as ``data.cut`` does: azimuthal squares in grey, as many crater radii wide as those that were learnt from.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd
import torch
from affine import Affine

from ...config import band_marks
from ...core.errors import InputError, WorkError
from ...core.files import read_json, write_table
from ...core.work import Workspace
from ...craters.catalogue import read_catalogue, write_catalogue
from ...craters.merge import without_doubles
from ...craters.outputs import counted_boundary, crater_table, write_craters
from ...geo.cog import write_cog
from ...geo.extent import extent
from ...geo.grid import Grid
from ...geo.layers import open_mosaic
from ...geo.mosaic import Mosaic
from ...samples.brightness import far_from
from ...samples.crops import MOST_MISSING, Cutter, Geometry
from ...samples.inputs import digest
from ...training.checkpoint import Checkpoint, load
from ...training.device import Computing
from ...training.hparams import RowHparams
from ...training.normalised import Normalised
from .. import family_data, get_family, map_options
from ..ensemble import Ensemble, sampled_ahead
from ..likeness import light_of
from ..map_page import finish_map, record
from ..members import Trainings, checkpoint_paths, chosen_version, frozen_paths
from ..pictures import write_list
from .chipset import resized
from .class_scores import decided
from .predict import classifier, probabilities
from .readers import read_picture

if TYPE_CHECKING:
    from ...config import Config, MapRun
    from ..pictures import Picture
    from .hparams import ChipHparams
    from .options import ChipData, Cut, MapOptions

RATED, SCANNED = "rated.parquet", "scanned.npz"
BATCH = 512
SAME_PLACE, SAME_SIZE = 1.0, 0.75
"""Windows nearer than so many radii, and of sizes that differ by less than this share, see the same crater: the surest stays."""


class Classifier(Ensemble):
    """Says of which class chips are: probabilities are the members' mean, in 32 bits on the CPU, so that they don't depend on devices."""

    def __init__(self, checkpoints: Iterable[Checkpoint], paths: list[Path], computing: Computing | None = None):
        super().__init__(checkpoints, paths, Computing(torch.device("cpu"), "32-true"))
        self.row: ChipHparams = self.hparams

    def network_of(self, checkpoint: Checkpoint, row: RowHparams, path: Path) -> Normalised:
        return classifier(checkpoint, row)

    @torch.no_grad()
    def __call__(self, chips_NHW: np.ndarray) -> np.ndarray:
        """Probabilities (N, K) of chips (N, s, s) uint8 of the row's size."""
        parts = [np.zeros((0, self.row.class_count))]
        self.ground.add(chips_NHW[:, None])
        for start in range(0, len(chips_NHW), BATCH):
            chips = torch.from_numpy(chips_NHW[start : start + BATCH, None].astype(np.float32))
            parts.append(np.mean([probabilities(network(chips).double().numpy()) for network in self.networks], axis=0))
        return np.concatenate(parts)


@dataclass(frozen=True)
class Setting:
    """What a map of chips follows from, whichever of both it is."""

    config: Config
    family: str

    @property
    def run(self) -> MapRun:
        return self.config.map_run

    @property
    def options(self) -> MapOptions:
        return cast("MapOptions", map_options(self.config, self.family))

    @property
    def cut(self) -> Cut | None:
        """How chips were cut for training, where this configuration trains on such."""
        return cast("ChipData", family_data(self.config, self.family)).cut if self.family in self.config.run.train else None

    @property
    def half_side_radii(self) -> float:
        return self.options.half_side_radii or (self.cut.half_side_radii if self.cut else 1.5)

    def classes(self, count: int) -> list[str]:
        trained = self.family in self.config.run.train
        names = self.options.classes or (family_data(self.config, self.family).classes if trained else [str(one) for one in range(count)])
        if len(names) != count:
            raise InputError(f"map.options.classes names {len(names)} classes, the network has {count}", valid=f"{count} names")
        return list(names)

    @property
    def catalogue(self) -> Path | None:
        return self.config.path(self.run.catalogue) if self.run.catalogue else None

    @property
    def bands(self) -> list[int | str] | None:
        """The map's bands; else the one that chips were cut from for training."""
        return self.config.with_derived(self.run.bands) or ([self.cut.band] if self.cut else self.config.bands)

    def open(self) -> Mosaic:
        path = self.run.mosaic or (self.cut.mosaic if self.cut else None)
        return open_mosaic(self.config.path(path) if path else self.config.mosaic, self.bands)

    def cutter(self, mosaic: Mosaic, size_px: int) -> Cutter:
        return Cutter(mosaic, Geometry(size_px, self.half_side_radii), self.config.data.statistics)

    def row(self, trainings: Trainings) -> ChipHparams:
        run = self.run
        return cast("ChipHparams", trainings.row(self.family, trainings.versions(self.family, run.versions[self.family])[0], run.split))

    def threshold(self, row: ChipHparams) -> float:
        return self.options.threshold or row.decision_threshold


def map_name(config: Config, family: str) -> str:
    run = config.map_run
    sieved = f"_{Path(run.catalogue).stem}" if run.catalogue else ""
    return run.name or f"{family}-{run.versions[family]}_test-set-{run.split}{sieved}"


def map_warnings(config: Config, family: str) -> list[str]:
    setting, trainings = Setting(config, family), Trainings(config)
    version = trainings.versions(family, setting.run.versions[family])[0]
    path = next(iter(checkpoint_paths(config, family, version, setting.run.split).values()))
    with setting.open() as mosaic:
        return far_from(load(path, family, version).seen, mosaic, f"version {version}", grey=True, remembered=config.data.statistics)


def map_cells(config: Config, family: str, trainings: Trainings | None = None) -> list[dict[str, Any]]:
    """Parts of the list, or strips of the scans; their params hold all that the probabilities depend on."""
    setting, trainings = Setting(config, family), trainings or Trainings(config)
    options, row = setting.options, setting.row(trainings)
    with setting.open() as mosaic:
        grid, source = mosaic.grid, digest(mosaic.path)
    common = {
        "weights": {family: trainings.weights(family, setting.run.versions[family], setting.run.split)},
        "mosaic": source,
        # The first alone left no mark before others could be asked for elsewhere than in the map.
        "bands": band_marks(setting.bands if setting.run.bands or setting.bands != [1] else None),
        "half_side_radii": setting.half_side_radii,
    }
    if setting.catalogue:
        count, given = len(read_list(setting, grid)), {**common, "catalogue": digest(setting.catalogue), "told": options.told}
        starts = range(0, count, options.chunk)
        return [{"key": f"craters_{start}", "start": start, "stop": min(start + options.chunk, count), **given} for start in starts]
    cells = []
    for window_px in options.window_px or [row.chip_size_px]:
        scan = Scan(grid, window_px, options.step)
        rows = max(1, options.chunk // scan.grid.width)
        for start in range(0, scan.grid.height, rows):
            place = {"window_px": window_px, "step": options.step, "start": start, "stop": min(start + rows, scan.grid.height)}
            cells.append({"key": f"window_{window_px}_rows_{start:05d}", **place, **common})
    return cells


def read_list(setting: Setting, grid: Grid) -> pd.DataFrame:
    assert setting.catalogue is not None
    found = read_catalogue(setting.catalogue, grid.body, pixel_m=grid.resolution_m, **setting.options.told)
    return pd.DataFrame(found).drop(columns="geometry", errors="ignore")


@dataclass(frozen=True)
class Scan:
    """Windows of one side at every place of a coarser grid over the mosaic's, one pixel per window."""

    mosaic: Grid
    window_px: int
    step: float

    @property
    def step_px(self) -> int:
        return max(1, round(self.window_px * self.step))

    @property
    def grid(self) -> Grid:
        shape = -(-self.mosaic.height // self.step_px), -(-self.mosaic.width // self.step_px)
        return Grid(self.mosaic.plane, self.mosaic.affine @ Affine.scale(self.step_px), shape)

    def radius_m(self, half_side_radii: float) -> float:
        """Of the crater that a window is cut for."""
        return self.window_px * self.mosaic.resolution_m / 2 / half_side_radii

    def peaks(self, probability: np.ndarray, threshold: float, half_side_radii: float) -> tuple[np.ndarray, np.ndarray]:
        """Rows and columns of the windows that no other within a radius of their crater is surer than."""
        from scipy.ndimage import maximum_filter

        near = 2 * max(1, round(self.window_px / 2 / half_side_radii / self.step_px)) + 1
        values = np.nan_to_num(probability, nan=-1.0)
        edges = ("nearest", "wrap" if self.mosaic.period_px else "nearest")
        rows, cols = np.nonzero((values >= threshold) & (values == maximum_filter(values, near, mode=edges)))
        return rows, cols

    def strip(self, start: int, stop: int) -> Iterator[tuple[int, np.ndarray, np.ndarray, np.ndarray]]:
        """Of each row its number, longitudes and latitudes of its windows, and which of them every column shows: towards the poles of a
        cylindrical mosaic neighbours are nearly the same ground, and one stands for several."""
        for row in range(start, stop):
            lon, lat = self.grid.lonlat(np.full(self.grid.width, row), np.arange(self.grid.width))
            every = 1
            if self.mosaic.columns_per_turn is not None:
                every = int(np.clip(1 / max(np.cos(np.radians(lat[0])), 1e-6), 1, self.grid.width))
            yield row, lon[::every], lat[::every], np.arange(self.grid.width) // every


def map_part(config: Config, family: str, params: dict[str, Any], workspace: Workspace) -> dict[str, Any]:
    """``rated.parquet`` of a part of the list, or ``scanned.npz`` of a strip of a scan."""
    setting = Setting(config, family)
    weights, split = params["weights"][family], str(setting.run.split)
    version = chosen_version(config, family, weights)
    network = Classifier.load(frozen_paths(config, family, version, setting.run.split, weights[str(version)][split]), family, version)
    with setting.open() as mosaic:
        cutter = setting.cutter(mosaic, network.row.chip_size_px)
        if setting.catalogue:
            table = read_list(setting, mosaic.grid).iloc[params["start"] : params["stop"]]
            order = cutter.order(table)
            probability = np.empty((len(table), network.row.class_count))
            probability[order] = looked_at(network, cutter, table.iloc[order])
            columns = [f"p_{name}" for name in setting.classes(network.row.class_count)]
            write_table(workspace.folder / RATED, table.assign(**dict(zip(columns, probability.T, strict=True))))
            return {"craters": len(table), "version": version, "ground": {"the network": network.shown()}}
        scan = Scan(mosaic.grid, params["window_px"], params["step"])
        radius_m, strips = scan.radius_m(setting.half_side_radii), []
        for row, lon, lat, shown in scan.strip(params["start"], params["stop"]):
            workspace.keep_going()
            places = pd.DataFrame({"lon": lon, "lat": lat, "radius_m": radius_m})
            strips.append(looked_at(network, cutter, places)[shown])
            workspace.report(item=row + 1 - params["start"], items=params["stop"] - params["start"], doing="rows")
    np.savez_compressed(workspace.folder / SCANNED, probability=np.stack(strips, axis=1).transpose(2, 1, 0).astype(np.float32))
    return {"windows": len(strips) * scan.grid.width, "version": version, "ground": {"the network": network.shown()}}


def looked_at(network: Classifier, cutter: Cutter, places: pd.DataFrame) -> np.ndarray:
    """Probabilities (N, K) of the classes at places (``lon``, ``lat``, ``radius_m``), NaN where the mosaic lacks more than a few pixels."""
    found = np.full((len(places), network.row.class_count), np.nan)
    known = np.isfinite(places[["lon", "lat"]].to_numpy(float)).all(axis=1)
    held = np.flatnonzero(known)[cutter.inside(places[known])]
    done = 0
    for chips, missing in sampled_ahead(places.iloc[held], cutter.cut_and_missing, BATCH):
        part, whole = held[done : done + len(chips)], missing <= MOST_MISSING
        found[part[whole]] = network(chips[whole])
        done += len(chips)
    return found


def answers_table(probability: np.ndarray, classes: Sequence[str], threshold: float) -> pd.DataFrame:
    """``p_{class}`` and the class decided on; blank where nothing is known."""
    table = pd.DataFrame(probability, columns=[f"p_{name}" for name in classes])
    numbers = decided(torch.from_numpy(np.nan_to_num(probability)), threshold).numpy()
    table["predicted"] = np.asarray(classes, object)[numbers]
    table.loc[np.isnan(probability).any(axis=1), "predicted"] = None
    return table


def composite(config: Config, family: str, products: list[Path], workspace: Workspace) -> dict[str, Any]:
    """The parts joined below ``results/output_masks/<name>``; see docs/predict.md."""
    if not products:
        raise WorkError("no part of the map was made", next_step="see 'cratermill status' for why, then launch the map again")
    setting = Setting(config, family)
    folder = config.project.map_folder(map_name(config, family))
    folder.mkdir(parents=True, exist_ok=True)
    params = {path: (read_json(path / "cell.json") or {})["params"] for path in products}
    products = sorted(products, key=lambda path: (params[path].get("window_px", 0), params[path]["start"]))
    version = chosen_version(config, family, params[products[0]]["weights"][family])
    row = cast("ChipHparams", Trainings(config).row(family, version, setting.run.split))
    with setting.open() as mosaic:
        if setting.catalogue:
            found, facts = joined_list(setting, row, products, folder, mosaic.grid)
        else:
            found, facts = joined_scans(setting, row, [(path, params[path]) for path in products], folder, mosaic.grid)
        table = crater_table(found)
        write_craters(folder, table, mosaic.grid.body, counted_boundary(*extent(mosaic.grid)))
        warnings, likeness = get_family(family).page_warnings(config), light_of(products)
        noted = {
            "made_of": params[products[0]],
            "parts": len(products),
            "warnings": warnings,
            "threshold": setting.threshold(row),
            **likeness,
        }
        made = record(config, folder, workspace, noted)
        sections = page_sections(folder, table, facts | {"threshold": setting.threshold(row)}, mosaic, likeness, warnings)
        finish_map(config, folder, f"Craters {folder.name}", sections, made, mosaic)
    return {"name": folder.name, **facts, **likeness}


def joined_list(setting: Setting, row: ChipHparams, products: list[Path], folder: Path, grid: Grid) -> tuple[pd.DataFrame, dict[str, Any]]:
    """``rated.csv`` and ``rated.gpkg`` of all craters of the list; those that the network takes for some, the surest first."""
    classes, threshold = setting.classes(row.class_count), setting.threshold(row)
    table = pd.concat([pd.read_parquet(path / RATED) for path in products], ignore_index=True)
    answers = answers_table(table[[f"p_{name}" for name in classes]].to_numpy(float), classes, threshold)
    table = table.assign(predicted=answers["predicted"])
    write_table(folder / "rated.csv", table)
    write_catalogue(folder / "rated.gpkg", table, grid.body)
    confidence = table[f"p_{classes[-1]}"]
    kept = table[confidence >= threshold].assign(confidence=confidence)
    kept = kept[["FID", "lon", "lat", "radius_m", "confidence"]].rename(columns={"FID": "listed_as"})
    return kept, {"rated": len(table), "craters": len(kept), "off_the_mosaic": int(confidence.isna().sum())}


def joined_scans(
    setting: Setting, row: ChipHparams, parts: list[tuple[Path, dict[str, Any]]], folder: Path, grid: Grid
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """``probability_<side>px.tif`` of each scan, a pixel per window; and the places that the network takes for craters, each once."""
    classes, lists = setting.classes(row.class_count), []
    sides = sorted({params["window_px"] for _, params in parts})
    for side in sides:
        own = [(path, params) for path, params in parts if params["window_px"] == side]
        scan = Scan(grid, side, own[0][1]["step"])
        probability = np.full((len(classes), *scan.grid.shape), np.nan, np.float32)
        for path, params in own:
            with np.load(path / SCANNED, allow_pickle=False) as file:
                probability[:, params["start"] : params["stop"]] = file["probability"]
        shown = slice(1, None) if len(classes) == 2 else slice(None)
        path = folder / f"probability_{side}px.tif"
        write_cog(path, probability[shown], scan.grid, nodata=np.nan, names=classes[shown], tags={"window_px": side})
        rows, cols = scan.peaks(probability[-1], setting.threshold(row), setting.half_side_radii)
        lon, lat = scan.grid.lonlat(rows, cols)
        radius_m = scan.radius_m(setting.half_side_radii)
        lists.append(pd.DataFrame({"lon": lon, "lat": lat, "radius_m": radius_m, "confidence": probability[-1, rows, cols].astype(float)}))
    found = pd.concat(lists, ignore_index=True)
    found = found.iloc[without_doubles(found.to_numpy(float), grid.body, SAME_PLACE, SAME_SIZE)]
    return found.reset_index(drop=True), {"scans": len(sides), "craters": len(found)}


def page_sections(
    folder: Path, table: pd.DataFrame, facts: dict[str, Any], mosaic: Mosaic, likeness: dict[str, Any], warnings: list[str]
) -> list[str]:
    from ...report import html
    from ...report.crater_pictures import overlay
    from ...report.palette import FOUND

    sections = [html.facts({name.replace("_", " "): value for name, value in facts.items()})]
    sections += [html.traffic_light(**likeness), *(html.paragraph(text, "warning") for text in warnings)]
    sections.append(html.picture(overlay(folder / "overlay.png", mosaic, {"found": (table, FOUND)}), "what the network takes for craters"))
    return [*sections, html.section("Craters", html.table(table))]


def predict_pictures(config: Config, family: str, pictures: Sequence[Picture], workspace: Workspace) -> dict[str, Any]:
    """``labels.csv`` of ready-made chips, each scaled to the row's size: probabilities of the classes, and the class decided on."""
    setting = Setting(config, family)
    version = int(setting.run.versions[family])
    network = Classifier.load(list(checkpoint_paths(config, family, version, setting.run.split).values()), family, version)
    classes, threshold, parts = setting.classes(network.row.class_count), setting.threshold(network.row), []
    for start in range(0, len(pictures), BATCH):
        workspace.keep_going()
        part = pictures[start : start + BATCH]
        chips = np.stack([resized(read_picture(one.content(), one.name), network.row.chip_size_px) for one in part])
        table = answers_table(network(chips), classes, threshold)
        parts += [(one, table.iloc[[number]].assign(**one.middle())) for number, one in enumerate(part)]
        workspace.report(item=start + len(part), items=len(pictures), doing="chips")
    found = write_list(workspace.folder, "labels", parts)
    return {"images": len(pictures), **{f"labelled_{name}": int((found["predicted"] == name).sum()) for name in classes}}
