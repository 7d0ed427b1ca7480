"""Tiles laid out, drawn in as a person would through GDAL, and taken in; and what is refused."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import pytest
import rasterio
import shapely
from pyproj import CRS
from rasterio.windows import Window as RasterioWindow
from typer.testing import CliRunner

from cratermill.cli import app
from cratermill.core.errors import InputError
from cratermill.core.paths import DataFolder
from cratermill.labelling.drawing_folder import DrawingFolder
from cratermill.labelling.verbs import Amount, Sources, correct, from_polygons, next_tiles, start, take_in
from tests.tiny import BODY, CRATERS, REACH_M, tiny_data, write_raster


@pytest.fixture(scope="module")
def truth(tmp_path_factory) -> dict[int, np.ndarray]:
    folder = tiny_data(tmp_path_factory.mktemp("truth"))
    return {fid: rasterio.open(folder / "cyl_data" / f"mask_crater_{fid}.tif").read(1) for fid in CRATERS}


@pytest.fixture
def data(tmp_path: Path) -> DataFolder:
    """A mosaic and craters that nobody has drawn yet."""
    data = DataFolder(tiny_data(tmp_path / "a planet's data"))
    for path in (*(data.root / "cyl_data").iterdir(), data.human_mask, data.human_positions):
        path.unlink()
    rims = gpd.read_file(data.craters)
    rims.assign(train=0).to_file(data.craters)
    return data


def sources(data: DataFolder) -> Sources:
    return Sources(data, data.mosaic, data.craters)


def draw(folder: DrawingFolder, fid: int, truth: np.ndarray, rows: slice = slice(None), complete: bool = True) -> pd.DataFrame:
    """What a person does: paint the ejecta of some tiles, and say that they are complete."""
    table = pd.read_csv(folder.tiles(fid))
    with rasterio.open(folder.mask(fid), "r+") as file:
        for tile in table.iloc[rows].itertuples():
            inside = truth[tile.y : tile.y + tile.height, tile.x : tile.x + tile.width]
            file.write(inside, 1, window=RasterioWindow(tile.x, tile.y, tile.width, tile.height))
    if complete:
        table.loc[table.index[rows], "priority"] = 0
        table.to_csv(folder.tiles(fid), index=False)
    return table.iloc[rows]


def test_a_blank_folder_has_all_that_qgis_and_its_plugin_need(data):
    folder, new = start(sources(data), craters=[1, 4], tile_px=(10, 20), amount=Amount(tiles=8))
    assert len(new) == 16 and folder.fids() == [1, 4]
    with rasterio.open(folder.mask(4)) as mask, rasterio.open(data.mosaic) as mosaic:
        assert (mask.shape, mask.transform, mask.dtypes) == (mosaic.shape, mosaic.transform, ("uint8",))
        assert mask.crs == mosaic.crs and mask.compression.value == "DEFLATE" and mask.profile["tiled"] and not mask.read(1).any()
    table = pd.read_csv(folder.tiles(4))
    assert list(table)[:2] == ["filename", "priority"] and (table["priority"] == 1).all()
    assert all(Path(name).is_absolute() and Path(name).exists() for name in table["filename"])
    assert all(kind == "int64" for kind in table[["x", "y", "width", "height"]].dtypes)
    distance = BODY.distance_m(table["x"] + 10 - 180, 90 - table["y"] - 5, *CRATERS[4]) / 90e3
    assert len(set(np.searchsorted([2, 4, 8, 16], distance))) >= 3  # near and far
    again, more = start(sources(data), craters=[1, 4], tile_px=(10, 20), amount=Amount(tiles=9))
    assert len(more) == 2 and len(pd.read_csv(folder.tiles(4))) == 9


def test_every_layer_of_the_project_opens_with_the_crs_that_the_project_says(data):
    """What QGIS does with the project's file, by XML, GDAL and PROJ alone; QGIS itself is asked below where it is installed."""
    folder, _ = start(sources(data), craters=[1, 4], tile_px=(10, 20), amount=Amount(tiles=3))
    with zipfile.ZipFile(folder.project) as package:
        assert package.namelist() == ["drawing.qgs"]
        text = package.read("drawing.qgs")
    assert text.startswith(b"<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n")
    project = ElementTree.fromstring(text.split(b"\n", 1)[1])
    assert project.tag == "qgis" and project.find("properties/Paths/Absolute").text == "false"
    assert project.find("properties/SpatialRefSys/ProjectionsEnabled").text == "1"
    whole = CRS.from_wkt(project.findtext("projectCrs/spatialrefsys/wkt"))
    in_tree = {one.get("id"): one for one in project.iter("layer-tree-layer")}
    layers = {one.findtext("id"): one for one in project.iter("maplayer")}
    assert list(in_tree) == list(layers) and all(len(name) > 10 for name in layers)  # QGIS takes no shorter ones
    assert [one.findtext("layername") for one in layers.values()] == ["rims", "tiles", "mask_crater_1", "mask_crater_4", "mosaic"]
    for name, layer in layers.items():
        source, provider = layer.findtext("datasource"), layer.findtext("provider")
        assert (in_tree[name].get("source"), in_tree[name].get("providerKey")) == (source, provider) and not Path(source).is_absolute()
        said, (path, _, table) = CRS.from_wkt(layer.findtext("srs/spatialrefsys/wkt")), source.partition("|layername=")
        assert said.ellipsoid.semi_major_metre == BODY.semi_major_m
        if provider == "ogr":
            info = pyogrio.read_info(folder.root / path, layer=table or None)
            assert CRS.from_user_input(info["crs"]) == said and info["geometry_type"].endswith(layer.get("geometry")) and info["features"]
            assert layer.get("type") == "vector" and layer.findtext("renderer-v2/symbols/symbol/layer/prop") is not None
            continue
        with rasterio.open(folder.root / path) as raster:
            assert CRS.from_user_input(raster.crs) == said == whole and layer.get("type") == "raster"
        shades = {one.get("value"): one.get("alpha") for one in layer.iter("paletteEntry")}
        assert shades == ({} if layer.findtext("layername") == "mosaic" else {"0": "0", "1": "255"})


OPEN = """
import json, sys
from qgis.core import QgsApplication, QgsProject
application = QgsApplication([], False)
application.initQgis()
project = QgsProject.instance()
read = project.read(sys.argv[1])
layers = {one.name(): [one.isValid(), one.crs().toProj()] for one in project.layerTreeRoot().layerOrder()}
print(json.dumps({"read": read, "crs": project.crs().toProj(), "layers": layers}))
"""


def test_qgis_opens_the_project(data):
    """With QGIS's own Python, where it is installed (Debian: python3-qgis); CRATERMILL_QGIS_PYTHON names another interpreter."""
    python = os.environ.get("CRATERMILL_QGIS_PYTHON", "/usr/bin/python3")
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen"}
    if not shutil.which(python) or subprocess.run([python, "-c", "import qgis.core"], capture_output=True, env=environment).returncode:
        pytest.skip("QGIS isn't installed here")
    folder, _ = start(sources(data), craters=[1, 4], tile_px=(10, 20), amount=Amount(tiles=3))
    answer = subprocess.run([python, "-c", OPEN, str(folder.project)], capture_output=True, text=True, env=environment, timeout=600)
    found = json.loads(answer.stdout.splitlines()[-1])
    assert found["read"] and list(found["layers"]) == ["rims", "tiles", "mask_crater_1", "mask_crater_4", "mosaic"]
    assert all(valid and f"R={BODY.semi_major_m:.0f}" in crs for valid, crs in found["layers"].values())
    assert found["crs"] == found["layers"]["mosaic"][1] and "newer version" not in answer.stderr + answer.stdout


def test_drawn_tiles_become_data(data, truth):
    folder, _ = start(sources(data), craters=[1, 4], tile_px=(10, 20), amount=Amount(tiles=8))
    tiles = draw(folder, 4, truth[4])
    draw(folder, 1, truth[1], rows=slice(0, 3), complete=False)
    found, written = take_in(sources(data), by="Ada")
    half = [tile for tile in found.half if tile.fid == 1]
    assert len(found.drawn) == 8 and len(half) == sum(truth[1][t.window.slices].any() for t in [*found.half, *found.untouched] if t in half)
    assert any("half-drawn" in note for note in found.notes)
    mask, expected = rasterio.open(data.mask(4)).read(1), np.zeros_like(truth[4])
    for tile in tiles.itertuples():
        place = slice(tile.y, tile.y + tile.height), slice(tile.x, tile.x + tile.width)
        expected[place] = truth[4][place]
    assert np.array_equal(mask, expected) and mask.any() and not data.mask(1).exists()
    assert len(pd.read_csv(data.positions(4))) == len(pd.read_csv(data.human_positions)) == 8
    assert gpd.read_file(data.craters).set_index("crat_FID")["train"].to_dict() == {1: 0, 2: 0, 3: 0, 4: 1, 5: 0}
    log = pd.read_csv(data.drawing_log)
    assert set(log["by"]) == {"Ada"} and set(log["source"]) == {"blank"} and log["ejecta_px"].sum() == expected.sum()
    assert data.drawing_log in written
    # Half-drawn tiles count once somebody says so; drawing on adds to what is there, and tiles of both craters share their numbers.
    found, _ = take_in(sources(data), by="Bob", touched=True)
    assert len(found.drawn) == 8 + len(half)
    numbers = pd.read_csv(data.human_positions)
    assert numbers["pos_index"].is_unique and not numbers.duplicated(["x", "y"]).any()


def test_what_is_drawn_again_replaces_what_was_there(data, truth):
    folder, _ = start(sources(data), craters=[3], tile_px=(10, 20), amount=Amount(tiles=6))
    draw(folder, 3, truth[3])
    take_in(sources(data))
    write_raster(data.human_mask, (rasterio.open(data.mask(3)).read()))
    draw(folder, 3, np.zeros_like(truth[3]))
    take_in(sources(data))
    assert not rasterio.open(data.mask(3)).read(1).any() and not rasterio.open(data.human_mask).read(1).any()


def test_a_map_is_corrected_and_remembered(data, truth, tmp_path):
    shifted = np.roll(truth[2], 6, axis=1)
    write_raster(tmp_path / "a map" / "cylindrical_mask_crater_2.tif", shifted[None])
    folder, new = correct(sources(data), tmp_path / "a map", amount=Amount(tiles=10))
    begun = rasterio.open(folder.mask(2)).read(1)
    assert {tile.fid for tile in new} == {2} and all(np.array_equal(begun[t.window.slices], shifted[t.window.slices]) for t in new)
    found, _ = take_in(sources(data), dry_run=True)
    assert not found.drawn and not found.half and len(found.untouched) == len(new)
    # The same map again: the same tiles, before they are drawn and after; more only where more are asked for.
    assert correct(sources(data), tmp_path / "a map", amount=Amount(tiles=10)) == (folder, [])
    draw(folder, 2, truth[2])
    take_in(sources(data), by="Ada")
    assert correct(sources(data), tmp_path / "a map", amount=Amount(tiles=10)) == (folder, [])
    assert len(correct(sources(data), tmp_path / "a map", amount=Amount(tiles=12))[1]) == 2
    assert all(np.array_equal(rasterio.open(data.mask(2)).read(1)[t.window.slices], truth[2][t.window.slices]) for t in new)
    assert pd.read_csv(data.drawing_log)["source"].str.match(r"map a map [0-9a-f]{16}").all()


def spoil_grid(folder: DrawingFolder) -> None:
    with rasterio.open(folder.mask(1)) as file:
        profile, pixels = file.profile, file.read()
    profile["transform"] = profile["transform"] @ rasterio.Affine.translation(0.4, 0)
    with rasterio.open(folder.mask(1), "w", **profile) as file:
        file.write(pixels)


def spoil_values(folder: DrawingFolder) -> None:
    tile = pd.read_csv(folder.tiles(1)).iloc[0]
    with rasterio.open(folder.mask(1), "r+") as file:
        file.write(np.full((1, 1), 7, np.uint8), 1, window=RasterioWindow(int(tile.x) + 2, int(tile.y), 1, 1))


def edit(change):
    return lambda folder: change(pd.read_csv(folder.tiles(1))).to_csv(folder.tiles(1), index=False)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (spoil_grid, "gdalwarp"),
        (spoil_values, "holds 7 at x"),
        (lambda folder: folder.mask(1).unlink(), "is missing"),
        (edit(lambda table: table.drop(columns="width")), "lacks the columns"),
        (edit(lambda table: table.assign(x=table["x"] + 0.5)), "row 1: x is"),
        (edit(lambda table: table.assign(y=175)), "row 1: a tile of 20 × 10"),
        (edit(lambda table: pd.concat([table, table.iloc[:1]])), "listed twice"),
        (lambda folder: folder.record.unlink(), "no folder to draw in"),
        (lambda folder: folder.tiles(1).rename(folder.tiles(77)), "crater 77"),
    ],
)
def test_bad_drawings_are_named(data, spoil, said):
    folder, _ = start(sources(data), craters=[1], tile_px=(10, 20), amount=Amount(tiles=3))
    spoil(folder)
    with pytest.raises(InputError, match=said):
        take_in(sources(data), touched=True)
    assert not data.mask(1).exists()


def test_tiles_that_nobody_laid_out_are_said(data):
    folder, new = start(sources(data), craters=[1], tile_px=(10, 20), amount=Amount(tiles=3))
    frames = gpd.read_file(folder.frames)
    frames.assign(done=1).to_file(folder.frames, layer="tiles")
    edit(lambda table: table.assign(width=[30, 20, 20]))(folder)
    found, _ = take_in(sources(data), dry_run=True)
    assert len(found.drawn) == 2 and [tile.width for tile in found.untouched] == [30]
    first = pd.read_csv(folder.tiles(1)).iloc[0]
    wide, gone = found.notes
    assert f"a tile of 30 × 10 pixels at x {first.x}, y {first.y}, where one of 20 × 10 was laid out" in wide
    assert "tiles.gpkg has the tile of 20 × 10" in gone and "the list lacks it" in gone


@pytest.mark.parametrize("kind", ["degrees", "metres beyond the edge", "azimuthal"])
def test_polygons_across_the_seam_become_tiles(data, truth, tmp_path, kind):
    lon, lat, step = CRATERS[4][0], 0.0, np.degrees(REACH_M / BODY.semi_major_m)
    crs, scale = BODY.geographic_crs(), 1.0
    circle = shapely.Point(0, 0).buffer(REACH_M, quad_segs=90)
    plane = gpd.GeoSeries([circle], crs=BODY.azimuthal_crs(lon, lat))
    if kind != "azimuthal":
        degrees = shapely.transform(plane.to_crs(crs).iloc[0], lambda xy: np.column_stack([xy[:, 0] % 360, xy[:, 1]]))
        if kind != "degrees":
            crs, scale = BODY.cylindrical_crs(), np.radians(1) * BODY.semi_major_m
        plane = gpd.GeoSeries([shapely.transform(degrees, lambda xy: xy * scale)], crs=crs)
    gpd.GeoDataFrame({"crat_FID": [4]}, geometry=plane.values, crs=plane.crs).to_file(tmp_path / "mine.gpkg")
    looked = gpd.GeoDataFrame(geometry=[shapely.box(lon - 1.6 * step, lat - 40, 180, lat + 40)], crs=BODY.geographic_crs())
    looked.to_file(tmp_path / "looked.gpkg")
    folder, new = from_polygons(sources(data), tmp_path / "mine.gpkg", tmp_path / "looked.gpkg", tile_px=(10, 20))
    found, _ = take_in(sources(data))
    assert len(found.drawn) == len(new)
    mask = rasterio.open(data.mask(4)).read(1)
    assert abs(int(mask.sum()) - int(truth[4].sum())) < 0.01 * truth[4].sum() and (mask != truth[4]).mean() < 1e-3
    assert {0, 340} <= {tile.x for tile in new} and 0 < sum(not one.pixels.any() for one in found.drawn) < len(new)


def test_polygons_that_cannot_be_used_are_named(data, tmp_path):
    shape = gpd.GeoSeries([shapely.box(0, 0, 5, 5)], crs=BODY.geographic_crs())
    for name, column, said in (
        ("a", {"crat_FID": [9]}, r"craters \[9\]"),
        ("c", {"crat_FID": ["one"]}, "row 1: crat_FID is one"),
        ("b", {"name": [1]}, "no column crat_FID"),
    ):
        gpd.GeoDataFrame(column, geometry=shape).to_file(tmp_path / f"{name}.gpkg")
        with pytest.raises(InputError, match=said):
            from_polygons(sources(data), tmp_path / f"{name}.gpkg")
    gpd.GeoDataFrame({"crat_FID": [1]}, geometry=[shapely.box(0, 0, 5, 5)], crs="IAU_2015:30100").to_file(tmp_path / "moon.gpkg")
    with pytest.raises(InputError, match="1737400"):
        from_polygons(sources(data), tmp_path / "moon.gpkg")


def test_disputed_ground_is_suggested_first(data, tmp_path):
    shares = np.zeros((2, 180, 360), np.float32)
    shares[:, 64:80, 224:256] = 0.5
    write_raster(tmp_path / "a map" / "vote_share_crater_3.tif", shares)
    folder, table = next_tiles(sources(data), tmp_path / "a map", 6)
    assert table.iloc[0][["crat_FID", "x", "y", "disagreement"]].tolist() == [3, 224, 64, 1.0]
    assert len(pd.read_csv(folder.suggestions)) == len(table) == 6 == len(folder.starts())
    _, more = next_tiles(sources(data), tmp_path / "a map", 6)
    places = [set(map(tuple, one[["crat_FID", "x", "y"]].to_numpy())) for one in (table, more)]
    assert len(places[1]) == 6 and not places[0] & places[1]
    (tmp_path / "no votes").mkdir()
    with pytest.raises(InputError, match="holds no vote shares of these 5 craters"):
        next_tiles(sources(data), tmp_path / "no votes", 6)


def test_the_verbs(data, truth, tmp_path):
    config = tmp_path / "configs" / "mine.yaml"
    config.parent.mkdir()
    config.write_text(f"name: mine\ndata: {data.root.relative_to(tmp_path)}\n")
    run = CliRunner()
    answer = run.invoke(app, ["label", "start", str(config), "--craters", "4", "--tiles", "4", "--tile-px", "10", "20"])
    assert answer.exit_code == 0 and "4 new tiles of 1 craters" in answer.stdout
    again = run.invoke(app, ["label", "start", str(config), "--craters", "4", "--tiles", "4", "--tile-px", "10", "20"])
    assert again.exit_code == 0 and "0 new tiles" in again.stdout and "beside 4 from before" in again.stdout and "--tiles" in again.stdout
    draw(DrawingFolder(data.drawing), 4, truth[4])
    answer = run.invoke(app, ["label", "import", str(config), "--by", "Ada"])
    assert answer.exit_code == 0 and "4 tiles complete" in answer.stdout and data.mask(4).exists()


def test_a_map_that_was_corrected_and_trained_again_scores_higher_on_truth(tmp_path, monkeypatch):
    """The benchmark's round with fewer craters: command by command, but cells run here instead of in workers of their own."""
    from benchmarks.drawing_loop import loop

    from cratermill.batch.cell import run_cell
    from cratermill.batch.plan import freeze
    from cratermill.pipeline import run_cell as science
    from cratermill.pipeline.launch import plan_mapping, plan_training, prepare
    from cratermill.pipeline.load_config import load_config

    def run(*words):
        if words[0] == "launch":
            changes = [words[words.index("--set") + 1]]
            prepare(words[2], changes=changes)
            for plan in (plan(load_config(words[2], changes)) for plan in (plan_training, plan_mapping)):
                freeze(plan)
                for cell in plan.cells:
                    result = run_cell(plan, cell.index, science)
                    assert result.state == "done", f"{cell.key}: {result.cause}"
            return ""
        answer = CliRunner().invoke(app, [str(word) for word in words])
        assert answer.exit_code == 0, answer.output
        return answer.stdout

    monkeypatch.chdir(tmp_path)
    first, second = loop(tmp_path, run, fids=(2, 4))
    assert second > first + 0.1 and second > 0.6
