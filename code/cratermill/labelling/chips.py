"""Chips labelled on a contact sheet: a page of its own, with keys, that needs no server; its table of labels becomes folders of classes."""

from __future__ import annotations

import base64
import datetime
import hashlib
import html
import io
import json
import re
from collections import Counter
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from ..core.delimited import read_frame
from ..core.errors import InputError, nearest
from ..core.files import atomic_path, write_table, write_text
from ..core.frames import rows_of
from ..families.chips_common.chipset import UNLABELLED, ChipSet
from ..families.chips_common.prepare import ChipFolder
from ..families.chips_common.readers import read_unlabelled
from ..report.html import page

LABELS = "labels.csv"
COLUMNS = ["name", "label", "pixels_sha256"]
MOST_CLASSES = 9


@dataclass(frozen=True)
class Sheet:
    """What a page shows: chips (n), how many there are in all, and how many of the shown ones have a label to begin with."""

    shown: int
    of: int
    labelled: int


def read_chips(path: Path, classes: list[str]) -> ChipSet:
    """Every chip below a folder, in a zip, in an .npy stack or among those that prepare made; labels by folder or table, −1 without."""
    prepared = ChipFolder(path)
    if prepared.store.exists:
        rows = prepared.rows
        return ChipSet(list(prepared.images(prepared.sizes()[-1])), rows["label"].to_numpy(np.int64), rows["name"].astype(str).tolist())
    found = read_unlabelled(path)
    folders = [Path(name).parent.name for name in found.names]
    return ChipSet(found.images, np.array([classes.index(one) if one in classes else UNLABELLED for one in folders]), found.names)


def write_sheet(source: Path, into: Path, classes: list[str], scores: Path | None = None, most: int = 1000) -> Sheet:
    """A page of chips to label. ``scores``: a table of predictions (``name``, ``p_{class}``), by which the least sure come first."""
    _require_classes(classes)
    if into.suffix != ".html":
        raise InputError(f"a page can't be written to {into}", valid="FILE.html")
    chips = read_chips(source, classes)
    guesses, order = _ordered(chips, scores, classes) if scores else ({}, range(len(chips)))
    shown = [_shown(chips, row, guesses.get(chips.names[row], "")) for row in list(order)[:most]]
    given = [one["label"] for one in shown if one["label"] != UNLABELLED]
    facts = {"classes": classes, "chips": shown, "file": LABELS, "columns": COLUMNS}
    # "<" would end the script where a name holds it.
    data = json.dumps(facts).replace("<", "\\u003c")
    script = files("cratermill.labelling").joinpath("contact_sheet.js").read_text(encoding="utf-8")
    keys = ", ".join(f"{number} {html.escape(name)}" for number, name in enumerate(classes, 1))
    how = f"<p>Keys: {keys}, 0 none, arrows to move. Export ends the round; the page remembers labels until then.</p>"
    body = f'{how}<div id="sheet"></div><script type="application/json" id="chips">{data}</script><script>{script}</script>'
    write_text(into, page(f"Chips of {source.name}", [body]))
    return Sheet(len(shown), len(chips), len(given))


def _shown(chips: ChipSet, row: int, guess: str) -> dict[str, object]:
    content = io.BytesIO()
    Image.fromarray(chips.images[row]).save(content, "PNG")
    picture = "data:image/png;base64," + base64.b64encode(content.getvalue()).decode()
    label = int(chips.labels[row])
    return {"name": chips.names[row], "label": label, "picture": picture, "digest": digest_of(chips.images[row]), "guess": guess}


def _ordered(chips: ChipSet, scores: Path, classes: list[str]) -> tuple[dict[str, str], list[int]]:
    """The network's guess of each named chip, and rows with the least sure guess first, those without one at the end."""
    table, needed = read_frame(scores), [f"p_{name}" for name in classes]
    if missing := [name for name in ("name", *needed) if name not in table]:
        given = f"{scores} lacks the columns {missing}; it has {list(table)}"
        raise InputError(given, valid="predictions.csv of a version, of the same classes")
    known = dict(zip(table["name"].astype(str), table[needed].to_numpy(float), strict=True))
    if not set(known) & set(chips.names):
        raise InputError(f"{scores} names none of these chips", valid=nearest(chips.names[0], known), next_step="name their predictions")
    sure = [float(known[name].max()) if name in known else np.inf for name in chips.names]
    guesses = {name: f"{classes[int(p.argmax())]} {p.max():.2f}" for name, p in known.items()}
    return guesses, np.argsort(sure, kind="stable").tolist()


def take_labels(labels: Path, source: Path, into: Path, classes: list[str], by: str) -> Counter[str]:
    """Write labelled chips as ``into/{class}/….png``, which chip families read; one labelled anew moves. Returns how many by class.

    ``into/labels.csv`` keeps who labelled what, and when. InputError names labels that are no class, and chips that the source lacks.
    """
    _require_classes(classes)
    chips = read_chips(source, classes)
    wanted = _labels(labels, chips, classes)
    log, now = into / LABELS, datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    rows = []
    for row, label in wanted.items():
        digest, stem = digest_of(chips.images[row]), re.sub(r"[^A-Za-z0-9._-]+", "_", Path(chips.names[row]).stem)[-80:]
        target = into / label / f"{stem}_{digest[:12]}.png"
        with atomic_path(target) as temporary:
            Image.fromarray(chips.images[row]).save(temporary, "PNG")
        for other in classes:
            if other != label:
                (into / other / target.name).unlink(missing_ok=True)
        rows.append((now, by, chips.names[row], label, digest, f"{label}/{target.name}"))
    table = pd.DataFrame(rows, columns=["time", "by", *COLUMNS, "file"])
    write_table(log, pd.concat([read_frame(log), table], ignore_index=True) if log.exists() else table)
    return Counter(wanted.values())


def _labels(path: Path, chips: ChipSet, classes: list[str]) -> dict[int, str]:
    """Rows of chips and their labels; blank ones are left out."""
    table = read_frame(path, texts=True)
    if missing := [name for name in COLUMNS if name not in table]:
        raise InputError(f"{path} lacks the columns {missing}; it has {list(table)}", valid=", ".join(COLUMNS))
    at = {name: row for row, name in enumerate(chips.names)}
    found: dict[int, str] = {}
    for number, line in enumerate(rows_of(table), start=1):
        if not str(line.label or "").strip() or line.label != line.label:
            continue
        where = f"{path}, row {number}"
        if line.label not in classes:
            raise InputError(f"{where}: label is {line.label}", valid=nearest(line.label, classes), next_step="correct it, or --classes")
        row = at.get(str(line.name))
        if row is None or digest_of(chips.images[row]) != line.pixels_sha256:
            what = "isn't there" if row is None else "isn't the one that was labelled"
            raise InputError(f"{where}: the chip {line.name} {what}", valid="labels of the chips of this source")
        if found.setdefault(row, line.label) != line.label:
            raise InputError(f"{where}: {line.name} has two labels", next_step="remove one of them")
    if not found:
        raise InputError(f"{path} holds no labels", next_step="label chips on the page, and export them")
    return found


def digest_of(image: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(image).tobytes() + str(image.shape).encode()).hexdigest()[:32]


def _require_classes(classes: list[str]) -> None:
    odd = [name for name in classes if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._ -]*", name)]
    if odd or not 2 <= len(classes) <= MOST_CLASSES or len(set(classes)) < len(classes):
        valid = f"2 to {MOST_CLASSES} different names of folders: letters, digits, blanks, . _ -"
        raise InputError(f"classes {', '.join(classes) or '(none)'}", valid=valid)
