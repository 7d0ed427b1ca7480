"""Walking through a large mosaic in headless Chromium: seconds from the command to a painted map, and after each step on it.

    python benchmarks/view.py [--folder DIR] [--rows 11520] [--steps 12]

The mosaic has no overviews: the first command makes them in a cache of its own, the second one finds them. A map is painted when every
tile of the window is there. Needs Chromium and its driver (apt-get install chromium chromium-driver).
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from geometry import make_mosaic, mosaic_grid
from selenium import webdriver
from selenium.webdriver.support.ui import WebDriverWait

PAINTED = """
const box = document.getElementById('viewer').getBoundingClientRect();
const seen = [...document.querySelectorAll('img.leaflet-tile')].filter(one => { const at = one.getBoundingClientRect();
  return at.right > box.left && at.left < box.right && at.bottom > box.top && at.top < box.bottom; });
return seen.length > 0 && seen.every(one => one.complete && one.naturalWidth)"""
CLOSER = "viewer.map.setView([30, -150], viewer.map.getZoom() + 3, {animate: false})"
STEP = "viewer.map.setView([30 - 20 * Math.floor(arguments[0] / 9), 31 * (arguments[0] % 9) - 150], viewer.map.getZoom(), {animate: false})"
"""A window is some 50° wide there: nine of them, over ground that was not seen before, then nine below."""
OPTIONS = ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", "window-size=1200,900", "enable-unsafe-swiftshader")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--rows", type=int, default=11520)
    parser.add_argument("--steps", type=int, default=18)
    arguments = parser.parse_args()
    with TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        path = folder / f"mosaic_{arguments.rows}.tif"
        if not path.exists():
            make_mosaic(path, mosaic_grid(arguments.rows))
        browser = chromium()
        try:
            for what in ("without overviews", "with overviews"):
                look(browser, path, what, arguments.steps, Path(temporary) / "cache")
        finally:
            browser.quit()


def chromium() -> webdriver.Chrome:
    options = webdriver.ChromeOptions()
    for word in OPTIONS:
        options.add_argument(f"--{word}")
    options.binary_location = shutil.which("chromium") or ""
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    browser.get("about:blank")
    return browser


def look(browser: webdriver.Chrome, path: Path, what: str, steps: int, cache: Path) -> None:
    begun = time.monotonic()
    command = [sys.executable, "-m", "cratermill", "view", str(path)]
    environment = os.environ | {"XDG_CACHE_HOME": str(cache), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment) as server:
        assert server.stdout is not None
        address = next(line for line in server.stdout if line.startswith("http")).strip()
        told = time.monotonic() - begun
        before = cpu_s(browser.service.process.pid)
        opened = painted(browser, lambda: browser.get(address))
        server_s, browser_s = cpu_s(server.pid), cpu_s(browser.service.process.pid) - before
        closer = painted(browser, lambda: browser.execute_script(CLOSER))
        taken = [painted(browser, lambda number=number: browser.execute_script(STEP, number)) for number in range(1, steps + 1)]
        print(
            f"{path.name} {what}: address after {told:.1f} s, painted {opened:.2f} s later "
            f"(CPU time: the server {server_s:.1f} s since its start, the browser {browser_s:.1f} s); three levels closer {closer:.2f} s; "
            f"a step of most of a window {median(taken):.2f} s ({max(taken):.2f} s at most of {steps}); load {os.getloadavg()[0]:.1f}",
            flush=True,
        )
        server.terminate()


def cpu_s(pid: int) -> float:
    """Of a process and all below it."""
    parents, ticks = {}, {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # of a process that has ended
            values = path.read_text(encoding="utf-8", errors="replace").rsplit(")", 1)[1].split()
            parents[int(path.parent.name)], ticks[int(path.parent.name)] = int(values[1]), int(values[11]) + int(values[12])
    family = {pid}
    while below := {one for one, parent in parents.items() if parent in family} - family:
        family |= below
    return sum(ticks.get(one, 0) for one in family) / os.sysconf("SC_CLK_TCK")


def painted(browser: webdriver.Chrome, act) -> float:
    begun = time.monotonic()
    act()
    WebDriverWait(browser, 120, poll_frequency=0.02).until(lambda page: page.execute_script(PAINTED))
    return time.monotonic() - begun


if __name__ == "__main__":
    main()
