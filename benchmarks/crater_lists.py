"""Craters read from the masks that DeLatte et al. drew of two Mars tiles: how many come back, and how fast, against ring templates.

python benchmarks/crater_lists.py mars_robbins_tiles.zip [--no-speed] [--sparse]

The baseline is the published way: scikit-image's match_template of a ring for each radius. It is timed on a quarter of a tile and for a few
of the 130 radii, and multiplied.
"""

from __future__ import annotations

import argparse
import io
import tempfile
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from measure import Row, measure, show
from PIL import Image

from cratermill.craters.extract import extract
from cratermill.craters.matching import STRICT, match
from cratermill.craters.shapes import Shape

RADII = (9, 138)
TIMED_RADII = (9, 32, 64, 96, 138)
KINDS = {
    "4-px rings": ("_4_edge", Shape("ring", width_px=4)),
    "8-px rings": ("_8_edge", Shape("ring", width_px=8)),
    "discs": ("", Shape("fill")),
}
PARTS = {"1/16": 1920, "1/4": 3840, "1": 7680}


def read(path: Path) -> list[tuple[str, np.ndarray, dict[str, np.ndarray]]]:
    """(tile, circles within the range, mask by kind) of both tiles."""
    Image.MAX_IMAGE_PIXELS, tiles = None, []
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        for tile, table in (("120-150° E", "Tile_04"), ("210-240° E", "Tile_07")):
            circles = pd.read_csv(io.BytesIO(archive.read(next(name for name in names if table in name))))
            circles = circles[["LONG_X_PX", "LAT_Y_PX", "RAD_PX"]].to_numpy(float)
            circles = circles[(circles[:, 2] >= RADII[0]) & (circles[:, 2] <= RADII[1])]
            masks = {}
            for kind, (ending, _) in KINDS.items():
                name = next(name for name in names if f"_{tile[:3]}_" in name and name.endswith(f"segrng{ending}.png"))
                masks[kind] = np.asarray(Image.open(io.BytesIO(archive.read(name)))) > 0
            tiles.append((tile, circles, masks))
    return tiles


def contained(circles: np.ndarray) -> np.ndarray:
    """Which circles lie wholly inside another: a disc drawn over a disc leaves no trace."""
    apart = np.hypot(*(circles[:, None, :2] - circles[None, :, :2]).transpose(2, 0, 1))
    inside = apart + circles[:, None, 2] <= circles[None, :, 2]
    return (inside & ~np.eye(len(circles), dtype=bool)).any(1)


def quality(tiles: list) -> pd.DataFrame:
    rows = []
    for tile, circles, masks in tiles:
        hidden = contained(circles)
        for kind, (_, shape) in KINDS.items():
            drawn, mask = shape.draw(circles, masks[kind].shape), masks[kind]
            start = time.process_time()
            found = extract(mask, shape)
            taken = time.process_time() - start
            matched = match(found, circles, STRICT)
            hit = np.zeros(len(circles), bool)
            hit[matched.pairs[:, 1]] = True
            error = np.abs(found[matched.pairs[:, 0], :3] - circles[matched.pairs[:, 1]])
            rows.append(
                {"tile": tile, "mask": kind, "drawing IoU": (drawn & mask).sum() / (drawn | mask).sum(), "craters": len(circles)}
                | {"recall": hit.mean(), "precision": len(matched.pairs) / len(found), "contained": int(hidden.sum())}
                | {"recall of the others": hit[~hidden].mean(), "median error px": float(np.median(error.max(1)))}
                | {"CPU s": taken}
            )
    return pd.DataFrame(rows)


def ours(path: str) -> int:
    return len(extract(np.load(path, mmap_mode="r"), Shape("ring", width_px=4)))


def templates(path: str, radii: tuple[int, ...]) -> int:
    """The best response over rings of these radii, as published."""
    from skimage.feature import match_template

    mask = np.load(path).astype(np.float32)
    best = np.zeros_like(mask)
    for radius in radii:
        side = 2 * radius + 9
        ring = Shape("ring", width_px=4).draw(np.array([[side // 2, side // 2, radius]]), (side, side)).astype(np.float32)
        np.maximum(best, match_template(mask, ring, pad_input=True), out=best)
    return int((best > 0.5).sum())


def speed(mask: np.ndarray, folder: Path) -> None:
    paths = {}
    for name, side in PARTS.items():
        paths[name] = str(folder / f"mask-{side}.npy")
        np.save(paths[name], mask[:side, :side])
    mine = {name: measure(ours, path, runs=1) for name, path in paths.items()}
    few = measure(templates, paths["1/4"], TIMED_RADII, runs=1)
    share = 4 * (RADII[1] - RADII[0] + 1) / len(TIMED_RADII)
    theirs = replace(few, seconds=few.seconds * share, cpu_s=few.cpu_s * share)
    row = Row("craters of a 7680² mask", f"ring templates, quarter tile and {len(TIMED_RADII)} radii × {share:g}", mine["1"], theirs, 20)
    growth = ", ".join(
        f"{name} of the mask: {one.cpu_s:.1f} s CPU, {one.peak_mb:.0f} MB, {one.value} craters" for name, one in mine.items()
    )
    show([row], {"with size": growth})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("zip", type=Path)
    parser.add_argument("--no-speed", action="store_true")
    parser.add_argument("--sparse", action="store_true", help="of the two tiles that with fewer craters alone")
    options = parser.parse_args()
    tiles = read(options.zip)[1 if options.sparse else 0 :]
    if not options.no_speed:
        with tempfile.TemporaryDirectory() as folder:
            speed(tiles[0][2]["4-px rings"], Path(folder))
    print(quality(tiles).round(4).to_string(index=False))


if __name__ == "__main__":
    main()
