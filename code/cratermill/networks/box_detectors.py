"""Published detectors of boxes on any encoder: torchvision's FCOS, RetinaNet and Faster R-CNN, and what terratorch's factory builds.

They take raw images and give boxes; a crater's circle is the one whose box it is.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, cast

import torch
from torch import Tensor, nn

from ..core.errors import InputError, first_line
from .backbone import Backbone
from .features import Pyramid
from .segmenter import encoder_features

DETECTORS = ("FCOS", "RetinaNet", "FasterRCNN")
LEVELS = (1, 2, 3, 4)
"""Encoder levels in use: strides 2, 4, 8 and 16. Craters of a few pixels need the finest."""
CHANNELS = 64
ANCHOR_PX = 3.0
"""Side of the anchors per pixel of stride: boxes of 6 to 48 px at strides 2 to 16."""
FIRST_SIDE = 2.0
"""Strides from a place to each side of its box, as FCOS answers before it has learnt anything."""
MOST = 300


class Convolutions(nn.Module):
    """Part of a detector that computes in what autocast says; 32 bits come out: in 16 places are exact to pixels only."""

    kind: torch.dtype | None = None
    """What autocast said, where not 32 bits."""

    def forward(self, value: Tensor) -> Any:
        with torch.autocast(value.device.type, self.kind, enabled=self.kind is not None):
            found = self.computed(value)
        return found.float() if isinstance(found, Tensor) else OrderedDict((name, one.float()) for name, one in found.items())

    def computed(self, value: Tensor) -> Tensor | OrderedDict[str, Tensor]:
        raise NotImplementedError


class Tower(Convolutions):
    """The convolutions of one of torchvision's heads before its last, which says places and classes."""

    def __init__(self, convolutions: nn.Module):
        super().__init__()
        self.convolutions = convolutions

    def computed(self, value: Tensor) -> Tensor:
        return cast(Tensor, self.convolutions(value))


class Trunk(Convolutions):
    """Maps of one width at the strides of ``LEVELS``, named as torchvision names them."""

    def __init__(self, encoder: Pyramid, channels: int = CHANNELS):
        from torchvision.ops import FeaturePyramidNetwork

        super().__init__()
        self.encoder, self.out_channels = encoder, channels
        self.pyramid = FeaturePyramidNetwork([encoder.out_channels[level] for level in LEVELS], channels)

    def computed(self, value: Tensor) -> OrderedDict[str, Tensor]:
        maps = self.encoder(value)
        found = self.pyramid(OrderedDict((str(level), maps[level]) for level in LEVELS))
        return cast(OrderedDict[str, Tensor], found)


class BoxDetector(nn.Module):
    """Images (N, C, H, W) in training with boxes → losses, else → circles (M, 4) x, y, radius, score of each image."""

    divisor = 32

    def __init__(self, detector: nn.Module):
        super().__init__()
        heads = [(module, getattr(module, "conv", None)) for module in detector.modules()]
        for head, convolutions in heads:
            if isinstance(convolutions, nn.Sequential):
                head.conv = Tower(convolutions)
        self.detector = detector

    def losses(self, image: Tensor, circles: list[Tensor]) -> Tensor:
        """The sum of the detector's losses; ``circles`` (M, 3) x, y, radius of each image."""
        targets = [{"boxes": boxes(one), "labels": torch.ones(len(one), dtype=torch.int64, device=image.device)} for one in circles]
        found = self._detected(image, targets)
        return torch.stack([value for value in found.values() if value.ndim == 0]).sum()

    def forward(self, image: Tensor) -> list[Tensor]:
        return [circles(one["boxes"], one["scores"]) for one in self._detected(image)]

    def _detected(self, image: Tensor, *targets: Any) -> Any:
        """Convolutions obey autocast, boxes are placed in 32 bits."""
        device = image.device.type
        kind = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
        for part in self.detector.modules():
            if isinstance(part, Convolutions):
                part.kind = kind
        with torch.autocast(device, enabled=False):
            return self.detector(list(image), *targets)


def boxes(circles_xyr: Tensor) -> Tensor:
    """Corners (M, 4) of the boxes around circles whose pixel centres lie at whole numbers."""
    x, y, radius = circles_xyr[:, 0] + 0.5, circles_xyr[:, 1] + 0.5, circles_xyr[:, 2]
    return torch.stack([x - radius, y - radius, x + radius, y + radius], 1)


def circles(corners: Tensor, scores: Tensor) -> Tensor:
    low, high = corners[:, :2], corners[:, 2:]
    radius = (high - low).clamp_min(1e-3).prod(1).sqrt() / 2
    return torch.cat([(low + high) / 2 - 0.5, radius[:, None], scores[:, None]], 1)


def build_box_detector(name: str, backbone: Backbone, in_chans: int, pretrained: bool, image_size: tuple[int, int]) -> BoxDetector:
    """One of ``DETECTORS``, random weights apart from the encoder's where ``pretrained``.

    Raises ``InputError`` where they don't go together.
    """
    deepest = LEVELS[-1]
    encoder = Pyramid(encoder_features(backbone, in_chans, pretrained, image_size, 2**deepest), in_chans, deepest)
    try:
        detector = _BUILD[name](Trunk(encoder))
    except (ValueError, RuntimeError, TypeError) as error:
        raise InputError(f"{name} with the encoder {backbone} can't be built: {first_line(error)}", next_step="choose another") from error
    detector.transform = AsTheyAre()
    return BoxDetector(detector)


class AsTheyAre(nn.Module):
    """In the place of torchvision's resizing and normalising: images are normalised already, and their size is part of the method."""

    def forward(self, images: list[Tensor], targets: Any = None) -> tuple[Any, Any]:
        from torchvision.models.detection.image_list import ImageList

        return ImageList(torch.stack(images), [tuple(image.shape[-2:]) for image in images]), targets

    def postprocess(self, result: Any, image_shapes: Any, original_image_sizes: Any) -> Any:
        return result


def _anchors(per_place: int) -> Any:
    from torchvision.models.detection.anchor_utils import AnchorGenerator

    steps = [2 ** (step / per_place) for step in range(per_place)]
    sizes = tuple(tuple(ANCHOR_PX * 2**level * step for step in steps) for level in LEVELS)
    return AnchorGenerator(sizes, ((1.0,),) * len(LEVELS))


def _fcos(trunk: Trunk) -> nn.Module:
    from torchvision.models.detection import FCOS
    from torchvision.models.detection.anchor_utils import AnchorGenerator

    # FCOS asks for one anchor of the side of its stride per place.
    places = AnchorGenerator(tuple((2**level,) for level in LEVELS), ((1.0,),) * len(LEVELS))
    detector = FCOS(trunk, 2, anchor_generator=places, score_thresh=0.05, nms_thresh=0.4, detections_per_img=MOST)
    # Sides are cut off at 0: a head whose first answers lie around it may learn to answer 0 everywhere, where no gradient leads away from.
    nn.init.constant_(detector.head.regression_head.bbox_reg.bias, FIRST_SIDE)
    return detector


def _retinanet(trunk: Trunk) -> nn.Module:
    from torchvision.models.detection import RetinaNet

    return RetinaNet(trunk, 2, anchor_generator=_anchors(2), score_thresh=0.05, nms_thresh=0.4, detections_per_img=MOST)


def _faster_rcnn(trunk: Trunk) -> nn.Module:
    from torchvision.models.detection import FasterRCNN
    from torchvision.ops import MultiScaleRoIAlign

    names = [str(level) for level in LEVELS]
    pool = MultiScaleRoIAlign(names, output_size=5, sampling_ratio=2, canonical_scale=48, canonical_level=3)
    return FasterRCNN(
        trunk,
        2,
        rpn_anchor_generator=_anchors(2),
        # The best of two anchors per octave and place overlaps a crater's box by .5 to 1, seldom by torchvision's .7.
        rpn_fg_iou_thresh=0.5,
        box_roi_pool=pool,
        box_nms_thresh=0.4,
        box_detections_per_img=MOST,
        rpn_pre_nms_top_n_train=1000,
        rpn_pre_nms_top_n_test=600,
        rpn_post_nms_top_n_train=400,
        rpn_post_nms_top_n_test=300,
    )


_BUILD = {"FCOS": _fcos, "RetinaNet": _retinanet, "FasterRCNN": _faster_rcnn}
