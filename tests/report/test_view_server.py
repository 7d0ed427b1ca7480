"""The map viewer's server: pixels where they belong on every grid and in every view, for reading only, behind its token."""

import io

import numpy as np
import pandas as pd
import pyproj
import pytest
from PIL import Image
from starlette.testclient import TestClient

from cratermill.core.errors import InputError
from cratermill.core.files import write_json, write_table
from cratermill.geo.cog import write_cog
from cratermill.pipeline.view import map_view
from cratermill.report.view_server import app_of
from cratermill.report.viewer import View
from tests.mosaics import MERCURY, global_grid, write_mosaic


def picture_of_places(grid):
    """(3, h, w): latitude, cosine and sine of longitude, each as a byte."""
    lon, lat = grid.lonlat(*np.mgrid[: grid.height, : grid.width])
    return np.stack([bytes_of(lat / 90), bytes_of(np.cos(np.radians(lon))), bytes_of(np.sin(np.radians(lon)))])


def bytes_of(share):
    return np.round((share + 1) / 2 * 255).astype(np.uint8)


@pytest.fixture(params=["degrees", "degrees 0-360", "metres", "metres lon_0=180"])
def shown(request, tmp_path):
    grid = global_grid(kind=request.param)
    made = map_view(str(write_mosaic(tmp_path / "a b.tif", picture_of_places(grid), grid)), [])
    made.rasters[0].__dict__["range"] = (0.0, 255.0)
    return made


def pixels(content):
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGBA")).astype(int)


@pytest.mark.parametrize("view", ["cylindrical", "north", "south"])
def test_every_pixel_of_a_tile_is_the_ground_that_the_page_thinks_it_is(shown, view):
    """Against pyproj: the page's plane has degrees of the equator, y up, and tiles of 256 px that count down."""
    zoom = 1
    middle = shown.view.lon0 if view == "cylindrical" else 0.0
    x, y = int(np.floor(middle / 128)), 0
    rows, cols = np.mgrid[8:256:16, 8:256:16]
    plane_x, plane_y = (256 * x + cols + 0.5) / 2, -(256 * y + rows + 0.5) / 2
    if view == "cylindrical":
        lon, lat = plane_x, plane_y
        inside = (abs(lat) < 89) & (abs(lon - middle) < 179)
    else:
        plane = pyproj.Proj(proj="stere", lat_0=90 if view == "north" else -90, lon_0=0, R=180 / np.pi)
        lon, lat = plane(plane_x, plane_y, inverse=True)
        inside = (lat if view == "north" else -lat) > 5
    found = pixels(shown.tile(view, "mosaic", zoom, x, y))[rows, cols]
    expected = np.stack([np.sin(0) + lat / 90, np.cos(np.radians(lon)), np.sin(np.radians(lon))], axis=-1)
    assert inside.sum() > 50 and (found[inside][:, 3] == 255).all()
    # a pixel of the mosaic is a degree, over which a byte moves by 2.2
    assert np.abs(found[inside][:, :3] - (expected[inside] + 1) / 2 * 255).max() < 4.5


def test_the_whole_view_is_in_degrees(shown):
    west, south, east, north = shown.view.bounds
    assert (east - west, south, north) == pytest.approx((360, -90, 90), abs=1e-6)
    assert View.of(global_grid()).max_zoom == 0  # one pixel per degree is shown one to one at zoom 0


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    root = tmp_path_factory.mktemp("project")
    (root / "configs").mkdir()
    grid = global_grid()
    write_mosaic(root / "data" / "mosaics" / "cylindrical_mosaic.tif", picture_of_places(grid), grid)
    folder = root / "results" / "output_masks" / "a map"
    owner = np.full(grid.shape, -1, np.int32)
    owner[80:100, 170:190] = 7
    write_cog(folder / "ml_FID_map_all.tif", owner, grid, nodata=-1)
    write_cog(folder / "max_probability_all.tif", np.full(grid.shape, 0.5, np.float32), grid, nodata=float("nan"))
    craters = pd.DataFrame({"crat_FID": [7], "lon": [0.0], "lat": [0.0], "radius_m": [3e5], "note": ["</script>"]})
    write_table(folder / "craters.csv", craters)
    write_json(folder / "provenance.json", {"config": {"data": "data"}})
    return root, folder


def test_a_map_is_read_behind_its_token_and_nothing_else(project):
    root, folder = project
    made = map_view(str(folder), [])
    client = TestClient(app_of(made, made.token), base_url="http://127.0.0.1")
    assert client.get("/").status_code == client.get("/tiles/north/mosaic/0/0/0").status_code == 403
    assert client.get("/?token=guess").status_code == 403
    page = client.get(f"/?token={made.token}")
    assert page.status_code == 200 and page.url.query == b"" and "</script><" not in page.text.split("viewer-data")[1][:2000]
    assert [one.label for one in made.rasters] == ["mosaic", "owner", "probability"]
    assert pixels(client.get("/tiles/cylindrical/ml_FID_map_all/0/0/0").content)[5, 5, 3] == 255
    assert pixels(client.get("/tiles/cylindrical/ml_FID_map_all/0/0/0").content)[60, 60, 3] == 0
    assert client.get("/row/rims/7").json()["note"] == "</script>" and client.get("/row/rims/8").json() == {}
    assert Image.open(io.BytesIO(client.get("/cutout/0/0/300000.png").content)).size == (420, 420)
    for path in ("/assets/../../pyproject.toml", "/assets/x.js", "/tiles/north/nothing/0/0/0", "/tiles/west/mosaic/0/0/0"):
        assert client.get(path).status_code == 404
    assert client.get("/cutout/0/120/3.png").status_code == client.get("/tiles/north/mosaic/a/0/0").status_code == 400
    assert client.post("/").status_code == client.delete("/row/rims/7").status_code == 405
    other = TestClient(app_of(made, made.token), base_url="http://evil.example", cookies={"cratermill": made.token})
    assert other.get("/").status_code == 400  # another host's name in the request


def test_a_file_that_was_cut_off_is_said_and_hides_nothing_else(tmp_path, capfd):
    grid = global_grid()
    path = write_mosaic(tmp_path / "whole.tif", picture_of_places(grid), grid, tiled=True, blockxsize=64, blockysize=64, compress="deflate")
    cut = tmp_path / "cut.tif"
    cut.write_bytes(path.read_bytes()[:-5000])
    made = map_view(str(path), [cut])
    made.warm()
    client = TestClient(app_of(made, made.token), base_url="http://127.0.0.1")
    client.get(f"/?token={made.token}")
    assert client.get("/tiles/cylindrical/mosaic/0/0/0").status_code == 200
    answers = [client.get(f"/tiles/cylindrical/more-0/0/{x}/{y}") for x in (-1, 0) for y in (-1, 0)]
    assert "copy or download it again" in next(one for one in answers if one.status_code == 400).text
    assert "not all of whole.tif can be shown" in capfd.readouterr().err


def test_what_cannot_be_shown_is_said(project, tmp_path, monkeypatch):
    root, folder = project
    with pytest.raises(InputError, match="outside"):
        map_view(str(tmp_path), [])
    for given, layers in ((str(folder), [tmp_path / "x.tif"]), (str(tmp_path / "x.tif"), [])):
        with pytest.raises(InputError, match=r"there is no .*x\.tif"):
            map_view(given, layers)
    for name in ("run.yaml", "craters.csv"):
        (tmp_path / name).write_text("lon,lat\n")
        with pytest.raises(InputError, match="is no mosaic"):
            map_view(str(tmp_path / name), [])
    plane = MERCURY.azimuthal_crs(0, 0)
    grid = global_grid()
    from affine import Affine

    from cratermill.geo.grid import Grid

    tilted = Grid(plane, Affine(1000, 0, 0, 0, -1000, 0), grid.shape)
    with pytest.raises(InputError, match="north up in a cylindrical"):
        map_view(str(write_mosaic(tmp_path / "plane.tif", picture_of_places(grid), tilted)), [])
