"""One row of ``autoencoder_version_hparams.csv``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from ...training.fields import Flag, Integer, Number, OneOf
from ...training.hparams import RowHparams
from ...training.registry import scheduler_names
from .layouts import nearest_divisor

PLATEAU = "ReduceLROnPlateau"
Model = Literal["cae", "mae_small", "mae_base", "mae_large", "mae_huge", "backbone"]
ClusterMethod = Literal["kmeans", "gmm", "spectral", "agglomerative", "hdbscan"]
View = Literal["pca", "tsne", "umap"]
Transform = Literal["none", "dihedral"]
DEPTHS = {"mae_small": 6, "mae_base": 12, "mae_large": 24, "mae_huge": 32}
PATCHES = {"mae_base": 16, "mae_large": 16, "mae_huge": 14}
SMALLEST_PX = 32


class Hparams(RowHparams):
    """Crops, encoder and clusters of one version."""

    # --- crops
    crop_px: Integer = Field(100, ge=SMALLEST_PX, le=1024, description="side of a crop in pixels (100 for cae, 224 for published mae)")
    half_side_radii: Number = Field(1.5, gt=0, le=20, description="half side of a crop in crater radii")
    crop_projection: Literal["azimuthal", "legacy"] = Field(
        "azimuthal",
        description="azimuthal: true shape everywhere; legacy: a window of the cylindrical mosaic stretched by 1/cos(latitude), "
        "which breaks near the poles",
    )
    shadow_flip: Flag = Field(True, description="mirror crops whose right half is the brighter, so that the shadow lies on the right")
    normalise: Literal["none", "percentile", "mean_std"] = Field(
        "none",
        description="pixels to 0…1: none: divided by 255; percentile: 1st to 99th of each crop; mean_std: its mean at .5 and "
        "four deviations at 0 and 1",
    )
    high_pass: Number = Field(0.0, ge=0, lt=1, description="subtract a Gaussian blur of this sigma, as a share of the side; 0: off")
    # --- encoder
    model_name: Model = Field(description="cae: convolutional autoencoder; mae_…: masked autoencoder; backbone: a frozen network")
    latent_dim: Integer = Field(20, ge=1, description="length of the latent of cae; the others have their own")
    mask_ratio: Number = Field(0.75, gt=0, lt=1, description="share of the patches that mae hides in training")
    norm_pix: Flag = Field(False, description="mae predicts each patch in units of its own mean and deviation")
    freeze_until: Integer = Field(
        0, ge=0, description="mae: embedding and first so many blocks stay as they are; the decoder is always trained"
    )
    latent: Literal["cls", "mean"] = Field("cls", description="latent of mae: the CLS token or the mean of the patches, nothing hidden")
    weights: str | None = Field(
        None,
        description="begin with these: a local folder or file of published ViT-MAE weights, their name on the hub (facebook/vit-mae-base; "
        "cratermill weights fetch brings it), or an autoencoder.pth; blank: random",
    )
    backbone: str | None = Field(None, description="network of timm, or torchgeo: and a name; for model_name backbone")
    pretrained: Flag = Field(True, description="backbone with its published weights, from the local cache; False: random ones")
    latent_transform: Transform = Field(
        "none", description="dihedral: latents are means over the 8 flips and right-angle turns, so that these change nothing"
    )
    # --- training
    loss: Literal["mse"] = Field("mse", description="mean squared error: of all pixels (cae) or of those hidden (mae)")
    val_metric: Literal["loss"] = Field("loss", description="validation loss picks the best epoch; less is better")
    scheduler: Annotated[str, OneOf(lambda: [*scheduler_names(), PLATEAU])] | None = Field(
        None, description=f"{RowHparams.model_fields['scheduler'].description}. ReduceLROnPlateau takes the plateau_ columns"
    )
    max_epochs: Integer = Field(ge=0, description="epochs at most; 0 for a frozen backbone")
    plateau_patience: Integer = Field(5, ge=0, description="epochs without a better validation loss before the rate falls")
    plateau_factor: Number = Field(0.5, gt=0, lt=1, description="factor by which it falls")
    plateau_min_lr: Number = Field(1e-8, ge=0, description="rate at which it stops falling")
    # --- clusters
    cluster_method: ClusterMethod = Field("kmeans", description="how latents are grouped")
    clusters: Integer | None = Field(None, ge=2, description="number of clusters; blank: the best of cluster_max (silhouette; BIC for gmm)")
    cluster_max: Integer = Field(10, ge=2, description="largest number of clusters tried where clusters is blank")
    cluster_pca: Integer | None = Field(
        None, ge=1, description="principal components kept before clustering; blank: the latents as they are"
    )
    cluster_regress_out: Literal["none", "light", "all"] = Field(
        "none",
        description="take what is linear in these out of the latents first: light: direction of illumination and brightness; "
        "all: also latitude, log diameter and log upsampling",
    )
    cluster_view: View = Field("pca", description="plane on which latents are drawn")

    lower_is_better: ClassVar[frozenset[str]] = frozenset({"loss"})
    not_trained_on: ClassVar[tuple[str, ...]] = (
        *RowHparams.not_trained_on,
        "cluster_method", "clusters", "cluster_max", "cluster_pca", "cluster_regress_out", "cluster_view", "latent", "latent_transform",
    )  # fmt: skip
    """Columns that say what is done with a trained network: changing them leaves trained cells as they are."""

    @property
    def is_mae(self) -> bool:
        return self.model_name.startswith("mae")

    def conflicts(self) -> Iterator[tuple[str, str, str]]:
        yield from super().conflicts()
        patch = PATCHES.get(self.model_name) or nearest_divisor(self.crop_px)
        if self.is_mae and (self.crop_px % patch or not 3 <= self.crop_px // patch <= 40):
            yield "crop_px", f"can't be cut into patches of {patch} px for {self.model_name}", f"a multiple, like {224 // patch * patch}"
        if self.is_mae and self.freeze_until > DEPTHS[self.model_name]:
            yield (
                "freeze_until",
                f"is more than the {DEPTHS[self.model_name]} blocks of {self.model_name}",
                f"0 to {DEPTHS[self.model_name]}",
            )
        if self.model_name == "backbone" and not self.backbone:
            yield "backbone", "is blank, but model_name is backbone", "a network like resnet50.a1_in1k"
        if (self.model_name == "backbone") != (self.max_epochs == 0):
            yield "max_epochs", "must be 0 for a frozen backbone, and more for all others", "0 with model_name backbone"

    def chosen(self, prefix: str) -> str | None:
        """Plateaus have columns of their own and no keywords."""
        name = super().chosen(prefix)
        return None if name == PLATEAU else name

    @property
    def begins_pretrained(self) -> bool:
        return self.model_name == "backbone" and self.pretrained

    def backbones(self) -> list[tuple[str, str, str]]:
        return [("backbone", self.backbone, "timm")] if self.model_name == "backbone" and self.backbone else []

    def hub_names(self) -> list[str]:
        named = self.weights and re.fullmatch(r"[\w.-]+/[\w.-]+", self.weights)
        return [self.weights] if self.weights and named and not Path(self.weights).exists() else []

    def build_network(self, bands: int = 1, pretrained: bool | None = None):
        from .network import build_network

        return build_network(self, pretrained)

    def network_label(self) -> str:
        return str(self.backbone) if self.model_name == "backbone" else f"{self.model_name} {self.crop_px} px"

    def network_key(self) -> tuple:
        return type(self).__name__, self.model_name, self.backbone, self.crop_px, self.latent_dim, self.mask_ratio

    def sample_input(self, bands: int = 1, batch: int = 2) -> tuple:
        import torch

        return (torch.zeros(batch, 1, self.crop_px, self.crop_px),)

    @property
    def crop_view(self) -> str:
        """Name of the stack of crops that the row trains on."""
        flip = "flipped" if self.shadow_flip else "as-is"
        return f"{self.crop_projection}_{self.crop_px}px_{self.half_side_radii:g}r_{flip}"
