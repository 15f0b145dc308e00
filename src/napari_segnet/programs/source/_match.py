"""Does a definition have the tensors of a file? Names and shapes are compared, all of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from napari_segnet.programs._evaluate import NotReadable
from napari_segnet.programs.source._values import Instance, Parameter

__all__ = ["Difference", "compared_with", "only_norms", "tensors_of"]

COUNTER = "num_batches_tracked"
MOST_TENSORS = 20_000
DEEPEST = 40
"""Layers in each other."""
NAMED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How a definition and a file differ.

    Attributes
    ----------
    missing : tuple of str
        Names that the code has and the file has not.
    more : tuple of str
        Names that the file has and the code has not.
    shapes : tuple of (str, tuple of int, tuple of int)
        Names whose shapes differ: that of the code, that of the file.
    same : int
        Tensors that agree.
    """

    missing: tuple[str, ...]
    more: tuple[str, ...]
    shapes: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...]
    same: int

    @property
    def score(self) -> int:
        """How much does not agree: a name counts as much as all numbers of a kernel's shape."""
        lengths = [sum(a != b for a, b in zip(one, two, strict=False)) + abs(len(one) - len(two))
                   for _, one, two in self.shapes]  # fmt: skip
        return 4 * (len(self.missing) + len(self.more)) + sum(lengths)

    @property
    def named(self) -> int:
        """How many names both have."""
        return self.same + len(self.shapes)

    def __str__(self) -> str:
        parts = []
        if self.missing:
            parts.append(f"the file lacks {_listed(self.missing)}")
        if self.more:
            parts.append(f"the code lacks {_listed(self.more)}")
        if self.shapes:
            rows = [f"{name} is {own} in the code, {there} in the file"
                    for name, own, there in self.shapes]  # fmt: skip
            parts.append(_listed(rows))
        return "; ".join(parts)


def _listed(names: tuple[str, ...] | list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def compared_with(
    own: Mapping[str, tuple[int, ...]], there: Mapping[str, tuple[int, ...]]
) -> Difference:
    """Compare the tensors of a definition with those of a file.

    Counters of batches count only where both have them: older files lack them.
    """
    left = {key for key in there if key not in own and not key.endswith(COUNTER)}
    missing = [key for key in own if key not in there and not key.endswith(COUNTER)]
    shapes = [
        (key, shape, there[key]) for key, shape in own.items() if there.get(key, shape) != shape
    ]
    return Difference(
        missing=tuple(missing),
        more=tuple(key for key in there if key in left),
        shapes=tuple(shapes),
        same=len(own) - len(missing) - len(shapes),
    )


def only_norms(found: Difference, there: Mapping[str, tuple[int, ...]]) -> bool:
    """Tell if a file has nothing more than norms that the code does not use."""
    if found.missing or found.shapes or not found.more or not found.same:
        return False
    rows = all(len(there[key]) <= 1 for key in found.more)
    layers = {key.rpartition(".")[0] for key in found.more}
    kernels = any(len(there.get(f"{layer}.weight", ())) > 1 for layer in layers)
    return rows and not kernels and len(layers) <= 4 and found.same > 4 * len(found.more)


def tensors_of(root: Instance) -> dict[str, Parameter]:
    """Return the tensors of a network by name, and give each its key and each layer its place."""
    found: dict[str, Parameter] = {}
    for key, tensor in _walked(root, "", 0):
        if len(found) > MOST_TENSORS:
            raise NotReadable(f"it has more than {MOST_TENSORS:,} tensors")
        found[key] = tensor
        tensor.key = tensor.key or key
    return found


def _walked(one: Instance, path: str, depth: int) -> Iterator[tuple[str, Parameter]]:
    if depth > DEEPEST:
        raise NotReadable(f"its layers lie more than {DEEPEST} deep in each other")
    one.path = one.path or path
    start = f"{path}." if path else ""
    for rows in (one.parameters, one.buffers):
        for name, tensor in rows.items():
            if tensor is not None:
                yield f"{start}{name}", tensor
    for name, child in one.children.items():
        if child is not None:
            yield from _walked(child, f"{start}{name}", depth + 1)
