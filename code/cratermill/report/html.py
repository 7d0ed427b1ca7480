"""Small static pages: one file each, pictures inside, nothing fetched from anywhere."""

from __future__ import annotations

import base64
import contextlib
import html
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ..core.files import write_text
from .assets import FOLDER, PLOTS, TABLES, lay

if TYPE_CHECKING:
    import pandas as pd

INDEX = "index.html"
BROAD = 2.1
"""Pictures that are so many times wider than high keep a width at which they can be read; mosaics of a whole body are not so wide."""

STYLE = """
:root { --ink: #1c2126; --soft: #4a545c; --line: #d8d8d4; --paper: #fcfcfb; --link: #0b5394; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 1rem auto 3rem; max-width: 1200px; padding: 0 1rem;
  color: var(--ink); background: var(--paper); }
a { color: var(--link); } nav { font-size: .9rem; }
h1 { font-size: 1.5rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin-top: 2.2rem; border-bottom: 1px solid var(--line); overflow-wrap: anywhere; }
figure { margin: 1rem 0; } figcaption { color: var(--soft); }
img { max-width: 100%; height: auto; border: 1px solid var(--line); }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .86rem; }
.wide { overflow: auto; max-height: 36rem; }
th, td { padding: .2rem .7rem; text-align: right; border-bottom: 1px solid #e6e6e2; white-space: nowrap; }
th { position: sticky; top: 0; background: #f0f0ec; }
td.text, th.text { text-align: left !important; }
dt { font-weight: 600; } dd { margin: 0 0 .4rem 1rem; overflow-wrap: anywhere; }
.light { padding: .5rem 1rem; border-left: 8px solid #2e7d32; }
.light.unknown { border-color: #8a8a86; }
.light.amber { border-color: #9a6a00; }
.light.red { border-color: #b3261e; }
.warning { background: #fff3d6; padding: .5rem 1rem; border-left: 4px solid #9a6a00; }
.swatch { display: inline-block; width: .8em; height: .8em; margin-right: .5em; border: 1px solid #8886; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(16rem, 1fr)); gap: 1rem; padding: 0; list-style: none; }
.cards li { border: 1px solid var(--line); padding: .7rem; background: #fff; overflow-wrap: anywhere; }
.cards img { width: 100%; height: 9rem; object-fit: contain; background: #fff; }
.plot { min-height: 26rem; width: 100%; } .broad { min-width: 40rem; }
@media (max-width: 40rem) { body { padding: 0 .5rem; } .wide { max-height: none; } }
@media print { nav, .dt-buttons, .dt-search, .dt-length, .dt-paging, .leaflet-control, .modebar, input[type=range] {
    display: none !important; }
  body { max-width: none; font-size: 10pt; } .wide { max-height: none; } .wide, .wide div { overflow: visible !important; }
  table { width: 100% !important; font-size: 7pt; } th, td { padding: .1rem .25rem !important; white-space: normal;
    overflow-wrap: anywhere; }
  .dt-column-order { display: none; } section, figure, tr { break-inside: avoid; } }
"""
# DataTables is the library; what is left to say here is which of its parts a page shows, and that blanks come last in either direction,
# where it would take them for the smallest numbers: it has no option for that, and its plug-in for it isn't in itables' bundle.
SORTING = """
if (globalThis.jQuery) {
  const Table = jQuery.fn.dataTable, number = text => text === '' || isNaN(text) ? null : Number(text);
  const compare = up => (a, b) => { a = String(a ?? ''); b = String(b ?? '');
    if (a === '' || b === '') return (a === '') - (b === '');
    const x = number(a), y = number(b), order = x !== null && y !== null ? x - y : a.localeCompare(b);
    return up * order; };
  Table.ext.type.order['blanks-last-asc'] = compare(1); Table.ext.type.order['blanks-last-desc'] = compare(-1);
  document.querySelectorAll('table.data').forEach(table => { const many = table.tBodies[0].rows.length > 100 || table.dataset.source;
    const source = table.dataset.source ? JSON.parse(document.getElementById(table.dataset.source).textContent) : undefined;
    new Table(table, { data: source, deferRender: true, order: [], autoWidth: false,
      language: { searchBuilder: { button: 'Filter' } }, paging: many, pageLength: 100, searchDelay: 150,
      columnDefs: [{ targets: '_all', type: 'blanks-last', render: source && Table.render.text() }], info: many,
      layout: { topStart: { buttons: [{ extend: 'colvis', text: 'Columns' }, 'searchBuilder',
          { extend: 'csv', exportOptions: { orthogonal: 'sort' }, title: table.dataset.name || document.title }] },
        topEnd: 'search', bottomStart: many ? 'info' : null, bottomEnd: many ? 'paging' : null } }); });
}
"""


def page(title: str, sections: list[str], home: str | None = None, scripts: tuple[str, ...] = ()) -> str:
    """A whole document from a title and sections of HTML. ``home``: the page of all results; ``scripts``: libraries beside the page."""
    name = html.escape(title)
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>{name}</title>'
    head += "".join(f'<link rel="stylesheet" href="{FOLDER}/{script}">' for script in scripts if script.endswith(".css"))
    head += f'<style>{STYLE}</style><link rel="icon" href="data:,">'
    now = (script for script in scripts if script.endswith(".js") and script not in PLOTS)  # figures load theirs when they are seen
    loaded = "".join(f'<script src="{FOLDER}/{script}"></script>\n' for script in now)
    if TABLES[0] in scripts:
        loaded += f"<script>{SORTING}</script>"
    back = f'<nav aria-label="Results"><a href="{html.escape(home)}">All results</a> › {name}</nav>' if home else ""
    body = "\n".join([f"<header>{back}<h1>{name}</h1></header><main>", *sections, f"</main>{loaded}"])
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>\n{body}\n</body></html>\n'


def write_page(path: Path, title: str, sections: list[str], scripts: tuple[str, ...] = ()) -> Path:
    """A page with the libraries that it needs beside it, linked back to the page of all results below whose folder it lies."""
    results = _results(path)
    if any('<table class="data' in one for one in sections):
        scripts = (*scripts, *TABLES)
    scripts = lay(path.parent, scripts, results)
    return write_text(path, page(title, sections, _home(path), scripts))


def _results(page: Path) -> Path | None:
    return next((folder for folder in page.parents if folder.name == "results"), None)


def _home(page: Path) -> str | None:
    """Where a page finds that of all results; nothing for itself, and where there is none."""
    results = _results(page)
    return "../" * len(page.parent.relative_to(results).parts) + INDEX if results and page != results / INDEX else None


def will_move(page: Path, into: Path) -> None:
    """Let a page that was written elsewhere find that of all results from the folder ``into``, where it will lie."""
    link, home = '<a href="{}">All results</a> › ', _home(into / page.name)
    text = page.read_text(encoding="utf-8")
    write_text(page, text.replace(link.format(_home(page)), link.format(html.escape(home)) if home else "", 1))


def escape(text: str) -> str:
    return html.escape(text)


def section(heading: str, *content: str) -> str:
    return f"<section><h2>{html.escape(heading)}</h2>\n" + "\n".join(content) + "</section>"


def paragraph(text: str, kind: str = "") -> str:
    return f'<p class="{kind}">{html.escape(text)}</p>' if kind else f"<p>{html.escape(text)}</p>"


COLUMNS = {
    "radius_m": "radius of the rim [m]",
    "tiles": "tiles that were looked at around the crater",
    "invalid": "1: left out of the analysis; there is no blanket, or less than 0.8 of its pixels are the crater's own",
    "blanket_radius_m": "radius of the continuous blanket [m]; 0 where there is none",
    "blanket_area_km2": "ground of the ejecta within the blanket's radius [km²]",
    "rays_area_km2": "ground of the ejecta beyond it [km²]",
    "max_distance_m": "distance of the farthest ejecta [m]",
    "connected": "how many of them hold its ejecta, by the connection network; of a tile: 1 if it does",
    "votes": "share of the ensemble's members that say so",
    "probability": "mean of the members' probabilities",
    "area_km2": "ground of the crater's ejecta [km²]; of areas with overlaps given to their owners, what it keeps",
    "owned_km2": "the same without what other craters own",
    "given_km2": "ground that other craters own [km²]",
    "total_km2": "kept and given ground together [km²]",
    "shared_fraction": "share of the ejecta's ground that other craters' ejecta cover, too",
    "overlap_km2": "ground that the ejecta of both craters cover [km²]",
    "mean_extent_m": "mean distance of the ejecta from the crater, by area [m]",
    "max_extent_m": "distance of the farthest ejecta [m]",
    "confidence": "how sure the network is, from 0 to 1",
    "support": "share of the rim that shows an edge, of where one could be seen",
    "arc": "share of the whole rim that shows an edge",
    "listed_as": "number of the crater in the list",
    "true_positive": "pixels of ejecta on the map and in truth",
    "false_positive": "pixels of ejecta on the map alone",
    "false_negative": "pixels of ejecta in truth alone",
    "dl_radius": "radius of the map's blanket [px]",
    "hm_radius": "radius of the truth's blanket [px]",
    "dl_quantile": "share of the true ejecta within the map's blanket",
    "hm_quantile": "share of the true ejecta within the truth's blanket",
    "dl_radius_m": "radius of the map's blanket [m]",
    "hm_radius_m": "radius of the truth's blanket [m]",
    "test_sets": "TV-Test splits that were trained and tested on",
    "interval_over": "what the intervals are over: splits, or the iterations of the only one",
    "runtime": "seconds of the training",
    "time_per_epoch": "seconds of an epoch",
    "parameters": "weights of the network",
    "precision": "arithmetic of the training",
    "eval_pos_index": "number of the tile",
}
"""What columns of tables mean, where their name and unit alone don't say it."""
ENDINGS = {
    "_ci95_low": "lower end of the 95 % interval",
    "_ci95_high": "upper end of the 95 % interval",
    "_mean": "mean over splits and iterations",
    "_se": "standard error of that mean",
}
LIGHTS = {
    "green": "The ground is like that of the training.",
    "amber": "Doubtful: the ground, or what was found, differs from the training.",
    "unknown": "The networks' checkpoints don't say what ground they learned from.",
    "red": "What was found means little: the ground, or what was found, is unlike the training.",
}


def traffic_light(light: str, reasons: Iterable[str]) -> str:
    """How far a map is to be trusted: green, amber or red, and why."""
    listed = "".join(f"<li>{html.escape(reason)}</li>" for reason in reasons)
    return (
        f'<div class="light {light}"><strong>{light}</strong> {LIGHTS[light]}<ul>{listed}</ul></div>'
        if listed
        else (f'<p class="light {light}"><strong>{light}</strong> {LIGHTS[light]}</p>')
    )


def picture(path: Path, caption: str, beside: Path | None = None) -> str:
    """A PNG or JPEG, held in the page itself, or shown from where it lies in the page's folder ``beside``."""
    if beside is not None:
        source = html.escape(quote(path.relative_to(beside).as_posix()))
    else:
        kind = "jpeg" if path.suffix == ".jpg" else "png"
        source = f"data:image/{kind};base64," + base64.b64encode(path.read_bytes()).decode()
    text = html.escape(caption)
    if _is_broad(path):
        shown = scrolled(f'<img class="broad" alt="{text}" loading="lazy" src="{source}">', caption)
    else:
        shown = f'<img alt="{text}" loading="lazy" src="{source}">'
    return f"<figure>{shown}<figcaption>{text}</figcaption></figure>"


def scrolled(part: str, name: str) -> str:
    """What keeps its width on a phone, where it is moved sideways."""
    return f'<div class="wide" tabindex="0" role="group" aria-label="{html.escape(name)}">{part}</div>'


def _is_broad(path: Path) -> bool:
    """Panels side by side, which nobody could read on a phone."""
    from PIL import Image

    with contextlib.suppress(OSError), Image.open(path) as picture:
        return picture.width > BROAD * picture.height
    return False


def facts(pairs: Mapping[str, object]) -> str:
    return "<dl>" + "".join(f"<dt>{html.escape(name)}</dt><dd>{html.escape(str(value))}</dd>" for name, value in pairs.items()) + "</dl>"


def files(folder: Path, described: dict[str, str]) -> str:
    """Links to the files of a folder that exist, with what each is."""
    rows = [
        f'<dt><a href="{html.escape(name)}">{html.escape(name)}</a></dt><dd>{html.escape(what)}</dd>' for name, what in described.items()
    ]
    return "<dl>" + "".join(row for row, name in zip(rows, described, strict=True) if (folder / name).exists()) + "</dl>"


def table(frame: pd.DataFrame, swatches: Mapping[Any, str] | None = None, most_rows: int = 2000) -> str:
    """A table to sort, filter and export; numbers to four digits. ``swatches``: colour by the value of the first column."""
    import pandas as pd

    texts = [not pd.api.types.is_numeric_dtype(frame[name]) for name in frame]
    head = "".join(f"<th{_text(text)}>{html.escape(str(name))}</th>" for name, text in zip(frame, texts, strict=True))
    rows = [
        "".join(_cell(value, text) for value, text in zip(row, texts, strict=True)) for row in frame.head(most_rows).itertuples(index=False)
    ]
    if swatches:
        marks = [f'<span class="swatch" style="background:{swatches.get(value, "none")}"></span>' for value in frame.iloc[:most_rows, 0]]
        rows = [row.replace(">", f">{mark}", 1) for row, mark in zip(rows, marks, strict=True)]
    more = paragraph(f"… and {len(frame) - most_rows} more rows in the CSV") if len(frame) > most_rows else ""
    body = "".join(f"<tr>{row}</tr>\n" for row in rows)
    whole = f'<div class="wide"><table class="data"><thead><tr>{head}</tr></thead><tbody>\n{body}</tbody></table></div>{more}'
    return whole + columns_key(frame)


def columns_key(names: Iterable[object]) -> str:
    """What the columns of a table mean, folded; nothing where all of them speak for themselves."""
    listed = [str(name) for name in names]
    known = {name: COLUMNS[name] for name in listed if name in COLUMNS}
    known |= {f"…{end}": what for end, what in ENDINGS.items() if any(name.endswith(end) for name in listed)}
    return f"<details><summary>What the columns mean</summary>{facts(known)}</details>" if known else ""


def _cell(value: Any, text: bool) -> str:
    import pandas as pd

    if text:
        return f'<td class="text">{html.escape("" if value is None or value != value else str(value))}</td>'
    if pd.isna(value):
        return '<td data-order=""></td>'
    shown = (
        f"{int(value):,}" if float(value).is_integer() and abs(value) < 1e15 else f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    )
    return f'<td data-order="{value:.10g}">{shown}</td>'


def _text(is_text: bool) -> str:
    return ' class="text"' if is_text else ""
