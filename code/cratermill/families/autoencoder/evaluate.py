"""Evaluation of a trained cell: latents of all crops, reconstructions, clusters and what they are worth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from ...core.files import read_json, write_json, write_table
from ...core.work import Workspace
from ...samples.sending import sent
from ...training.cell import CellParams
from .. import family_data
from .cluster_scores import judge
from .data import parts
from .encode import encode_all, trained_network
from .grouping import Clustering, Recipe, group, nuisance_columns, require_enough
from .hparams import Hparams
from .prepare import stack_of

if TYPE_CHECKING:
    from ...config import Config
    from ...samples.store import Store
    from .network import LatentNetwork

LATENTS, CLUSTERS, RECIPE = "latents.npy", "clusters.parquet", "clusters.npz"
SHOWN = 8


def evaluate(config: Config, params: CellParams, workspace: Workspace) -> dict:
    """Latents of every crop of the run (``latents.npy``), ``reconstructions.png``, clusters and their figures (``eval.json``)."""
    row: Hparams = params.hparams
    stack, folder = stack_of(config, row), Path(workspace.folder)
    rows, recipe, wanted = stack.rows(), Recipe.of(row), family_data(config, "autoencoder").cluster
    if wanted:
        require_enough(len(rows), recipe)
    product = config.project.cell_product("autoencoder", params.version, "train", params.split, params.iteration)
    network, _ = trained_network(product / "best.ckpt", params.version, row, config.run.trainer.accelerator)

    def between(done: int) -> None:
        workspace.keep_going()
        workspace.report(item=done)

    latents = encode_all(network, stack.chunks(), len(rows), folder / LATENTS, between)
    trained = read_json(product / "results.json", {})
    _, _, test = parts(len(rows), config.run.splits.test_fraction, row.val_frac, config.run.seed, params.split, params.seed)
    errors = reconstruction(network, stack, test, folder / "reconstructions.png")
    found = cluster(latents, rows, recipe, params.seed % 2**32, folder) if wanted else {}
    metrics = {
        "test-set": params.split,
        "iteration": params.iteration,
        "test_loss": trained.get("loss") if errors else None,  # a network without a decoder has no error
        "val_loss": trained.get("val_loss"),
        "crops": len(rows),
        "latent_dim": network.latent_dim,
        **errors,
        **found,
    }
    write_json(folder / "eval.json", metrics | {"stack": stack.digest()})  # which crops the latents are of
    return {name: value for name, value in metrics.items() if not isinstance(value, dict | list)}


def cluster(latents: np.ndarray, rows: pd.DataFrame, recipe: Recipe, seed: int, folder: Path) -> dict[str, Any]:
    """Group latents, write the clusters and what groups further ones, and give their figures."""
    nuisances = nuisance_columns(rows, recipe.regress_out)
    clustering = group(np.asarray(latents), recipe, nuisances, seed)
    write_table(folder / CLUSTERS, pd.DataFrame({"FID": rows["FID"], "cluster": clustering.labels}))
    arrays: dict[str, Any] = clustering.arrays()
    np.savez(folder / RECIPE, **arrays)
    return judge(np.asarray(latents), clustering, recipe, nuisances, rows, seed)


def clustering_of(folder: Path) -> Clustering:
    with np.load(folder / RECIPE) as arrays:
        return Clustering.of_arrays(dict(arrays))


@torch.no_grad()
def reconstruction(network: LatentNetwork, stack: Store, test: np.ndarray, path: Path) -> dict[str, float]:
    """A picture of Test crops, their reconstructions and errors; the error of always giving the mean crop, for comparison."""
    from .pictures import reconstructions

    images = stack.array("image")
    where = next(iter(network.state_dict().values())).device

    def batch(numbers: np.ndarray) -> torch.Tensor:
        return sent(np.stack([images[number] for number in numbers])[:, None], where).float()

    made = network.reconstruct(batch(test[:SHOWN]))
    if made is None:
        return {}
    reconstructions(path, *(pictures.cpu().numpy()[:, 0] for pictures in made))
    seen = network.pixels(batch(test[:2000])).cpu()
    return {"mean_crop_mse": float(((seen - seen.mean(0)) ** 2).mean())}
