"""Encoders: sizes, what is trained and what is frozen, weights from elsewhere, pixels, sanity runs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cratermill.core.errors import InputError
from cratermill.families import row_model
from cratermill.families.autoencoder.cae import ConvAutoencoder, sides_of
from cratermill.families.autoencoder.hparams import Hparams
from cratermill.families.autoencoder.input_scaling import Pixels
from cratermill.families.autoencoder.layouts import LAYOUTS, Layout
from cratermill.families.autoencoder.mae import MaskedAutoencoder
from cratermill.families.autoencoder.network import build_network, dihedral
from cratermill.families.autoencoder.sanity import sanity
from cratermill.families.autoencoder.task import LatentTask
from cratermill.families.autoencoder.weights_files import authors_names, load_published

BASE = {
    "version": 1,
    "version_run": True,
    "test_set": [0],
    "trainings_per_test": 1,
    "val_frac": 0.2,
    "batch_size": 8,
    "lr": 1e-3,
    "optimizer": "Adam",
    "max_epochs": 2,
    "model_name": "cae",
    "crop_px": 40,
}


def row(**changed) -> Hparams:
    return Hparams.from_plan({**BASE, **changed})


def crops(count: int = 4, size: int = 40) -> torch.Tensor:
    return torch.randint(0, 256, (count, 1, size, size), generator=torch.Generator().manual_seed(0)).float()


def test_the_convolutional_autoencoder_is_the_published_one():
    network = ConvAutoencoder(100, 20)
    assert sides_of(100) == [100, 50, 25, 13, 7]
    convolutions = 16 * 10 + 32 * (16 * 9 + 1) + 64 * (32 * 9 + 1) + 128 * (64 * 9 + 1)
    back = 64 * (128 * 9) + 64 + 32 * (64 * 9) + 32 + 16 * (32 * 9) + 16 + 16 * 9 + 1
    linear = (6272 + 1) * 20 + 6272 * 21
    assert sum(weight.numel() for weight in network.parameters()) == convolutions + back + linear


@pytest.mark.parametrize("size", [32, 40, 53, 100])
@pytest.mark.parametrize("latent", [6, 40])
def test_any_size_comes_back_as_it_went_in(size, latent):
    network = ConvAutoencoder(size, latent)
    image = torch.rand(2, 1, size, size)
    assert network.latents(image).shape == (2, latent)
    made = network.reconstruct(image)
    assert made.shape == image.shape and made.min() >= 0 and made.max() <= 1


def tiny_mae(**changed) -> MaskedAutoencoder:
    torch.manual_seed(0)
    return MaskedAutoencoder(Layout(16, 4, 2, 8, decoder_dim=8, decoder_depth=1, decoder_heads=2), 40, **changed)


def test_patches_and_back():
    network, image = tiny_mae(), torch.rand(3, 1, 40, 40)
    assert torch.equal(network.unpatchify(network.patchify(image)), image)


@pytest.mark.parametrize(("ratio", "shown"), [(0.75, 6), (0.01, 24), (0.99, 1)])
def test_as_many_patches_are_hidden_as_the_ratio_says(ratio, shown):
    kept, hidden = tiny_mae(mask_ratio=ratio).draw(5, None, torch.device("cpu"))
    assert kept.shape[1] == shown and hidden.shape[1] == 25 - shown
    assert torch.equal(torch.cat([kept, hidden], 1).sort(1).values, torch.arange(25).expand(5, 25))


def test_hidden_pixels_do_not_leak_into_their_prediction():
    network, image = tiny_mae().eval(), torch.rand(1, 1, 40, 40)
    shown, hidden = network.draw(1, torch.Generator().manual_seed(1), torch.device("cpu"))
    other = network.patchify(image).clone()
    other[0, hidden[0]] = torch.rand(hidden.shape[1], 64)
    assert torch.allclose(network.predict(image, shown), network.predict(network.unpatchify(other), shown), atol=1e-6)


def test_reconstructions_keep_what_was_shown():
    network, image = tiny_mae().eval(), torch.rand(2, 1, 40, 40)
    same = (network.patchify(network.reconstruct(image)) == network.patchify(image)).all(2)
    assert same.sum(1).tolist() == [6, 6]


@pytest.mark.parametrize("until", [0, 2, 4])
def test_frozen_blocks_get_no_gradient_and_never_change_and_the_decoder_learns(until):
    network = build_network(row(model_name="mae_small", max_epochs=1, freeze_until=until))
    task = LatentTask(network, row(model_name="mae_small", optimizer="AdamW", keywords={"OPT_AdamW_weight_decay": 0.5}))
    before = {name: weight.clone() for name, weight in network.named_parameters()}
    ((optimizer, _),) = task.optimizers()
    for _ in range(2):
        optimizer.zero_grad()
        task({"image": crops()}).backward()
        optimizer.step()
    frozen = tuple(["model.patch_embed.", "model.cls_token"] + [f"model.blocks.{block}." for block in range(until)]) if until else ()
    for name, weight in network.named_parameters():
        if frozen and name.startswith(frozen):
            assert weight.grad is None and torch.equal(weight, before[name]), name
        else:
            assert weight.grad is not None and not torch.equal(weight, before[name]), name


def test_latents_are_the_class_token_or_the_mean_and_nothing_is_hidden():
    image = torch.rand(2, 1, 40, 40)
    first, second = tiny_mae(latent="cls", mask_ratio=0.9).eval(), tiny_mae(latent="mean").eval()
    second.load_state_dict(first.state_dict())
    tokens = first._encode(first._embed(image))
    assert tokens.shape[1] == 26
    assert torch.equal(first.latents(image), tokens[:, 0]) and torch.allclose(second.latents(image), tokens[:, 1:].mean(1))


def published(layout: Layout, bands: int = 3) -> dict[str, torch.Tensor]:
    """Weights as their authors publish them: three bands in and out."""
    torch.manual_seed(3)
    network = MaskedAutoencoder(layout, layout.patch * 3)
    state = {name: torch.randn_like(value) * 0.05 for name, value in network.state_dict().items()}
    patch = layout.patch
    state["patch_embed.proj.weight"] = torch.randn(layout.dim, bands, patch, patch) * 0.05
    state["decoder_pred.weight"] = torch.randn(bands * patch**2, layout.decoder_dim) * 0.05
    state["decoder_pred.bias"] = torch.randn(bands * patch**2) * 0.05
    return state


SMALL = Layout(24, 2, 2, 8, decoder_dim=16, decoder_depth=1, decoder_heads=2)


def as_on_the_hub(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The same weights in the names of transformers' ViTMAE."""
    found = {}
    for name, value in state.items():
        decoder = name.startswith(("decoder", "mask_token"))
        name = name.replace("decoder_blocks.", "decoder_layers.") if decoder else name.replace("blocks.", "encoder.layer.")
        for ours, theirs in ((".norm1", ".layernorm_before"), (".norm2", ".layernorm_after"), (".mlp.fc1", ".intermediate.dense"),
                             (".mlp.fc2", ".output.dense"), (".attn.proj", ".attention.output.dense")):  # fmt: skip
            name = name.replace(ours, theirs)
        if name.startswith("norm."):
            name = "layernorm." + name.partition(".")[2]
        for ours, theirs in (("patch_embed.proj", "embeddings.patch_embeddings.projection"), ("cls_token", "embeddings.cls_token")):
            name = name.replace(ours, theirs) if not decoder else name
        name = ("decoder." if decoder else "vit.") + name
        if ".attn.qkv." in name:
            kind = name.rpartition(".")[2]
            for part, rows in zip(("query", "key", "value"), value.chunk(3), strict=True):
                found[name.replace(f"attn.qkv.{kind}", f"attention.attention.{part}.{kind}")] = rows
        else:
            found[name] = value
    return found


def test_both_ways_of_naming_published_weights_are_read():
    state = {name: value for name, value in published(SMALL).items() if "pos_embed" not in name}
    back = authors_names(as_on_the_hub(state))
    assert back.keys() == state.keys() and all(torch.equal(back[name], state[name]) for name in state)


def test_folded_weights_see_grey_crops_as_three_normalised_bands(tmp_path):
    from cratermill.families.autoencoder.frozen import MEAN, STD

    state, network = published(SMALL), MaskedAutoencoder(SMALL, 24)
    load_published(network, state, tmp_path / "w.pth", "mae_small")
    grey = torch.rand(2, 1, 24, 24)
    mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
    bands = (grey.expand(-1, 3, -1, -1) - mean) / std
    wanted = torch.nn.functional.conv2d(bands, state["patch_embed.proj.weight"], state["patch_embed.proj.bias"], stride=8)
    assert torch.allclose(network.patch_embed["proj"](grey), wanted, atol=1e-5)
    hidden = torch.rand(5, 16)
    three = (hidden @ state["decoder_pred.weight"].T + state["decoder_pred.bias"]).view(5, 64, 3)
    assert torch.allclose(network.decoder_pred(hidden), (three * torch.tensor(STD) + torch.tensor(MEAN)).mean(2), atol=1e-5)


@pytest.mark.parametrize("name", ["model.safetensors", "mae_pretrain.pth"])
def test_weights_come_from_a_local_folder(tmp_path, monkeypatch, name):
    from safetensors.torch import save_file

    monkeypatch.setitem(LAYOUTS, "mae_base", Layout(24, 2, 2, 16, decoder_dim=16, decoder_depth=1, decoder_heads=2))
    state = published(LAYOUTS["mae_base"])
    if name.endswith("pth"):
        torch.save({"model": {key: value for key, value in state.items() if not key.startswith(("decoder", "mask"))}}, tmp_path / name)
    else:
        save_file(as_on_the_hub(state), tmp_path / name)
    network = build_network(row(model_name="mae_base", crop_px=64, weights=str(tmp_path)))
    assert torch.equal(network.model.blocks[1].attn.qkv.weight, state["blocks.1.attn.qkv.weight"])


def test_weights_come_from_the_local_cache_of_the_hub(tmp_path, monkeypatch):
    from huggingface_hub import constants
    from safetensors.torch import save_file

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setitem(LAYOUTS, "mae_base", Layout(24, 2, 2, 16, decoder_dim=16, decoder_depth=1, decoder_heads=2))
    state, folder = published(LAYOUTS["mae_base"]), tmp_path / "models--someone--vit-mae"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("0123456789abcdef0123456789abcdef01234567")
    snapshot = folder / "snapshots" / "0123456789abcdef0123456789abcdef01234567"
    snapshot.mkdir(parents=True)
    save_file(as_on_the_hub(state), snapshot / "model.safetensors")
    network = build_network(row(model_name="mae_base", crop_px=64, weights="someone/vit-mae"))
    assert torch.equal(network.model.blocks[0].mlp.fc1.weight, state["blocks.0.mlp.fc1.weight"])


def test_weights_of_another_layout_are_refused_with_both_named(tmp_path):
    torch.save(published(Layout(48, 3, 2, 8, decoder_dim=16, decoder_depth=1, decoder_heads=2)), tmp_path / "w.pth")
    with pytest.raises(InputError, match=r"another layout than mae_small: it has 3 blocks of 48, patches of 8 px") as found:
        build_network(row(model_name="mae_small", weights=str(tmp_path / "w.pth")))
    assert "6 blocks of 128, patches of 4 px" in found.value.valid


def test_a_checkpoint_of_another_latent_size_is_refused_with_both_named(tmp_path):
    torch.save(build_network(row(latent_dim=6)).state_dict(), tmp_path / "autoencoder.pth")
    again = build_network(row(latent_dim=6, weights=str(tmp_path / "autoencoder.pth")))
    assert torch.equal(again.model.encoder[-1].weight, torch.load(tmp_path / "autoencoder.pth")["model.encoder.9.weight"])
    with pytest.raises(InputError, match="holds a cae with latents of 6, the row says cae with latents of 20"):
        build_network(row(weights=str(tmp_path / "autoencoder.pth")))


@pytest.mark.parametrize("content", [b"nonsense", b""])
def test_damaged_weights_are_refused(tmp_path, content):
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(InputError, match="damaged"):
        build_network(row(model_name="mae_small", weights=str(tmp_path)))


def test_missing_weights_are_refused(tmp_path):
    with pytest.raises(InputError, match="no weights at"):
        build_network(row(weights=str(tmp_path / "nothing")))


def test_a_frozen_backbone_gives_latents_and_stays_as_it_is():
    network = build_network(row(model_name="backbone", backbone="test_efficientnet", pretrained=False, max_epochs=0, crop_px=64))
    network.train()
    image = crops(3, 64)
    before = network(image)
    assert before.shape == (3, network.latent_dim) and torch.equal(before, network(image)) and not before.requires_grad
    assert not any(weight.requires_grad for weight in network.parameters()) and network.reconstruct(image) is None
    assert LatentTask(network, row()).optimizers()[0][1] is None


def test_means_over_turns_and_flips_do_not_see_them():
    network = build_network(row(latent_transform="dihedral")).eval()
    image = crops(2)
    latents = network(image)
    for turned in dihedral(image):
        assert torch.allclose(network(turned), latents, atol=1e-5)
    plain = build_network(row()).eval()
    assert not torch.allclose(plain(image), plain(image.flip(3)), atol=1e-3)


def test_pixels_are_stretched_crop_by_crop():
    image = torch.linspace(50, 100, 1600).view(1, 1, 40, 40)
    assert torch.equal(Pixels()(image), image / 255)
    stretched = Pixels("percentile")(image)
    assert stretched.min() == 0 and stretched.max() == 1 and abs(float(stretched.mean()) - 0.5) < 0.01
    centred = Pixels("mean_std")(image)
    assert abs(float(centred.mean()) - 0.5) < 1e-5 and abs(float(centred.std()) - 0.125) < 1e-4
    assert torch.allclose(Pixels("mean_std")(image * 2 - 30), centred, atol=1e-4)
    assert Pixels("mean_std")(torch.full((1, 1, 40, 40), 7.0)).isfinite().all()


def test_high_pass_takes_slopes_away_and_leaves_detail():
    slope = torch.linspace(0, 200, 64).expand(1, 1, 64, 64)
    detail = 30 * ((torch.arange(64) % 2) * 2 - 1).float().view(1, 1, 64, 1)
    passed = Pixels("none", 0.1, 64)(slope + 20 + detail)[:, :, 16:48, 16:48]
    assert float(passed.mean(2).std()) < 0.01 and abs(float(passed.std()) - 30 / 255) < 0.02


@pytest.mark.parametrize("model", ["cae", "mae_small"])
def test_half_precision_trains_and_leaves_pixels_exact(model):
    network = build_network(row(model_name=model, high_pass=0.1))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(network.pixels(crops()), Pixels("none", 0.1, 40)(crops()))
        loss = network.loss(crops())
    loss.backward()
    assert (
        loss.dtype == torch.float32 and loss.isfinite() and all(w.grad.isfinite().all() for w in network.parameters() if w.grad is not None)
    )


@pytest.mark.parametrize(
    ("changed", "column"),
    [
        ({"model_name": "mae_base"}, "crop_px"),
        ({"model_name": "mae_small", "freeze_until": 7}, "freeze_until"),
        ({"model_name": "backbone", "max_epochs": 0}, "backbone"),
        ({"max_epochs": 0}, "max_epochs"),
        ({"model_name": "backbone", "backbone": "resnet18"}, "max_epochs"),
    ],
)
def test_columns_that_do_not_go_together_are_named(changed, column):
    with pytest.raises(ValueError, match=column):
        row(**changed)


def test_the_rate_falls_on_a_plateau_of_the_validation_loss_and_goes_on_after_a_stop():
    def scheduler_of(task):
        return task.optimizers()[0]

    task = LatentTask(build_network(row()), row(scheduler="ReduceLROnPlateau", plateau_patience=1))
    optimizer, schedule = scheduler_of(task)
    rates = []
    for loss in (1.0, 0.9, 0.9, 0.9, 0.9, 0.9):
        task.start_scoring()
        task.total += torch.tensor([loss, 1.0])
        task.scores(lambda values: values)
        schedule.step()
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates == [1e-3, 1e-3, 1e-3, 5e-4, 5e-4, 2.5e-4]


def test_a_table_with_every_kind_of_row_is_sound_and_can_be_built(tmp_path):
    from cratermill.tables.versions import check_table
    from tests.families.autoencoder.case import HEADER, ROWS

    (tmp_path / "rows.csv").write_text(HEADER + ROWS)
    report = check_table(tmp_path / "rows.csv", row_model("autoencoder"), build=True)
    report.require()
    assert [built.network for built in report.built] == ["cae 32 px", "mae_small 40 px"]


def test_validation_hides_the_same_patches_in_every_epoch():
    task = LatentTask(build_network(row(model_name="mae_small")), row(model_name="mae_small"))
    found = []
    for _ in range(2):
        task.start_scoring()
        with torch.no_grad():
            task.score({"image": crops()})
        found.append(task.scores(lambda values: values)["loss"])
    assert found[0] == found[1]


@pytest.mark.parametrize("model", ["cae", "mae_small"])
def test_sanity_runs_tell_a_network_that_learns_from_one_that_cannot(model, monkeypatch):
    monkeypatch.setitem(LAYOUTS, "mae_small", Layout(32, 2, 2, None, decoder_dim=16, decoder_depth=1, decoder_heads=2))
    waves = np.random.default_rng(0).random((8, 5, 5))
    images = (np.kron(waves, np.ones((8, 8))) * 255).astype(np.uint8)
    found = sanity(row(model_name=model), images, steps=25)
    assert found["after"] < found["before"]
    assert set(found["mask_ratio"]) == ({"0.01", "0.99"} if model == "mae_small" else set())
    assert not sanity(row(model_name=model), images, steps=1)["sound"]
