"""What the shapes in a file say of a Mask R-CNN with a feature pyramid."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from napari_segnet.containers import Weights
from napari_segnet.errors import UnknownNetworkError
from napari_segnet.families.kit.facts import Shapes, refusal

__all__ = ["Reading", "level_strides"]

MOBILENETS: Mapping[str, Mapping[int, tuple[int, int]]] = {
    "mobilenet_v3_large": {
        0: (16, 2),
        2: (24, 4),
        4: (40, 8),
        7: (80, 16),
        13: (160, 32),
        16: (960, 32),
    },
    "mobilenet_v3_small": {
        0: (16, 2),
        1: (16, 4),
        2: (24, 8),
        4: (40, 16),
        9: (96, 32),
        12: (576, 32),
    },
}
"""Layer -> (channels, stride) where torchvision takes features of a MobileNetV3: the first,
those that halve the picture, and the last (``_mobilenet_extractor``)."""


def level_strides(hparams: Mapping[str, Any]) -> tuple[int, ...]:
    """Return the stride of each pyramid level in pixels, without the pooled last one."""
    if hparams["body"] == "resnet":
        return tuple(2 ** (level + 1) for level in hparams["levels"])
    return tuple(MOBILENETS[hparams["body"]][level][1] for level in hparams["levels"])


class Reading:
    """The shapes in a file by the names of the graph, whatever the file calls them.

    Parameters
    ----------
    weights : Weights
        The file.
    title : str
        The family's name for people.
    in_file : callable
        Name in the graph -> name in the file.
    background : str
        ``first`` or ``last``.
    logits : int
        Numbers that say whether an anchor is an object.
    """

    def __init__(
        self,
        weights: Weights,
        title: str,
        in_file: Callable[[str], str],
        background: str,
        logits: int = 1,
    ) -> None:
        self.shapes = Shapes(weights, title)
        self.in_file = in_file
        self.background = background
        self.logits = logits

    def hparams(self) -> dict[str, Any]:
        """Return all that shapes say."""
        body = self._resnet if self._has("backbone.body.conv1.weight") else self._mobilenet
        return {**body(), **self._pyramid(), **self._boxes(), **self._masks()}

    def channels(self) -> int:
        """Return the number of input channels."""
        resnet = self._has("backbone.body.conv1.weight")
        return self._of("backbone.body.conv1.weight" if resnet else "backbone.body.0.0.weight", 4)[
            1
        ]

    def classes(self) -> int:
        """Return the number of classes, background included, that all three heads agree on."""
        scores = self._of("roi_heads.box_predictor.cls_score.weight", 2)[0]
        boxes = self._of("roi_heads.box_predictor.bbox_pred.weight", 2)[0]
        masks = self._of("roi_heads.mask_predictor.mask_fcn_logits.weight", 4)[0]
        full = scores if self.background == "first" else scores - 1
        if boxes not in {4 * full, 4} or masks not in {full, 1} or scores < 2:
            extra = (
                ""
                if self.background == "first"
                else " one less (without background) in the others,"
            )
            raise UnknownNetworkError(
                f"The heads of {self.shapes.weights.path.name} do not fit each other: {scores} "
                f"classes with background have scores, {boxes / 4:g} have boxes and {masks} have "
                f"masks, but the same number of at least 2 was expected,{extra} or 1 for all. "
                "Replace the box head and the mask head together, train again, and save."
            )
        return scores

    # ---- Parts -------------------------------------------------------------------------

    def _has(self, key: str) -> bool:
        return self.in_file(key) in self.shapes

    def _of(self, key: str, *lengths: int) -> tuple[int, ...]:
        return self.shapes.of(self.in_file(key), *lengths)

    def _widths(self, pattern: str) -> list[int]:
        """Return the output channels of a row of convolutions, from number 0 on."""
        widths: list[int] = []
        while self._has(key := pattern.format(len(widths))):
            widths.append(self._of(key, 4)[0])
        return widths

    def _norm(self, prefix: str) -> str:
        if not self._has(f"{prefix}.weight"):
            return "none"
        if not self._has(f"{prefix}.running_mean"):
            return "group"
        return "batch" if self._has(f"{prefix}.num_batches_tracked") else "frozen"

    def _refusal(self, reason: str) -> UnknownNetworkError:
        return refusal(self.shapes.weights, self.shapes.title, reason)

    def _resnet(self) -> dict[str, Any]:
        """Read which ResNet it is: width and groups stand in the first block."""
        block = "backbone.body.layer{}.{}.conv{}.weight"
        bottleneck = self._has(block.format(1, 0, 3))
        width, per_group = self._of(block.format(1, 0, 2), 4)[:2]
        groups = max(1, width // per_group) if bottleneck else 1
        layers: list[int] = []
        while self._has(block.format(len(layers) + 1, 0, 1)):
            count = 0
            while self._has(block.format(len(layers) + 1, count, 1)):
                count += 1
            layers.append(count)
        first = self._of(block.format(1, 0, 3 if bottleneck else 2), 4)[0]
        return {
            "body": "resnet",
            "levels": self._levels([first * 2**i for i in range(len(layers))], first=1),
            "block": "bottleneck" if bottleneck else "basic",
            "layers": layers,
            "groups": groups,
            "width_per_group": width // groups,
            "stem_channels": self._of("backbone.body.conv1.weight", 4)[0],
            "body_channels": first,
            "norm": self._norm("backbone.body.bn1"),
        }

    def _mobilenet(self) -> dict[str, Any]:
        """Read which MobileNet it is: only the small one squeezes in its first block."""
        size = "small" if self._has("backbone.body.1.block.1.fc1.weight") else "large"
        stages = MOBILENETS[f"mobilenet_v3_{size}"]
        order, widths = list(stages), [channels for channels, _ in stages.values()]
        levels = [order[i] for i in self._levels(widths, first=0)]
        return {
            "body": f"mobilenet_v3_{size}",
            "levels": levels,
            "norm": self._norm("backbone.body.0.1"),
        }

    def _levels(self, widths: list[int], first: int) -> list[int]:
        """Return which of the body's outputs go into the pyramid, told by their widths.

        Finest first; of two outputs as wide, that which is next to the level above.
        """
        inner = "backbone.fpn.inner_blocks.{}.0.weight"
        wanted: list[int] = []
        while self._has(key := inner.format(len(wanted))):
            wanted.append(self._of(key, 4)[1])
        if not wanted:
            raise self._refusal("it has no feature pyramid (FPN)")
        levels: list[int] = []
        for width in reversed(wanted):
            before = levels[-1] if levels else len(widths)
            there = [i for i, own in enumerate(widths) if own == width]
            if not there:
                raise self._refusal(
                    f"its feature pyramid takes {width} channels, which no stage of its body has"
                )
            if min(there) >= before:
                raise self._refusal("the levels of its feature pyramid are not in order")
            levels.append(max(i for i in there if i < before))
        return [level + first for level in reversed(levels)]

    def _pyramid(self) -> dict[str, Any]:
        anchors = self._of("rpn.head.cls_logits.weight", 4)[0] // self.logits
        deltas = self._of("rpn.head.bbox_pred.weight", 4)[0]
        if deltas != 4 * anchors:
            raise self._refusal(
                f"it proposes {anchors} boxes per place but has {deltas} box numbers for them, "
                f"where {4 * anchors} were expected"
            )
        layers = self._widths("rpn.head.conv.{}.0.weight")
        if not layers:
            raise self._refusal("its proposal head has no layers that we know")
        return {
            "fpn_norm": self._norm("backbone.fpn.inner_blocks.0.1"),
            "fpn_channels": self._of("backbone.fpn.inner_blocks.0.0.weight", 4)[0],
            "rpn_layers": layers,
            "anchors_per_pixel": anchors,
        }

    def _boxes(self) -> dict[str, Any]:
        head = "roi_heads.box_head."
        convs = self._widths(head + "{}.0.weight")
        if self._has(head + "fc6.weight"):
            kind, fcs = "mlp", [self._of(head + f"fc{i}.weight", 2)[0] for i in (6, 7)]
            flat = self._of(head + "fc6.weight", 2)[1]
        else:
            # Convolutions, the flattening, then linear layers with a ReLU behind each.
            kind, fcs, number = "sequence", [], len(convs) + 1
            while self._has(key := f"{head}{number + 2 * len(fcs)}.weight"):
                fcs.append(self._of(key, 2)[0])
            first = f"{head}{number}.weight" if fcs else "roi_heads.box_predictor.cls_score.weight"
            flat = self._of(first, 2)[1]
        if convs and not fcs and self._of(head + "0.0.weight", 4)[2] != 3:
            # Linear layers written as convolutions, the first over all that is cut out.
            kind, fcs, flat = "conv", convs, math.prod(self._of(head + "0.0.weight", 4)[1:])
            convs = []
        width = convs[-1] if convs else self._of("backbone.fpn.inner_blocks.0.0.weight", 4)[0]
        edge = math.isqrt(flat // width)
        if edge < 1 or width * edge**2 != flat:
            raise self._refusal(
                f"its box head takes {flat} numbers, which are not a square of {width} channels"
            )
        boxes = self._of("roi_heads.box_predictor.bbox_pred.weight", 2)[0]
        classes = self.classes()
        return {
            "box_head": kind,
            "box_convs": convs,
            "box_fcs": fcs,
            "box_norm": self._norm(head + "0.1"),
            "box_pool_px": edge,
            "box_agnostic": boxes == 4 and not (self.background == "last" and classes == 2),
        }

    def _masks(self) -> dict[str, Any]:
        layers = self._widths("roi_heads.mask_head.{}.0.weight")
        if not layers:
            raise self._refusal("its mask head has no layers that we know")
        masks = self._of("roi_heads.mask_predictor.mask_fcn_logits.weight", 4)[0]
        classes = self.classes()
        return {
            "mask_layers": layers,
            "mask_norm": self._norm("roi_heads.mask_head.0.1"),
            "mask_hidden": self._of("roi_heads.mask_predictor.conv5_mask.weight", 4)[1],
            "mask_agnostic": masks == 1 and not (self.background == "last" and classes == 2),
        }
