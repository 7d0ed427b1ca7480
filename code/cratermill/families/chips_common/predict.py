"""What a trained classifier says about chips, and how sure it may be of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ...training.checkpoint import Checkpoint
from ...training.normalised import Normalised

BATCH = 512


def classifier(checkpoint: Checkpoint, hparams: Any) -> Normalised:
    """The network of a checkpoint with its normalisation inside, ready to predict from raw chips (B, 1, s, s)."""
    network = Normalised(hparams.build_network(pretrained=False), checkpoint.norm)
    network.load_state_dict(checkpoint.state_dict)
    return network.eval()


@torch.no_grad()
def logits_of(checkpoint: Checkpoint, hparams: Any, images_NHW: np.ndarray) -> np.ndarray:
    """Logits (N, K or 1) float64 of chips (N, s, s) uint8, in 32 bits on the CPU, so that they do not depend on the machine's devices."""
    network = classifier(checkpoint, hparams)
    parts = [images_NHW[start : start + BATCH] for start in range(0, len(images_NHW), BATCH)]
    found = [network(torch.from_numpy(part[:, None].astype(np.float32))).double().numpy() for part in parts]
    return np.concatenate(found) if found else np.zeros((0, 1))


def probabilities(logits: np.ndarray) -> np.ndarray:
    """(N, K) from logits (N, K); from (N, 1), those of two classes."""
    from .class_scores import class_probabilities

    return class_probabilities(torch.from_numpy(logits)).numpy()


def positive_probability(logits: np.ndarray) -> np.ndarray:
    """Probability (N,) of the second of two classes."""
    return probabilities(logits)[:, 1]


def temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The number by which logits must be divided for the likeliest probabilities of these labels (Guo et al. 2017), 0.05 to 20."""
    from scipy.optimize import minimize_scalar

    def loss(exponent: float) -> float:
        chosen = probabilities(logits / np.exp(exponent))[np.arange(len(labels)), labels]
        return float(-np.log(np.maximum(chosen, 1e-12)).mean())

    limit = np.log(20.0)
    return float(np.exp(minimize_scalar(loss, bounds=(-limit, limit), method="bounded").x))
