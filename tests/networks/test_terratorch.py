"""What needs terratorch, in one module, since importing it takes about 20 seconds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from cratermill.core.errors import InputError
from cratermill.families import row_model
from cratermill.networks import build_classifier, build_segmenter
from cratermill.networks.backbone import Backbone
from cratermill.networks.terratorch_backbones import build_terratorch
from cratermill.networks.weights import required_weights, weights_of
from cratermill.tables.table import read_table
from cratermill.tables.versions import check_table

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["prithvi_eo_tiny", "ssl4eos12_resnet18_sentinel2_rgb_moco", "terramind_v1_tiny"])
def test_backbones_classify_and_segment(name):
    classifier = build_classifier(f"terratorch:{name}", 4, 1, image_size=(32, 64)).eval()
    segmenter = build_segmenter("Unet", f"terratorch:{name}", 4, midinput_size=4, image_size=(64, 64)).eval()
    with torch.no_grad():
        assert classifier(torch.zeros(2, 4, 32, 64)).shape == (2, 1)
        assert segmenter(torch.zeros(2, 4, 64, 64), torch.zeros(2, 4)).shape == (2, 1, 64, 64)


def test_what_terratorch_enters_into_timms_registry_alone_is_reached_too(monkeypatch, capsys):
    swin = build_segmenter("Unet", "terratorch:prithvi_swin_B", 2, image_size=(64, 64)).eval()
    assert swin(torch.zeros(1, 2, 64, 64)).shape == (1, 1, 64, 64)
    assert weights_of(Backbone("terratorch", "prithvi_swin_B")) is None
    wanted = Backbone("terratorch", "clay_v1_base")
    assert weights_of(wanted).repository == "made-with-clay/Clay-legacy"
    source = build_terratorch(wanted, 4, None, (32, 32)).net
    state = {f"model.encoder.{name}": value + 1 for name, value in source.clay_encoder.state_dict().items()}
    monkeypatch.setattr("cratermill.networks.terratorch_backbones.read_state", lambda path: state)
    loaded = build_terratorch(wanted, 4, Path("clay.ckpt"), (32, 32)).net
    assert all(torch.equal(value, state[f"model.encoder.{name}"]) for name, value in loaded.clay_encoder.state_dict().items())
    assert loaded.bands == ["red", "green", "blue", "nir"]
    assert "the image's 4 channel(s) are taken for RED, GREEN, BLUE, NIR_NARROW" in capsys.readouterr().err


def test_a_3d_patch_embedding_can_go_channels_last():
    network = build_classifier("terratorch:prithvi_eo_tiny", 4, 1, image_size=(32, 64)).to(memory_format=torch.channels_last)
    assert network(torch.randn(2, 4, 32, 64)).shape == (2, 1)


def test_looking_up_terratorch_leaves_the_precision_of_products_alone():
    """Its import lowers it for the whole process, and other cells of the process would give other numbers."""
    code = (
        "import torch; from cratermill.networks.terratorch_backbones import registry;"
        "before = torch.get_float32_matmul_precision(); registry(); print(before, torch.get_float32_matmul_precision())"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert said[-1] == said[-2] == "highest"


def test_unknown_names_and_too_many_channels():
    with pytest.raises(InputError, match="no network of terratorch") as caught:
        build_classifier("terratorch:prithvi_eo_tinny", 4)
    assert "prithvi_eo_tiny" in caught.value.valid
    with pytest.raises(InputError, match="can't take 11 channels"):
        build_classifier("terratorch:prithvi_eo_tiny", 11)


@pytest.mark.parametrize("folder", ["configs", "configs/demo"])
@pytest.mark.parametrize("family", ["connection", "ejecta"])
def test_shipped_tables_are_sound(folder, family):
    assert read_table(ROOT / folder / f"{family}_version_hparams.csv", row_model(family)).problems == []


def test_the_demo_uses_all_four_libraries_and_no_published_weights():
    rows = [
        row
        for family in ("connection", "ejecta")
        for row in read_table(ROOT / "configs" / "demo" / f"{family}_version_hparams.csv", row_model(family)).rows
    ]
    assert required_weights(rows) == []
    named = " ".join(name for row in rows for _, name, _ in row.backbones())
    assert "terratorch:" in named
    assert "torchgeo:" in named
    for family in ("connection", "ejecta"):
        report = check_table(ROOT / "configs" / "demo" / f"{family}_version_hparams.csv", row_model(family), build=True)
        assert report.problems == []
        assert sum(len(built.versions) for built in report.built) == len(report.table.rows)


def test_published_weights_are_known():
    prithvi = weights_of(Backbone("terratorch", "prithvi_eo_v2_tiny_tl"))
    assert prithvi.repository == "ibm-nasa-geospatial/Prithvi-EO-2.0-tiny-TL"
    moco = weights_of(Backbone("terratorch", "ssl4eos12_resnet18_sentinel2_rgb_moco"))
    assert moco.repository.startswith("torchgeo/")
    assert moco.revision
    assert weights_of(Backbone("terratorch", "prithvi_eo_tiny")) is None


def test_weights_come_from_the_local_cache(tmp_path, monkeypatch):
    from tests.networks.test_weights import place

    wanted = Backbone("terratorch", "prithvi_eo_v2_tiny_tl")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(InputError, match="cratermill weights fetch"):
        build_classifier(str(wanted), 6, pretrained=True, image_size=(64, 64))
    source = build_classifier(str(wanted), 6, image_size=(64, 64)).encoder.net
    file = place(tmp_path, weights_of(wanted), lambda path: torch.save(source.state_dict(), path))
    assert weights_of(wanted).local() == file
    loaded = build_classifier(str(wanted), 6, pretrained=True, image_size=(64, 64)).encoder.net
    assert torch.equal(loaded.blocks[0].attn.qkv.weight, source.blocks[0].attn.qkv.weight)
    # Four channels are red, green, blue and near infrared, which are the published channels 2, 1, 0 and 3.
    four = build_classifier(str(wanted), 4, pretrained=True, image_size=(64, 64)).encoder.net
    assert torch.equal(four.patch_embed.proj.weight, source.patch_embed.proj.weight[:, [2, 1, 0, 3]])


# --- terratorch's own decoders and heads ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("decoder", "encoder", "keywords"),
    [
        ("UNetDecoder", "resnet18", {"channels": [32, 16, 16, 8, 8]}),
        ("UperNetDecoder", "terratorch:terramind_v1_tiny", {"channels": 16, "head_dropout": 0.1}),
        ("FCNDecoder", "torchgeo:resnet18", {"channels": 8, "num_convs": 2, "head_channel_list": [8]}),
        ("LinearDecoder", "terratorch:prithvi_eo_tiny", {"upsampling_size": 16}),
    ],
)
def test_decoders_of_terratorch_on_any_encoder(decoder, encoder, keywords):
    network = build_segmenter(decoder, encoder, 4, midinput_size=4, image_size=(64, 64), **keywords).eval()
    with torch.no_grad():
        assert network(torch.zeros(2, 4, 64, 64), torch.zeros(2, 4)).shape == (2, 1, 64, 64)
        assert not torch.equal(*(network(torch.ones(1, 4, 64, 64), value * torch.ones(1, 4)) for value in (0.0, 3.0)))


@pytest.mark.parametrize(("decoder", "keywords"), [("UperNetDecoder", {"channels": 16}), ("FCNDecoder", {"channels": 8, "num_convs": 2})])
def test_the_same_weights_in_terratorchs_own_task_give_the_same_logits(decoder, keywords):
    from terratorch.tasks import SemanticSegmentationTask

    torch.manual_seed(0)
    ours = build_segmenter(decoder, "terratorch:prithvi_eo_tiny", 4, 2, image_size=(64, 64), **keywords).eval()
    depth = len(ours.encoder.net.blocks)
    necks = [{"name": "SelectIndices", "indices": [round((i + 1) * depth / 4) - 1 for i in range(4)]}, {"name": "ReshapeTokensToImage"}]
    necks += [{"name": "LearnedInterpolateToPyramidal"}] if decoder == "UperNetDecoder" else []
    arguments = {"backbone": "prithvi_eo_tiny", "backbone_bands": ["RED", "GREEN", "BLUE", "NIR_NARROW"], "backbone_img_size": 64}
    arguments |= {"backbone_pretrained": False, "decoder": decoder, "necks": necks, "num_classes": 2}
    arguments |= {f"decoder_{name}": value for name, value in keywords.items()}
    task = SemanticSegmentationTask(model_args=arguments, model_factory="EncoderDecoderFactory")
    renamed = {
        name.replace("encoder.net.", "encoder.", 1).replace("neck.0.", f"neck.{len(necks) - 1}.", 1): value
        for name, value in ours.state_dict().items()
    }
    task.model.load_state_dict(renamed)
    image = torch.randn(2, 4, 64, 64)
    with torch.no_grad():
        theirs = task.eval()(image).output
        assert torch.allclose(ours(image), theirs, atol=1e-5)
        assert theirs.std() > 1e-3


def test_keywords_of_decoders_are_columns_and_flaws_are_named(tmp_path):
    from tests.tables.test_table import EJECTA, write

    row = {name: value for name, value in EJECTA.items() if not name.startswith("MDL_")}
    good = row | {"model_name": "UperNetDecoder", "MDL_UperNetDecoder_channels": "16", "MDL_UperNetDecoder_head_dropout": "0.2"}
    good |= {"MDL_UperNetDecoder_encoder_name": "terratorch:prithvi_eo_tiny"}
    (found,) = read_table(write(tmp_path / "good.csv", [good]), row_model("ejecta")).rows
    assert found.keywords_of("MDL") == {"channels": 16, "head_dropout": 0.2, "encoder_name": "terratorch:prithvi_eo_tiny"}
    bad = good | {"model_name": "UperNetDecode"}
    assert "UperNetDecoder" in str(read_table(write(tmp_path / "bad.csv", [bad]), row_model("ejecta")).problems[0])
    lacking = row | {"model_name": "UNetDecoder"}
    assert "MDL_UNetDecoder_channels" in str(read_table(write(tmp_path / "less.csv", [lacking]), row_model("ejecta")).problems)
    with pytest.raises(InputError, match="UNetDecoder with the encoder smp:resnet18 can't be built"):
        build_segmenter("UNetDecoder", "resnet18", 4, image_size=(64, 64), channels=[8, 8])


def test_terramind_begins_with_its_published_weights(tmp_path, monkeypatch):
    """Those of the bands that the channels are taken for."""
    from terratorch.registry import TERRATORCH_BACKBONE_REGISTRY

    from tests.networks.test_weights import place

    wanted = Backbone("terratorch", "terramind_v1_tiny")
    assert all(weights_of(Backbone("terratorch", f"terramind_{name}")) for name in ("v01_base", "v1_small", "v1_base", "v1_large"))
    torch.manual_seed(1)
    source = TERRATORCH_BACKBONE_REGISTRY[wanted.name](modalities=["S2L2A"])
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    place(tmp_path, weights_of(wanted), lambda path: torch.save(source.state_dict(), path))
    ours = build_classifier(str(wanted), 4, pretrained=True, image_size=(224, 224)).encoder.net.eval()
    assert torch.equal(ours.encoder[0].attn.qkv.weight, source.encoder[0].attn.qkv.weight)
    # An image that is zero in all bands but these gives the published network the same tokens.
    image, bands = torch.zeros(1, 12, 224, 224), [3, 2, 1, 8]
    image[:, bands] = torch.rand(1, 4, 224, 224)
    with torch.no_grad():
        assert torch.allclose(ours(image[:, bands])[-1], source.eval()(image)[-1], atol=1e-5)
