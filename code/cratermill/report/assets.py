"""The libraries of pages, taken from Python packages and laid beside each page, which may be opened where there is no network."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

from ..core.files import link_or_copy, write_text

FOLDER = "assets"
# Leaflet comes in a package that holds its files alone; DataTables in itables, plotly.js in plotly.
FROM = {
    "leaflet.js": ("django-js-lib-leaflet", "js_lib_leaflet/static/js_lib_leaflet/leaflet.js"),
    "leaflet.css": ("django-js-lib-leaflet", "js_lib_leaflet/static/js_lib_leaflet/leaflet.css"),
    "plotly.js": ("plotly", "plotly/package_data/plotly.min.js"),
    "tables.js": ("itables", "itables/html/dt_bundle.js"),
    "tables.css": ("itables", "itables/html/dt_bundle.css"),
}
TABLES, PLOTS, MAPS = ("tables.js", "tables.css"), ("plotly.js",), ("leaflet.js", "leaflet.css")


def source(name: str) -> Path:
    """Where an installed package keeps a library's file."""
    package, path = FROM[name]
    return Path(str(metadata.distribution(package).locate_file(path)))


def lay(folder: Path, names: tuple[str, ...], store: Path | None = None) -> tuple[str, ...]:
    """Put libraries into ``folder/assets``: as links to those in ``store/assets`` where the disk allows it, so that they are there once.

    Returns those that are there: a page without its libraries is still one to read.
    """
    names = tuple(name for name in names if _is_installed(name))
    for name in names:
        first = (store or folder) / FOLDER / name
        if not _is_current(first, name):
            write_text(first, content(name))
        if folder / FOLDER / name != first:
            link_or_copy(first, folder / FOLDER / name)
    return names


def _is_installed(name: str) -> bool:
    try:
        return source(name).exists()
    except metadata.PackageNotFoundError:
        return False


def _is_current(path: Path, name: str) -> bool:
    """Not older than the installed package's; browsers keep no trace of versions."""
    return path.exists() and path.stat().st_mtime >= source(name).stat().st_mtime


def content(name: str) -> str:
    """A library as pages take it."""
    text = source(name).read_text(encoding="utf-8")
    return as_script(text) if name == "tables.js" else text


def as_script(module: str) -> str:
    """An ES module as a plain script that leaves its jQuery behind: browsers load no modules from ``file://``."""
    found = re.search(r"export\s*\{([^}]*)\};?", module)
    assert found, "the bundle of itables exports nothing"
    jquery = re.search(r"([\w$]+) as jQuery", found[1])
    assert jquery, "the bundle of itables exports no jQuery"
    body = module[: found.start()] + f"globalThis.jQuery = {jquery[1]};" + module[found.end() :]
    return f"(() => {{\n{body}\n}})();\n"
