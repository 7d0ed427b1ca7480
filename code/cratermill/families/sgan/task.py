"""The two players: a discriminator that classifies and tells real from generated, and a generator that must please it.

T. Salimans, I. Goodfellow, W. Zaremba, V. Cheung, A. Radford and X. Chen, Improved Techniques for Training GANs, 2016, section 5.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from ...networks.small_classifiers import NOISE_SIZE, Discriminator, Generator, real_logit
from ...training.normalised import Normalised
from ...training.optim import build_optimizer, build_scheduler
from ...training.task import Batch
from ..chips_common.task import ChipScoring, ClassifierTask, classification_loss
from .hparams import Hparams

SHEET = 40
"""Generated chips on a sheet of samples, always from the same noise."""
EMA_START = 10
"""Steps over which the moving average begins to keep more than it takes."""


def build_task(hparams: Hparams, norm: np.ndarray) -> ChipScoring:
    if hparams.method == "cnn":
        return ClassifierTask(hparams, hparams.build_network(), norm, hparams.classes)
    return SganTask(hparams, norm)


class SganTask(ChipScoring):
    """``network`` is the tested classifier: the moving average of ``discriminator``, raw chips in, K logits out.

    Part 0 teaches the discriminator (labels, real chips, generated chips), part 1 the generator. In the unshared variant another one,
    ``apart``, tells real from generated.
    """

    parts = 2
    network: Normalised
    steps: torch.Tensor
    sheet_noise: torch.Tensor

    def __init__(self, hparams: Hparams, norm: np.ndarray):
        super().__init__()
        self.hparams, self.classes = hparams, hparams.classes
        self.discriminator = hparams.build_network()
        self.apart = hparams.build_network() if hparams.method == "sgan_unshared" else None
        self.generator = Generator(hparams.chip_size_px, hparams.generator_width)
        self.network = Normalised(copy.deepcopy(self.discriminator), norm).requires_grad_(False)
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.register_buffer("sheet_noise", torch.randn(SHEET, NOISE_SIZE))

    def optimizers(self) -> list[tuple[torch.optim.Optimizer, Any]]:
        """The discriminators' and the generator's; they follow the same schedule."""
        players = nn.ModuleList([self.discriminator] if self.apart is None else [self.discriminator, self.apart])
        theirs = self.hparams.model_copy(update={"lr": self.hparams.generator_lr or self.hparams.lr})
        pairs = [build_optimizer(self.hparams, players), build_optimizer(theirs, self.generator)]
        return [(optimizer, build_scheduler(self.hparams, optimizer)) for optimizer in pairs]

    @property
    def critic(self) -> Discriminator:
        """Who tells real from generated."""
        return self.discriminator if self.apart is None else self.apart

    def forward(self, batch: Batch, part: int = 0) -> torch.Tensor:
        return self.discriminator_loss(batch) if part == 0 else self.generator_loss(batch)

    # --- discriminator ---------------------------------------------------------------------------------------------------

    def discriminator_loss(self, batch: Batch) -> torch.Tensor:
        """Cross-entropy of the labelled chips, and of "real" for unlabelled and "generated" for generated ones."""
        labelled, real = self.normalised(batch["image"]), self.normalised(batch["unlabelled"])
        with torch.no_grad():
            generated = self.generated(len(real))
        if self.apart is None:
            logits = self.discriminator(self.noisy(torch.cat([labelled, real, generated]))).float()
            known, real_logits, generated_logits = logits.split([len(labelled), len(real), len(generated)])
        else:
            known = self.discriminator(self.noisy(labelled)).float()
            real_logits, generated_logits = self.critic(self.noisy(torch.cat([real, generated]))).float().split([len(real), len(generated)])
        unsupervised = 0.5 * (believed(real_logits).mean() + doubted(generated_logits).mean())
        return classification_loss(known, batch["target"]) + self.hparams.unsupervised_weight * unsupervised

    def normalised(self, chips: torch.Tensor) -> torch.Tensor:
        return (chips - self.network.offset[:, None, None]) / self.network.divisor[:, None, None]

    def noisy(self, chips: torch.Tensor) -> torch.Tensor:
        return chips + self.hparams.input_noise * torch.randn_like(chips) if self.hparams.input_noise else chips

    # --- generator -------------------------------------------------------------------------------------------------------

    def generator_loss(self, batch: Batch) -> torch.Tensor:
        """Mean squared difference of mean features, or how little the discriminator believes in the generated chips."""
        real = self.normalised(batch["unlabelled"])
        generated = self.generated(len(real))
        with frozen(self.critic):
            if self.hparams.generator_loss == "non_saturating":
                return believed(self.critic(self.noisy(generated)).float()).mean()
            with torch.no_grad():
                wanted = self.critic.features(self.noisy(real)).float().mean(dim=0)
            return functional.mse_loss(self.critic.features(self.noisy(generated)).float().mean(dim=0), wanted)

    def generated(self, count: int) -> torch.Tensor:
        """Chips (count, 1, s, s), −1…1, from fresh noise."""
        noise = torch.randn(count, NOISE_SIZE, device=self.sheet_noise.device)
        return self.generator(noise).float()

    # --- after steps and epochs --------------------------------------------------------------------------------------------

    @torch.no_grad()
    def after_step(self) -> None:
        """Let the tested weights follow; early on faster, so that the first weights are soon forgotten."""
        self.steps += 1
        steps = int(self.steps)
        keep = min(self.hparams.ema, steps / (EMA_START + steps))
        for tested, trained in zip(self.network.network.parameters(), self.discriminator.parameters(), strict=True):
            tested.lerp_(trained, 1 - keep)

    @torch.no_grad()
    def end_epoch(self, epoch: int, folder: Path) -> None:
        """``samples/epoch_NNNN.png``, and the newest as ``samples/last.png``."""
        write_samples(folder / "samples", epoch, self.generator(self.sheet_noise))


def believed(logits: torch.Tensor) -> torch.Tensor:
    """−log D(x) (B,)."""
    return functional.softplus(-real_logit(logits))


def doubted(logits: torch.Tensor) -> torch.Tensor:
    """−log(1 − D(x)) (B,)."""
    return functional.softplus(real_logit(logits))


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """No gradients for a module's own weights, which the other player's step doesn't change."""
    parameters = [one for one in module.parameters() if one.requires_grad]
    for one in parameters:
        one.requires_grad_(False)
    try:
        yield
    finally:
        for one in parameters:
            one.requires_grad_(True)


def write_samples(folder: Path, epoch: int, generated: torch.Tensor) -> None:
    from PIL import Image

    from ...core.files import atomic_path
    from ..chips_common.pictures import chip_sheet

    sheet = Image.fromarray(chip_sheet((generated[:, 0].float().cpu().numpy() + 1) * 127.5))
    for name in (f"epoch_{epoch:04d}.png", "last.png"):
        with atomic_path(folder / name) as temporary:
            sheet.save(temporary)
