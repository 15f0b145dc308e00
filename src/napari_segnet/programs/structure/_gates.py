"""Attention gates: convolutions of one pixel that weigh a skip connection.

Oktay et al. 2018, arXiv 1804.03999. One sees the decoder, one the skip connection, one makes a map
of their sum. Where the skip connection is seen by a kernel of two pixels, it is halved first, and
the map is brought up; a fourth convolution may follow what is let through. A gate may have one
norm, for the sum.

In ResUNet++ (Jha et al. 2019, arXiv 1911.07067) the skip connection and the decoder's answer weigh
that answer, before its step up: each layer begins with its norm, and what is seen of the skip
connection is pooled.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from napari_segnet.programs.structure._layers import StoredLayer
from napari_segnet.programs.structure._names import DECODER, is_gate, role
from napari_segnet.programs.structure._units import Unit

__all__ = ["Gate", "gates_of", "norms_of_sums"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """The convolutions of an attention gate.

    Attributes
    ----------
    gating, skip, psi : Unit
        What sees the decoder, what sees the skip connection, and what answers with one map, or
        with one for each channel.
    after : Unit or None
        What the weighed skip connection goes through.
    norm : StoredLayer or None
        Of the sum.
    answer : bool
        Whether it weighs the answer of the decoder, and not the skip connection.
    """

    gating: Unit
    skip: Unit
    psi: Unit
    after: Unit | None = None
    norm: StoredLayer | None = None
    answer: bool = False

    @property
    def units(self) -> tuple[Unit, ...]:
        """All of them."""
        return (self.gating, self.skip, self.psi, *((self.after,) if self.after else ()))

    @property
    def halves(self) -> bool:
        """Whether the skip connection is halved before it meets the decoder."""
        return max(self.skip.kernel) == 2

    @property
    def sees_finer(self) -> bool:
        """Whether the skip connection stands at the next finer level than the decoder."""
        return self.answer or self.halves


def norms_of_sums(layers: Sequence[StoredLayer]) -> Mapping[str, StoredLayer]:
    """Return modules of three such convolutions and a norm behind them -> that norm.

    It has the channels of the first two, whose sum the third one takes.
    """
    held: dict[str, list[StoredLayer]] = {}
    for layer in layers:
        held.setdefault(layer.parent, []).append(layer)
    found = {}
    for name, own in held.items():
        kinds = [one.kind for one in own]
        inside = sum(layer.name.startswith(f"{name}.") for layer in layers)
        if not name or kinds != ["convolution"] * 3 + ["norm"] or inside != len(own):
            continue
        one, two, psi, norm = own
        width = norm.width
        small = all(max(each.weight[2:]) <= 2 for each in (one, two, psi))
        if small and one.weight[0] == two.weight[0] == width and psi.weight[:2] == (1, width):
            found[name] = norm
    return found


def gates_of(left: list[Unit]) -> list[tuple[str, Gate]]:
    """Take out the convolutions of gates; return the module that holds each, and the gate."""
    found: list[tuple[str, Gate]] = []
    for at in range(len(left) - 2):
        for count in (4, 3):  # a gate of three may stand in a module beside its fourth
            taken = [unit for _, gate in found for unit in gate.units]
            some = left[at : at + count]
            if len(some) < count or any(unit in taken for unit in some):
                continue
            holder = _common(unit.layer.name for unit in some)
            inside = sum(unit.layer.name.startswith(f"{holder}.") for unit in left)
            gate = next(_gates(some), None) if holder and inside == count else None
            if gate is not None:
                found.append((holder, gate))
    for _, gate in found:
        for unit in gate.units:
            left.remove(unit)
    return found


def _gates(some: list[Unit]) -> Iterator[Gate]:
    """Yield the gate that three or four convolutions make: the fourth keeps the channels."""
    if any(max(unit.kernel) > 2 for unit in some):
        yield from _answer_gates(some)
        return
    for after in (None,) if len(some) == 3 else (some[0], some[-1]):
        one, two, psi = (unit for unit in some if unit is not after)
        fits = psi.inputs(False) == one.outputs(False) == two.outputs(False)
        # A map for each channel is made where the names say that it is a gate.
        wide = is_gate(psi.layer.name) and psi.outputs(False) == psi.inputs(False)
        if not fits or not (wide or psi.outputs(False) == 1):
            continue
        if _sees_skip(one.layer.name) or (max(one.kernel) == 2 and max(two.kernel) == 1):
            one, two = two, one
        width = two.inputs(False)
        if psi.outputs(False) not in (1, width):
            continue
        if after is None or after.inputs(False) == after.outputs(False) == width:
            yield Gate(gating=one, skip=two, psi=psi, after=after)


def _answer_gates(some: list[Unit]) -> Iterator[Gate]:
    """Yield the gate of a decoder's answer that three convolutions behind their norms make."""
    if len(some) != 3 or not all(unit.norm_first and False in unit.ways for unit in some):
        return
    skip, answer, psi = some
    if role(skip.layer.name) == DECODER != role(answer.layer.name):
        skip, answer = answer, skip
    fits = skip.outputs(False) == answer.outputs(False) == psi.inputs(False)
    if fits and max(psi.kernel) == 1 and psi.outputs(False) in (1, answer.inputs(False)):
        yield Gate(gating=answer, skip=skip, psi=psi, answer=True)


def _sees_skip(name: str) -> bool:
    words = re.split(r"[._]", name.lower())
    if words[-1].isdecimal():
        words.pop()
    if words[-1] in ("g", "x"):
        return words[-1] == "x"
    return bool(set(words) & {"wx", "ws", "theta", "skip", "enc"})


def _common(names: Iterable[str]) -> str:
    """Return the module that holds all of these layers."""
    split = [name.split(".")[:-1] for name in names]
    held = []
    for parts in zip(*split, strict=False):
        if len(set(parts)) > 1:
            break
        held.append(parts[0])
    return ".".join(held)
