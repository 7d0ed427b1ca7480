"""Classifiers and segmenters by name, on small inputs."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from cratermill.core.errors import InputError
from cratermill.networks import build_classifier, build_segmenter, resolve
from cratermill.networks.adapt import adapted
from cratermill.networks.backbone import DECODERS, SEGMENTERS
from cratermill.networks.features import FeatureMaps, Pyramid
from cratermill.networks.segmenter import architectures

SIZE = (64, 64)


def segment(model: str, encoder: str | None, **keywords) -> torch.Tensor:
    network = build_segmenter(model, encoder, in_chans=4, midinput_size=4, image_size=SIZE, **keywords).eval()
    with torch.no_grad():
        return network(torch.zeros(2, 4, *SIZE), torch.zeros(2, 4))


def test_the_models_of_the_table_are_those_that_can_be_built():
    assert set(SEGMENTERS) == {*architectures(), *DECODERS}


@pytest.mark.parametrize("model", [name for name in SEGMENTERS if name not in DECODERS])
def test_every_model_takes_a_midinput(model):
    network = build_segmenter(model, "resnet18", in_chans=4, midinput_size=4, image_size=SIZE).eval()
    for linear in network.injector.linears:
        nn.init.constant_(linear.bias, 1.0)
    image = torch.randn(2, 4, *SIZE)
    with torch.no_grad():
        near, far = network(image, torch.zeros(2, 4)), network(image, torch.full((2, 4), 3.0))
    assert near.shape == far.shape == (2, 1, *SIZE)
    assert not torch.allclose(near, far)


def test_the_midinput_is_relu_of_a_linear_map_added_to_every_map_but_the_image():
    network = build_segmenter("Unet", "resnet18", in_chans=4, midinput_size=3, image_size=SIZE).eval()
    image, vector = torch.randn(1, 4, *SIZE), torch.randn(1, 3)
    seen = []
    network.decoder.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    with torch.no_grad():
        network(image, vector)
        plain = network.encoder(image)
        assert torch.equal(seen[0][0], image)
        for level, linear in enumerate(network.injector.linears, start=1):
            added = torch.relu(vector @ linear.weight.T + linear.bias)[:, :, None, None]
            assert torch.allclose(seen[0][level], plain[level] + added, atol=1e-6)


@pytest.mark.parametrize(
    ("model", "encoder"),
    [
        ("Unet", None),
        ("Unet++", "mit_b0"),  # smp alone refuses this one
        ("DeepLabV3+", "vgg11_bn"),  # and this one
        ("Linknet", "tu-convnext_atto"),
        ("FPN", "timm:mobilenetv3_small_050"),
        ("Unet", "timm:vit_tiny_patch16_224"),
        ("DeepLabV3", "tu-vit_tiny_patch16_224"),
        ("PSPNet", "torchgeo:resnet18"),
        ("UPerNet", "torchgeo:vit_small_patch14_dinov2"),
    ],
)
def test_encoders_of_all_kinds(model, encoder):
    if encoder and "patch14" in encoder:
        network = build_segmenter(model, encoder, in_chans=4, image_size=(224, 224)).eval()
        with torch.no_grad():
            assert network(torch.zeros(1, 4, 224, 224)).shape == (1, 1, 224, 224)
    else:
        assert segment(model, encoder).shape == (2, 1, *SIZE)


@pytest.mark.parametrize(
    "name", ["resnet10t", "smp:mobilenet_v2", "torchgeo:resnet18", "vit_tiny_patch16_224", "torchgeo:vit_small_patch16_224"]
)
def test_classifiers_take_rectangles(name):
    network = build_classifier(name, 4, 2, image_size=(32, 64)).eval()
    with torch.no_grad():
        assert network(torch.zeros(3, 4, 32, 64)).shape == (3, 2)


def test_keywords_reach_the_model():
    small = build_segmenter("Unet", "resnet18", image_size=SIZE, decoder_channels=[16, 8, 8, 8, 4], decoder_attention_type="scse")
    assert small.head[0].in_channels == 4
    assert any("attention" in name for name, _ in small.decoder.named_modules())


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: build_classifier("resnt18", 4), "'resnt18' is no network of timm or smp"),
        (lambda: build_segmenter("Unet", "resnt18"), "'resnt18' is no network of smp or timm"),
        (lambda: build_segmenter("Unett", "resnet18"), "unknown segmentation model 'Unett'"),
        (lambda: build_segmenter("Unet", "resnet18", decoder_channels=[8, 8]), "can't be built"),
        (lambda: build_segmenter("Unet", "resnet18", decoder_attention_type="hard"), "can't be built"),
        (lambda: build_classifier("torchgeo:croma_base", 4), "no network of torchgeo"),
        (lambda: build_classifier("torchgeo:dofa_small_patch16_224", 4, image_size=(32, 64)), "can't take images of 32×64"),
    ],
)
def test_what_cant_be_built_is_said(build, message):
    with pytest.raises(InputError, match=message):
        build()


def test_an_image_that_does_not_fit_the_strides_is_refused():
    network = build_segmenter("FPN", "resnet18", image_size=SIZE)
    with pytest.raises(InputError, match="50×64") as caught:
        network(torch.zeros(1, 4, 50, 64))
    assert "divisible by 32" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "home", "full"),
    [
        ("resnet34", "timm", "timm:resnet34"),
        ("resnet34", "smp", "smp:resnet34"),
        ("densenet169.tv_in1k", "timm", "timm:densenet169.tv_in1k"),
        ("mit_b0", "timm", "smp:mit_b0"),
        ("tu-resnet34", "smp", "timm:resnet34"),
        ("smp:resnet34", "timm", "smp:resnet34"),
        ("torchgeo:resnet18.SENTINEL2_RGB_MOCO", "timm", "torchgeo:resnet18.SENTINEL2_RGB_MOCO"),
    ],
)
def test_names(text, home, full):
    assert str(resolve(text, home)) == full


@pytest.mark.parametrize("in_chans", [1, 2, 3, 4, 6, 8])
def test_first_layers_are_adapted_as_timm_does_it(in_chans):
    from timm.models import adapt_input_conv

    weight = torch.randn(5, 3, 3, 3)
    assert torch.allclose(adapted(weight, in_chans), adapt_input_conv(in_chans, weight), atol=1e-6)


class Tokens(nn.Module):
    """A toy transformer: tokens of an 8-pixel grid after a class token, six blocks."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Conv2d(4, 24, 8, 8)

    def forward(self, image):
        tokens = self.embed(image).flatten(2).transpose(1, 2)
        return [torch.cat([tokens[:, :1] * 0, tokens + block], 1) for block in range(6)]


def test_tokens_become_maps_in_their_places():
    net = Tokens()
    features = FeatureMaps(net, "toy", 4, (32, 64))
    assert (features.channels, features.strides, features.keep) == ([24] * 4, [8.0] * 4, [1, 2, 3, 5])
    image = torch.randn(1, 4, 32, 64)
    assert torch.allclose(features(image)[0], net.embed(image) + 1, atol=1e-6)


def test_a_pyramid_has_the_levels_that_decoders_expect():
    pyramid = Pyramid(FeatureMaps(Tokens(), "toy", 4, (32, 64)), 4, depth=5, output_stride=16)
    maps = pyramid(torch.randn(1, 4, 32, 64))
    assert [tuple(level.shape[2:]) for level in maps] == [(32, 64), (16, 32), (8, 16), (4, 8), (2, 4), (2, 4)]
    assert [level.shape[1] for level in maps] == pyramid.out_channels == [4, 24, 24, 24, 24, 24]


def test_maps_with_channels_last_are_turned():
    class Last(nn.Module):
        def forward(self, image):
            return [image[:, :6, ::4, ::4].permute(0, 2, 3, 1), image[:, :6, ::8, ::8].permute(0, 2, 3, 1)]

    features = FeatureMaps(Last(), "toy", 6, (32, 64))
    assert (features.channels, features.strides) == ([6, 6], [4.0, 8.0])


def test_channels_last_knows_3d_convolutions():
    class Video(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv3d(4, 8, (1, 4, 4), (1, 4, 4))

        def forward(self, image):
            return [self.conv(image[:, :, None])[:, :, 0]]

    features = FeatureMaps(Video(), "toy", 4, (16, 16))
    image = torch.randn(1, 4, 16, 16)
    before = features(image)[0]
    after = features.to(memory_format=torch.channels_last)(image)[0]
    assert torch.allclose(before, after, atol=1e-6)
    assert features.double().net.conv.weight.dtype == torch.float64
