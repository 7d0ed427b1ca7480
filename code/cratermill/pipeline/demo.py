"""The demo: all that a run consists of, on a small synthetic planet."""

from __future__ import annotations

import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import InputError
from ..core.paths import find_root
from .load_config import load_config
from .plan_maps import map_maker

if TYPE_CHECKING:
    from ..config import Config

CONFIG = Path("configs", "demo", "demo.yaml")
PLANET: dict[str, Any] = {
    "body": "mercury",
    "shape": (1024, 2048),
    "seed": 2026,
    "n_fresh": 24,
    "train_fraction": 0.85,
    "tile_shape_px": (32, 64),
    "tiles_per_crater": (10, 16),
}


def run_demo(workers: int = 1) -> int:
    """A planet, then all of it in one launch; what is done already is left alone. Returns the exit code."""
    from ..core.progress import shown
    from ..synthetic import synthesise
    from .launch import launch

    path = find_demo()
    config = load_config(path)
    began = time.monotonic()
    _say(1, f"a synthetic planet in {config.run.data}")
    with shown() as progress:
        synthesise(config.data.root, **PLANET, workers=max(2, workers), progress=progress)
    _say(2, f"prepare, train, evaluate, summarise, map: cratermill launch all {CONFIG}")
    code = launch("all", path, workers=workers)
    if code:
        return code
    _say(3, f"compare the map with the planet's truth: cratermill compare {map_folder(config).name} {shlex.quote(config.run.data)}")
    print_scores(compare_with_truth(config))
    minutes = (time.monotonic() - began) / 60
    print(f"\nThe demo is done, in {minutes:.1f} minutes. Look at:")
    for what, path in places(config):
        print(f"  {what:<32}{path.relative_to(config.root)}")
    print(f"Next: copy {CONFIG} and name your own data, or change a row of a table in configs/ and launch again")
    return 0


def find_demo() -> Path:
    """The demo's config: in the project around the current folder, else in the one that this package belongs to."""
    roots = [find_root(Path.cwd()), Path(__file__).parents[3]]
    found = next((root / CONFIG for root in roots if (root / CONFIG).exists()), None)
    if found is None:
        raise InputError(f"there is no {CONFIG} in {roots[0]}", next_step="run the demo in a clone of the project")
    return found


def map_folder(config: Config) -> Path:
    """The folder of the config's first map."""
    one = config.of_map(config.maps[0])
    return config.project.map_folder(map_maker(one).map_name(one))


def compare_with_truth(config: Config) -> dict[str, Any]:
    """The map against what nobody knows of a real planet."""
    from ..config import CompareOptions
    from ..core.progress import shown
    from .compare import run_comparison

    with shown() as progress:
        return run_comparison(map_folder(config), config.data.root, options=CompareOptions(pictures=6), progress=progress)


def print_scores(found: dict[str, Any]) -> None:
    """F1, precision and recall of all craters together, with their intervals."""
    for name in ("F1", "Precision", "Recall"):
        print(f"  {name:<10}{found[name]:.2f}   ({found[f'{name}_low']:.2f} to {found[f'{name}_high']:.2f}, {found['craters']} craters)")


def places(config: Config) -> list[tuple[str, Path]]:
    """What is worth looking at, with the words for it; only what is there."""
    from ..families import get_family
    from .planning import wanted_rows

    found = []
    for name, rows in wanted_rows(config).items():
        short = get_family(name).short
        board = config.project.version_results(short, 0).parent / "leaderboard.csv"
        found.append((f"{name}: versions compared", board))
        found += [(f"{name} version {row.version}", config.project.version_results(short, row.version)) for row in rows]
    for one in map(config.of_map, config.maps):
        folder = config.project.map_folder(map_maker(one).map_name(one))
        found += [("the map", folder), *_looks(folder)]
    return [(what, path) for what, path in found if path.exists()]


def _looks(folder: Path) -> list[tuple[str, Path]]:
    truth = next(iter(sorted(folder.glob("compare_*/index.html"))), folder / "compare")
    looks = [("the map, in a browser", folder / "index.html"), ("the map, as a picture", folder / "preview.png")]
    return [*looks, ("the map beside the truth", truth)]


def _say(number: int, what: str) -> None:
    print(f"\n[{number}/3] {what}", flush=True)
