"""Pages in a real browser: nothing goes wrong, nothing is fetched, tables and maps do what people do with them.

Skipped, saying so, where there is no Chromium; CRATERMILL_REQUIRE_BROWSER makes that a failure. CRATERMILL_SCREENSHOTS=FOLDER keeps
pictures, as those of docs/images.
"""

import contextlib
import json
import os
import shutil
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cratermill.core.paths import Project
from cratermill.families import get_family
from cratermill.geo.mosaic import Mosaic
from cratermill.pipeline.index import write_results_page
from cratermill.pipeline.training_page import write_training_page
from cratermill.pipeline.versions_page import write_versions_page
from cratermill.report import html, plots
from cratermill.report.assets import MAPS
from cratermill.report.viewer import circles, static_viewer
from tests.mosaics import global_grid, write_mosaic
from tests.pipeline.test_versions_page import make_versions
from tests.report.test_view_server import picture_of_places

BLANKS = pd.DataFrame({"a": [3.0, None, 1.0, None, 2.0, 10.0], "word": ["x", "", "aa", None, "<b>", "ab"]})
CRATERS = pd.DataFrame({"crat_FID": [7, 8], "lon": [10.0, 120.0], "lat": [20.0, 85.0], "radius_m": [2e5, 1e5], "note": ["fresh", "old"]})


@pytest.fixture(scope="session")
def browser():
    """One headless Chromium for all tests."""
    found, driver = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
    if not (found and driver):
        what = "no Chromium with its driver here (apt-get install chromium chromium-driver)"
        if os.environ.get("CRATERMILL_REQUIRE_BROWSER"):
            pytest.fail(what)
        pytest.skip(what)
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    for word in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", "window-size=1200,900", "enable-unsafe-swiftshader"):
        options.add_argument(f"--{word}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    options.binary_location = found
    one = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    one.set_page_load_timeout(60)
    yield one
    one.quit()


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Results of versions, a map with its small viewer, a table with blanks, and the page that leads to them."""
    project = make_versions(Project(tmp_path_factory.mktemp("it's a project")), 6, 2, 2)
    family = get_family("ejecta")
    write_versions_page(project, family)
    write_training_page(project, family)
    folder, grid = project.map_folder("a map"), global_grid()
    with Mosaic.open(write_mosaic(project.root / "mosaic.tif", picture_of_places(grid), grid)) as mosaic:
        part = static_viewer(folder, mosaic, {}, [circles("rims", "craters", CRATERS, "crat_FID")])
    html.write_page(folder / "index.html", "Map", [html.section("Map", part), html.section("Craters", html.table(CRATERS))], MAPS)
    html.write_page(project.results / "analysis" / "index.html", "Blanks", [html.section("Table", html.table(BLANKS))])
    write_results_page(project.root)
    return project


PAGES = {
    "index": "index.html",
    "versions": "ejc_results/versions.html",
    "training": "ejc_results/index.html",
    "map": "output_masks/a map/index.html",
    "blanks": "analysis/index.html",
}


def look(browser, url, width=1200, height=900):
    """Open a page; returns what its console complained of and what it fetched."""
    browser.set_window_size(width, height)
    for kind in ("browser", "performance"):
        browser.get_log(kind)
    browser.get(url)
    time.sleep(0.3)
    return settled(browser)


def settled(browser):
    said = [line["message"] for line in browser.get_log("browser") if line["level"] == "SEVERE"]
    events = [json.loads(line["message"])["message"] for line in browser.get_log("performance")]
    asked = [one["params"]["request"]["url"] for one in events if one["method"] == "Network.requestWillBeSent"]
    return said, [url for url in asked if not url.startswith(("file:", "data:", "blob:"))]


def keep(browser, name):
    if folder := os.environ.get("CRATERMILL_SCREENSHOTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        browser.save_screenshot(str(Path(folder) / f"{name}.png"))


@pytest.mark.parametrize("name", PAGES)
def test_pages_open_from_a_disk_without_errors_or_network_and_are_accessible(browser, project, name):
    from axe_selenium_python import Axe

    said, asked = look(browser, (project.results / PAGES[name]).as_uri())
    assert not said and not asked
    keep(browser, f"page_{name}")
    axe = Axe(browser)
    axe.inject()
    flaws = [f"{one['id']}: {one['nodes'][0]['html'][:120]}" for one in axe.run()["violations"] if one["impact"] in ("serious", "critical")]
    assert not flaws
    if name != "index":
        home = browser.find_element("css selector", "nav a")
        home.click()
        assert browser.title == "Results"


@pytest.mark.parametrize("name", PAGES)
def test_pages_fit_a_phone(browser, project, name):
    said, _ = look(browser, (project.results / PAGES[name]).as_uri(), 420, 800)
    assert not said
    wide = browser.execute_script("return [document.scrollingElement.scrollWidth, window.innerWidth]")
    assert wide[0] <= wide[1]


def column(browser, number):
    return [cell.text for cell in browser.find_elements("css selector", f"table.data tbody tr td:nth-child({number})")]


def shown(browser, number, wanted, patience_s=10):
    """Whether a column comes to show this, also where the machine is busy; what stands there as it may change meanwhile is read again."""
    from selenium.common.exceptions import StaleElementReferenceException

    end = time.monotonic() + patience_s
    while time.monotonic() < end:
        with contextlib.suppress(StaleElementReferenceException):
            if column(browser, number) == wanted:
                return True
        time.sleep(0.1)
    return False


def test_tables_sort_with_blanks_last_both_ways_filter_and_export(browser, project):
    from selenium.webdriver.support.ui import WebDriverWait

    look(browser, (project.results / PAGES["blanks"]).as_uri())
    search = WebDriverWait(browser, 10).until(lambda page: page.find_element("css selector", ".dt-search input"))
    heads = browser.find_elements("css selector", "table.data thead th")
    heads[0].click()
    assert shown(browser, 1, ["1", "2", "3", "10", "", ""])
    heads[0].click()
    assert shown(browser, 1, ["10", "3", "2", "1", "", ""])
    heads[1].click()
    assert shown(browser, 2, ["<b>", "aa", "ab", "x", "", ""])
    search.send_keys("a")
    assert shown(browser, 2, ["aa", "ab"])
    words = [button.text for button in browser.find_elements("css selector", ".dt-buttons button")]
    assert "Columns" in words[0] and "CSV" in words


def test_a_table_of_5000_cells_is_small_and_opens_at_once(browser, tmp_path):
    cells = pd.DataFrame(np.random.default_rng(0).random((5000, 8)).round(4), columns=[f"column {n}" for n in range(8)])
    path = html.write_page(tmp_path / "many.html", "Many", [plots.rows("cells", cells)])
    assert path.stat().st_size < 3e6
    said, _ = look(browser, path.as_uri())
    assert not said and len(column(browser, 1)) == 100
    ready = browser.execute_script("const t = performance.timing; return t.domComplete - t.navigationStart")
    assert ready < (2000 if os.getloadavg()[0] < (os.cpu_count() or 1) else 20_000), f"{ready} ms"


def test_figures_are_drawn_when_they_are_scrolled_to(browser, project):
    look(browser, (project.results / PAGES["versions"]).as_uri())
    browser.execute_script("document.getElementById('against0').scrollIntoView()")
    time.sleep(1.5)
    assert browser.find_elements("css selector", "#against0 .scatterlayer .point")
    assert settled(browser) == ([], [])
    keep(browser, "versions_compared")


CLICK_ON_RIM = """
const map = viewer.map, at = map.latLngToContainerPoint(viewer.views.cylindrical.to(arguments[0], arguments[1]));
const box = map.getContainer().getBoundingClientRect(); return [box.left + at.x, box.top + at.y];"""


def walk(browser):
    """Pan, click on a rim, measure, read coordinates: what people do with a map."""
    from selenium.webdriver.common.action_chains import ActionChains

    before = browser.execute_script("const c = viewer.map.getCenter(); return [c.lat, c.lng]")
    browser.execute_script("viewer.map.setZoom(viewer.map.getZoom() + 1, {animate: false}); viewer.map.panBy([60, 30], {animate: false})")
    after = browser.execute_script("const c = viewer.map.getCenter(); return [c.lat, c.lng]")
    assert after != before
    browser.execute_script("viewer.map.setView(viewer.views.cylindrical.to(10, 20), 2, {animate: false})")
    radius = np.degrees(2e5 / 2_439_400)
    x, y = browser.execute_script(CLICK_ON_RIM, 10, 20 + radius)
    move = ActionChains(browser)
    move.w3c_actions.pointer_action.move_to_location(round(x), round(y))
    move.w3c_actions.pointer_action.click()
    move.perform()
    time.sleep(0.5)
    assert "crat_FID" in browser.find_element("id", "viewer-row").text or "fresh" in browser.find_element("id", "viewer-row").text
    where = browser.find_element("id", "viewer-where").text
    assert "Mercury" in where and "10.0" in where and "0…360" in where


def test_the_small_viewer_of_a_map_pans_and_clicks(browser, project):
    look(browser, (project.results / PAGES["map"]).as_uri())
    walk(browser)
    assert settled(browser) == ([], [])


def test_the_served_viewer_shows_tiles_poles_and_distances(browser, project):
    import uvicorn

    from cratermill.core.files import write_json, write_table
    from cratermill.pipeline.view import map_view
    from cratermill.report.view_server import app_of

    (project.root / "configs").mkdir(exist_ok=True)
    folder = project.map_folder("served")
    write_table(folder / "craters.csv", CRATERS)
    write_json(folder / "provenance.json", {"config": {"mosaic": "mosaic.tif"}})
    made = map_view(str(folder), [])
    server = uvicorn.Server(uvicorn.Config(app_of(made, made.token), port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        said, asked = look(browser, f"http://127.0.0.1:{port}/?token={made.token}")
        time.sleep(1.5)
        assert not said and all(url.startswith(f"http://127.0.0.1:{port}/") for url in asked)
        assert browser.find_elements("css selector", "img.leaflet-tile-loaded")
        walk(browser)
        keep(browser, "viewer")
        browser.find_element("id", "viewer-measure").click()
        browser.execute_script(
            "for (const lat of [0, 10]) viewer.map.fire('click', {latlng: L.latLng(...viewer.views.cylindrical.to(30, lat))})"
        )
        length = browser.find_element("id", "viewer-length").text
        assert float(length.split()[0]) == pytest.approx(np.radians(10) * 2439.4, rel=1e-3)
        browser.find_element("css selector", "input[name=view][value=south]").click()
        time.sleep(1.5)
        assert browser.find_element("id", "viewer").get_attribute("data-view") == "south"
        said, _ = settled(browser)
        assert not said and browser.find_elements("css selector", "img.leaflet-tile-loaded")
        keep(browser, "viewer_south")
    finally:
        server.should_exit = True
        thread.join(10)
