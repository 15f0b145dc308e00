"""What tensor names and shapes say: the small vocabulary that the families share."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from napari_segnet.checkpoint import Checkpoint, Known, Store
from napari_segnet.containers import Weights
from napari_segnet.errors import UnknownNetworkError
from napari_segnet.graph import Tensor, parameters

if TYPE_CHECKING:
    import torch

__all__ = [
    "ORDERS",
    "Shapes",
    "built_tensors",
    "common_dtype",
    "complete",
    "convolutions",
    "plain",
    "refusal",
    "require_keys",
    "unstated",
]

FLOATING = ("float32", "float16", "bfloat16", "float64")
COUNTER = "num_batches_tracked"
"""BatchNorm counts its batches for training only; older files lack the count."""
NAMED = 4
"""How many tensors a refusal names before it says "and 12 more"."""

ORDERS: Mapping[str, tuple[str, ...]] = {
    "conv-norm-relu": ("conv", "norm", "relu"),
    "conv-relu-norm": ("conv", "relu", "norm"),
    "conv-relu": ("conv", "relu"),
}
"""What a block of two convolutions repeats; each has its own tensor numbers."""


class Shapes:
    """The shapes in a file, with refusals that name the network they were read for."""

    def __init__(self, weights: Weights, title: str) -> None:
        self.weights = weights
        self.title = title

    def __contains__(self, key: object) -> bool:
        return key in self.weights.tensors

    def of(self, key: str, *lengths: int) -> tuple[int, ...]:
        """Return the shape of a tensor that must be there.

        Parameters
        ----------
        key : str
            Its name in the file.
        *lengths : int
            How many dimensions it may have; none given: any.
        """
        if key not in self.weights.tensors:
            raise refusal(self.weights, self.title, f"the tensor {key} is missing")
        shape = self.weights.tensors[key].shape
        if 0 in shape or (lengths and len(shape) not in lengths):
            raise refusal(self.weights, self.title, f"the tensor {key} has the shape {shape}")
        return shape

    def kernel(self, key: str) -> int:
        """Return the edge of a square convolution kernel of odd size, in pixels."""
        edge = set(self.of(key, 4, 5)[2:])
        if len(edge) != 1 or min(edge) % 2 == 0:
            raise refusal(
                self.weights,
                self.title,
                f"the kernel of {key} is {self.of(key)[2:]}, where an odd size, the same along "
                "every axis, was expected",
            )
        return int(edge.pop())

    def count(self, pattern: str, first: int = 0) -> int:
        """Return how many numbers from ``first`` on have tensors called ``pattern``.

        ``pattern`` is the start of their names with ``{}`` for the number.
        """
        n = first
        while any(key.startswith(pattern.format(n)) for key in self.weights.tensors):
            n += 1
        return n - first


def convolutions(shapes: Shapes, prefix: str) -> tuple[str, tuple[int, int]]:
    """Tell how a block of two convolutions, numbered as a sequence, is built.

    Parameters
    ----------
    shapes : Shapes
        The file.
    prefix : str
        What stands before the numbers, such as ``"inc.double_conv."``.

    Returns
    -------
    str
        A key of ``ORDERS``.
    tuple of int
        The numbers of the two convolutions in the sequence.
    """
    numbers: dict[str, list[int]] = {"conv": [], "norm": [], "other": []}
    for key, tensor in shapes.weights.tensors.items():
        match = re.fullmatch(re.escape(prefix) + r"(\d+)\.(weight|running_mean)", key)
        if match is None:
            continue
        if match[2] == "running_mean":
            numbers["norm"].append(int(match[1]))
        else:
            numbers["conv" if len(tensor.shape) > 3 else "other"].append(int(match[1]))
    found = (sorted(numbers["conv"]), sorted(numbers["norm"]))
    for order, parts in ORDERS.items():
        at = {part: [i for i, p in enumerate(parts * 2) if p == part] for part in set(parts)}
        scales = at.get("norm", [])
        if found == (at["conv"], scales) and sorted(numbers["other"]) == scales:
            return order, (found[0][0], found[0][1])
    raise refusal(
        shapes.weights,
        shapes.title,
        f"its blocks {prefix}* have convolutions at {found[0]} and batch normalisations at "
        f"{found[1]}, where (0, 3) with (1, 4) or (2, 5), or (0, 2) without, are known. Another "
        "normalisation or a dropout may lie between them, and the file does not say which",
    )


def require_keys(
    tensors: Mapping[str, Tensor],
    checkpoint: Checkpoint,
    weights: Weights,
    title: str,
) -> None:
    """Refuse a file whose tensors are not exactly those of the network it describes.

    A missing count of batches of a batch normalisation is no fault.

    Parameters
    ----------
    tensors : mapping of str to Tensor
        Those of the network, by their keys in the module's state dict.
    checkpoint : Checkpoint
        What was described; ``store.keys`` maps file keys to keys of the module.
    weights : Weights
        The tensors of the file.
    title : str
        The family's name for people.
    """
    expected = {ours: tensors[theirs].shape for ours, theirs in checkpoint.store.keys.items()}
    there = {key: tensor.shape for key, tensor in weights.tensors.items()}

    extra = [f"{key} {there[key]}" for key in there if key not in expected]
    missing = [
        f"{key} {expected[key]}"
        for key in expected
        if key not in there and not key.endswith(COUNTER)
    ]
    wrong = [
        f"{key} {there[key]} instead of {expected[key]}"
        for key in expected
        if key in there and there[key] != expected[key]
    ]
    whole = [
        f"{key} ({tensor.dtype})"
        for key, tensor in weights.tensors.items()
        if tensor.dtype not in FLOATING and not key.endswith(COUNTER)
    ]
    faults = (
        (extra, "tensor is not part of it", "tensors are not part of it"),
        (missing, "tensor is missing", "tensors are missing"),
        (wrong, "tensor has another shape", "tensors have another shape"),
        (whole, "tensor holds no floating numbers", "tensors hold no floating numbers"),
    )
    for names, one, many in faults:
        if names:
            what = one if len(names) == 1 else many
            raise refusal(weights, title, f"{len(names)} {what}: {_listed(names)}")


def complete(
    build: Callable[[Checkpoint], torch.nn.Module],
    checkpoint: Checkpoint,
    weights: Weights,
    title: str,
    file_key: Callable[[str], str] = str,
    *,
    tensors: Callable[[Checkpoint], Mapping[str, Tensor]] | None = None,
) -> Checkpoint:
    """Fill in what follows from the network's layers, and refuse a file that differs from them.

    Parameters
    ----------
    build : callable
        ``Family.build``; only called where there is no ``tensors``, since it needs torch.
    checkpoint, weights, title
        As in :func:`require_keys`; ``store`` and ``parameters`` are still blank.
    file_key : callable
        Key of the module -> its name in this file, for families with older names.
    tensors : callable, optional
        ``DescribedFamily.tensors``.

    Returns
    -------
    Checkpoint
        With ``store``, ``parameters``, and ``known`` for what no family knows.
    """
    try:
        found = built_tensors(build, checkpoint) if tensors is None else tensors(checkpoint)
    except (ValueError, RuntimeError) as error:  # shapes that no layer can have
        raise refusal(weights, title, f"it cannot be built ({error})") from error
    store = Store(
        container=weights.container,
        wrapper=weights.wrapper,
        prefix=weights.prefix,
        dtype=common_dtype(weights),
        keys={file_key(key): key for key in found},
    )
    answers = "detections" if checkpoint.task == "instance" else "maps"
    known = {
        "family": Known(source="read", why=_recognised(weights)),
        "task": Known(source="read", why=f"this kind of network answers with {answers}"),
        "parameters": Known(source="read", why="counted"),
        **unstated(checkpoint),
        **checkpoint.known,
    }
    full = replace(checkpoint, store=store, parameters=parameters(found), known=known)
    require_keys(found, full, weights, title)
    return full


def built_tensors(
    build: Callable[[Checkpoint], torch.nn.Module], checkpoint: Checkpoint
) -> dict[str, Tensor]:
    """Return the tensors of a network that has to be built to know them."""
    import torch

    with torch.device("meta"):
        module = build(checkpoint)
    # A parameter under two names is trained under both, and counted once by torch.
    trained = dict(module.named_parameters())
    return {
        key: Tensor(shape=tuple(value.shape), trained=key in trained)
        for key, value in module.state_dict().items()
    }


def _recognised(weights: Weights) -> str:
    """Say which tensors were taken, since a file may hold several sets (an average, ...)."""
    why = "recognised by the names of its tensors"
    if weights.wrapper:
        why += f", which stand under {'.'.join(weights.wrapper)!r} in the file"
    if weights.prefix:
        why += f", after the prefix {weights.prefix!r}"
    return why


def unstated(checkpoint: Checkpoint) -> dict[str, Known]:
    """Return how fields are known that bare weights say nothing of."""
    facts = {
        "halo_px": Known(source="read", why="follows from the network's layers once it is built"),
        "exact": Known(source="read", why="no layer looks at the whole image"),
        "members": Known(source="assumed", why="one file, so one network"),
    }
    if not checkpoint.class_names:
        facts["class_names"] = Known(source="assumed", why="the file names no classes")
    if not checkpoint.pixel_size_um:
        why = "the file does not say at which pixel size it was trained"
        facts["pixel_size_um"] = Known(source="assumed", why=why)
    return facts


def common_dtype(weights: Weights) -> str:
    """Return the most common floating dtype in a file; ``float32`` where it has none."""
    counts = Counter(t.dtype for t in weights.tensors.values() if t.dtype in FLOATING)
    return counts.most_common(1)[0][0] if counts else "float32"


def refusal(weights: Weights, title: str, reason: str) -> UnknownNetworkError:
    """Return the error for a file that looks like a network but is not it."""
    return UnknownNetworkError(
        f"{weights.path.name} looks like {title}, but {reason}. Its author has probably changed "
        "the network."
    )


def _listed(names: list[str]) -> str:
    rest = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {rest} more" if rest > 0 else "")


def plain(value: Any) -> bool:
    """Tell if a value out of a file is plain JSON: numbers, text, and lists of them."""
    if isinstance(value, (list, tuple)):
        return all(plain(v) for v in value)
    return isinstance(value, (bool, int, float, str))
