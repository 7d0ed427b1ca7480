"""``results/autoencoder_results/version_N``: the names that users look for, made from the best iteration."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from ...core.files import atomic_path, link_or_copy, read_json, write_json
from ...core.frames import rows_of
from ...geo.bodies import Body, get_body
from ...geo.layers import open_mosaic
from ...training.checkpoint import load
from .. import family_data
from .evaluate import CLUSTERS, LATENTS, clustering_of
from .hparams import Hparams
from .prepare import stack_of
from .products import write_products

if TYPE_CHECKING:
    from ...config import Config


def gather(config: Config, version: int, cells: pd.DataFrame, into: Path) -> list[dict]:
    """Everything below ``into`` that isn't the same for all families; of the iteration with the lowest validation loss."""
    trained, evaluated = (
        {(cell.split, cell.iteration): cell for cell in rows_of(cells[cells["stage"] == stage])} for stage in ("train", "evaluate")
    )
    if not trained:
        return []
    best = min(trained, key=lambda key: (_loss(trained[key]), key))
    keep_model(trained[best], evaluated.get(best, trained[best]).hparams, into)
    curves = {key: cell.product / "curve.csv" for key, cell in trained.items() if (cell.product / "curve.csv").exists()}
    if curves:
        from .pictures import loss_curve

        loss_curve(into / "loss_curve.png", {key: pd.read_csv(path) for key, path in curves.items()})
    if best in evaluated:
        keep_evaluation(config, Hparams.from_plan(evaluated[best].hparams), evaluated[best].product, into)
    return []


def _loss(cell: Any) -> float:
    loss = cell.metrics.get("val_loss")
    return float("inf") if loss is None or loss != loss else loss


def keep_model(cell: Any, hparams: dict, into: Path) -> None:
    """``autoencoder.pth``: the state dict, tensors only; ``autoencoder.json``: the row that it belongs to, as it was last evaluated."""
    checkpoint = load(cell.product / "best.ckpt", "autoencoder")
    with atomic_path(into / "autoencoder.pth") as temporary:
        torch.save(dict(checkpoint.state_dict), temporary)
    made = {"version": checkpoint.version, "split": checkpoint.split, "iteration": checkpoint.iteration, "epoch": checkpoint.epoch}
    write_json(into / "autoencoder.json", made | {"scores": checkpoint.scores, "hparams": hparams})


def keep_evaluation(config: Config, row: Hparams, product: Path, into: Path) -> None:
    for name in (LATENTS, "reconstructions.png"):
        if (product / name).exists():
            link_or_copy(product / name, into / name)
    write_json(into / "clusters.json", read_json(product / "eval.json"))
    if not (product / CLUSTERS).exists():
        return  # it was told not to group
    stack = stack_of(config, row)
    rows = stack.rows().assign(cluster=labels_of(product))
    latents = np.load(product / LATENTS, mmap_mode="r")
    mosaic = open_mosaic(config.mosaic, config.bands) if config.mosaic.exists() else None
    features = features_of(latents, rows, row, product)
    write_products(
        into, rows, features, stack.array("image"), row, mosaic, display=family_data(config, "autoencoder").display, body=body_of(config)
    )


def body_of(config: Config) -> Body | None:
    """The body that the config names: ready-made crops may come without a mosaic."""
    return get_body(config.run.body) if config.run.body else None


def labels_of(folder: Path) -> np.ndarray:
    """Clusters (N,) as an evaluation wrote them."""
    return pd.read_parquet(folder / CLUSTERS)["cluster"].to_numpy()


def features_of(latents: np.ndarray, rows: pd.DataFrame, row: Hparams, product: Path) -> np.ndarray:
    """Latents as they were grouped."""
    from .grouping import nuisance_columns

    return clustering_of(product).features_of(np.asarray(latents), nuisance_columns(rows, row.cluster_regress_out))
