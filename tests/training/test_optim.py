"""Losses, optimisers and schedulers of a row."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import timm.optim
import torch
from pydantic import ValidationError
from torch import nn

from cratermill.core.errors import InputError
from cratermill.families import row_model
from cratermill.families.connection.hparams import Hparams
from cratermill.tables.keywords import column_names, find, is_keyword, known
from cratermill.tables.table import read_table
from cratermill.tables.versions import check_table
from cratermill.training.optim import build_loss, build_optimizer, build_scheduler, is_fused, is_matrix_weight
from cratermill.training.registry import LOSSES, SCHEDULERS, Entry
from tests.tables.test_table import CONNECTION, write


def row(keywords: dict[str, Any] | None = None, **changes) -> Hparams:
    plain = {"test-set" if key == "test-set" else key: value for key, value in CONNECTION.items() if value and key in Hparams.columns()}
    return Hparams.model_validate(plain | changes | {"keywords": keywords or {}})


def logits_and_targets(shape=(3, 1, 8, 8)):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(shape, generator=generator), (torch.rand(shape, generator=generator) > 0.6).float()


def test_dice():
    logits, targets = logits_and_targets()
    p = logits.sigmoid()
    expected = 1 - 2 * (p * targets).sum() / (p.sum() + targets.sum())
    assert build_loss(row(loss="dice"))(logits, targets).item() == pytest.approx(expected.item(), abs=1e-6)


def test_iou():
    logits, targets = logits_and_targets()
    p = logits.sigmoid()
    both = (p * targets).sum()
    expected = 1 - both / (p.sum() + targets.sum() - both)
    assert build_loss(row(loss="iou"))(logits, targets).item() == pytest.approx(expected.item(), abs=1e-6)


def test_bce_counts_both_classes_and_weighs_the_positive_one():
    logits, targets = logits_and_targets((5, 1))
    plain = build_loss(row(loss="bce"))(logits, targets)
    assert plain.item() == pytest.approx(nn.functional.binary_cross_entropy_with_logits(logits, targets).item())
    weighed = build_loss(row({"LS_bce_pos_weight": 3}, loss="bce"))(logits, targets)
    expected = nn.functional.binary_cross_entropy_with_logits(logits, targets, pos_weight=torch.tensor(3.0))
    assert weighed.item() == pytest.approx(expected.item())


@pytest.mark.parametrize(("normalized", "shape"), [(True, (3, 1, 8, 8)), (False, (6, 1))])
def test_focal(normalized, shape):
    logits, targets = logits_and_targets(shape)
    p = logits.sigmoid() * targets + (1 - logits.sigmoid()) * (1 - targets)
    weight = (1 - p) ** 2 * (0.1 * targets + 0.9 * (1 - targets))
    focal = (1 - p) ** 2
    expected = (-weight * p.log()).sum() / (focal.sum() if normalized else p.numel())
    keywords = {"LS_focal_alpha": 0.1} | ({} if normalized else {"LS_focal_normalized": False})
    assert build_loss(row(keywords, loss="focal"))(logits, targets).item() == pytest.approx(expected.item(), rel=1e-4)


def test_optimizers_take_their_keywords_and_nobody_elses():
    module = nn.Linear(3, 2)
    keywords = {"OPT_AdamW_weight_decay": 0.5, "OPT_SGD_momentum": 0.9, "OPT_Adam_betas": [0.8, 0.9]}
    adamw = build_optimizer(row(keywords, optimizer="AdamW", lr=0.01), module)
    assert type(adamw) is torch.optim.AdamW
    assert (adamw.defaults["weight_decay"], adamw.defaults["lr"]) == (0.5, 0.01)
    assert build_optimizer(row(keywords, optimizer="SGD"), module).defaults["momentum"] == 0.9
    assert build_optimizer(row(keywords, optimizer="Adam"), module).defaults["betas"] == (0.8, 0.9)


def rates(scheduler: str | None, epochs: int, keywords: dict[str, Any], **changes) -> list[float]:
    """The learning rate of each epoch, as a share of the row's."""
    hparams = row(keywords, scheduler=scheduler, lr=0.1, optimizer="SGD", **changes)
    optimizer = build_optimizer(hparams, nn.Linear(1, 1))
    schedule = build_scheduler(hparams, optimizer)
    found = []
    for _ in range(epochs):
        found.append(optimizer.param_groups[0]["lr"] / 0.1)
        optimizer.step()
        if schedule is not None:
            schedule.step()
    return found


def test_schedules():
    assert rates(None, 3, {}) == [1, 1, 1]
    assert rates("StepLR", 5, {"LR_StepLR_step_size": 2, "LR_StepLR_gamma": 0.5}) == pytest.approx([1, 1, 0.5, 0.5, 0.25])
    cosine = rates("CosineAnnealingLR", 5, {"LR_CosineAnnealingLR_T_max": 4, "LR_CosineAnnealingLR_eta_min": 0.01})
    assert cosine == pytest.approx([0.1 + 0.9 * (1 + math.cos(math.pi * epoch / 4)) / 2 for epoch in range(5)])
    restarts = rates("CosineAnnealingWarmRestarts", 6, {"LR_CosineAnnealingWarmRestarts_T_0": 2})
    assert restarts == pytest.approx([1, 0.5] * 3)


def test_a_trapezoid_rises_stays_and_falls_within_epochs():
    keywords = {"LR_Trapezoid_T_max": 10, "LR_Trapezoid_rise": 2, "LR_Trapezoid_fall": 0.4}
    expected = [0.01, 0.505, 1, 1, 1, 1, 1, 0.7525, 0.505, 0.2575]
    assert rates("Trapezoid", 10, keywords) == pytest.approx(expected)
    optimizer = build_optimizer(row(keywords, scheduler="Trapezoid", lr=0.1, optimizer="SGD"), nn.Linear(1, 1))
    schedule = build_scheduler(row(keywords, scheduler="Trapezoid", lr=0.1, optimizer="SGD"), optimizer)
    for epoch, share in ((0.5, 0.2575), (3.25, 1.0), (9.5, 0.13375), (10, 0.01)):
        schedule.reach(epoch)
        assert optimizer.param_groups[0]["lr"] == pytest.approx(0.1 * share)


def test_warm_up_rises_from_a_hundredth_then_the_schedule_begins():
    keywords = {"LR_StepLR_step_size": 2, "LR_StepLR_gamma": 0.5}
    found = rates("StepLR_Warmup", 9, keywords, LR_Warmup_milestone=4)
    assert found == pytest.approx([0.01, 0.2575, 0.505, 0.7525, 1, 1, 0.5, 0.5, 0.25])


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.head = nn.Linear(6, 1)
        self.position = nn.Parameter(torch.zeros(1, 6))

    def forward(self, image):
        return self.head(self.norm(self.conv(image)).relu().mean((2, 3)) + self.position)


def test_muon_takes_matrices_and_adamw_the_rest():
    net = Small()
    matrices = [name for name, _ in net.named_parameters() if is_matrix_weight(net, name)]
    assert matrices == ["conv.weight", "head.weight"]
    optimizer = build_optimizer(row({"OPT_AdamW_weight_decay": 0.2, "OPT_Muon_momentum": 0.8}, optimizer="Muon"), net)
    muon, adamw = optimizer.param_groups
    assert type(optimizer) is timm.optim.Muon
    assert [tuple(p.shape) for p in muon["params"]] == [(6, 2, 3, 3), (1, 6)]
    assert len(adamw["params"]) == 5
    assert (muon["momentum"], muon["weight_decay"], adamw["weight_decay"], muon["lr"]) == (0.8, 0.1, 0.2, 1e-4)


def test_muon_takes_equal_steps_in_all_directions_and_adamw_is_torchs():
    torch.manual_seed(0)
    net, twin = nn.Linear(7, 5), nn.Linear(7, 5)
    twin.load_state_dict(net.state_dict())
    start = net.weight.detach().clone()
    mine = build_optimizer(row({"OPT_Muon_weight_decay": 0, "OPT_AdamW_weight_decay": 0.3}, optimizer="Muon", lr=0.02), net)
    adamw = torch.optim.AdamW([twin.bias], lr=0.02, weight_decay=0.3)
    for step in range(4):
        for one, other in zip(net.parameters(), twin.parameters(), strict=True):
            one.grad = torch.randn(one.shape, generator=torch.Generator().manual_seed(step))
            other.grad = one.grad.clone()
        mine.step()
        adamw.step()
        if step == 0:
            # All singular values alike, times 0.2 √7 of the rate: the size of AdamW's steps.
            values = torch.linalg.svdvals(net.weight.detach() - start) / (0.02 * 0.2 * 7**0.5)
            assert values.min() > 0.4
            assert values.max() < 1.3
    assert torch.allclose(net.bias, twin.bias, atol=1e-6)


def test_muon_learns_and_goes_on_from_its_state():
    torch.manual_seed(0)
    images = torch.randn(32, 2, 8, 8)
    targets = images[:, 0].clamp(min=0).mean((1, 2))[:, None] * 10
    net = Small().to(memory_format=torch.channels_last)
    hparams = row(optimizer="Muon", lr=0.02)
    optimizer = build_optimizer(hparams, net)

    def step(net, optimizer):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(net(images), targets)
        loss.backward()
        optimizer.step()
        return loss.item()

    losses = [step(net, optimizer) for _ in range(30)]
    assert losses[-1] < 0.7 * losses[0]
    twin = Small().to(memory_format=torch.channels_last)
    twin.load_state_dict(net.state_dict())
    resumed = build_optimizer(hparams, twin)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))  # as from a file
    assert step(net, optimizer) == step(twin, resumed)
    assert step(net, optimizer) == step(twin, resumed)


def test_muon_refuses_what_it_cant_use(tmp_path):
    path = write(tmp_path / "c.csv", [CONNECTION | {"optimizer": "Muon", "OPT_Muon_adjust_lr_fn": "none", "model_name": "resnet10t"}])
    assert read_table(path, row_model("connection")).problems == []
    problems = check_table(path, row_model("connection"), build=True, size_px=64).problems
    assert [(p.column, p.value) for p in problems] == [("optimizer", "Muon")]
    assert "match_rms_adamw" in problems[0].valid
    with pytest.raises(InputError, match="momentum"):
        build_optimizer(row({"OPT_AdamW_momentum": 1}, optimizer="Muon"), nn.Linear(1, 1))


def test_a_registered_loss_and_schedule_can_be_named_in_rows(monkeypatch):
    with pytest.raises(ValidationError, match="is none of the choices"):
        row(loss="huber")
    monkeypatch.setitem(LOSSES, "huber", Entry("torch.nn:HuberLoss"))
    monkeypatch.setitem(SCHEDULERS, "ExponentialLR", Entry("torch.optim.lr_scheduler:ExponentialLR"))
    keywords = {"LS_huber_delta": 0.5, "LR_ExponentialLR_gamma": 0.5}
    named = row(keywords, loss="huber", scheduler="ExponentialLR_Warmup", LR_Warmup_milestone=1)
    assert build_loss(named).delta == 0.5
    assert build_scheduler(named, build_optimizer(named, nn.Linear(1, 1))) is not None
    known.cache_clear()
    try:
        assert {"LS_huber_delta", "LR_ExponentialLR_gamma"} <= {*column_names("LS"), *column_names("LR")}
    finally:
        known.cache_clear()


def test_keyword_columns_come_from_signatures():
    assert known("LR")["StepLR"]["step_size"].required
    assert not known("LR")["StepLR"]["gamma"].required
    assert "LS_focal_alpha" in column_names("LS")
    assert "LS_focal_mode" not in column_names("LS")
    assert "OPT_AdamW_lr" not in column_names("OPT")
    assert find("OPT_Adam_betas").read("(0.9, 0.99)") == [0.9, 0.99]
    assert find("OPT_Muon_ns_coefficients").read("quintic") == "quintic"
    assert find("OPT_SGD_nesterov").read("True") is True
    assert find("MDL_DeepLabV3+_encoder_output_stride").read("8") == 8
    assert find("MDL_Unet_decoder_use_norm").read("layernorm") == "layernorm"
    assert find("MDL_Nonsense_x") is None
    assert is_keyword("LR_StepLR_gamma")
    assert not is_keyword("LR_Warmup_milestone")


@pytest.mark.parametrize(("name", "options"), [("AdamW", {"weight_decay": 0.1}), ("SGD", {"momentum": 0.9})])
def test_one_kernel_for_all_weights_takes_the_same_steps(name, options):
    generator = torch.Generator().manual_seed(0)
    start = [torch.randn(5, 4, generator=generator), torch.randn(4, generator=generator)]
    gradients = [[torch.randn(one.shape, generator=generator) for one in start] for _ in range(5)]
    found = []
    for fused in (False, True):
        weights = [nn.Parameter(one.clone()) for one in start]
        optimizer = getattr(torch.optim, name)(weights, lr=0.01, fused=fused, **options)
        for step in gradients:
            for weight, gradient in zip(weights, step, strict=True):
                weight.grad = gradient.clone()
            optimizer.step()
        found.append(torch.cat([weight.detach().ravel() for weight in weights]))
    torch.testing.assert_close(found[1], found[0], rtol=1e-5, atol=1e-6)


def test_weights_of_a_gpu_are_changed_by_one_kernel_unless_the_row_says_how():
    class Weight:
        def __init__(self, is_cuda: bool):
            self.is_cuda = is_cuda

    class Clipped:
        optimizer, gradient_clip = "AdamW", 5.0

    gpu, cpu = [Weight(True), Weight(True)], [Weight(True), Weight(False)]
    assert is_fused(row(optimizer="AdamW"), gpu)
    assert not is_fused(row(optimizer="AdamW"), cpu)
    assert not is_fused(row(optimizer="Muon"), gpu)
    assert not is_fused(Clipped(), gpu)
    assert not build_optimizer(row(optimizer="AdamW"), nn.Linear(2, 1)).param_groups[0]["fused"]
