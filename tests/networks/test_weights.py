"""Published weights: known, found in a local cache made by hand, asked for, never replaced by random ones."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

from cratermill.core.errors import InputError, WorkError
from cratermill.families import row_model
from cratermill.networks import build_classifier, build_segmenter, resolve
from cratermill.networks.adapt import adapted
from cratermill.networks.backbones import torchgeo_norm
from cratermill.networks.weights import Weights, fetch_weights, missing_weights, require_weights, required_weights, weights_of
from cratermill.tables.table import load_versions
from tests.tables.test_table import CONNECTION, EJECTA, write

COMMIT = "0" * 40


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """An empty cache of the hub and of torch, for one test."""
    folder = tmp_path / "the cache's place"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(folder))
    monkeypatch.setenv("TORCH_HOME", str(folder / "torch"))
    return folder


def place(cache: Path, weights: Weights, save: Callable[[Path], None]) -> Path:
    """A file in the hub's cache as a download would leave it."""
    folder = cache / f"models--{weights.repository.replace('/', '--')}"
    commit = weights.revision or COMMIT
    path = folder / "snapshots" / commit / weights.files[0]
    path.parent.mkdir(parents=True)
    if weights.revision is None:
        (folder / "refs").mkdir()
        (folder / "refs" / "main").write_text(commit)
    save(path)
    return path


def place_state(cache: Path, name: str, home: str, state: dict[str, torch.Tensor]) -> Weights:
    weights = weights_of(resolve(name, home))
    state = {key: value.clone().contiguous() for key, value in state.items()}
    place(cache, weights, lambda path: save_file(state, path) if path.suffix == ".safetensors" else torch.save(state, path))
    return weights


@pytest.fixture
def unsaid(monkeypatch):
    """Nothing was said yet in this process."""
    monkeypatch.setattr("cratermill.core.notices._said", set())


@pytest.fixture
def rows(tmp_path):
    """Rows with pretrained True: two of one classifier, one of another, one of a segmenter; and one with False."""
    connection = [
        CONNECTION | {"version": str(number), "model_name": name, "pretrained": pretrained}
        for number, (name, pretrained) in enumerate(
            [("resnet10t", "True"), ("resnet10t", "True"), ("densenet121", "True"), ("resnet34", "False")]
        )
    ]
    ejecta = [EJECTA]  # without the column pretrained stands for True
    ejecta[0] = {key: value for key, value in EJECTA.items() if key != "pretrained"}
    tables = {"connection": write(tmp_path / "c.csv", connection), "ejecta": write(tmp_path / "e.csv", ejecta)}
    return [row for family, path in tables.items() for row in load_versions(path, row_model(family))]


def test_what_rows_need_each_once(rows, cache):
    needed = required_weights(rows)
    assert [weights.repository for weights in needed] == ["timm/resnet10t.c3_in1k", "timm/densenet121.ra_in1k", "smp-hub/resnet18.imagenet"]
    assert missing_weights(rows) == needed


def test_the_error_names_all_missing_weights_and_the_command(rows, cache):
    with pytest.raises(InputError) as caught:
        require_weights(rows, "my configs/run.yaml")
    text = str(caught.value)
    for part in ("timm:resnet10t", "timm:densenet121", "smp:resnet18", "cratermill weights fetch my configs/run.yaml"):
        assert part in text
    assert text.count("resnet10t") == 1


@pytest.mark.parametrize(
    "build",
    [
        lambda: build_classifier("resnet10t", 4, pretrained=True),
        lambda: build_classifier("smp:resnet18", 4, pretrained=True),
        lambda: build_segmenter("Unet", "resnet18", pretrained=True),
        lambda: build_segmenter("Unet", "tu-resnet10t", pretrained=True),
        lambda: build_segmenter("Unet", "torchgeo:resnet18.SENTINEL2_RGB_MOCO", pretrained=True),
    ],
)
def test_no_network_means_an_error_and_never_random_weights(build, cache):
    with pytest.raises(InputError, match="cratermill weights fetch"):
        build()
    assert not cache.exists()


def test_weights_that_do_not_exist_are_an_error():
    with pytest.raises(InputError, match="no published weights"):
        build_classifier("torchgeo:resnet18", 4, pretrained=True)


def test_timm_classifier_from_the_cache(cache):
    source = build_classifier("resnet10t", 3, 1000)
    place_state(cache, "resnet10t", "timm", source.state_dict())
    loaded = build_classifier("resnet10t", 4, 1, pretrained=True)
    assert torch.equal(loaded.layer1[0].conv1.weight, source.layer1[0].conv1.weight)
    assert torch.allclose(loaded.conv1[0].weight, adapted(source.conv1[0].weight, 4), atol=1e-7)
    assert loaded.fc.weight.shape == (1, 512)


@pytest.mark.parametrize("model", ["Unet", "PSPNet", "DeepLabV3"])
def test_smp_segmenter_from_the_cache(cache, model):
    source = build_segmenter("Unet", "resnet18", in_chans=3).encoder
    place_state(cache, "resnet18", "smp", source.state_dict())
    loaded = build_segmenter(model, "resnet18", in_chans=4, pretrained=True).encoder
    assert torch.equal(loaded.layer1[0].conv1.weight, source.layer1[0].conv1.weight)
    assert torch.allclose(loaded.conv1.weight, adapted(source.conv1.weight, 4), atol=1e-7)


@pytest.mark.parametrize(
    ("name", "in_chans", "said"),
    [
        ("timm:resnet10t", 4, "see 3 channel(s), the image has 4: the image's are taken for numbers 1, 2, 3, 1"),
        ("timm:resnet10t", 1, "one channel gets the sum of them"),
        ("timm:resnet10t", 3, ""),
        ("smp:resnet18", 2, "see 3 channel(s), the image has 2: the image's are taken for numbers 1, 2"),
        ("torchgeo:resnet18.SENTINEL2_RGB_MOCO", 3, "see 3 channel(s), the image has 3: the image's are taken for B4, B3, B2"),
        ("torchgeo:resnet50.SENTINEL1_ALL_DECUR", 3, "the image's are taken for numbers 1, 2, 1"),
    ],
)
def test_what_becomes_of_other_channels_is_said_and_done(cache, unsaid, capsys, name, in_chans, said):
    given = 2 if "SENTINEL1" in name else 3
    source = build_classifier(name.split(".")[0], given, 1)
    source = getattr(source, "encoder", source)
    state = getattr(source, "net", source).state_dict()
    place_state(cache, name, "timm", state)
    loaded = build_classifier(name, in_chans, 1, pretrained=True)
    loaded = getattr(loaded, "encoder", loaded)
    first = next(key for key, value in state.items() if value.ndim == 4)
    got = getattr(loaded, "net", loaded).state_dict()[first]
    assert torch.allclose(got, adapted(state[first], in_chans) if in_chans != given else state[first], atol=1e-6)
    heard = [line for line in capsys.readouterr().err.splitlines() if "channel" in line]
    assert len(heard) == bool(said) and all(said in line for line in heard)


def test_timm_encoder_from_the_cache(cache):
    source = build_classifier("resnet10t", 3, 1000)
    place_state(cache, "resnet10t", "timm", source.state_dict())
    loaded = build_segmenter("Unet", "tu-resnet10t", in_chans=4, pretrained=True).encoder.model
    assert torch.equal(loaded.layer1[0].conv1.weight, source.layer1[0].conv1.weight)


def test_torchgeo_from_the_cache(cache, unsaid, capsys):
    import torchgeo.models

    name = "torchgeo:resnet18.SENTINEL2_ALL_MOCO"
    source = torchgeo.models.resnet18(in_chans=13)
    place_state(cache, name, "timm", source.state_dict())
    loaded = build_classifier(name, 4, pretrained=True, image_size=(64, 64)).encoder.net
    assert torch.equal(loaded.layer4[0].conv1.weight, source.layer4[0].conv1.weight)
    # Red, green, blue and near infrared of thirteen bands of Sentinel-2.
    assert torch.allclose(loaded.conv1.weight, source.conv1.weight[:, [3, 2, 1, 7]] * 13 / 4, atol=1e-6)
    said = capsys.readouterr().err
    assert "see 13 channel(s), the image has 4: the image's are taken for B4, B3, B2, B8" in said
    assert "img_norm: {mean: [0, 0, 0, 0], std: [10000, 10000, 10000, 10000]}" in said


@pytest.mark.parametrize(
    ("name", "bands"),
    [
        ("resnet50.SENTINEL2_RGB_SECO", [0, 1, 2]),  # three steps, one after the other
        ("resnet50.FMOW_RGB_GASSL", [0, 1, 2, 0]),
        ("resnet50.SENTINEL2_ALL_MOCO", [3, 2, 1]),
    ],
)
def test_torchgeos_normalisation_is_told_as_one_mean_and_deviation(name, bands):
    import torchgeo.models

    model, tag = name.split(".")
    weights = torchgeo.models.get_model_weights(model)[tag]
    image = torch.rand(1, weights.meta["in_chans"], 4, 4) * 3000
    expected = image
    for step in weights.transforms:
        expected = step(expected.clone()) if type(step).__name__ == "Normalize" else expected
    mean, std = (torch.tensor(values)[:, None, None] for values in torchgeo_norm(resolve(f"torchgeo:{name}", "smp"), len(bands)))
    assert torch.allclose((image[:, bands] - mean) / std, expected[:, bands], rtol=1e-4, atol=1e-4)


def test_weights_of_another_network_are_refused(cache):
    other = build_segmenter("Unet", "resnet34", in_chans=3).encoder
    weights = weights_of(resolve("resnet50", "smp"))
    place(cache, weights, lambda path: save_file({key: value.contiguous() for key, value in other.state_dict().items()}, path))
    with pytest.raises(WorkError, match="don't fit the network"):
        build_segmenter("Unet", "resnet50", pretrained=True)


def test_a_file_that_was_cut_off_is_said_to_be_damaged(cache):
    source = build_classifier("resnet10t", 3, 1000)
    file = place_state(cache, "resnet10t", "timm", source.state_dict()).local()
    file.write_bytes(file.read_bytes()[:100_000])
    with pytest.raises(WorkError, match="can't be read") as caught:
        build_classifier("resnet10t", 4, pretrained=True)
    assert str(file) in str(caught.value)
    old = place_state(cache, "torchgeo:resnet18.SENTINEL2_ALL_MOCO", "timm", {"x": torch.zeros(1000)}).local()
    old.write_bytes(old.read_bytes()[:1000])
    with pytest.raises(WorkError, match="can't be read"):
        build_classifier("torchgeo:resnet18.SENTINEL2_ALL_MOCO", 4, pretrained=True)


def test_fetch_downloads_what_is_missing_and_says_so(rows, cache, monkeypatch):
    asked, said = [], []

    def download(repository, name, revision=None, cache_dir=None):
        from huggingface_hub.errors import EntryNotFoundError

        asked.append((repository, name))
        if "densenet" in repository and name.endswith("safetensors"):
            raise EntryNotFoundError("no such file")
        return str(place(cache, Weights("", repository, (name,), revision), lambda path: path.write_bytes(b"weights")))

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    paths = fetch_weights(rows, lambda name, done, total: said.append((name, done, total)))
    assert [path.read_bytes() for path in paths] == [b"weights"] * 3
    assert asked == [
        ("timm/resnet10t.c3_in1k", "model.safetensors"),
        ("timm/densenet121.ra_in1k", "model.safetensors"),
        ("timm/densenet121.ra_in1k", "pytorch_model.bin"),
        ("smp-hub/resnet18.imagenet", "model.safetensors"),
    ]
    assert said[0][1:] == (0, 3)
    assert said[-1] == ("", 3, 3)
    require_weights(rows)
    fetch_weights(rows)
    assert len(asked) == 4


def test_fetch_without_network_says_where_to_run_it(rows, cache):
    with pytest.raises(WorkError, match="login node") as caught:
        fetch_weights(rows)
    assert "timm:resnet10t" in str(caught.value)


def test_fetch_from_an_address(cache, tmp_path):
    source = tmp_path / "served files" / "net.pth"
    source.parent.mkdir()
    source.write_bytes(b"12345")
    weights = Weights("timm:net", url=source.as_uri())
    assert weights.local() is None
    assert weights.fetch().read_bytes() == b"12345"
    assert weights.fetch() == weights.local()
    with pytest.raises(WorkError, match="can't fetch"):
        Weights("timm:net", url=(tmp_path / "nothing.pth").as_uri()).fetch()


# --- a mirror instead of the network, and checksums ----------------------------------------------------------------------------


def mirrored(mirror: Path, weights: Weights, content: bytes, name: str | None = None) -> Path:
    """A file as the hub's cache of another machine holds it: content by its checksum, and a link of its name."""
    folder = mirror / f"models--{weights.repository.replace('/', '--')}"
    blob = folder / "blobs" / hashlib.sha256(content).hexdigest()
    link = folder / "snapshots" / (weights.revision or COMMIT) / (name or weights.files[0])
    for path in (blob, link, folder / "refs" / "main"):
        path.parent.mkdir(parents=True, exist_ok=True)
    blob.write_bytes(content)
    link.symlink_to(Path("../..") / "blobs" / blob.name)
    (folder / "refs" / "main").write_text(COMMIT)
    return blob


def test_a_mirror_stands_for_the_network(rows, cache, tmp_path):
    mirror, needed = tmp_path / "a mirror", required_weights(rows)
    mirrored(mirror, needed[0], b"one")
    mirrored(mirror, needed[1], b"two", "pytorch_model.bin")
    plain = mirror / needed[2].repository / needed[2].files[0]
    plain.parent.mkdir(parents=True)
    plain.write_bytes(b"three")
    paths = fetch_weights(rows, mirror=mirror)
    assert [path.read_bytes() for path in paths] == [b"one", b"two", b"three"]
    assert all(path.is_relative_to(cache) for path in paths)
    assert [one.is_whole(one.local()) for one in needed] == [True] * 3
    require_weights(rows)
    assert fetch_weights(rows) == paths  # they are there: neither network nor mirror is asked


def test_what_a_mirror_lacks_or_holds_damaged_is_said(rows, cache, tmp_path):
    mirror, needed = tmp_path / "a mirror", required_weights(rows)
    with pytest.raises(WorkError, match=r"does not hold the weights of timm:resnet10t.*timm/resnet10t.c3_in1k"):
        fetch_weights(rows, mirror=mirror)
    mirrored(mirror, needed[0], b"one").write_bytes(b"other")
    with pytest.raises(WorkError, match="checksum"):
        fetch_weights(rows, mirror=mirror)
    assert needed[0].local() is None
    source = mirror / "net-5994471a.pth"  # the SHA-256 of b"12345" begins so
    source.write_bytes(b"12345")
    addressed = Weights("timm:net", url="https://nowhere.example/net-5994471a.pth")
    assert addressed.is_whole(addressed.fetch(mirror)) is True
    addressed.local().write_bytes(b"1234")
    with pytest.raises(WorkError, match="checksum"):
        addressed.fetch()


def test_weights_that_a_row_names_on_the_hub_are_fetched_too(cache, tmp_path, monkeypatch):
    from cratermill.cli import app
    from tests.families.autoencoder.case import project

    table = "version,version_run,test-set,trainings_per_test,model_name,crop_px,weights,val_frac,batch_size,lr,optimizer,max_epochs\n"
    table += "1,True,[0],1,mae_huge,224,facebook/vit-mae-huge,0.2,4,0.001,Adam,1\n2,True,[0],1,mae_base,224,,0.2,4,0.001,Adam,1\n"
    config = project(tmp_path / "project")
    (config.parent / "autoencoder.csv").write_text(table)
    named = Weights("facebook/vit-mae-huge (hub)", "facebook/vit-mae-huge", ("model.safetensors", "pytorch_model.bin"))
    mirrored(tmp_path / "mirror", named, b"mae", "pytorch_model.bin")
    run = CliRunner()
    missing = run.invoke(app, ["weights", "check", str(config)])
    assert missing.exit_code == 2 and "facebook/vit-mae-huge" in missing.output
    answer = run.invoke(app, ["weights", "fetch", str(config), "--mirror", str(tmp_path / "mirror")])
    assert answer.exit_code == 0 and named.local().read_bytes() == b"mae", answer.output
    assert run.invoke(app, ["weights", "check", str(config)]).exit_code == 0
    named.local().resolve().write_bytes(b"bad")
    assert "WRONG" in (bad := run.invoke(app, ["weights", "check", str(config)])).output and bad.exit_code == 2


def test_published_maes_have_rows(project_folder):
    table = project_folder / "configs" / "autoencoder_version_hparams.csv"
    rows = load_versions(table, row_model("autoencoder"), [11, 12, 13])
    assert [row.hub_names() for row in rows] == [[f"facebook/vit-mae-{size}"] for size in ("base", "large", "huge")]
