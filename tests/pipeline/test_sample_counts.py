"""What prepared data can't carry is said before hours are spent on it."""

from types import SimpleNamespace

import numpy as np

from cratermill.config import Config, RunConfig
from cratermill.pipeline import sample_counts as module
from tests.mosaics import global_grid, noise, write_mosaic


class Row(SimpleNamespace):
    def model_dump(self, mode):
        return {}


def test_few_samples_are_counted_once_per_kind_of_data_and_warned_of(tmp_path, monkeypatch):
    sizes = {"a": (28, 3, 5), "b": (4000, 400, 500)}
    family = SimpleNamespace(
        data_fingerprint=lambda config, row: row.data,
        datasets=lambda config, params: SimpleNamespace(
            **dict(zip(("train", "val", "test"), map(range, sizes["ab"[params.version // 10]]), strict=True))
        ),
    )
    monkeypatch.setattr(module, "get_family", lambda name: family)
    config = Config(RunConfig(name="a", data="d", train={"ejecta": {"table": "t.csv", "splits": [0]}}), tmp_path)
    notes, warnings = module.carried(config, "ejecta", [Row(version=1, data="a"), Row(version=2, data="a"), Row(version=10, data="b")])
    assert len(notes) == 2 and "28 training, 3 validation, 5 test samples" in notes[0]
    assert len(warnings) == 2 and "28 samples only" in warnings[0] and "3 samples only" in warnings[1]


def test_craters_of_two_pixels_are_warned_of(tmp_path):
    grid = global_grid()
    write_mosaic(tmp_path / "m.tif", noise(grid), grid)
    folder = tmp_path / "d" / "ejc_data"
    folder.mkdir(parents=True)
    radii = np.array([1.0, 10.0, 20.0]) * grid.resolution_m
    rows = "\n".join(f"{fid},0,{10 * fid},{radius}" for fid, radius in enumerate(radii, 1))
    (folder / "fresh_craters.csv").write_text(f"crat_FID,lon,lat,radius_m\n{rows}\n")
    config = Config(RunConfig(name="a", data="d", mosaic="m.tif"), tmp_path)
    notes, warnings = module.smallest_crater(config)
    assert notes == ["3 craters, the smallest 2.0 pixels across"] and "1 of 3 craters are less than 5 pixels" in warnings[0]
