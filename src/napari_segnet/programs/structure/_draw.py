"""From a topology and what was chosen to a graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

from napari_segnet.graph import (
    Activation,
    Arithmetic,
    Concatenate,
    GlobalPooling,
    Graph,
    GraphBuilder,
    InstanceNorm,
    MatchSize,
    Operation,
    PixelShuffle,
    ResizeLike,
)
from napari_segnet.programs.structure._blocks import inner_sums, is_even
from napari_segnet.programs.structure._branches import is_pooled, linear, wide_branches
from napari_segnet.programs.structure._choices import (
    ends_open,
    has_unknown_end,
    is_apart,
    lowest,
    norms_first,
    steps_down,
)
from napari_segnet.programs.structure._codes import code_of
from napari_segnet.programs.structure._dense import dense
from napari_segnet.programs.structure._facts import Facts
from napari_segnet.programs.structure._hidden_norms import hidden_place
from napari_segnet.programs.structure._joins import between, ungated
from napari_segnet.programs.structure._kernels import straight, transposed
from napari_segnet.programs.structure._layers import StoredLayer
from napari_segnet.programs.structure._names import BOTTLENECK, role
from napari_segnet.programs.structure._operations import (
    activation_of,
    norm_of,
    pooling_of,
    resizing_of,
)
from napari_segnet.programs.structure._padded import padded, padding_of
from napari_segnet.programs.structure._parts import Part
from napari_segnet.programs.structure._pix2pix import norm_free
from napari_segnet.programs.structure._shared import is_recurrent, with_shared_norm
from napari_segnet.programs.structure._topology import LEVELS, POOLS, RESIZINGS, Step, Topology
from napari_segnet.programs.structure._uneven_end import uneven_end
from napari_segnet.programs.structure._units import Unit
from napari_segnet.programs.structure._unpooling import UNPOOLED, unpooling
from napari_segnet.programs.structure._unusual_blocks import again, inverted, is_inverted
from napari_segnet.programs.structure._up_convolutions import up_convolution
from napari_segnet.programs.structure._weighing import (
    before_joins,
    gated,
    gated_answer,
    is_within,
    taken_answers,
    weighed,
)

__all__ = ["Drawing", "drawn"]

Axes = tuple[int, ...]


def drawn(
    parts: Sequence[Part], topology: Topology, choices: Mapping[str, str], facts: Facts
) -> Graph:
    """Return the network.

    Raises
    ------
    ValueError
        If the choices do not fit together.
    """
    return Drawing(parts, topology, choices, facts).graph()


class Drawing:
    """A graph that is begun."""

    def __init__(
        self,
        parts: Sequence[Part],
        topology: Topology,
        choices: Mapping[str, str],
        facts: Facts,
    ) -> None:
        if choices.get("norm_use") == "each":
            parts = [replace(part, units=with_shared_norm(part.units)) for part in parts]
        self.parts, self.topology, self.choices, self.facts = parts, topology, choices, facts
        first = parts[topology.steps[0].part]
        self.ndim = len(first.first.kernel)
        colours = first.inputs(False) * topology.steps[0].groups
        self.draw = GraphBuilder(colours, self.ndim)
        self.answers = [GraphBuilder.image]
        self.pooled: dict[int, str] = {}
        self.factors = _factors(parts, topology, self.ndim)
        self.level = self.wide = self.count = 0
        self.runs: dict[str, int] = {}
        self.rising = False
        ends = [at - 1 for at, step in enumerate(topology.steps) if step.sees]
        self.last = [parts[topology.steps[at].part] for at in (*ends, -1)]
        self.early_active = choices.get("activation_place") == "before"
        hidden, place = choices.get("hidden_norm", "none") != "none", hidden_place(parts)
        self.ahead, self.behind = hidden and place == "before", hidden and place != "before"
        self.bare = norm_free(parts, topology, choices)
        self.padded, self.uneven = padded(parts), uneven_end(parts, topology, choices)
        self.linear = linear(parts)
        self.early = norms_first(parts)
        self.lowest = lowest(parts, topology)
        self.taken = taken_answers(topology)
        self.aside: Part | None = None
        self.sums = inner_sums(parts, topology) if choices.get("residual") == "inner" else {}
        self.kept: dict[str, str] = {}
        rates = choices.get("branch_dilation", "").split(",")
        self.rates = {
            unit.layer.name: int(rate)
            for part in parts
            for unit, rate in zip(wide_branches(part), rates, strict=False)
            if rate
        }
        bare = (choices.get("pooling"), choices.get("down_activation")) == ("strided", "none")
        self.down = steps_down(parts, topology) if bare else ()
        self.code = code_of(parts, topology) if choices.get("code_activation") == "none" else None

    def graph(self) -> Graph:
        """Draw all steps, and bring the answer to the size of the image."""
        x = GraphBuilder.image
        for turn, step in enumerate(self.topology.steps):
            x = self._step(x, turn, step)
        while self.level:
            x = self._resized(x, "output_resize")
        word = self.choices.get("with_image", self.choices.get("image_sum", "none"))
        if word != "none":
            kind: Literal["add", "subtract"] = "add" if word == "added" else "subtract"
            x = self.new("answer", Arithmetic(kind=kind), GraphBuilder.image, x)
        return self.draw.graph(x)

    # ---- Steps -----------------------------------------------------------------------

    def _step(self, x: str, turn: int, step: Step) -> str:
        part = self.parts[step.part]
        self.rising |= (
            step.transposed or step.shuffled or step.before in RESIZINGS or step.join == "gate"
        )
        if step.sees:
            x = between(self, x)
            if step.sees == "both":
                both = (GraphBuilder.image, x)
                first = self.choices["second_input"] == "image-first"
                x = self.new("join", Concatenate(), *(both if first else both[::-1]))
            self.answers = [x]
        if step.begins >= 0:
            x, self.level = self.answers[step.begins], step.level
        name = part.first.layer.name
        strided = step.before == "pool" and (
            self.choices["pooling"] == "strided" or self.facts.strides.get(name) == 2
        )
        if step.before in POOLS:
            self.pooled[self.level], x = ("", x) if strided else (x, self._pooled(x))
            self.level += 1
            if step.keeps_pooled:
                self.answers.append(x)
        for _ in range(RESIZINGS.get(step.before, 0)):
            x = self._resized(x)
        if step.join == "bridge":
            self.answers[step.skip] = self._part(self.answers[step.skip], turn, part, step, ())
            return x
        if step.join == "gate":
            skip, gate = self.answers[step.skip], part.gate
            if gate is not None and gate.answer:
                return gated_answer(self, x, skip, gate, step)
            self.answers[step.skip] = gated(self, x, skip, part, step.below)
            return x
        if step.join != "none":
            skips = [self.answers[one] for one in (step.skip, *step.row)]
            if self.aside is not None:
                skips[0], self.aside = weighed(self, skips[0], self.aside), None
            x = self._joined(x, skips, step.join, _skip_first(self, turn, step))
        stride = self.factors.get(self.level - 1) if strided else None
        x = self._part(x, turn, part, step, stride or ())
        if step.shuffled:
            self.level -= 1
            x = self.new("shuffle", PixelShuffle(factor=self.factors[self.level]), x)
        skip = x
        if _apart(self, turn, part) and turn not in self.taken:
            self.aside = part
        elif _apart(self, turn, part):
            skip = weighed(self, x, part)
            x, skip = (x, skip) if self.choices["weighed"] == "skip" else (skip, x)
        if step.keeps:
            self.answers.append(skip)
        return x

    def _weighed(self, x: str, turn: int, part: Part) -> str:
        """Draw what weighs an answer on both of its ways."""
        return x if _apart(self, turn, part) else weighed(self, x, part)

    def new(self, word: str, operation: Operation, *inputs: str) -> str:
        self.count += 1
        return self.draw.add(f"{word}/{self.count}", operation, *inputs)

    def _pooled(self, x: str) -> str:
        operation = pooling_of(self.choices["pooling"], self.factors[self.level])
        return self.new("pooling", operation, x)

    def _resized(self, x: str, choice: str = "resize") -> str:
        self.level -= 1
        return self.brought_up(x, self.level, choice)

    def brought_up(self, x: str, level: int, choice: str = "resize") -> str:
        """Resize an answer to that of a level, from the one below."""
        if self.choices[choice] == UNPOOLED:
            pooled = self.pooled.get(level, "")
            places = unpooling(self.factors[level], self.choices.get("pooling"), pooled)
            return self.new("unpooling", places, x, pooled)
        return self.new("resize", resizing_of(self.choices[choice], self.factors[level]), x)

    def _joined(self, x: str, skips: Sequence[str], join: str, skip_first: bool) -> str:
        if self.choices.get("padding") == "valid":
            skips = [self.new("crop", MatchSize(), skip, x) for skip in skips]
        if join == "add":
            return self.new("add", Arithmetic(kind="add"), x, *skips)
        order = (*skips, x) if skip_first else (x, *skips)
        return self.new("join", Concatenate(), *order)

    # ---- Parts -----------------------------------------------------------------------

    def _part(self, x: str, turn: int, part: Part, step: Step, stride: Axes) -> str:
        begin, residual = x, _is_summed(part, self.choices)
        # A narrow block strides in its middle, https://catalog.ngc.nvidia.com "ResNet v1.5".
        narrow = residual and len(part.units) == 3 and max(part.first.kernel) == 1
        before = self.choices.get("residual_activation") in ("before-add", "both")
        up = up_convolution(self.parts, self.topology.steps, turn)
        x = _beside(self, x, part, step, stride)
        stride = () if part.branches else stride
        if is_recurrent(part.units) and self.choices.get("recurrence", "none") != "none":
            return self._weighed(again(self, x, part, step, stride), turn, part)
        if part.dense:
            return self._weighed(dense(self, x, part, step, stride), turn, part)
        if is_inverted(part.units) and self.choices.get("inverted") == "added" and not stride:
            return self._weighed(inverted(self, x, part, step), turn, part)
        for place, unit in enumerate(part.units):
            if unit.layer.name == self.choices.get("unused_layer"):
                continue
            end = place == len(part.units) - 1
            x = self.convolved(x, unit, step, stride if place == narrow else (), place == 0)
            last = (end and part in self.last) or unit is self.code
            active = self.active(unit, last, unit is up)
            active &= not (self.choices.get("apart_activation") == "none" and is_apart(part, place))
            if end and self.choices.get("block_end") == "none" and ends_open(part):
                active = False
            ends = (residual and (self.early or not before)) or step.part in self.linear
            active &= step.part not in self.down and not (end and ends)
            inner = not end and has_unknown_end(unit)
            active &= not (inner and self.choices.get("inner_activation") == "none")
            x = self._summed(x, unit, active)
            if residual and end and self.behind and not active:
                x = self.new("norm", InstanceNorm(), x)
        inside = part.squeeze is not None and (residual and is_within(part))
        x = weighed(self, x, part) if inside else x
        if residual:
            x = self._added(x, begin, part, step, stride)
        return x if inside else self._weighed(x, turn, part)

    def _added(self, x: str, begin: str, part: Part, step: Step, stride: Axes) -> str:
        """Draw the sum with a shortcut."""
        bare = self.choices.get("residual_activation") in ("before-add", "none")
        if part.shortcut is not None:
            begin = self.convolved(begin, part.shortcut, step, stride, False)
            begin = self.finished(begin, part.shortcut, False)
        x = self.new("add", Arithmetic(kind="add"), x, begin)
        return x if bare else self._activated(x, part.units[-1])

    def _summed(self, x: str, unit: Unit, active: bool) -> str:
        """Draw what follows a convolution, with the sum around a block where there is one."""
        name = unit.layer.name
        if name not in self.sums:
            x = self.finished(x, unit, active)
        else:
            x = self.finished(x, unit, False)
            x = self.new("add", Arithmetic(kind="add"), x, self.kept[self.sums[name]])
            x = self._activated(x, unit) if active else x
        if name in self.sums.values():
            self.kept[name] = x
        return x

    def convolved(self, x: str, unit: Unit, step: Step, stride: Axes, first: bool) -> str:
        if self.early_active and x != GraphBuilder.image:
            x = self._activated(x, unit)
        if unit.norm_first and unit.norm is not None:
            x = self.norm(x, unit.norm)
            x = self._activated(x, unit) if self._active_first(unit) else x
        if self.ahead and _in_chain(self.parts, unit):
            x = self.new("norm", InstanceNorm(), x)
        if step.transposed and first:
            factor = (1,) * self.ndim
            if not step.stride_one:
                self.level -= 1
                factor = self.factors[self.level]
            own = transposed(unit, factor, whole=unit.layer.name in self.uneven)
            return self.draw.add(unit.layer.name, own, x)
        dilation = self._dilation(unit)
        groups = step.groups if first else self._groups(unit, x)
        fill = padding_of(self, unit)
        layer = straight(unit, stride or (1,) * self.ndim, dilation, groups, fill)
        return self.layer(unit.layer, layer, x)

    def layer(self, layer: StoredLayer, operation: Operation, x: str) -> str:
        """Draw a layer with tensors; one that ran before runs again with the same."""
        turn = self.runs[layer.name] = self.runs.get(layer.name, 0) + 1
        name = layer.name if turn == 1 else f"{layer.name} ({turn})"
        return self.draw.add(name, operation, x, layer=layer.name)

    def _groups(self, unit: Unit, x: str) -> int:
        count = self.draw.channels(x)
        return count // unit.layer.weight[1] if count % unit.layer.weight[1] == 0 else 1

    def _dilation(self, unit: Unit) -> int:
        if unit.layer.name in self.facts.dilations:
            return self.facts.dilations[unit.layer.name]
        if max(unit.kernel) == 1 or unit.layer.name in self.rates:
            return self.rates.get(unit.layer.name, 1)
        if self.topology.poolings:
            low = unit.layer.name in self.lowest
            return int(self.choices.get("dilation", "1")) if low else 1
        values = [int(one) for one in self.choices.get("dilation", "1").split(",")]
        self.wide += 1
        return values[min(self.wide, len(values)) - 1]

    def active(self, unit: Unit, last: bool, up: bool) -> bool:
        """Tell if an activation follows: by the numbers, or as is usual."""
        if self._active_first(unit) or self.early_active:
            return False
        if unit.slopes is not None or unit.between:
            return True
        if unit.after is not None:
            return unit.after > 0
        if last or (unit.norm is None and self.choices.get("inverted") == "added"):
            return False  # beside inverted blocks, nothing has an activation but behind a norm
        if up and unit.norm is None:
            return self.choices.get("up_activation") == "relu"
        return True

    def _active_first(self, unit: Unit) -> bool:
        """Tell if norm and activation stand before a convolution."""
        if unit.between is None:
            return unit.norm_first and self.choices.get("first_norm") == "before-activation"
        return unit.norm_first and unit.between > 0

    def finished(self, x: str, unit: Unit, active: bool) -> str:
        """Draw norm and activation in their order."""
        norm = None if unit.norm_first else unit.norm
        late = norm is not None and (
            unit.between == 1
            or (unit.between is None and self.choices.get("norm_place") == "after-activation")
        )
        if late and active:
            x, active = self._activated(x, unit), False
        if norm is not None:
            x = self.norm(x, norm)
        elif self.behind and unit.layer.name not in self.bare and (active or self.early_active):
            x = self.new("norm", InstanceNorm(), x)
        return self._activated(x, unit) if active else x

    def _activated(self, x: str, unit: Unit) -> str:
        if unit.slopes is not None:
            operation = Activation(function="prelu", slopes=unit.slopes.weight[0])
            return self.draw.add(unit.slopes.name, operation, x)
        word = self.choices.get("encoder_activation", "same")
        if word == "same" or self.rising or role(unit.layer.name) == BOTTLENECK:
            word = self.choices.get("activation", "relu")
        return x if word == "none" else self.new("activation", activation_of(word), x)

    def norm(self, x: str, layer: StoredLayer) -> str:
        operation = norm_of(layer, self.choices, self.draw.channels(x))
        return self.layer(layer, operation, x)


def _apart(drawing: Drawing, turn: int, part: Part) -> bool:
    """Tell if an answer is weighed on one of its two ways alone, or what it is joined with."""
    place = drawing.choices.get("weighed", "answer")
    here = place != "answer" and turn in drawing.taken
    here |= place == "skip" and turn in before_joins(drawing.topology)
    return here and not is_within(part)


def _skip_first(drawing: Drawing, turn: int, step: Step) -> bool:
    """Tell if a skip connection stands before the answer that it is joined with."""
    first = drawing.choices.get("join" if step.skip else "image_join") == "skip-up"
    other = drawing.choices.get("ungated_join") == "other" and turn in ungated(drawing.topology)
    return first != other


def _is_summed(part: Part, choices: Mapping[str, str]) -> bool:
    """Tell if what comes to a part is added to its answer, by itself or through a shortcut."""
    even = choices.get("residual") == "block" and is_even(part)
    return part.shortcut is not None or part.identity or even


def _beside(drawing: Drawing, x: str, part: Part, step: Step, stride: Axes) -> str:
    """Draw layers that run side by side."""
    if not part.branches:
        return x
    answers = []
    for place, chain in enumerate(part.branches):
        pooled = drawing.choices.get("branch_mean") == "mean" and is_pooled(part, place)
        y = drawing.new("mean", GlobalPooling(kind="average"), x) if pooled else x
        for turn, unit in enumerate(chain):
            y = drawing.convolved(y, unit, step, stride if not turn else (), False)
            y = drawing.finished(y, unit, drawing.active(unit, False, False))
        answers.append(drawing.new("spread", ResizeLike(mode="nearest"), y, x) if pooled else y)
    return drawing.new("join", Concatenate(), *answers)


def _in_chain(parts: Sequence[Part], unit: Unit) -> bool:
    return any(unit in part.units and len(part.units) > 1 for part in parts)


def _factors(parts: Sequence[Part], topology: Topology, ndim: int) -> dict[int, Axes]:
    """Return by how much each level is coarser than the one above it, per axis.

    Transposed convolutions say it: a kernel of one pixel along an axis leaves it as it is, one
    of two or four doubles it. Else convolutions that are flat along an axis do, at the finer level.
    """
    found: dict[int, Axes] = {}
    flat: dict[int, Axes] = {}
    level = 0
    for step in topology.steps:
        level = (level if step.begins < 0 else step.level) + LEVELS[step.before]
        kernel = parts[step.part].first.kernel
        level -= step.rises
        if step.transposed and not step.stride_one:
            if not any(edge > 1 and edge % 2 for edge in kernel):
                found[level] = tuple(1 if edge == 1 else 2 for edge in kernel)
        elif 1 in kernel and max(kernel) > 1:
            flat.setdefault(level, tuple(1 if edge == 1 else 2 for edge in kernel))
    return {
        one: found.get(one) or flat.get(one) or (2,) * ndim
        for one in range(len(topology.steps) + 1)
    }
