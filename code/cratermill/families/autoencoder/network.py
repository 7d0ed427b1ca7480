"""The network of a row: pixels, an encoder, and one interface for all of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from ...core.errors import InputError
from .input_scaling import Pixels
from .model import LatentModel

if TYPE_CHECKING:
    from .hparams import Hparams


class LatentNetwork(nn.Module):
    """Raw grey crops (B, 1, S, S), 0…255, to latents (B, D)."""

    pixels: Pixels
    model: LatentModel

    def __init__(self, pixels: Pixels, model: LatentModel, transform: str = "none"):
        super().__init__()
        self.pixels, self.model, self.transform = pixels, model, transform

    @property
    def latent_dim(self) -> int:
        return self.model.latent_dim

    def forward(self, crops_B1HW: torch.Tensor) -> torch.Tensor:
        if self.transform == "none":
            return self.model.latents(self.pixels(crops_B1HW)).float()
        turned = [self.model.latents(self.pixels(crops)).float() for crops in dihedral(crops_B1HW)]
        return torch.stack(turned).mean(0)

    def loss(self, crops_B1HW: torch.Tensor, generator: torch.Generator | None = None) -> torch.Tensor:
        return self.model.loss(self.pixels(crops_B1HW), generator)

    def reconstruct(self, crops_B1HW: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor] | None:
        """The crops as the encoder sees them and their reconstructions, (B, 1, S, S) in 0…1 each; None without a decoder."""
        seen = self.pixels(crops_B1HW)
        made = self.model.reconstruct(seen)
        return None if made is None else (seen, made.float())


def dihedral(crops: torch.Tensor) -> list[torch.Tensor]:
    """The 8 flips and right-angle turns of square crops."""
    return [torch.rot90(side, turns, (2, 3)) for side in (crops, crops.flip(3)) for turns in range(4)]


def build_network(row: Hparams, pretrained: bool | None = None) -> LatentNetwork:
    """The network of a row with its first weights; ``pretrained`` False leaves them random. Raises ``InputError`` where they don't fit."""
    load = pretrained is not False
    network = LatentNetwork(Pixels(row.normalise, row.high_pass, row.crop_px), _model(row, load), row.latent_transform)
    if load and row.weights:
        _load_weights(network, Path(row.weights), row)
    return network


def _model(row: Hparams, load: bool) -> LatentModel:
    if row.model_name == "cae":
        from .cae import ConvAutoencoder

        return ConvAutoencoder(row.crop_px, row.latent_dim)
    if row.model_name == "backbone":
        from .frozen import FrozenBackbone

        return FrozenBackbone(row.backbone or "", row.crop_px, load and row.pretrained)
    from .layouts import LAYOUTS
    from .mae import MaskedAutoencoder

    return MaskedAutoencoder(LAYOUTS[row.model_name], row.crop_px, row.mask_ratio, row.latent, row.freeze_until, row.norm_pix)


def _load_weights(network: LatentNetwork, path: Path, row: Hparams) -> None:
    """Weights of an earlier ``autoencoder.pth``, or published ones of a masked autoencoder."""
    from .mae import MaskedAutoencoder
    from .weights_files import load_published, own_state, read_weights

    state = read_weights(path)
    own = own_state(state)
    if own is not None:
        load_own(network, own, path, row)
    elif row.is_mae:
        assert isinstance(network.model, MaskedAutoencoder)
        load_published(network.model, state, path, row.model_name)
    else:
        raise InputError(
            f"{path} holds no weights of a {row.model_name}",
            valid="an autoencoder.pth of such a row",
            next_step="correct the column weights",
        )


def load_own(network: LatentNetwork, state: dict[str, torch.Tensor], path: Path, row: Hparams) -> None:
    """Weights of this family's own files; refuses those of another latent size, crop size or model by name."""
    expected = network.state_dict()
    wrong = [name for name in expected if name not in state or state[name].shape != expected[name].shape]
    wrong += [name for name in state if name not in expected]
    if not wrong:
        network.load_state_dict(state)
        return
    found, wanted = described(state), f"{row.model_name} with latents of {network.latent_dim} and crops of {row.crop_px} px"
    raise InputError(
        f"{path} does not fit row {row.version}: {found}, the row says {wanted} (first difference: {wrong[0]})",
        valid="weights of the same model_name, latent_dim and crop_px",
        next_step="correct the row, or name other weights",
    )


def described(state: dict[str, torch.Tensor]) -> str:
    """What a state of this family was made for, as far as its shapes say."""
    last = [tensor for name, tensor in state.items() if name.startswith("model.encoder.") and name.endswith("weight")]
    if last:
        return f"it holds a cae with latents of {last[-1].shape[0]}"
    blocks = {name.split(".")[2] for name in state if name.startswith("model.blocks.")}
    if blocks:
        return f"it holds a mae of {len(blocks)} blocks of {state['model.cls_token'].shape[-1]}"
    return "it holds another network"
