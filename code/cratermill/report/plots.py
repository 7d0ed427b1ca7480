"""Figures that move, drawn by plotly.js, as plain values: Python's plotly isn't needed to say what they show."""

from __future__ import annotations

import html
import json
import math
from typing import Any

import pandas as pd

from .assets import FOLDER, PLOTS
from .html import columns_key, scrolled
from .style import SAFE

SCALE = "Cividis"
"""From dark blue to yellow, read alike by the colour-blind."""
Figure = dict[str, Any]


def shown(name: str, figure: Figure, caption: str) -> str:
    """A figure in a page that has plotly.js beside it; ``name`` is an id of its own."""
    layout = {"margin": {"l": 60, "r": 20, "t": 50, "b": 60}, "font": {"family": "system-ui, sans-serif"}, "template": None}
    spec = _json({"data": figure["data"], "layout": layout | {"colorway": list(SAFE)} | figure["layout"]})
    text = html.escape(caption)
    # Drawn when it is scrolled to, or printed: a page of many figures opens at once. Menus and many axes need room, also on a phone.
    broad = "updatemenus" in figure["layout"] or any(trace.get("type") == "parcoords" for trace in figure["data"])
    place = f'<div class="plot{" broad" if broad else ""}" id="{name}" role="img" aria-label="{text}"></div>'
    place = scrolled(place, caption) if broad else place
    return (
        f"<figure>{place}<figcaption>{text}</figcaption></figure>"
        f"<script>whenSeen('{name}', () => {{ const f = {spec}; "
        f'Plotly.newPlot("{name}", f.data, f.layout, {{responsive: true, displaylogo: false}}); }});</script>'
    )


# Reading plotly.js takes a browser longer than the rest of a page: it is loaded once the page is there, so that prints have it as well.
WHEN_SEEN = f"""<script>const plotly = new Promise(done => addEventListener('load', () => setTimeout(() => {{
  const one = document.createElement('script'); one.src = '{FOLDER}/{PLOTS[0]}'; one.onload = done; document.head.append(one); }}, 50)));
function whenSeen(id, draw) {{ const place = document.getElementById(id);
  const once = () => {{ if (globalThis.Plotly && !place.dataset.drawn) {{ place.dataset.drawn = '1'; draw(); }} }};
  addEventListener('beforeprint', once); plotly.then(() => new IntersectionObserver((seen, all) => {{
    if (seen.some(one => one.isIntersecting)) {{ all.disconnect(); once(); }} }}, {{ rootMargin: '300px' }}).observe(place)); }}</script>"""


def against(table: pd.DataFrame, names: list[str], score: str) -> Figure:
    """Every version's ``score`` (mean, with its interval ``low``, ``high``) over a column to choose, coloured by another to choose."""
    scores = table[score].astype(float)
    errors = {"type": "data", "symmetric": False, "array": _list(table["high"] - scores), "arrayminus": _list(scores - table["low"])}
    said = [_words(row, names) for row in table.to_dict("records")]
    first = names[0]
    trace = {"type": "scatter", "mode": "markers", "x": _values(table[first]), "y": _list(scores), "error_y": errors | {"thickness": 1}}
    trace |= {"text": said, "hovertemplate": "%{text}<extra></extra>", "marker": {"size": 9, "color": SAFE[0], "colorscale": SCALE}}
    x = [_button(name, [{"x": [_values(table[name])]}, {"xaxis.title.text": name, "xaxis.type": _axis(table[name])}]) for name in names]
    colours = [_button("one colour", [{"marker.color": [SAFE[0]], "marker.showscale": False}])]
    colours += [
        _button(name, [{"marker.color": [_codes(table[name])[0]], "marker.showscale": True, "marker.colorbar.title.text": name}], "restyle")
        for name in names
    ]
    colours[0]["method"] = "restyle"
    menus = [_menu(x, 0.0), _menu(colours, 0.35)]
    axes = {"xaxis": {"title": {"text": first}, "type": _axis(table[first])}, "yaxis": {"title": {"text": score}}}
    return {
        "data": [trace],
        "layout": axes | {"updatemenus": menus, "hovermode": "closest", "margin": {"l": 60, "r": 20, "t": 80, "b": 60}},
    }


def parallel(table: pd.DataFrame, names: list[str], score: str) -> Figure:
    """A line per version through all columns; ranges are chosen by dragging along an axis."""
    axes: list[dict[str, Any]] = []
    for name in [*names, score]:
        codes, ticks = _codes(table[name])
        axis: dict[str, Any] = {"label": name, "values": codes}
        axes.append(axis | ({"tickvals": list(range(len(ticks))), "ticktext": ticks} if ticks else {}))
    line = {"color": _list(table[score].astype(float)), "colorscale": SCALE, "showscale": True, "colorbar": {"title": {"text": score}}}
    return {"data": [{"type": "parcoords", "dimensions": axes, "line": line}], "layout": {"margin": {"l": 80, "r": 20, "t": 70, "b": 30}}}


def curves(lines: dict[str, pd.DataFrame], metric: str) -> Figure:
    """``lines``: a version's name and its (epoch, score); a click on a name hides its line."""
    data: list[Figure] = [
        {"type": "scatter", "mode": "lines", "name": name, "x": _list(one["epoch"]), "y": _list(one[metric])} for name, one in lines.items()
    ]
    dashes = ("solid", "dash", "dot", "dashdot")
    for number, trace in enumerate(data):
        trace["line"] = {"dash": dashes[number // len(SAFE) % 4], "color": SAFE[number % len(SAFE)]}
    return {"data": data, "layout": {"xaxis": {"title": {"text": "epoch"}}, "yaxis": {"title": {"text": f"validation {metric}"}}}}


def heat(table: pd.DataFrame, score: str, across: str) -> Figure:
    """``table``: a row per version, a column per split or crater."""
    trace = {
        "type": "heatmap",
        "z": [_list(row) for _, row in table.iterrows()],
        "colorscale": SCALE,
        "colorbar": {"title": {"text": score}},
    }
    trace |= {"x": [str(name) for name in table], "y": [f"version {name}" for name in table.index]}
    axes = {"xaxis": {"type": "category", "title": {"text": across}}, "yaxis": {"type": "category", "automargin": True}}
    return {"data": [trace], "layout": axes | {"height": 140 + 22 * max(6, len(table))}}


def cost(table: pd.DataFrame, score: str, spent: str) -> Figure:
    """Score over what training took, versions by name."""
    trace: Figure = {
        "type": "scatter",
        "mode": "markers+text",
        "x": _list(table[spent]),
        "y": _list(table[score]),
        "textposition": "top center",
    }
    trace |= {"text": [str(version) for version in table["version"]], "marker": {"size": 9, "color": SAFE[0]}}
    return {"data": [trace], "layout": {"xaxis": {"title": {"text": spent}, "rangemode": "tozero"}, "yaxis": {"title": {"text": score}}}}


def rows(name: str, table: pd.DataFrame) -> str:
    """A table of many rows, as values that the table's library draws when they are scrolled to."""
    head = "".join(f"<th>{html.escape(str(column))}</th>" for column in table)
    values = [[plain(value) for value in row] for row in table.itertuples(index=False)]
    return (
        f'<script type="application/json" id="{name}">{_json(values)}</script>'
        f'<div class="wide"><table class="data" data-source="{name}"><thead><tr>{head}</tr></thead><tbody></tbody></table></div>'
        f"{columns_key(table)}"
    )


def _json(value: Any) -> str:
    """Within a page, where ``</`` would end the script."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("</", "<\\/")


def _button(label: str, args: list[Any], method: str = "update") -> dict[str, Any]:
    return {"label": label, "method": method, "args": args}


def _menu(buttons: list[dict[str, Any]], x: float) -> dict[str, Any]:
    return {"buttons": buttons, "x": x, "xanchor": "left", "y": 1.18, "yanchor": "top", "showactive": True}


def _words(row: dict[Any, Any], names: list[str]) -> str:
    return "<br>".join([f"version {row['version']}", *(f"{html.escape(name)}: {html.escape(str(row[name]))}" for name in names)])


def _axis(values: pd.Series) -> str:
    if not _is_number(values):
        return "category"
    found = values.dropna().astype(float)
    return "log" if len(found) and found.min() > 0 and found.max() / found.min() >= 100 else "linear"


def _is_number(values: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)


def _values(values: pd.Series) -> list[Any]:
    return _list(values) if _is_number(values) else ["blank" if pd.isna(value) else str(value) for value in values]


def _codes(values: pd.Series) -> tuple[list[Any], list[str]]:
    """Numbers as they are; words as codes, with the words."""
    if _is_number(values):
        return _list(values), []
    codes, words = pd.factorize(values.map(lambda value: "blank" if pd.isna(value) else str(value)), sort=True)
    return codes.tolist(), [str(word)[:24] for word in words]


def _list(values: Any) -> list[Any]:
    return [plain(value) for value in values]


def plain(value: Any) -> Any:
    """As JSON has it, four digits of a number, nothing for what is no number."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)) or value is pd.NA:
        return None
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float):
        return float(f"{value:.5g}") if math.isfinite(value) else None
    return value if isinstance(value, (int, str, bool)) else str(value)
