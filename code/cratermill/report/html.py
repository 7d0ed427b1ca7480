"""Small static pages: one file each, pictures inside, nothing fetched from anywhere."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd

from ..core.files import write_text

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 1200px; padding: 0 1rem; color: #1c2126; background: #fcfcfb; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; border-bottom: 1px solid #d8d8d4; }
figure { margin: 1rem 0; } figcaption { color: #59636b; }
img { max-width: 100%; height: auto; border: 1px solid #d8d8d4; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .86rem; }
.wide { overflow: auto; max-height: 32rem; }
th, td { padding: .2rem .7rem; text-align: right; border-bottom: 1px solid #e6e6e2; white-space: nowrap; }
th { position: sticky; top: 0; background: #f0f0ec; cursor: pointer; }
td.text, th.text { text-align: left; }
dt { font-weight: 600; } dd { margin: 0 0 .4rem 1rem; }
.warning { background: #fff3d6; padding: .5rem 1rem; border-left: 4px solid #d99a0b; }
.swatch { display: inline-block; width: .8em; height: .8em; margin-right: .5em; border: 1px solid #8886; }
"""
SORTING = """
document.querySelectorAll('th').forEach(head => head.addEventListener('click', () => {
  const body = head.closest('table').tBodies[0], column = head.cellIndex, up = head.dataset.up = head.dataset.up === '1' ? '0' : '1';
  const value = row => { const text = row.cells[column].dataset.value ?? row.cells[column].textContent;
    return text === '' ? NaN : isNaN(text) ? text : Number(text); };
  [...body.rows].sort((a, b) => { const x = value(a), y = value(b);
    return (x > y ? 1 : x < y ? -1 : 0) * (up === '1' ? 1 : -1); }).forEach(row => body.append(row));
}));
"""


def page(title: str, sections: list[str]) -> str:
    """A whole document from a title and sections of HTML."""
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{html.escape(title)}</title>'
    head += f"<style>{STYLE}</style>"
    body = "\n".join([f"<h1>{html.escape(title)}</h1>", *sections, f"<script>{SORTING}</script>"])
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>\n{body}\n</body></html>\n'


def write_page(path: Path, title: str, sections: list[str]) -> Path:
    return write_text(path, page(title, sections))


def section(heading: str, *content: str) -> str:
    return f"<section><h2>{html.escape(heading)}</h2>\n" + "\n".join(content) + "</section>"


def paragraph(text: str, kind: str = "") -> str:
    return f'<p class="{kind}">{html.escape(text)}</p>' if kind else f"<p>{html.escape(text)}</p>"


def picture(path: Path, caption: str, beside: Path | None = None) -> str:
    """A PNG, held in the page itself, or shown from where it lies in the page's folder ``beside``."""
    if beside is not None:
        source = html.escape(quote(path.relative_to(beside).as_posix()))
    else:
        source = "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
    text = html.escape(caption)
    return f'<figure><img alt="{text}" loading="lazy" src="{source}"><figcaption>{text}</figcaption></figure>'


def facts(pairs: Mapping[str, object]) -> str:
    return "<dl>" + "".join(f"<dt>{html.escape(name)}</dt><dd>{html.escape(str(value))}</dd>" for name, value in pairs.items()) + "</dl>"


def files(folder: Path, described: dict[str, str]) -> str:
    """Links to the files of a folder that exist, with what each is."""
    rows = [
        f'<dt><a href="{html.escape(name)}">{html.escape(name)}</a></dt><dd>{html.escape(what)}</dd>' for name, what in described.items()
    ]
    return "<dl>" + "".join(row for row, name in zip(rows, described, strict=True) if (folder / name).exists()) + "</dl>"


def table(frame: pd.DataFrame, swatches: dict[object, str] | None = None, most_rows: int = 2000) -> str:
    """A table that sorts by a click on its head; numbers to four digits. ``swatches``: colour by the value of the first column."""
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
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>\n{body}</tbody></table></div>{more}'


def _cell(value: Any, text: bool) -> str:
    if text:
        return f'<td class="text">{html.escape("" if value is None or value != value else str(value))}</td>'
    if pd.isna(value):
        return '<td data-value=""></td>'
    shown = f"{value:,}" if float(value).is_integer() and abs(value) < 1e15 else f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    return f'<td data-value="{value:.10g}">{shown}</td>'


def _text(is_text: bool) -> str:
    return ' class="text"' if is_text else ""
