"""Training data of one round: the labelled chips, and from the second round on those that the network before was sure of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...core.notices import notice
from ...core.seeds import seed_of
from ...samples.sampler import EpochOrder
from ...samples.splits import stratified_mask
from ...training.cell import CellParams, Datasets, Round
from ..chips_common.data import CellChips, Chips, for_batches, one_hot, parts_of, require_unlabelled
from ..chips_common.predict import logits_of, positive_probability, temperature
from .hparams import NORMS, Hparams

if TYPE_CHECKING:
    from ...config import Config
    from ...training.checkpoint import Checkpoint


@dataclass(frozen=True)
class PseudoLabels:
    """Rows of the chips' table with the probability (N,) of class 1 that a network gave them, and the class it made of it."""

    rows: np.ndarray
    probability: np.ndarray
    label: np.ndarray
    temperature: float = 1.0

    def targets(self, soft: bool) -> np.ndarray:
        if soft:
            return np.stack([1 - self.probability, self.probability], axis=1).astype(np.float32)
        return one_hot(self.label, 2)


def datasets(config: Config, params: CellParams, hparams: Hparams, round: Round) -> Datasets:
    """The validation chips stay the same in every round, unless the row asks for the original's leak."""
    folder, images, chips = parts_of(config, params, hparams)
    labels = folder.rows["label"].to_numpy()
    require_unlabelled(chips, hparams)
    train, val = chips.labelled, chips.val
    train_targets, val_targets = one_hot(labels[train], 2), one_hot(labels[val], 2)
    if round.previous is not None:
        pseudo = pseudo_labels(round.previous, hparams.of_round(round.number - 1), images, labels, chips)
        train = np.concatenate([train, pseudo.rows])
        train_targets = np.concatenate([train_targets, pseudo.targets(hparams.pseudo_labels == "soft")])
        if hparams.leaky_resplit:
            seed = seed_of(config.run.seed, "chips", "leak", params.split, params.iteration, round.number)
            train, train_targets, val, val_targets = resplit(train, train_targets, val, val_targets, hparams.val_frac, seed)
    on_device, augments = config.run.trainer.augment_on == "device", hparams.img_augment
    return Datasets(
        train=Chips(images[train], train_targets, params.seed, False if on_device else augments),
        val=Chips(images[val], val_targets),
        test=Chips(images[chips.test], one_hot(labels[chips.test], 2)),
        sampler=EpochOrder(len(train), params.seed, balanced_weights(train_targets) if hparams.balance_classes else None),
        norm=np.array(NORMS[hparams.norm], float).reshape(2, 1),
        augment=for_batches(augments, params.seed, {"image": 0}) if on_device else None,
        fixed=on_device or not augments,
    )


def balanced_weights(targets_NK: np.ndarray) -> np.ndarray:
    """Weights (N,) with which every class is drawn equally often."""
    numbers = targets_NK.argmax(axis=1)
    return 1 / np.bincount(numbers)[numbers]


def pseudo_labels(previous: Checkpoint, hparams: Hparams, images: np.ndarray, labels: np.ndarray, chips: CellChips) -> PseudoLabels:
    """What a network makes of the unlabelled chips: only those beyond one of the two limits, after calibration where it is asked for."""
    degree = 1.0
    if hparams.calibration == "temperature":
        degree = temperature(logits_of(previous, hparams, images[chips.val]), labels[chips.val])
    logits = logits_of(previous, hparams, images[chips.unlabelled])
    probability = positive_probability(logits / degree)
    below = probability < (hparams.pseudo_below if hparams.pseudo_below is not None else -1)
    above = probability > (hparams.pseudo_above if hparams.pseudo_above is not None else 2)
    chosen = below | above
    if not chosen.any():
        span = f"{probability.min():.3g} to {probability.max():.3g}" if len(probability) else "nothing to nothing"
        notice(
            f"chip_classifier version {hparams.version}: none of {len(probability)} unlabelled chips gets a pseudo-label: "
            f"probabilities run from {span}, limits are pseudo_below {hparams.pseudo_below} and pseudo_above {hparams.pseudo_above}"
        )
    return PseudoLabels(chips.unlabelled[chosen], probability[chosen], above[chosen].astype(np.int64), degree)


def resplit(
    train: np.ndarray, train_targets: np.ndarray, val: np.ndarray, val_targets: np.ndarray, fraction: float, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Training and validation drawn anew from their union, copies and former training chips wherever they fall."""
    rows, targets = np.concatenate([train, val]), np.concatenate([train_targets, val_targets])
    held = stratified_mask(targets.argmax(axis=1), fraction, seed)
    return rows[~held], targets[~held], rows[held], targets[held]
