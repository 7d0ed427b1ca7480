"""Training data: every real chip once per epoch, each beside a labelled one; the same labelled chips for every method."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...core.seeds import seed_of
from ...samples.sampler import EpochOrder
from ...training.cell import CellParams, Datasets
from ..chips_common.data import OTHER_BITS, Chips, Mixed, for_batches, one_hot, parts_of, require_unlabelled

if TYPE_CHECKING:
    from ...config import Config
    from .hparams import Hparams

NORM = np.array([[127.5], [127.5]])
"""Grey values go to −1…1, the range of the generator's chips."""


def datasets(config: Config, params: CellParams, hparams: Hparams) -> Datasets:
    """The order of the chips follows from the run's seed, split and iteration, so that methods are compared on equal batches."""
    folder, images, chips = parts_of(config, params, hparams)
    require_unlabelled(chips, hparams)
    labels = folder.rows["label"].to_numpy()
    real = np.concatenate([chips.labelled, chips.unlabelled])
    seed = seed_of(config.run.seed, "chips", "order", params.split, params.iteration)
    on_device = config.run.trainer.augment_on == "device"
    known = Chips(
        images[chips.labelled], one_hot(labels[chips.labelled], hparams.classes), seed, False if on_device else hparams.img_augment
    )
    return Datasets(
        train=Mixed(images[real], known, seed),
        val=Chips(images[chips.val], one_hot(labels[chips.val], hparams.classes)),
        test=Chips(images[chips.test], one_hot(labels[chips.test], hparams.classes)),
        sampler=EpochOrder(len(real), seed),
        norm=NORM,
        augment=for_batches(hparams.img_augment, seed, {"image": 0, "unlabelled": OTHER_BITS}) if on_device else None,
    )
