"""What a file says of its network besides the shapes: layers of a pickled module, naming rules."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from napari_segnet.containers import Layer
from napari_segnet.programs.structure._parts import Part

__all__ = ["Facts", "facts_of"]

ACTIVATIONS: Mapping[str, str] = {
    "ReLU": "relu", "LeakyReLU": "leaky-0.01", "ELU": "elu", "GELU": "gelu", "SiLU": "silu",
    "Tanh": "tanh", "ReLU6": "relu6",
}  # fmt: skip
POOLINGS: Mapping[str, str] = {"MaxPool2d": "max", "MaxPool3d": "max", "AvgPool2d": "average",
                               "AvgPool3d": "average"}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is said.

    Attributes
    ----------
    strides, dilations : mapping of str to int
        Of convolutions by name, where the file says them.
    strided : bool
        Whether the poolings are known to be strides of convolutions.
    functional : bool
        Whether a pickled module says the strides: its forward may pool by functions all the same.
    pooled : set of str
        Names of convolutions before which a network of this kind pools.
    nested : bool
        Whether names say that each level lies inside the skip connection of the one above.
    hidden_norms : bool
        Whether names say that a norm may stand without weights.
    by_name : bool
        Whether the file is sorted by name, so that its order says nothing.
    said : mapping of str to str
        Choices that the layers of a pickled module decide.
    marks : mapping of str to tuple of str
        Names of convolutions -> layers of a pickled module that stand before them in a
        ``Sequential``: ``pool`` or ``resize``, in order.
    """

    strides: Mapping[str, int] = field(default_factory=dict)
    dilations: Mapping[str, int] = field(default_factory=dict)
    strided: bool = False
    functional: bool = False
    pooled: frozenset[str] = frozenset()
    nested: bool = False
    hidden_norms: bool = False
    by_name: bool = False
    said: Mapping[str, str] = field(default_factory=dict)
    marks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def facts_of(
    parts: Sequence[Part],
    layers: Mapping[str, Layer],
    by_name: bool = False,
    recorded: Mapping[str, object] | None = None,
) -> Facts:
    """Return what names, shortcuts and the layers of a pickled module say."""
    strides = _strides(layers) or _by_shortcuts(parts)
    stem, pooled = _resnet(parts)
    strides = strides or stem
    # What a pickled module says of the strides may be those of a ResNet.
    agreed = all(strides.get(name) == stride for name, stride in stem.items())
    names = [unit.layer.name for part in parts for unit in part.all_units]
    slopes = [unit.slopes.name for p in parts for unit in p.all_units if unit.slopes is not None]
    return Facts(
        strides=strides,
        dilations=_numbers(layers, "dilation"),
        strided=any(stride > 1 for stride in strides.values())
        or (not layers and _flat(parts, strides)),
        functional=bool(layers),
        pooled=pooled if agreed else frozenset(),
        nested=any(".submodule." in f".{name}" for name in names),
        hidden_norms=bool(slopes) and all(name.endswith(".adn.A") for name in slopes),
        by_name=by_name,
        said={**_recorded(recorded or {}), **_said(layers)},
        marks=_marks(layers),
    )


def _recorded(values: Mapping[str, object]) -> dict[str, str]:
    """Return choices that values beside the tensors decide, such as ``padding: True``."""
    within = [one for one in values.values() if isinstance(one, Mapping)]
    for held in (values, *within):
        padded = held.get("padding")
        if isinstance(padded, bool):
            return {"padding": "same" if padded else "valid"}
        if padded in ("same", "valid"):
            return {"padding": str(padded)}
    return {}


def _strides(layers: Mapping[str, Layer]) -> Mapping[str, int]:
    return _numbers(layers, "stride")


def _numbers(layers: Mapping[str, Layer], name: str) -> dict[str, int]:
    found = {}
    for place, layer in layers.items():
        value = layer.values.get(name)
        if layer.torch in ("Conv2d", "Conv3d") and isinstance(value, list | tuple) and value:
            found[place] = max(one for one in value if isinstance(one, int))
    return found


def _by_shortcuts(parts: Sequence[Part]) -> Mapping[str, int]:
    """Read strides where shortcuts have the kernel of their block if, and only if, it strides.

    That is a rule of MONAI's residual units (a kernel of 1 suffices without a stride).
    https://github.com/Project-MONAI/MONAI/blob/dev/monai/networks/blocks/convolutions.py
    """
    beside = [part for part in parts if part.shortcut is not None]
    ruled = all(
        part.shortcut
        and part.shortcut.layer.name.endswith(".residual")
        and all(".unit" in unit.layer.name for unit in part.units)
        for part in beside
    )
    kernels = {max(part.shortcut.kernel) for part in beside if part.shortcut is not None}
    wide = max((max(part.first.kernel) for part in beside), default=1)
    if wide == 1 or not (ruled or kernels == {1, wide}):
        return {}
    return {
        part.first.layer.name: 2 if part.shortcut and max(part.shortcut.kernel) > 1 else 1
        for part in beside
    }


def _resnet(parts: Sequence[Part]) -> tuple[Mapping[str, int], frozenset[str]]:
    """Read the strides of a ResNet by the names in its blocks, and before which layers it pools.

    Blocks are those of ``conv1``, ``conv2`` with a ``downsample``, in lists that stand one behind
    the other: ``layer1``; where the first kernel is 7x7, whatever these are called: ``encoder1``,
    ``enc1.1``. The 7x7 convolution strides by 2, then a 3x3 maximum; the first block of each list
    but the first one strides. Blocks to fewer channels are those of a decoder.
    https://github.com/pytorch/vision/blob/main/torchvision/models/resnet.py
    """
    strides: dict[str, int] = {}
    pooled: set[str] = set()
    seen: set[str] = set()
    stem = parts[0].first
    whole = set(stem.kernel) == {7}
    ruled = any(part.shortcut and ".downsample." in part.shortcut.layer.name for part in parts)
    for part in parts:
        match = re.fullmatch(r"(.+)\.(\d+)", part.name)
        if not ruled or match is None or not _of_resnet(part):
            continue
        named = whole or re.fullmatch(r"layer[1-4]", match[1].rpartition(".")[2])
        if not named or part.outputs(False) < part.inputs(False):
            continue
        first = match[1] not in seen
        if first and not seen:
            pooled.add(part.first.layer.name)
        else:
            strides[part.first.layer.name] = 2 if first else 1
        seen.add(match[1])
    if not any(stride == 2 for stride in strides.values()) or not pooled:
        return {}, frozenset()
    if whole:
        strides[stem.layer.name] = 2
    return strides, frozenset(pooled)


def _of_resnet(part: Part) -> bool:
    """Tell if a block has the layers of torchvision's."""
    leaves = [unit.layer.name.rpartition(".")[2] for unit in part.units]
    beside = part.shortcut is None or ".downsample." in part.shortcut.layer.name
    named = leaves in (["conv1", "conv2"], ["conv1", "conv2", "conv3"])
    return named and beside and (part.shortcut is not None or part.identity)


def _flat(parts: Sequence[Part], strides: Mapping[str, int]) -> bool:
    """Tell if every block with a shortcut is known to have no stride."""
    return bool(strides) and all(stride == 1 for stride in strides.values())


def _said(layers: Mapping[str, Layer]) -> dict[str, str]:
    """Return choices on which all layers of a pickled module agree."""
    found: dict[str, set[str]] = {}
    for layer in layers.values():
        if layer.torch in ACTIVATIONS:
            word = ACTIVATIONS[layer.torch]
            if layer.torch == "LeakyReLU":
                word = f"leaky-{layer.values.get('negative_slope', 0.01):g}"
            found.setdefault("activation", set()).add(word)
        if layer.torch in POOLINGS:
            word = POOLINGS[layer.torch]
            kernel = layer.values.get("kernel_size")
            three = word == "max" and kernel in (3, [3, 3], [3, 3, 3])
            found.setdefault("pooling", set()).add("max-3" if three else word)
        if layer.torch == "Upsample":
            mode = str(layer.values.get("mode", "nearest"))
            aligned = "-aligned" if layer.values.get("align_corners") else ""
            word = "nearest" if mode == "nearest" else f"bilinear{aligned}"
            found.setdefault("resize", set()).add(word)
        if "eps" in layer.values and isinstance(layer.values["eps"], float):
            found.setdefault("epsilon", set()).add(f"{layer.values['eps']:g}")
        if layer.torch == "GroupNorm" and isinstance(layer.values.get("num_groups"), int):
            found.setdefault("groups", set()).add(str(layer.values["num_groups"]))
        if layer.torch.startswith("InstanceNorm"):
            word = "groups" if layer.values.get("affine") else "hidden_norm"
            found.setdefault(word, set()).add("instance")
        if layer.torch in ("Conv2d", "Conv3d"):
            found.setdefault("padding", set()).update(_padding(layer))
    return {name: words.pop() for name, words in found.items() if len(words) == 1}


def _marks(layers: Mapping[str, Layer]) -> dict[str, tuple[str, ...]]:
    """Return the poolings and resizings of ``Sequential``s, by the convolution behind them."""
    found: dict[str, tuple[str, ...]] = {}
    waiting: list[str] = []
    for place, layer in layers.items():
        if layer.torch.startswith("Conv"):
            found[place], waiting = tuple(waiting), []
        elif place.rpartition(".")[2].isdecimal():
            waiting += ["pool"] * (layer.torch in POOLINGS) + ["resize"] * (
                layer.torch == "Upsample"
            )
    return {place: words for place, words in found.items() if words and len(set(words)) == 1}


def _padding(layer: Layer) -> set[str]:
    """Return how a convolution pads, in the word of the choice; empty where no pixel is added."""
    mode, width = layer.values.get("padding_mode", "zeros"), layer.values.get("padding", 0)
    kernel = layer.values.get("kernel_size", 1)
    edges = kernel if isinstance(kernel, list | tuple) else (kernel,)
    if not any(isinstance(edge, int) and edge > 1 for edge in edges):
        return set()
    widths = width if isinstance(width, list | tuple) else (width,)
    if width == "valid" or not any(widths):
        return {"valid"}
    return {"reflect" if mode == "reflect" else "same"}
