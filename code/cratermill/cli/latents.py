"""Verbs of the autoencoder family alone: ``latents check`` and ``latents cluster``."""

from __future__ import annotations

from pathlib import Path

import typer

from .app import group
from .output import CONFIG, JSON, print_json, print_table

latents = group("latents", "Check autoencoders before training, or group latents again.")


@latents.command()
def check(
    config: Path = CONFIG,
    steps: int = typer.Option(200, "--steps", min=1, help="Optimisation steps of each run."),
    as_json: bool = JSON,
) -> None:
    """Try to learn one batch by heart with every row, masked ones also with 1 % and 99 % hidden.

    Needs prepared crops. Exit code 1 if a row can't.
    """
    from ..families.autoencoder.sanity import check_rows
    from ..pipeline.load_config import load_config
    from ..pipeline.planning import wanted_rows

    loaded = load_config(config)
    found = check_rows(loaded, wanted_rows(loaded).get("autoencoder", []), steps)
    if as_json:
        print_json(found)
    else:
        heading = ("version", "model_name", "error before", "after", "mask .01", "mask .99", "sound")
        print_table(heading, [_line(one) for one in found])
    raise typer.Exit(0 if all(one["sound"] for one in found) else 1)


def _line(one: dict) -> tuple:
    masks = [f"{one['mask_ratio'][mask]['after']:.4f}" if mask in one["mask_ratio"] else None for mask in ("0.01", "0.99")]
    return one["version"], one["model_name"], f"{one['before']:.4f}", f"{one['after']:.4f}", *masks, one["sound"]


@latents.command()
def cluster(
    config: Path = CONFIG,
    version: int = typer.Argument(help="A version whose results hold latents.npy."),
    into: str = typer.Option("regrouped", "--into", help="Folder of the new tables and pictures, below the version's results."),
    method: str | None = typer.Option(None, "--method", help="Instead of the row's cluster_method."),
    clusters: int | None = typer.Option(None, "--clusters", min=2, help="Instead of the row's clusters."),
    pca: int | None = typer.Option(None, "--pca", min=1, help="Instead of the row's cluster_pca."),
    regress_out: str | None = typer.Option(None, "--regress-out", help="Instead of the row's cluster_regress_out."),
    view: str | None = typer.Option(None, "--view", help="Instead of the row's cluster_view."),
    as_json: bool = JSON,
) -> None:
    """Group a version's latents again, in another way, and draw the same pictures; nothing is trained."""
    from ..families.autoencoder.regroup import regroup
    from ..pipeline.load_config import load_config

    given = {
        "cluster_method": method,
        "clusters": clusters,
        "cluster_pca": pca,
        "cluster_regress_out": regress_out,
        "cluster_view": view,
    }
    found = regroup(load_config(config), version, {name: value for name, value in given.items() if value is not None}, into)
    if as_json:
        print_json(found)
    else:
        plain = {name: value for name, value in found.items() if not isinstance(value, dict)}
        print_table(("figure", "value"), [(name, f"{value:.4g}" if isinstance(value, float) else value) for name, value in plain.items()])
