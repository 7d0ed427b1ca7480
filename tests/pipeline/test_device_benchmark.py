"""benchmarks/device.py runs to its end wherever it is started."""

from __future__ import annotations

import importlib.util

import pytest


@pytest.fixture
def device(project_folder):
    path = project_folder / "benchmarks" / "device.py"
    spec = importlib.util.spec_from_file_location("device_benchmark", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_tiles_of_ejecta_sampled_on_host_and_device(device, tmp_path):
    found = device.main(["--quick", "--families", "connection,ejecta", "--folder", str(tmp_path)])["ejecta"]
    for name in ("host", "device"):
        assert found[f"sampled on the {name}, tiles/s"] > 0 and found[f"CPU ms of the host, sampled on the {name}"] > 0


def test_every_figure_of_a_family_with_a_map(device, tmp_path):
    asked = ["--quick", "--choices", "--families", "chip_classifier", "--folder", str(tmp_path), "--json", str(tmp_path / "found.json")]
    found = device.main(asked)
    wanted = ["loader samples/s", "steps/s", "steps/s on one batch", "plain PyTorch steps/s", "map tiles/s", "memory GB"]
    wanted += [f"{choice}: {what}" for choice in device.CHOICES for what in ("samples", "steps")]
    assert all(found["chip_classifier"][name] > 0 for name in wanted)
    assert 0 < found["chip_classifier"]["computing"] <= 1.5
    assert (tmp_path / "found.json").exists()
