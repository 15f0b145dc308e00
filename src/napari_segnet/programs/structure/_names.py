"""What names of layers hint at. Names help to order candidates; alone they never decide."""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = [
    "BOTTLENECK", "DECODER", "ENCODER", "OUTPUT", "UNKNOWN", "head", "in_common", "is_bridge",
    "is_down", "is_gate", "is_shortcut", "is_transposed", "is_up", "is_whole", "numbers",
    "one_list", "pattern", "role", "same_element",
]  # fmt: skip

UNKNOWN, ENCODER, BOTTLENECK, DECODER, OUTPUT = -1, 0, 1, 2, 3
"""Places in a network, in the order in which they run."""

_ROLES: tuple[tuple[int, tuple[str, ...]], ...] = (
    (OUTPUT, ("out", "final", "last", "head", "seg", "classifier", "logit", "pred", "cls")),
    (DECODER, ("dec", "up", "expan", "trans", "deconv", "dconv_up", "right", "iconv")),
    (
        BOTTLENECK,
        ("bottle", "bridge", "mid", "center", "centre", "base", "latent", "bottom", "bn_"),
    ),
    (ENCODER, ("enc", "down", "contract", "dwn", "left", "backbone", "features", "inc", "stem")),
)
_SHORTCUT = re.compile(
    r"(^|[._\d])(shortcut|residual|res_?conv|downsample|identity|skip|proj|conv_?1x1|match\w*"
    r"|conv_skip|res_?path|adjust|res$)"
)
_TRANSPOSED = re.compile(r"(de_?conv|transp|(?<![a-z])t_?conv|conv_?t(\d|$))")
_DOWN = re.compile(r"(down|pool|stride|reduc|shrink)")
_ELEMENT = re.compile(r"(.*?[a-z])_?\d+(?!\d)", re.IGNORECASE)
_BRIDGE = re.compile(r"(bridge|lateral|side|skip|\d_?1x1|original|full_?size)")


def role(path: str) -> int:
    """Return the place that the first telling part of a name hints at, or ``UNKNOWN``."""
    for part in path.lower().split("."):
        words = [part, *re.findall(r"[a-z]+", part)]
        for rank, starts in _ROLES:
            if any(word.startswith(starts) for word in words):
                return rank
    return UNKNOWN


def is_shortcut(name: str) -> bool:
    """Tell if a name says that the layer stands beside others, not behind them."""
    return bool(_SHORTCUT.search(name.lower()))


def is_whole(name: str) -> bool:
    """Tell if a name says that the layer sees the image itself, beside the encoder."""
    return bool(re.search(r"(original|full_?(size|res))", name.lower()))


def is_down(name: str) -> bool:
    """Tell if a name says that the layer goes to the next coarser level."""
    return bool(_DOWN.search(name.lower()))


def is_gate(name: str) -> bool:
    """Tell if a name says that the layer is one of an attention gate."""
    return bool(re.search(r"(^|[._])(att|gate|ag\d*([._]|$))", name.lower()))


def is_transposed(name: str) -> bool:
    """Tell if the last word of a name says that the convolution is a transposed one."""
    words = [part for part in name.lower().split(".") if not part.isdecimal()]
    return bool(words) and bool(_TRANSPOSED.search(words[-1]))


def is_up(name: str) -> bool:
    """Tell if a word of a name says that the layer goes to the next finer level."""
    words = re.findall(r"[a-z]+", name.lower())
    return any(word.startswith(("up", "deconv", "trans")) for word in words)


def head(name: str) -> str:
    """Return a name up to its first number: ``decoder.blocks.0`` of ``decoder.blocks.0.conv``.

    The edges of a kernel, as in ``conv1x1``, are no number of a list.
    """
    match = re.match(r"^(.*?(?<!\dx)\d+)(?!\d|x\d)", name)
    return match[1] if match else name.split(".")[0]


def is_bridge(name: str) -> bool:
    """Tell if a name says that the layer stands on a skip connection."""
    return bool(_BRIDGE.search(name.lower()))


def one_list(one: str, other: str) -> bool:
    """Tell if two names begin with the same word and a number: ``layer1_1x1``, ``layer0.2``."""
    first, second = _ELEMENT.match(one), _ELEMENT.match(other)
    return first is not None and second is not None and first[1] == second[1]


def same_element(one: str, other: str) -> bool:
    """Tell if names of one list have the same number there as well."""
    first, second = _ELEMENT.match(one), _ELEMENT.match(other)
    return first is not None and second is not None and first[0] == second[0]


def pattern(path: str) -> str:
    """Return a name with all numbers taken out: layers of one list have it in common."""
    return re.sub(r"\d+", "#", path)


def numbers(path: str) -> tuple[int, ...]:
    """Return the numbers in a name, in order."""
    return tuple(int(one) for one in re.findall(r"\d+", path))


def in_common(paths: Iterable[str]) -> int:
    """Return how many modules all layers stand in, by the words with which their names begin."""
    columns = list(zip(*(path.split(".") for path in paths), strict=False))
    return next((at for at, one in enumerate(columns) if len(set(one)) > 1), 0)
