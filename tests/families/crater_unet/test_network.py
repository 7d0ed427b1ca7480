"""The Symmetric U-Net as published, and the table of the paper's tests."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from cratermill.families import row_model
from cratermill.families.crater_unet.hparams import Hparams
from cratermill.families.crater_unet.network import SymmetricUNet
from cratermill.tables.table import load_versions, read_table

from .planet import ROW


def parameters(network: nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters())


@pytest.mark.parametrize(("final", "expected"), [(None, 731_601), (1, 731_473)])
def test_parameters_of_code_and_paper(final, expected):
    assert parameters(SymmetricUNet(final_kernel_size=final)) == expected


def test_half_the_filters_quarter_the_weights():
    assert 0.24 < parameters(SymmetricUNet(filter_multiple=0.5)) / parameters(SymmetricUNet()) < 0.26


def test_skips_add_convolutions_before_their_dropout():
    network = SymmetricUNet(filter_multiple=0.25).train()
    seen = {}
    network.down[3].register_forward_hook(lambda module, given, made: seen.update(skip=torch.relu(made)))
    network.up[3].register_forward_hook(lambda module, given, made: seen.update(up=torch.relu(made)))
    network.up[4].register_forward_pre_hook(lambda module, given: seen.update(after=given[0][..., ::2, ::2]))
    network(torch.rand(1, 1, 128, 128))
    # up[3] (48 filters) has a dropout of 0.2: what it adds is either nothing or the convolution ÷ 0.8; the skip is whole.
    added = seen["after"] - seen["skip"]
    kept = seen["up"] / 0.8
    assert torch.isclose(added, kept, atol=1e-5).logical_or(added.abs() < 1e-5).all()
    assert (added.abs() < 1e-5).any()


def test_without_dropout_training_and_prediction_are_one():
    torch.manual_seed(0)
    network, image = SymmetricUNet(filter_multiple=0.25, dropout=0).train(), torch.rand(1, 1, 128, 128)
    assert torch.equal(network(image), network.eval()(image))


@pytest.mark.parametrize("activation", ["elu", "gelu", "leaky_relu", "silu"])
def test_another_activation_answers_otherwise_with_the_same_weights(activation):
    plain, other = SymmetricUNet(filter_multiple=0.25), SymmetricUNet(filter_multiple=0.25, activation=activation)
    other.load_state_dict(plain.state_dict())
    image = torch.rand(1, 1, 128, 128)
    assert not torch.allclose(plain.eval()(image), other.eval()(image), atol=1e-4)


def test_rows_name_dropout_activation_and_hybrid_targets():
    row = Hparams.from_plan(ROW | {"dropout": 0.5, "activation": "elu", "target": "hybrid", "disc_below_px": 12})
    network = row.build_network()
    assert network.dropouts[-1] == 0.25 and isinstance(network.activation, nn.ELU)
    assert row.shape().parts()[1][2] == 12


def test_seven_poolings_to_the_bottom():
    network, sizes = SymmetricUNet(filter_multiple=0.25), []
    network.bottom.register_forward_hook(lambda module, given, made: sizes.append(made.shape[-1]))
    assert network(torch.zeros(1, 1, 512, 512)).shape == (1, 1, 512, 512)
    assert sizes == [4]


def test_taps_that_see_only_padding_learn_nothing():
    """oneDNN leaves their bfloat16 gradients unset: training ended with weights that are NaN."""
    torch.manual_seed(3)
    network = SymmetricUNet(kernel_size=7)
    with torch.autocast("cpu", torch.bfloat16):
        drawn = network(torch.rand(4, 1, 128, 128))
    drawn.float().square().mean().backward()
    gradient = network.bottom.weight.grad
    assert gradient is not None and gradient[:, :, 3, 3].abs().max() > 0
    gradient[:, :, 3, 3] = 0
    assert (gradient == 0).all()


def test_a_step_lowers_the_loss():
    torch.manual_seed(0)
    network, image = SymmetricUNet(filter_multiple=0.5), torch.zeros(2, 1, 128, 128) - 1
    image[:, :, 40:80, 40:80] = 1
    optimizer, losses = torch.optim.Adam(network.parameters(), 1e-3), []
    for _ in range(10):
        loss = nn.functional.binary_cross_entropy_with_logits(network(image), (image > 0).float())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.9 * losses[0]


def test_the_papers_grid_stands_in_the_table(project_folder):
    table = project_folder / "configs" / "crater_unet_version_hparams.csv"
    rows = {row.version: row for row in read_table(table, row_model("crater_unet"), lambda row: False).require()}
    grid = [(3, 1), (3, 1), (3, 1), (7, 1), (3, 0.5), (3, 2), (11, 1), (7, 2)]
    for start, data, target, epochs in ((1, "dots", "fill", 50), (11, "craters", "fill", 500), (21, "craters", "outline", 500)):
        for number, (kernel, multiple) in enumerate(grid, start):
            row = rows[number]
            assert (row.data, row.target, row.max_epochs) == (data, target, epochs)
            assert (row.kernel_size, row.filter_multiple, row.lr, row.batch_size, row.loss) == (kernel, multiple, 1e-4, 10, "bce")
            assert row.build_network().down[0].kernel_size == (kernel, kernel)


def test_any_segmenter_by_name(project_folder):
    row = load_versions(project_folder / "configs" / "crater_unet_version_hparams.csv", row_model("crater_unet"), [41])[0]
    network = row.build_network()
    assert network(torch.zeros(2, 1, 64, 64)).shape == (2, 1, 64, 64)


@pytest.mark.parametrize(
    ("change", "column"),
    [
        ({"size_max": 3}, "size_max"),
        ({"kernel_size": 4}, "kernel_size"),
        ({"crop_px": 200}, "crop_px"),
        ({"pieces_per_tile": 4}, "pieces_per_tile"),
        ({"pretrained": True}, "pretrained"),
        ({"max_epochs": 0}, "max_epochs"),
        ({"union_of": [2], "votes": 2, "max_epochs": 0}, "votes"),
        ({"union_of": [1, 2], "max_epochs": 0}, "union_of"),
    ],
)
def test_rows_that_contradict_themselves_are_refused(change, column):
    with pytest.raises(ValueError, match=column):
        Hparams.from_plan(ROW | change)


def test_sizes_in_kilometres_are_radii_or_diameters():
    pixel_m = 231.55  # 256 pixels per degree on Mars
    radii = Hparams.from_plan(ROW | {"size_min": 2, "size_max": 32, "size_unit": "radius_km"}).radii_px(pixel_m)
    diameters = Hparams.from_plan(ROW | {"size_min": 2, "size_max": 32, "size_unit": "diameter_km"}).radii_px(pixel_m)
    assert [round(radius) for radius in radii] == [9, 138]
    assert [2 * radius for radius in diameters] == list(radii)
