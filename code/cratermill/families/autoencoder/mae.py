"""The masked autoencoder (He et al. 2022, arXiv:2111.06377) in the layout of its published weights, for grey crops.

Module names are those of the authors' files (``blocks.0.attn.qkv.weight``, ``decoder_blocks…``); :mod:`.mae_weights` reads those files and
the hub's. The colour input of published weights is folded into one grey channel without loss.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from .layouts import Layout
from .model import LatentModel


class MaskedAutoencoder(LatentModel):
    """Grey crops (B, 1, S, S) in 0…1; most patches are hidden and their pixels predicted from the others.

    ``latent``: ``cls`` or ``mean`` (of the patches), both with nothing hidden. ``freeze_until`` n: embedding and the first n encoder
    blocks are never trained, the decoder always is. ``norm_pix`` predicts each patch in units of its own deviation.
    """

    pos_embed: torch.Tensor
    decoder_pos_embed: torch.Tensor

    def __init__(
        self, layout: Layout, size_px: int, mask_ratio: float = 0.75, latent: str = "cls", freeze_until: int = 0, norm_pix: bool = False
    ):
        super().__init__()
        self.size_px, self.patch, self.mask_ratio, self.latent, self.norm_pix = (
            size_px,
            layout.patch_px(size_px),
            mask_ratio,
            latent,
            norm_pix,
        )
        self.side, self.latent_dim = size_px // self.patch, layout.dim
        projection = nn.Conv2d(1, layout.dim, self.patch, stride=self.patch)
        self.patch_embed = nn.ModuleDict({"proj": projection})
        self.cls_token = nn.Parameter(torch.zeros(1, 1, layout.dim))
        self.register_buffer("pos_embed", positions(layout.dim, self.side))
        self.blocks = _blocks(layout.dim, layout.heads, layout.depth)
        self.norm = nn.LayerNorm(layout.dim, eps=1e-6)
        self.decoder_embed = nn.Linear(layout.dim, layout.decoder_dim)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, layout.decoder_dim))
        self.register_buffer("decoder_pos_embed", positions(layout.decoder_dim, self.side))
        self.decoder_blocks = _blocks(layout.decoder_dim, layout.decoder_heads, layout.decoder_depth)
        self.decoder_norm = nn.LayerNorm(layout.decoder_dim, eps=1e-6)
        self.decoder_pred = nn.Linear(layout.decoder_dim, self.patch**2)
        self._initialise(projection)
        self.freeze(freeze_until)

    def freeze(self, blocks: int) -> None:
        """Stop training of the embedding and the first so many blocks; 0 frees all."""
        frozen = [self.patch_embed, *self.blocks[:blocks]] if blocks else []
        for module in frozen:
            module.requires_grad_(False)
        self.cls_token.requires_grad_(not frozen)

    def latents(self, crops_B1HW: torch.Tensor) -> torch.Tensor:
        tokens = self._encode(self._embed(crops_B1HW))
        return tokens[:, 0] if self.latent == "cls" else tokens[:, 1:].mean(1)

    def loss(self, crops_B1HW: torch.Tensor, generator: torch.Generator | None = None) -> torch.Tensor:
        """Mean squared error over the pixels of the hidden patches."""
        shown, hidden = self.draw(len(crops_B1HW), generator, crops_B1HW.device)
        target = self._target(self.patchify(crops_B1HW))
        error = (self.predict(crops_B1HW, shown).float() - target).square().mean(2)
        return error.gather(1, hidden).mean()

    def reconstruct(self, crops_B1HW: torch.Tensor, generator: torch.Generator | None = None) -> torch.Tensor:
        """Crops whose hidden patches are predicted, the shown ones as they are; the same patches on every call."""
        generator = generator or torch.Generator().manual_seed(0)
        shown, _ = self.draw(len(crops_B1HW), generator, crops_B1HW.device)
        patches = self.patchify(crops_B1HW)
        predicted = self.predict(crops_B1HW, shown).float()
        if self.norm_pix:
            predicted = predicted * _deviation(patches) + patches.mean(2, keepdim=True)
        known = torch.zeros(patches.shape[:2], dtype=torch.bool, device=patches.device).scatter_(1, shown, True)
        return self.unpatchify(torch.where(known[..., None], patches, predicted))

    def draw(self, count: int, generator: torch.Generator | None, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """Numbers (count, ·) of the patches to show and of those to hide; at least one of each."""
        patches = self.side**2
        keep = min(max(round(patches * (1 - self.mask_ratio)), 1), patches - 1)
        order = torch.rand(count, patches, generator=generator).argsort(1).to(device)
        return order[:, :keep], order[:, keep:]

    def predict(self, crops_B1HW: torch.Tensor, shown: torch.Tensor) -> torch.Tensor:
        """Pixels (B, patches, patch²) of all patches, from those shown."""
        tokens = self._embed(crops_B1HW).gather(1, shown[..., None].expand(-1, -1, self.latent_dim))
        tokens = self.decoder_embed(self._encode(tokens))
        whole = self.mask_token.to(tokens.dtype).expand(len(tokens), self.side**2, -1)
        whole = whole.scatter(1, shown[..., None].expand(-1, -1, tokens.shape[2]), tokens[:, 1:])
        tokens = torch.cat([tokens[:, :1], whole], 1) + self.decoder_pos_embed
        for block in self.decoder_blocks:
            tokens = block(tokens)
        return self.decoder_pred(self.decoder_norm(tokens))[:, 1:]

    def patchify(self, crops_B1HW: torch.Tensor) -> torch.Tensor:
        """(B, patches, patch²), row by row."""
        return nn.functional.unfold(crops_B1HW, self.patch, stride=self.patch).transpose(1, 2)

    def unpatchify(self, patches: torch.Tensor) -> torch.Tensor:
        return nn.functional.fold(patches.transpose(1, 2), self.size_px, self.patch, stride=self.patch)

    def _embed(self, crops_B1HW: torch.Tensor) -> torch.Tensor:
        return self.patch_embed["proj"](crops_B1HW).flatten(2).transpose(1, 2) + self.pos_embed[:, 1:]

    def _encode(self, tokens: torch.Tensor) -> torch.Tensor:
        first = (self.cls_token + self.pos_embed[:, :1]).expand(len(tokens), -1, -1)
        tokens = torch.cat([first.to(tokens.dtype), tokens], 1)
        for block in self.blocks:
            tokens = block(tokens)
        return self.norm(tokens)

    def _target(self, patches: torch.Tensor) -> torch.Tensor:
        return (patches - patches.mean(2, keepdim=True)) / _deviation(patches) if self.norm_pix else patches

    def _initialise(self, projection: nn.Conv2d) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        nn.init.xavier_uniform_(projection.weight.data.view(self.latent_dim, -1))
        for token in (self.cls_token, self.mask_token):
            nn.init.normal_(token, std=0.02)


def _deviation(patches: torch.Tensor) -> torch.Tensor:
    return (patches.var(2, keepdim=True) + 1e-6).sqrt()


def _blocks(dim: int, heads: int, depth: int) -> nn.ModuleList:
    from timm.models.vision_transformer import Block

    norm: Any = partial(nn.LayerNorm, eps=1e-6)  # the library asks for a class, and means anything that makes a layer
    return nn.ModuleList([Block(dim, heads, mlp_ratio=4, qkv_bias=True, norm_layer=norm) for _ in range(depth)])


def positions(dim: int, side: int) -> torch.Tensor:
    """Fixed sine and cosine embedding (1, 1 + side², dim): first half by column, second by row, zeros for the CLS token."""
    frequency = 1 / 10000 ** (np.arange(dim // 4) / (dim // 4))
    row, col = np.divmod(np.arange(side**2), side)
    parts = [wave(at[:, None] * frequency) for at in (col, row) for wave in (np.sin, np.cos)]
    table = np.concatenate([np.zeros((1, dim)), np.concatenate(parts, axis=1)])
    return torch.from_numpy(table).float()[None]
