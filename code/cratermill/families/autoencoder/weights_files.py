"""Weights from local files: this family's own, and published masked autoencoders in their authors' layout or the hub's.

Only tensors are read. Published weights expect three bands normalised by ImageNet's means and deviations; for grey crops in 0…1 their
first layer is folded into one band, so that its output is the same.
"""

from __future__ import annotations

import re
from pathlib import Path

import torch

from ...core.errors import InputError
from ...training.checkpoint import read_tensors
from .frozen import MEAN, STD
from .mae import MaskedAutoencoder

NAMES = ("model.safetensors", "pytorch_model.bin", "*.safetensors", "*.pth", "*.bin", "*.ckpt")
HUB_PARTS = (
    (r"^(vit|decoder)\.", ""),
    (r"^embeddings\.cls_token", "cls_token"),
    (r"^embeddings\.patch_embeddings\.projection", "patch_embed.proj"),
    (r"^encoder\.layer\.", "blocks."),
    (r"^decoder_layers\.", "decoder_blocks."),
    (r"^layernorm\.", "norm."),
    (r"\.attention\.output\.dense", ".attn.proj"),
    (r"\.intermediate\.dense", ".mlp.fc1"),
    (r"\.output\.dense", ".mlp.fc2"),
    (r"\.layernorm_before", ".norm1"),
    (r"\.layernorm_after", ".norm2"),
)
"""The hub's names (transformers' ViTMAE) turned into the authors'."""
FIXED = ("pos_embed", "decoder_pos_embed")
"""Sine tables, made for the row's own size."""
DECODER = ("decoder", "mask_token")
"""Published encoders may come without; a decoder is trained in any case."""


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a file, or of the weights in a folder."""
    path = file_of(path)
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise InputError(f"the weights {path} are damaged: {error}", next_step="copy them again") from error
    state = read_tensors(path)
    for key in ("state_dict", "model"):
        state = state[key] if isinstance(state, dict) and isinstance(state.get(key), dict) else state
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise InputError(f"{path} holds no weights", valid="named tensors", next_step="correct the column weights")
    return state


def file_of(path: Path) -> Path:
    """The file that a row's ``weights`` mean; ``InputError`` where there is none."""
    if path.is_file():
        return path
    found = [file for name in NAMES for file in sorted(path.glob(name))] if path.is_dir() else _in_cache(path)
    if not found:
        raise InputError(
            f"there are no weights at {path}",
            valid="a .safetensors, .bin or .pth file, a folder with one, or a name in the hub's local cache, like facebook/vit-mae-base",
            next_step="run 'cratermill weights fetch CONFIG' where there is network; nothing is fetched during a run",
        )
    return found[0]


def _in_cache(name: Path) -> list[Path]:
    """Weights of a name on the hub, if they lie in its local cache."""
    from huggingface_hub import constants, try_to_load_from_cache

    if name.is_absolute() or len(name.parts) != 2:
        return []
    files = (try_to_load_from_cache(name.as_posix(), file, cache_dir=constants.HF_HUB_CACHE) for file in NAMES[:2])
    return [Path(file) for file in files if isinstance(file, str)]


def own_state(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor] | None:
    """The state of one of this family's networks; None if these are other weights."""
    return state if any(name.startswith("model.") for name in state) else None


def load_published(model: MaskedAutoencoder, state: dict[str, torch.Tensor], path: Path, layout: str) -> None:
    """Published weights into a masked autoencoder; ``InputError`` names the layout that they have."""
    state = as_grey(authors_names(state), model.patch)
    expected = {name: value for name, value in model.state_dict().items() if name not in FIXED}
    needed = [name for name in expected if not name.startswith(DECODER)]
    fitting = {name: state[name] for name in expected if name in state and state[name].shape == expected[name].shape}
    wrong = [name for name in needed if name not in fitting]
    if wrong:
        raise InputError(
            f"{path} has another layout than {layout}: {layout_of(state)} (first difference: {wrong[0]})",
            valid=f"ViT-MAE weights with {len(model.blocks)} blocks of {model.latent_dim}, patches of {model.patch} px",
            next_step="set model_name to the layout of the weights, or name other weights",
        )
    model.load_state_dict(fitting, strict=False)


def layout_of(state: dict[str, torch.Tensor]) -> str:
    """What weights in the authors' names were made for."""
    kernel = state.get("patch_embed.proj.weight")
    if kernel is None or "blocks.0.attn.qkv.weight" not in state:
        return "it holds no masked autoencoder"
    blocks = {name.split(".")[1] for name in state if name.startswith("blocks.")}
    return f"it has {len(blocks)} blocks of {kernel.shape[0]}, patches of {kernel.shape[-1]} px"


def authors_names(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A state in the authors' names, whichever it came in; query, key and value become one matrix."""
    if not any("attention.attention.query" in name for name in state):
        return dict(state)
    renamed: dict[str, torch.Tensor] = {}
    parts: dict[tuple[str, str], dict[str, torch.Tensor]] = {}
    for name, value in state.items():
        found = re.match(r"(.*)\.attention\.attention\.(query|key|value)\.(weight|bias)$", name)
        if found:
            parts.setdefault((found[1], found[3]), {})[found[2]] = value
        else:
            renamed[_authors_name(name)] = value
    for (block, kind), part in parts.items():
        renamed[f"{_authors_name(block + '.')}attn.qkv.{kind}"] = torch.cat([part[name] for name in ("query", "key", "value")])
    return renamed


def _authors_name(name: str) -> str:
    for pattern, replacement in HUB_PARTS:
        name = re.sub(pattern, replacement, name)
    return name


def as_grey(state: dict[str, torch.Tensor], patch: int) -> dict[str, torch.Tensor]:
    """First and last layer for one band of 0…1 instead of three normalised ones; the same numbers come out for grey images."""
    state = dict(state)
    kernel, bias = state.get("patch_embed.proj.weight"), state.get("patch_embed.proj.bias")
    mean, std = torch.tensor(MEAN), torch.tensor(STD)
    if kernel is not None and bias is not None and kernel.ndim == 4 and kernel.shape[1] == 3:
        scaled = kernel / std[:, None, None]
        state["patch_embed.proj.weight"] = scaled.sum(1, keepdim=True)
        state["patch_embed.proj.bias"] = bias - (scaled * mean[:, None, None]).sum((1, 2, 3))
    last = state.get("decoder_pred.weight")
    if last is not None and last.shape[0] == 3 * patch**2:
        # Pixels of a patch are stored band last; grey is the mean of the bands after normalisation is undone.
        state["decoder_pred.weight"] = (last.view(patch**2, 3, -1) * std[:, None]).mean(1)
        state["decoder_pred.bias"] = (state["decoder_pred.bias"].view(patch**2, 3) * std + mean).mean(1)
    return state
