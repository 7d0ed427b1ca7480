"""Whether imported tiles show what the mosaic shows at their place, which is what evaluation and mapping will look at."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..core.frames import rows_of
from ..families.ejecta_common import tile_images as views
from ..samples.store import Store
from .npy_tiles import Kind

if TYPE_CHECKING:
    from ..families.ejecta_common.craters import Crater
    from ..geo.mosaic import Mosaic

LOOKED_AT = 12
ALIKE, SAME_SCALE = 0.6, 1.5
"""The least correlation and the largest ratio of means at which two pictures count as the same."""


def disagreements(kind: Kind, folder: Path, size_px: int, mosaic: Mosaic, craters: list[Crater]) -> list[str]:
    """What is unlike in some tiles of a stack, in words; empty if they agree with the mosaic."""
    stack, by_fid = Store(folder), {crater.fid: crater for crater in craters}
    rows, found = stack.rows(), stack.array("image")
    chosen = rows.iloc[:: max(1, len(rows) // LOOKED_AT)]
    sampled = [_sampled(kind, mosaic, by_fid[int(row.crat_FID)], chosen.loc[[row.Index]], size_px) for row in rows_of(chosen)]
    ours = np.concatenate(sampled)
    theirs = np.asarray(found[chosen.index])
    words = [text for name, part in _parts(kind, size_px) if (text := _compare(name, theirs[..., part], ours[..., part]))]
    if kind.ratio == 2:
        words += _layout(stack.array(kind.second)[chosen.index], size_px)
    return words


def _sampled(kind: Kind, mosaic: Mosaic, crater: Crater, table, size_px: int) -> np.ndarray:
    if kind.ratio == 1:
        return views.square_images(mosaic, crater.grid(mosaic.grid), table, size_px)
    from ..families.connection.hparams import Hparams

    return views.pair_images(mosaic, crater, table, "pair", size_px, Hparams.model_fields["pair_crater_radii"].default)[0]


def _parts(kind: Kind, size_px: int) -> list[tuple[str, slice]]:
    """Columns of an image that are compared for themselves."""
    if kind.ratio == 1:
        return [("the tiles", slice(None))]
    return [("the halves with the crater", slice(None, size_px // 2)), ("the halves with the tile", slice(size_px // 2, None))]


def _compare(name: str, theirs: np.ndarray, ours: np.ndarray) -> str | None:
    theirs, ours = (pictures.reshape(len(pictures), -1).astype(np.float64) for pictures in (theirs, ours))
    varied = (theirs.std(1) > 0) & (ours.std(1) > 0)
    if not varied.any():
        return None
    alike = float(np.median([np.corrcoef(*pair)[0, 1] for pair in zip(theirs[varied], ours[varied], strict=True)]))
    if alike < ALIKE:
        return f"{name} differ from what the mosaic shows there (correlation {alike:.2f})"
    means = float(np.median(theirs.mean(1))), float(np.median(ours.mean(1)))
    if max(means) > SAME_SCALE * max(min(means), 1e-9):
        return f"{name} have other values than the mosaic (mean {means[0]:.4g}, mosaic {means[1]:.4g})"
    return None


def _layout(attention: np.ndarray, size_px: int) -> list[str]:
    half = size_px // 2
    sides = (attention[..., :half] == views.CRATER).all() and (attention[..., half:] == views.TILE).all()
    return [] if sides else ["the attention channel is not 1 in the left half and 2 in the right half"]
