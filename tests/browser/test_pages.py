"""Pages in a real browser: nothing goes wrong, nothing is fetched, tables and maps do what people do with them.

Skipped, saying so, where there is no Chromium; CRATERMILL_REQUIRE_BROWSER makes that a failure. The pictures of pages in the docs are made
here: CRATERMILL_SCREENSHOTS=docs/images python -m pytest tests/browser.
"""

import contextlib
import io
import json
import os
import shutil
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cratermill.core.paths import DataFolder, Project
from cratermill.craters.catalogue import read_catalogue
from cratermill.families import get_family
from cratermill.geo.cog import write_cog
from cratermill.geo.grid import Window
from cratermill.geo.mosaic import Mosaic
from cratermill.labelling.chips import take_labels, write_sheet
from cratermill.pipeline.index import write_results_page
from cratermill.pipeline.training_page import write_training_page
from cratermill.pipeline.versions_page import write_versions_page
from cratermill.report import html, plots
from cratermill.report.analysis_page import write_analysis_page
from cratermill.report.assets import MAPS, PLOTS
from cratermill.report.compare_page import write_compare_page
from cratermill.report.palette import CRATERS, FOUND, MISSED, NEW, Colours
from cratermill.report.search_page import write_search_page
from cratermill.report.viewer import circles, static_viewer
from cratermill.synthetic import synthesise
from cratermill.training import sheets
from tests.pipeline.test_versions_page import make_versions

PATIENCE_S = 180
"""A limit for what hangs, not for what is slow."""
BLANKS = pd.DataFrame({"a": [3.0, None, 1.0, None, 2.0, 10.0], "word": ["x", "", "aa", None, "<b>", "ab"]})


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
    one.set_page_load_timeout(PATIENCE_S)
    one.set_script_timeout(PATIENCE_S)
    yield one
    one.quit()


@pytest.fixture(scope="module")
def planet(tmp_path_factory):
    """A synthetic planet below a project's folder, its craters, and the drawn ejecta of each."""
    data = DataFolder(tmp_path_factory.mktemp("it's a project") / "data" / "planet")
    synthesise(data.root, shape=(256, 512), n_fresh=9, seed=5)
    with Mosaic.open(data.mosaic) as mosaic:
        grid = mosaic.grid
    craters = read_catalogue(data.craters, grid.body)
    table = pd.DataFrame({name: craters[name] for name in ("crat_FID", "lon", "lat", "radius_m")}).assign(note="fresh")
    masks: dict[int, np.ndarray] = {}
    for fid in table["crat_FID"]:
        if data.mask(fid).exists():
            with Mosaic.open(data.mask(fid), labels=True) as mask:
                rows, cols = mask.grid.shape
                left, top = (round(place) for place in ~grid.affine @ (mask.grid.affine.c, mask.grid.affine.f))
                masks[fid] = np.zeros(grid.shape, np.uint8)
                masks[fid][top : top + rows, left : left + cols] = mask.read(Window(0, 0, rows, cols))[0]
    drawn = {fid: mask for fid, mask in masks.items() if mask.any()}
    return data, table.sort_values("radius_m", ascending=False, ignore_index=True), drawn


@pytest.fixture(scope="module")
def project(planet):
    """Results of versions, a map with its small viewer, a table with blanks, and the page that leads to them."""
    data, craters, masks = planet
    project = make_versions(Project(data.root.parents[1]), 6, 2, 2)
    family = get_family("ejecta")
    folder = project.map_folder("a map")
    with Mosaic.open(data.mosaic) as mosaic:
        (project.version_results("ejc", 5) / "samples_test-set-0.jpg").write_bytes(sheet_of(mosaic, masks))
        rgba = np.zeros((4, *mosaic.grid.shape), np.uint8)
        for fid, mask in masks.items():
            rgba[:, mask > 0] = np.array([*CRATERS.rgb(fid), 255], np.uint8)[:, None]
        ejecta = write_cog(folder / "ejecta-map_all.tif", rgba, mosaic.grid)
        kinds = (
            (craters[:5], "found, and in the list", FOUND),
            (craters[5:7], "new: found, and in no list", NEW),
            (craters[7:], "missed", MISSED),
        )
        lists = [circles(f"list{place}", name, table, "crat_FID", colour) for place, (table, name, colour) in enumerate(kinds)]
        part = static_viewer(folder, mosaic, {"ejecta": ejecta}, lists)
    write_versions_page(project, family)
    write_training_page(project, family)
    shown = {"Network of ejecta": "version 5 (Unet, resnet18), TV-Test split 0", "Keys": "threshold 0.5"}
    sections = [html.section("Map", part), html.section("Craters", html.table(craters)), html.section("Made of", html.facts(shown))]
    html.write_page(folder / "index.html", "Ejecta map a map", sections, MAPS)
    html.write_page(project.results / "analysis" / "index.html", "Blanks", [html.section("Table", html.table(BLANKS))])
    write_more_pages(project, craters)
    write_results_page(project.root)
    return project


def write_more_pages(project, craters):
    """Of an analysis, a comparison and a search, from plain values."""
    picture = [(project.version_results("ejc", 5) / "samples_test-set-0.jpg", "A picture with its caption")]
    patterns = craters[["crat_FID", "radius_m"]].assign(area_km2=1234.5, blanket_area_km2=321.0, rays_area_km2=None, invalid="")
    page = project.results / "output_masks/a map/analysis.html"
    write_analysis_page(page, "Patterns", {"analysis_overlaps": patterns}, {"Craters": len(craters)}, picture, picture, Colours())
    names = ("F1", "Precision", "Recall", "IoU", "F1_of_craters_min", "F1_of_craters_max", "F1_of_craters_mean")
    summary = dict.fromkeys([*names, *(f"{name}_{end}" for name in names[:4] for end in ("low", "high"))], 0.5)
    summary |= {"truth": "drawn masks", "craters": len(craters), "notes": ["2 craters of the truth are not on the map"]}
    tables = {
        "scores": pd.DataFrame({"part": ["all", "ring 1"], "F1": [0.5, None], "F1_ci95_low": [0.4, 0.3], "F1_ci95_high": [0.6, 0.7]}),
        "dl_hm_metrics": patterns.assign(true_positive=12, false_positive=3),
        "blankets": patterns.assign(dl_radius=4.5),
    }
    write_compare_page(project.results / "output_masks/a map/compare_truth/index.html", "a map", summary, tables, picture, picture)
    scores = {"validation F1_Score": [0.31, 0.52, None, 0.44], "epochs": [3, 9, 0, 9], "lr": [0.1, 0.001, 0.01, 1e-4]}
    trials = pd.DataFrame({"trial": range(4), "state": ["pruned", "complete", "fail", "complete"], **scores})
    page = project.results / "ejc_results/search-mine/search.html"
    write_search_page(page, "mine", {"Best": "version 10"}, "validation F1_Score", trials, {"lr": 0.8, "batch_size": 0.2})


def sheet_of(mosaic, masks):
    """A sheet of samples cut from the planet, with predictions that are too large, each more than the one before."""
    found = []
    for number, mask in enumerate(masks.values()):
        row, col = (int(places.mean()) for places in np.nonzero(mask))
        top, left = max(0, min(row - 32, 192)), max(0, min(col - 32, 448))
        image, target = mosaic.read(Window(top, left, 64, 64)), mask[top : top + 64, left : left + 64] > 0
        made = target | np.roll(target, 2 * number, 1)
        panels = [np.repeat((one * 255).astype(np.uint8)[..., None], 3, axis=2) for one in (target, made)]
        found.append(sheets.Sample("", sheets.picture(image), *panels, float((target ^ made).mean())))
    found.sort(key=lambda one: one.error)
    kinds = zip(("best", "median", "worst"), (found[0], found[len(found) // 2], found[-1]), strict=True)
    return sheets.as_jpeg([(f"{kind} of {len(found)}", one) for kind, one in kinds])


PAGES = {
    "index": "index.html",
    "versions": "ejc_results/versions.html",
    "training": "ejc_results/index.html",
    "map": "output_masks/a map/index.html",
    "blanks": "analysis/index.html",
    "analysis": "output_masks/a map/analysis.html",
    "comparison": "output_masks/a map/compare_truth/index.html",
    "search": "ejc_results/search-mine/search.html",
}
PHONE = {"width": 390, "height": 800, "deviceScaleFactor": 2, "mobile": False}


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
        whole = Image.open(io.BytesIO(browser.get_screenshot_as_png())).convert("RGB")
        whole.resize((960, round(960 * whole.height / whole.width))).quantize(64).save(Path(folder) / f"{name}.png", optimize=True)


def flaws(browser):
    """What axe finds that is serious or worse."""
    from axe_selenium_python import Axe

    axe = Axe(browser)
    axe.inject()
    return [f"{one['id']}: {one['nodes'][0]['html'][:120]}" for one in axe.run()["violations"] if one["impact"] in ("serious", "critical")]


@pytest.mark.parametrize("name", PAGES)
def test_pages_open_from_a_disk_without_errors_or_network_and_are_accessible(browser, project, name):
    said, asked = look(browser, (project.results / PAGES[name]).as_uri())
    assert not said and not asked
    keep(browser, f"page_{name}")
    assert not flaws(browser)
    if name != "index":
        home = browser.find_element("css selector", "nav a")
        home.click()
        until(browser, lambda page: page.title == "Results" and page.find_elements("css selector", ".cards a"))
        led = {link.get_attribute("href") for link in browser.find_elements("css selector", ".cards a")}
        assert (project.results / PAGES[name.replace("versions", "training")]).as_uri() in led


@pytest.mark.parametrize("name", PAGES)
def test_pages_fit_a_phone_whose_owner_likes_dark_pages(browser, project, name):
    """Narrower than any window that headless Chromium makes."""
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", PHONE)
    dark = [{"name": "prefers-color-scheme", "value": "dark"}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": dark})
    try:
        said, _ = look(browser, (project.results / PAGES[name]).as_uri())
        wide = browser.execute_script("return [document.scrollingElement.scrollWidth, window.innerWidth]")
        assert not said and wide[0] <= wide[1] == PHONE["width"] and not flaws(browser)
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def column(browser, number):
    return [cell.text for cell in browser.find_elements("css selector", f"table.data tbody tr td:nth-child({number})")]


def shown(browser, number, wanted):
    """Whether a column comes to show this, also where the machine is busy; what stands there as it may change meanwhile is read again."""
    from selenium.common.exceptions import StaleElementReferenceException

    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        with contextlib.suppress(StaleElementReferenceException):
            if column(browser, number) == wanted:
                return True
        time.sleep(0.1)
    return False


def test_tables_sort_with_blanks_last_both_ways_filter_and_export(browser, project):
    look(browser, (project.results / PAGES["blanks"]).as_uri())
    search = wait_for(browser, ".dt-search input")[0]
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
    assert "Columns" in words[0] and words[1:] == ["Filter", "CSV"]


def test_a_page_of_5000_cells_is_small_and_opens_at_once(browser, tmp_path):
    """What opening takes is told by the time that the page's thread computes, which other work on the machine doesn't lengthen."""
    random = np.random.default_rng(0)
    cells = pd.DataFrame(random.random((5000, 8)).round(4), columns=[f"column {n}" for n in range(8)])
    lines = {f"version {n}": pd.DataFrame({"epoch": range(150), "F1": random.random(150)}) for n in range(40)}
    parts = [plots.WHEN_SEEN, plots.rows("cells", cells), plots.shown("curves", plots.curves(lines, "F1"), "curves")]
    path = html.write_page(tmp_path / "many.html", "Many", parts, PLOTS)
    assert path.stat().st_size < 3e6
    browser.execute_cdp_cmd("Performance.enable", {"timeDomain": "threadTicks"})
    try:
        browser.get("about:blank")
        before = computed_s(browser)
        browser.get(path.as_uri())
        until(browser, lambda page: page.execute_script("return document.querySelectorAll('table.data tbody tr').length") == 100)
        opened = computed_s(browser) - before
    finally:
        browser.execute_cdp_cmd("Performance.disable", {})
    assert not settled(browser)[0] and len(column(browser, 1)) == 100
    assert opened < 1.5, f"{opened:.2f} s"


def computed_s(browser):
    return next(one["value"] for one in browser.execute_cdp_cmd("Performance.getMetrics", {})["metrics"] if one["name"] == "TaskDuration")


def wait_for(browser, selector):
    return until(browser, lambda page: page.find_elements("css selector", selector))


def until(browser, true):
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(browser, PATIENCE_S).until(true)


def test_figures_are_drawn_when_they_are_scrolled_to(browser, project):
    look(browser, (project.results / PAGES["versions"]).as_uri())
    browser.execute_script("document.getElementById('against0').scrollIntoView()")
    assert wait_for(browser, "#against0 .scatterlayer .point")
    assert settled(browser) == ([], [])
    keep(browser, "versions_compared")


def test_sheets_of_samples_stand_on_the_page_of_training(browser, project):
    look(browser, (project.results / PAGES["training"]).as_uri())
    sheet = browser.find_element("css selector", "img[alt^='Test samples of split 0']")
    browser.execute_script("arguments[0].scrollIntoView()", sheet)
    until(browser, lambda page: page.execute_script("return arguments[0].naturalHeight", sheet) > 0)
    browser.execute_script("arguments[0].scrollIntoView()", sheet)
    keep(browser, "samples")


def test_a_copied_folder_works_and_prints_without_what_only_screens_need(browser, project, tmp_path):
    copied = shutil.copytree(project.results, tmp_path / "sent to somebody")
    for name in ("map", "versions", "index"):
        assert look(browser, (copied / PAGES[name]).as_uri()) == ([], [])
    browser.get((copied / PAGES["versions"]).as_uri())
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        # Wide tables fit sheets of A4, where nobody can scroll.
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {**PHONE, "width": 718, "deviceScaleFactor": 1})
        beyond = browser.execute_script(
            "return [...document.querySelectorAll('td, th')].filter(one => one.getBoundingClientRect().right > 718).length"
        )
        hidden = browser.execute_script("return ['nav', '.dt-search'].map(one => getComputedStyle(document.querySelector(one)).display)")
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    assert hidden == ["none", "none"] and not beyond


def test_keys_alone_sort_tables_and_move_the_map(browser, project):
    look(browser, (project.results / PAGES["blanks"]).as_uri())
    wait_for(browser, ".dt-search input")
    order = browser.find_element("css selector", "table.data thead [tabindex]")
    order.send_keys("\ue007")
    assert shown(browser, 1, ["1", "2", "3", "10", "", ""])
    look(browser, (project.results / PAGES["map"]).as_uri())
    browser.execute_script("viewer.map.setZoom(viewer.map.getZoom() + 2, {animate: false})")
    before = browser.execute_script("return viewer.map.getCenter().lng")
    browser.find_element("id", "viewer").send_keys("\ue014")
    assert until(browser, lambda page: page.execute_script("return viewer.map.getCenter().lng") != before)


def test_chips_are_labelled_by_keys_kept_and_exported(browser, tmp_path):
    """Keys, arrows and the button of a contact sheet, in a window that shows three chips a row; what it exports is taken in."""
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    names = [f'chip "{number}", </script>.png' if number == 4 else f"chip {number}.png" for number in range(7)]
    source, page, into = tmp_path / "it's new", tmp_path / "sheet.html", tmp_path / "labelled"
    for number, name in enumerate(names):
        path = source / name.replace("/", "_")
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.random.default_rng(number).integers(0, 255, (20, 20), np.uint8)).save(path)
    write_sheet(source, page, ["plain", "crater"])
    assert look(browser, page.as_uri(), 500, 700) == ([], [])

    def shown_labels():
        return [chip.find_element("tag name", "div").text for chip in browser.find_elements("css selector", "#grid button")]

    def press(*keys):
        ActionChains(browser).send_keys(*keys).perform()

    columns = len(browser.execute_script("return getComputedStyle(document.getElementById('grid')).gridTemplateColumns").split(" "))
    assert 2 <= columns <= 5 and shown_labels() == ["–"] * 7
    press("2", "1", "0", "2", Keys.ARROW_LEFT, Keys.ARROW_LEFT, "1", "9", "x")
    assert shown_labels() == ["crater", "plain", "plain", "crater", "–", "–", "–"]
    press(Keys.ARROW_DOWN if columns < 4 else Keys.ARROW_RIGHT, "2")
    at = 3 + (columns if columns < 4 else 1)
    wanted = ["crater", "plain", "plain", "crater", "–", "–", "–"]
    wanted[at] = "crater"
    assert shown_labels() == wanted and "5 of 7 labelled: plain 2, crater 3" in browser.find_element("id", "bar").text
    keep(browser, "contact_sheet")
    assert not flaws(browser)

    def is_there_again(_):
        browser.refresh()
        return shown_labels() == wanted

    # A busy Chromium may have loaded the page again before it has stored what the page before gave it.
    until(browser, is_there_again)
    browser.execute_script("Storage.prototype.setItem = () => { throw new Error('full'); }")
    assert "keeps nothing" not in browser.find_element("id", "bar").text
    browser.find_element("css selector", "#grid button").click()
    press("2")
    assert "crater 3. This browser keeps nothing: export before you close the page" in browser.find_element("id", "bar").text
    browser.execute_cdp_cmd("Page.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
    browser.find_element("id", "export").click()
    until(browser, lambda _: (tmp_path / "labels.csv").exists() and (tmp_path / "labels.csv").stat().st_size)
    assert take_labels(tmp_path / "labels.csv", source, into, ["plain", "crater"], "Ada") == {"plain": 2, "crater": 3}
    assert len(list((into / "crater").iterdir())) == 3 and settled(browser) == ([], [])


CLICK_ON_RIM = """
const map = viewer.map, at = map.latLngToContainerPoint(viewer.views.cylindrical.to(arguments[0], arguments[1]));
const box = map.getContainer().getBoundingClientRect(); return [box.left + at.x, box.top + at.y];"""


def walk(browser, crater):
    """Pan, click on a rim, measure, read coordinates: what people do with a map."""
    from selenium.webdriver.common.action_chains import ActionChains

    before = browser.execute_script("const c = viewer.map.getCenter(); return [c.lat, c.lng]")
    browser.execute_script("viewer.map.setZoom(viewer.map.getZoom() + 1, {animate: false}); viewer.map.panBy([60, 30], {animate: false})")
    after = browser.execute_script("const c = viewer.map.getCenter(); return [c.lat, c.lng]")
    assert after != before
    browser.execute_script(
        "viewer.map.setView(viewer.views.cylindrical.to(arguments[0], arguments[1]), 2, {animate: false})", crater.lon, crater.lat
    )
    radius = np.degrees(crater.radius_m / 2_439_400)
    x, y = browser.execute_script(CLICK_ON_RIM, crater.lon, crater.lat + radius)
    move = ActionChains(browser)
    move.w3c_actions.pointer_action.move_to_location(round(x), round(y))
    move.w3c_actions.pointer_action.click()
    move.perform()
    until(browser, lambda page: "crat_FID" in page.find_element("id", "viewer-row").text)
    where = browser.find_element("id", "viewer-where").text
    assert "Mercury" in where and f"{abs(crater.lat + radius):.0f}" in where and "0…360" in where


SHOWN = "return [...document.querySelectorAll('img.leaflet-image-layer')].map(one => [one.src.split('/').pop(), one.naturalWidth])"


def test_the_small_viewer_of_a_map_pans_and_clicks_sharpens_and_turns_to_the_poles(browser, project, planet):
    look(browser, (project.results / PAGES["map"]).as_uri())
    walk(browser, largest(planet))
    until(browser, lambda page: dict(page.execute_script(SHOWN))["mosaic-512.jpg"] == 512)
    browser.find_element("css selector", "input[name=view][value=north]").click()
    wait_for(browser, "#viewer[data-view=north] img.leaflet-image-layer")
    until(browser, lambda page: dict(page.execute_script(SHOWN)) == {"mosaic-north.jpg": 1024, "overlay-0-north.png": 1024})
    assert settled(browser) == ([], [])
    keep(browser, "map_page_north")


def largest(planet):
    """The largest crater away from the poles."""
    craters = planet[1]
    return next(craters[craters["lat"].abs() < 50].itertuples())


def test_the_served_viewer_shows_tiles_poles_and_distances(browser, project, planet):
    import uvicorn

    from cratermill.core.files import write_json, write_table
    from cratermill.pipeline.view import map_view
    from cratermill.report.view_server import app_of

    (project.root / "configs").mkdir(exist_ok=True)
    folder = project.map_folder("served")
    write_table(folder / "craters.csv", planet[1])
    shutil.copy(project.map_folder("a map") / "ejecta-map_all.tif", folder)
    write_json(folder / "provenance.json", {"config": {"mosaic": str(planet[0].mosaic)}})
    made = map_view(str(folder), [])
    server = uvicorn.Server(uvicorn.Config(app_of(made, made.token), port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the server ended"
        time.sleep(0.05)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        said, asked = look(browser, f"http://127.0.0.1:{port}/?token={made.token}")
        assert not said and all(url.startswith(f"http://127.0.0.1:{port}/") for url in asked)
        assert wait_for(browser, "img.leaflet-tile-loaded")
        walk(browser, largest(planet))
        keep(browser, "viewer")
        browser.find_element("id", "viewer-measure").click()
        browser.execute_script(
            "for (const lat of [0, 10]) viewer.map.fire('click', {latlng: L.latLng(...viewer.views.cylindrical.to(30, lat))})"
        )
        length = browser.find_element("id", "viewer-length").text
        assert float(length.split()[0]) == pytest.approx(np.radians(10) * 2439.4, rel=1e-3)
        browser.find_element("css selector", "input[name=view][value=south]").click()
        assert wait_for(browser, "#viewer[data-view=south] img.leaflet-tile-loaded")
        assert not settled(browser)[0]
        keep(browser, "viewer_south")
    finally:
        server.should_exit = True
        thread.join(PATIENCE_S)
