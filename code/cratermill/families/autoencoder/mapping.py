"""Maps: latents of every crater of a list, chunk by chunk, then clusters and pictures on the mosaic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ...config import BEST, band_marks
from ...core.errors import InputError, WorkError
from ...core.files import fingerprint, read_json, write_json, write_table
from ...core.work import Workspace
from ...geo import layers
from ...geo.mosaic import Mosaic
from ...report import html
from ...samples.brightness import Ground, far_from
from ...samples.crops import Cutter
from ...samples.inputs import digest, mark
from ...samples.store import joined
from ...training.checkpoint import load
from .. import family_data, map_options
from ..likeness import light_of
from ..map_page import finish_map, record
from ..members import Marks, Trainings, best_iteration, evaluated_row, find_checkpoints
from ..pictures import write_list
from .cluster_scores import judge
from .encode import BATCH, encode, trained_network
from .evaluate import LATENTS, clustering_of
from .grouping import Recipe, group, nuisance_columns, require_enough
from .hparams import Hparams
from .prepare import NAME, cut_in_chunks, finish, geometry_of
from .products import write_products
from .sources import catalogue_craters, read_crop

if TYPE_CHECKING:
    from ...config import Config, MapRun
    from ..pictures import Picture
    from .options import MapOptions

ROWS = "rows.parquet"
_LISTED: dict[str, pd.DataFrame] = {}
"""The list that this process read last, by what it follows from."""
CAPTIONS = {
    "clustering_dots": "The latent plane: a dot for each crater, in the colour of its cluster.",
    "clustering_imgs": "The same plane with the craters themselves, one where several would cover each other.",
    "clustering_montage": "Craters of each cluster: left those nearest to its middle, right any.",
    "clustering_histograms": "Diameters and latitudes of each cluster's craters.",
    "mosaic_dots": "The clusters where their craters are.",
    "mosaic_imgs": "Craters on the mosaic, framed in the colour of their cluster.",
    "loss_curve": "Mean squared errors by epoch, all cells; dashed: training.",
    "reconstructions": "Test crops, and what the autoencoder makes of them.",
    "window_dots": "The clusters within the window.",
    "window_imgs": "Craters of the window, framed in the colour of their cluster.",
}


def options_of(config: Config) -> MapOptions:
    return map_options(config, NAME)


def map_run(config: Config) -> MapRun:
    run = config.map
    if run is None or NAME not in run.versions:
        raise InputError("the config makes no map of latents", valid=f"map: {{versions: {{{NAME}: 1}}}}", next_step="add a 'map' part")
    if run.versions[NAME] == BEST:
        raise InputError(
            f"map.versions: {NAME}: {BEST} can't be chosen: versions cut other crops",
            valid="a version's number",
            next_step="give the number of the version in the config",
        )
    return run


def version_of(config: Config) -> int:
    return int(map_run(config).versions[NAME])


def checkpoint_path(config: Config) -> Path:
    """The network of the map: the best of the split by validation, or the iteration that the options name."""
    split, version, iteration = map_run(config).split, version_of(config), options_of(config).iteration
    if iteration is None:
        iteration = best_iteration(config, NAME, version, split)
    there = find_checkpoints(config, NAME, version, split)
    if iteration is None and len(there) == 1:
        return next(iter(there.values()))
    if iteration is not None and (found := there.get(iteration)):
        return found
    suffix = "" if iteration is None else f"_iteration-{iteration}"
    path = config.project.version_results(NAME, version) / f"best-checkpoint_test-set-{split}{suffix}.ckpt"
    if not path.exists():
        raise InputError(
            f"there is no network {path}"
            if not there
            else f"nothing tells which of the iterations {', '.join(map(str, there))} is the best",
            next_step="train that version and split first, or correct map.versions, map.split and map.options.iteration"
            if not there
            else "name it in map.options.iteration; to predict, give the --checkpoint of one iteration alone",
        )
    return path


def marks_of(config: Config, trainings: Trainings) -> Marks:
    """What the map's network follows from: the trainings among which the best is chosen, or the one that is named."""
    marks, iteration = trainings.marks(NAME, version_of(config), map_run(config).split), options_of(config).iteration
    if iteration is None:
        return marks
    if str(iteration) not in marks:
        raise InputError(f"map.options.iteration is {iteration}", valid=f"iterations {', '.join(marks)}", next_step="correct it")
    return {str(iteration): marks[str(iteration)]}


def catalogue_path(config: Config) -> Path:
    given = config.map_run.catalogue or (family_data(config, NAME).catalogue if NAME in config.run.train else None)
    if given is None:
        raise InputError(
            "the map has no crater list",
            valid="map.catalogue, or train.autoencoder.data.catalogue",
            next_step="name the list in the config",
        )
    return config.data.require(config.path(given), "the crater list")


def open_mosaic(config: Config) -> Mosaic:
    run = config.map_run
    path = config.path(run.mosaic) if run.mosaic else config.mosaic
    return layers.open_mosaic(config.data.require(path, "the mosaic"), bands_of(config))


def bands_of(config: Config) -> list[int | str] | None:
    """The map's bands; else those that the network was trained on."""
    trained = family_data(config, NAME).bands if NAME in config.run.train else None
    return config.with_derived(config.map_run.bands or trained) or config.bands


def map_name(config: Config, trainings: Trainings | None = None) -> str:
    run = map_run(config)
    return run.name or f"autoencoder-version-{run.versions[NAME]}_test-set-{run.split}_{catalogue_path(config).stem}"


def map_cells(config: Config, trainings: Trainings | None = None) -> list[dict[str, Any]]:
    """One cell per chunk of the list; its params hold all that the latents depend on, contents of files as digests."""
    trainings, options = trainings or Trainings(config), options_of(config)
    row = planned_row(config, trainings)
    with open_mosaic(config) as mosaic:
        count = len(_craters(config, Cutter(mosaic, geometry_of(row), config.data.statistics))[0])
        path = mosaic.path
    common = {
        "weights": {NAME: {str(version_of(config)): {str(map_run(config).split): marks_of(config, trainings)}}},
        "catalogue": digest(catalogue_path(config)),
        "mosaic": digest(path),
        "bands": band_marks(bands_of(config)),
        "selection": options.model_dump(mode="json", include={*_SELECTION, "where", "columns"}),
        "seed": config.run.seed,
        "latent": [row.latent, row.latent_transform],
        "craters": count,
    }
    starts = range(0, count, options.chunk)
    return [{"key": f"craters_{start}", "start": start, "stop": min(start + options.chunk, count), **common} for start in starts]


def map_warnings(config: Config) -> list[str]:
    seen = load(checkpoint_path(config), NAME, version_of(config)).seen
    with open_mosaic(config) as mosaic:
        return far_from(seen, mosaic, "the network", grey=True, remembered=config.data.statistics)


_SELECTION = ("max_abs_lat", "min_diameter_km", "max_diameter_km", "max_upsampling", "count", "units")


def planned_row(config: Config, trainings: Trainings) -> Hparams:
    """The row of the map, whose networks may have to be trained yet."""
    version, split = version_of(config), map_run(config).split
    planned = trainings.evaluated_row(NAME, version, split)
    return planned if isinstance(planned, Hparams) else _row(config)


def _row(config: Config) -> Hparams:
    """The row as it was last evaluated, which may group otherwise than when it was trained; else the checkpoint's own."""
    version, split = version_of(config), map_run(config).split
    evaluated = evaluated_row(config, NAME, version, split)
    if isinstance(evaluated, Hparams):
        return evaluated
    kept = read_json(config.project.version_results(NAME, version) / "autoencoder.json", {})
    return Hparams.from_plan(kept.get("hparams") or load(checkpoint_path(config), NAME, version).hparams)


def _craters(config: Config, cutter: Cutter) -> tuple[pd.DataFrame, list[str]]:
    options = options_of(config)
    return catalogue_craters(catalogue_path(config), cutter, options, options, config.run.seed)


def _kept_craters(config: Config, cutter: Cutter) -> pd.DataFrame:
    """The craters of the map, read once for all cells of this process: reading a long list takes longer than cutting a part of it."""
    files, options = [mark(catalogue_path(config)), mark(cutter.mosaic.path)], options_of(config).model_dump(mode="json")
    made_of = fingerprint([files, bands_of(config), asdict(cutter.geometry), options, config.run.seed])
    if made_of not in _LISTED:
        _LISTED.clear()
        _LISTED[made_of] = _craters(config, cutter)[0]
    return _LISTED[made_of]


def make_chunk(config: Config, params: dict[str, Any], workspace: Workspace) -> dict:
    """Crops and latents of one chunk: ``latents.npy`` and ``rows.parquet``."""
    row = _row(config)
    network, _ = trained_network(checkpoint_path(config), version_of(config), row, config.run.trainer.accelerator)
    folder, latents, tables, ground = Path(workspace.folder), [], [], Ground()
    with open_mosaic(config) as mosaic:
        cutter = Cutter(mosaic, geometry_of(row), config.data.statistics)
        craters = _kept_craters(config, cutter).iloc[params["start"] : params["stop"]]
        done = 0
        for piece, crops in cut_in_chunks(cutter, craters, row):
            workspace.keep_going()
            ground.add(crops[:, None])
            latents.append(encode(network, crops))
            tables.append(piece)
            done += len(piece)
            workspace.report(item=done, items=len(craters), doing="craters")
    np.save(folder / LATENTS, np.concatenate(latents))
    write_table(folder / ROWS, joined(tables))
    shown = {"here": ground.plain(), "trained": load(checkpoint_path(config), NAME).seen}
    return {"craters": done, "left_out": len(craters) - done, "ground": {"the network": shown}}


def predict_pictures(config: Config, pictures: Sequence[Picture], workspace: Workspace) -> dict[str, Any]:
    """``latents.npy`` (N, D) and ``latents.csv`` of ready-made crops, each scaled to the row's size."""
    row = _row(config)
    network, _ = trained_network(checkpoint_path(config), version_of(config), row, config.run.trainer.accelerator)
    latents, tables = [], []
    for start in range(0, len(pictures), BATCH):
        workspace.keep_going()
        part = pictures[start : start + BATCH]
        crops = np.stack([read_crop(picture.content(), picture.name, row.crop_px) for picture in part])
        finish(crops, row)
        latents.append(encode(network, crops))
        columns = [f"z{number}" for number in range(network.latent_dim)]
        tables += [pd.DataFrame([z], columns=columns).assign(**one.middle()) for z, one in zip(latents[-1], part, strict=True)]
        workspace.report(item=start + len(part), items=len(pictures), doing="crops")
    np.save(workspace.folder / LATENTS, np.concatenate(latents))
    write_list(workspace.folder, "latents", list(zip(pictures, tables, strict=True)))
    return {"images": len(pictures), "latent": network.latent_dim}


def join(config: Config, products: list[Path], workspace: Workspace) -> dict:
    """Clusters of all mapped craters below ``results/output_masks/<name>``: tables, figures, pictures."""
    if not products:
        raise WorkError("no part of the map was made", next_step="look at the errors of the map jobs, then launch again")
    products = sorted(products, key=lambda path: read_json(path / "cell.json")["params"]["start"])
    rows = joined([pd.read_parquet(path / ROWS) for path in products])
    if not len(rows):
        raise InputError("no crop of the map lies where the mosaic has data", next_step="check the crater list and the mosaic")
    latents = np.concatenate([np.load(path / LATENTS) for path in products])
    row, folder, options = _row(config), config.project.map_folder(map_name(config)), options_of(config)
    folder.mkdir(parents=True, exist_ok=True)
    recipe, nuisances, seed = Recipe.of(row), nuisance_columns(rows, row.cluster_regress_out), config.run.seed
    if options.clusters == "trained":
        clustering = clustering_of(_evaluated(config))
        labels, figures = clustering.assign(latents, nuisances), {"clusters": clustering.count}
        features = clustering.features_of(latents, nuisances)
    else:
        require_enough(len(rows), recipe)
        clustering = group(latents, recipe, nuisances, seed)
        labels, features = clustering.labels, clustering.features
        figures = judge(latents, clustering, recipe, nuisances, rows, seed)
    np.save(folder / LATENTS, latents)
    rows = rows.assign(cluster=labels)
    with open_mosaic(config) as mosaic:
        cutter = Cutter(mosaic, geometry_of(row), config.data.statistics)
        made = write_products(
            folder, rows, features, _Cut(cutter, rows, row), row, mosaic, options.window, options.thumbnails, options.display
        )
        light = light_of(products)
        counts = {"craters": len(rows), "left_out": _listed(products) - len(rows), "name": folder.name, **light}
        write_json(folder / "clusters.json", {**counts, **figures})
        first = read_json(products[0] / "cell.json")["params"]
        noted = record(config, folder, workspace, {"made_of": first, **light})
        sections = [html.facts({"Craters": len(rows), "Clusters": clustering.count}), html.traffic_light(**light)]
        sections += [html.picture(path, CAPTIONS[path.stem]) for path in sorted(made) if path.suffix == ".png"]
        sections.append(html.section("Sizes of the clusters", html.table(rows.groupby("cluster").size().rename("craters").reset_index())))
        files = {path.name: "made of the latents" for path in made if path.suffix != ".png"}
        finish_map(config, folder, f"Clusters {folder.name}", sections, noted, mosaic, files)
    return {**counts, "clusters": clustering.count, "results": [config.project.relative(path) for path in made]}


def _listed(products: list[Path]) -> int:
    params = [read_json(path / "cell.json")["params"] for path in products]
    return sum(one["stop"] - one["start"] for one in params)


def _evaluated(config: Config) -> Path:
    checkpoint = load(checkpoint_path(config), NAME)
    path = config.project.cell_product(NAME, checkpoint.version, "evaluate", checkpoint.split, checkpoint.iteration)
    if not (path / "clusters.npz").exists():
        raise InputError(
            f"there are no clusters of the training craters in {path}", next_step="launch the training first, or set clusters to fit"
        )
    return path


class _Cut:
    """Crops of a table, cut only when asked for: the few that pictures show."""

    def __init__(self, cutter: Cutter, rows: pd.DataFrame, row: Hparams):
        self.cutter, self.rows, self.row = cutter, rows, row

    def __getitem__(self, index: int) -> np.ndarray:
        crop = self.cutter.cut(self.rows.iloc[[int(index)]])
        finish(crop, self.row)
        return crop[0]
