"""What the shapes leave open of a topology: names, values that are possible, and why."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import pairwise

from napari_segnet.programs.structure._blocks import all_step_down, in_chain, sums_of
from napari_segnet.programs.structure._branches import doublings, is_pooled, rates_of
from napari_segnet.programs.structure._facts import Facts
from napari_segnet.programs.structure._habits import favour_habits
from napari_segnet.programs.structure._hidden_norms import (
    before_slopes,
    hidden_place,
    taken_numbers,
    without_biases,
)
from napari_segnet.programs.structure._joins import MEASURED, image_sums, join_choices
from napari_segnet.programs.structure._names import pattern
from napari_segnet.programs.structure._open_ends import open_ends
from napari_segnet.programs.structure._padded import padded
from napari_segnet.programs.structure._parts import Part, has_depthwise, is_separable
from napari_segnet.programs.structure._pix2pix import activation_place
from napari_segnet.programs.structure._priors import ordered
from napari_segnet.programs.structure._resizings import resizings
from napari_segnet.programs.structure._shared import (
    is_recurrent,
    says_recurrent,
    with_shared_norm,
)
from napari_segnet.programs.structure._topology import LEVELS, POOLS, RESIZINGS, Topology
from napari_segnet.programs.structure._uneven_end import uneven_end
from napari_segnet.programs.structure._units import Unit
from napari_segnet.programs.structure._unusual_blocks import is_inverted
from napari_segnet.programs.structure._up_convolutions import up_convolution
from napari_segnet.programs.structure._weighing import weighing_choices

__all__ = ["Open", "counted_as", "open_choices"]

Open = Mapping[str, tuple[tuple[str, ...], str]]
"""Name -> values that are possible, likeliest first; why."""


def open_choices(parts: Sequence[Part], topology: Topology, facts: Facts) -> Open:
    """Return what is to be chosen of a topology."""
    found: dict[str, tuple[tuple[str, ...], str]] = {}
    units = [unit for part in parts for unit in part.all_units]
    found |= join_choices(topology, facts)
    _scales(found, parts, topology, facts)
    _ups(found, parts, topology)
    _norms(found, parts, units, facts)
    _sums(found, parts, topology, facts)
    chained = found.get("residual", (("",), ""))[0][0] == "block"
    if chained or any(part.shortcut or part.identity for part in parts):
        early = facts.nested or _ends_with_norm(parts) or norms_first(parts)
        residual = "none" if chained else "before-add" if early else ""
        found["residual_activation"] = (ordered("residual_activation", residual), MEASURED)
    if any(has_activation(unit) and unit.slopes is None for unit in units):
        turned = any(is_inverted(part.units) for part in parts)
        found["activation"] = (ordered("activation", "gelu" if turned else ""), MEASURED)
        found |= activation_place(parts, topology)
        if rises(topology):
            name = "pix2pix_activation" if "activation_place" in found else "encoder_activation"
            why = "few networks have another one on the way down, as pix2pix does"
            found["encoder_activation"] = (ordered(name), why)
    if any(is_apart(part, at) for part in parts for at in range(len(part.units))):
        found["apart_activation"] = (ordered("apart_activation"), MEASURED)
    if any(has_unknown_end(unit) for part in parts for unit in part.units[:-1]):
        found["inner_activation"] = (ordered("inner_activation"), MEASURED)
    _repeats(found, parts)
    if any(ends_open(part) for part in parts):
        found["block_end"] = (ordered("block_end"), MEASURED)
    wide = [unit for unit in units if max(unit.kernel) > 1]
    if wide:
        why = "a number is free for a layer that pads" if padded(parts) else MEASURED
        found["padding"] = (ordered("padding", "reflect" if padded(parts) else ""), why)
        if "activation_place" in found:
            found["padding"] = (ordered("way_down_padding"), MEASURED)
        if uneven_end(parts, topology):
            why = "an even kernel ends the network, as in a LinkNet; no tensor shows its paddings"
            found["end_padding"] = (ordered("end_padding"), why)
        _dilations(found, parts, topology, facts, len(wide))
        if rates := rates_of(parts):
            found["branch_dilation"] = (rates, "kernels look the same with any dilation")
    if any(is_pooled(part, at) for part in parts for at in range(len(part.branches))):
        why = "a second branch of one pixel sees the mean in a DeepLab; no tensor shows it"
        found["branch_mean"] = (ordered("branch_mean"), why)
    if any(step.sees for step in topology.steps):
        found["between"] = (ordered("between"), "no tensor shows what stands between two networks")
    if any(step.sees == "both" for step in topology.steps):
        found["second_input"] = (ordered("second_input"), "both orders have the same shapes")
    found |= image_sums(parts, topology)
    found |= weighing_choices(parts, topology)
    found |= open_ends(parts, topology)
    favour_habits(found, (unit.layer.name for unit in units))
    for name, value in facts.said.items():
        if name in found:
            found[name] = (
                (value,),
                "said by the file: by layers of a pickled module, or beside the tensors",
            )
    return found


def _repeats(found: dict[str, tuple[tuple[str, ...], str]], parts: Sequence[Part]) -> None:
    """Open what may run more than once."""
    sharing = [part for part in parts if with_shared_norm(part.units) != part.units]
    if sharing:
        # Registered before the convolutions, it is none that stands before one of them.
        first = all(unit.norm_first for part in sharing for unit in part.units if unit.norm)
        why = "a block has one norm for its convolutions; it may run behind each"
        found["norm_use"] = (ordered("norm_use", "each" if first else ""), why)
        found.setdefault("norm_place", (ordered("norm_place"), MEASURED))
    if any(is_inverted(part.units) for part in parts):
        why = "a sum with the input has no tensors; blocks of such layers have it as a rule"
        found["inverted"] = (ordered("inverted"), why)
    if any(is_recurrent(part.units) for part in parts):
        why = "how often convolutions run again has no tensors"
        found["recurrence"] = (ordered(counted_as("recurrence", parts)), why)


def _sums(
    found: dict[str, tuple[tuple[str, ...], str]],
    parts: Sequence[Part],
    topology: Topology,
    facts: Facts,
) -> None:
    """Open what adds answers without a tensor of its own."""
    if not facts.nested and (sums := ("none", *sums_of(parts, topology)))[1:]:
        why = "a sum of a block's answer and its first one, or its input, has no tensors"
        likely = "block" if in_chain(parts, topology) else ""
        found["residual"] = (tuple(one for one in ordered("residual", likely) if one in sums), why)
    if apart := steps_down(parts, topology):
        words = {pattern(parts[at].name) for at in apart}
        own = all(
            pattern(part.name) not in words for at, part in enumerate(parts) if at not in apart
        )
        normed = any(unit.norm for part in parts for unit in part.all_units)
        value = "none" if own or normed else "relu"
        found["down_activation"] = (ordered("down_activation", value), MEASURED)


def steps_down(parts: Sequence[Part], topology: Topology) -> tuple[int, ...]:
    """Return parts that may do nothing but halve.

    That is one convolution without norm, behind which another one runs at the same level.
    """
    found = []
    for step, after in pairwise(topology.steps):
        part = parts[step.part]
        alone = len(part.units) == 1 and not (part.shortcut or part.identity or part.branches)
        if step.before == "pool" and not step.transposed and alone and after.before == "none":
            unit = part.units[0]
            bare = unit.norm is None and unit.slopes is None and unit.after is None
            if bare and not after.transposed:
                found.append(step.part)
    return tuple(found)


def _dilations(
    found: dict[str, tuple[tuple[str, ...], str]],
    parts: Sequence[Part],
    topology: Topology,
    facts: Facts,
    wide: int,
) -> None:
    """Open the dilations of a chain, or of the lowest level."""
    if facts.dilations:
        return
    if not topology.poolings and wide > 2:
        why = "kernels look the same with any dilation, and a network without poolings has it"
        found["dilation"] = (("1", *doublings(wide)), why)
    elif lowest(parts, topology):
        why = "kernels look the same with any dilation; few networks have one at the lowest level"
        found["dilation"] = (ordered("dilation"), why)


def lowest(parts: Sequence[Part], topology: Topology) -> frozenset[str]:
    """Return names of the wide convolutions of the lowest level, where a dilation may be."""
    level, found = 0, set()
    for step in topology.steps:
        level = (level if step.begins < 0 else step.level) + LEVELS[step.before]
        level -= step.rises
        if step.transposed or step.shuffled:
            continue
        if topology.poolings and level == topology.poolings and step.join == "none":
            found |= {u.layer.name for u in parts[step.part].units if max(u.kernel) > 2}
    return frozenset(found)


def _scales(
    found: dict[str, tuple[tuple[str, ...], str]],
    parts: Sequence[Part],
    topology: Topology,
    facts: Facts,
) -> None:
    known = [
        step
        for step in topology.steps
        if step.before == "pool" and facts.strides.get(parts[step.part].first.layer.name) == 2
    ]
    pooled = [step for step in topology.steps if step.before in POOLS and step not in known]
    if pooled:
        steps = [step for step in pooled if step.before == "pool" and not step.transposed]
        firsts = [parts[step.part].first for step in steps]
        values = ordered("pooling", "strided" if facts.nested else "")
        why = MEASURED
        if facts.pooled:
            values, why = ordered("pooling", "max-3"), "a ResNet pools so behind its first layer"
        if facts.strided or all(facts.strides.get(unit.layer.name) == 1 for unit in firsts):
            values = tuple(value for value in values if value != "strided")
        elif firsts and all(max(unit.kernel) % 2 == 0 for unit in firsts):
            values, why = ("strided",), "from the even kernels"
        elif any(
            parts[one.part].gap == taken_numbers(parts) and not one.transposed for one in pooled
        ):
            values, why = ordered("pooling", "strided"), "no number is left for a pooling"
        elif (
            topology.steps[0].before == "pool"
            or all_step_down(parts, topology)
            or norms_first(parts[step.part] for step in pooled)
        ):
            values = ordered("pooling", "strided")
        elif (
            len(firsts) < len(pooled)
            or any(max(unit.kernel) < 3 for unit in firsts)
            or _after_pooling(topology)
        ):
            values = tuple(value for value in values if value != "strided")
        if len(firsts) < len(pooled):
            # Before a transposed convolution or a resizing nothing strides: a layer pools there.
            values = tuple(value for value in ordered("pooling") if value != "strided")
        if _after_pooling(topology) and "max-3" in values:
            why = "so does the network of tutorials that takes its skip connections there"
            values = tuple(sorted(values, key=lambda value: value != "max-3"))
        found["pooling"] = (values, why)
    elif known:
        found["pooling"] = (("strided",), "from the strides or the shortcuts of its blocks")
    resizings(found, parts, topology)


def _after_pooling(topology: Topology) -> bool:
    """Tell if skip connections are taken behind the poolings."""
    answers = [False]
    for step in topology.steps:
        answers = [False] if step.sees else answers
        answers += [True] if step.keeps_pooled else []
        answers += [False] if step.keeps else []
    return any(step.skip > 0 and answers[step.skip] for step in topology.steps)


def _ups(
    found: dict[str, tuple[tuple[str, ...], str]], parts: Sequence[Part], topology: Topology
) -> None:
    single = [
        unit
        for turn, step in enumerate(topology.steps)
        if (unit := up_convolution(parts, topology.steps, turn)) is not None
        and unit.norm is None and unit.slopes is None and unit.after is None
        and turn + 1 < len(topology.steps)
    ]  # fmt: skip
    if single:
        why = MEASURED
        if bare := _bare_ups(parts, topology):
            why = "two transposed convolutions without an activation between are as good as one"
        elif bare := _unlike_others(parts, topology, single):
            why = "the other transposed convolutions have an activation behind their norm"
        elif bare := _followed(parts, topology):
            why = "an activation stands behind each of the others, by the numbers"
        elif bare := (
            not any(step.shuffled for step in topology.steps)
            and all(_alone(unit, parts) for unit in single)
        ):
            why = "a Sequential of a single layer with tensors holds another without as a rule"
        found["up_activation"] = (ordered("up_activation", "relu" if bare else ""), why)


def _unlike_others(parts: Sequence[Part], topology: Topology, single: Collection[Unit]) -> bool:
    """Tell if steps up have norms but for a last one, behind which nothing is joined."""
    pairs = [(parts[one.part], two) for one, two in pairwise(topology.steps) if one.transposed]
    joined = any(part.units[0] in single and two.join != "none" for part, two in pairs)
    return any(part.units[0].norm for part, _ in pairs) and not joined


def _followed(parts: Sequence[Part], topology: Topology) -> bool:
    """Tell if numbers leave an activation behind each transposed convolution that has some."""
    ups = [parts[step.part].units[0] for step in topology.steps if step.transposed]
    known = [unit.after for unit in ups if unit.norm is None and unit.after is not None]
    return bool(known) and min(known) > 0


def _alone(unit: Unit, parts: Sequence[Part]) -> bool:
    """Tell if a convolution is the first of its ``Sequential`` and no other layer stands there."""
    own, inside = unit.layer, f"{unit.layer.parent}."
    names = [one.layer.name for part in parts for one in part.all_units]
    return own.number == 0 and not any(n.startswith(inside) for n in names if n != own.name)


def _bare_ups(parts: Sequence[Part], topology: Topology) -> bool:
    """Tell if transposed convolutions follow one another, without a skip connection between."""
    for step, after in pairwise(topology.steps):
        unit = parts[step.part].units[-1] if parts[step.part].units else None
        bare = step.transposed and unit is not None and unit.norm is None and unit.after is None
        if bare and after.transposed and after.join == "none":
            return True
    return False


def norms_first(parts: Iterable[Part]) -> bool:
    """Tell if blocks with a shortcut begin with their norm, as in deep residual U-Nets.

    These halve by strides, and nothing follows their sums (Zhang et al. 2018, arXiv 1711.10684).
    """
    beside = [part for part in parts if part.shortcut is not None]
    firsts = [part.first for part in beside[1:] or beside]
    return bool(firsts) and all(unit.norm_first for unit in firsts)


def ends_open(part: Part) -> bool:
    """Tell if a block may end without an activation, as no number tells.

    In a ``Sequential`` of several norms, each is followed by one or none is.
    """
    last = part.units[-1] if len(part.units) > 1 else None
    if last is None or part.shortcut or part.identity or last.norm_first:
        return False
    named = last.layer.number is None or all(unit.norm is None for unit in part.units)
    return named and last.slopes is None and last.after is None


def rises(topology: Topology) -> bool:
    """Tell if steps up follow others, and no second network."""
    ups = [step.transposed or step.shuffled or step.before in RESIZINGS for step in topology.steps]
    return any(ups[1:]) and not any(step.sees or step.begins >= 0 for step in topology.steps)


def has_unknown_end(unit: Unit) -> bool:
    """Tell if no number says whether an activation stands behind a convolution and its norm."""
    unknown = unit.after is None and unit.between is None and unit.slopes is None
    return unknown and unit.norm is not None and not unit.norm_first


def is_apart(part: Part, place: int) -> bool:
    """Tell if a unit convolves each channel alone, bare, and one of a single pixel mixes them.

    Separable convolutions as a rule have nothing between the two but where a norm stands there.
    """
    pair = part.units[place : place + 2]
    bare = pair[0].norm is None and pair[0].slopes is None and pair[0].after is None
    return len(pair) == 2 and bare and is_separable(*pair)


def has_activation(unit: Unit) -> bool:
    """Tell if an activation may stand behind a convolution, by the numbers."""
    return unit.after is None or unit.after > 0 or bool(unit.between)


def _norms(
    found: dict[str, tuple[tuple[str, ...], str]],
    parts: Sequence[Part],
    units: Sequence[Unit],
    facts: Facts,
) -> None:
    normed = [unit for unit in units if unit.norm is not None]
    if normed:
        found["epsilon"] = (ordered("epsilon"), "torch's own default")
        if any(unit.between is None and not unit.norm_first for unit in normed):
            found["norm_place"] = (ordered("norm_place"), MEASURED)
        if any(unit.between is None and unit.norm_first for unit in normed):
            found["first_norm"] = (ordered("first_norm"), MEASURED)
        if widths := {u.norm.width for u in normed if u.norm and not u.norm.running}:
            why = "a norm without statistics has any number of groups that divides its channels"
            turned = any(is_inverted(part.units) for part in parts)
            values = ordered("groups", "channels" if turned else "")
            fitting = [v for v in values if not v.isdecimal() or _divides(v, widths)]
            found["groups"] = (tuple(v for v in fitting if turned or v != "channels"), why)
    elif facts.hidden_norms:
        why = "MONAI's default is an InstanceNorm without weights"
        found["hidden_norm"] = (("instance", "none"), why)
    elif place := hidden_place(parts):
        known = place == "before" or before_slopes(units) or (place == "behind" and padded(parts))
        bare = without_biases(units)
        favoured = "instance" if known or bare else ""
        why = "numbers are missing where a norm without weights, or a dropout, may stand"
        if place == "functional":
            why = "a norm without weights has no tensors; few networks have it"
        why = "convolutions without biases stand before norms as a rule" if bare else why
        name = counted_as("hidden_norm", parts, facts)
        found["hidden_norm"] = (ordered(name, favoured), why)


def counted_as(
    name: str, parts: Sequence[Part], facts: Facts | None = None, values: Sequence[str] = ()
) -> str:
    """Return the name under which the frequencies of a choice are listed, see ``_priors.py``.

    A norm without weights is rare where no numbers leave room for it; so are layers that run again
    where no name says so. Dilations that differ, as ``values`` of a chain do, are less rare. Where
    linear weights are likeliest, ``values`` of a resizing begin with both of these. A ReLU6 stands
    in networks with depthwise convolutions, and in few others.
    """
    if name == "activation" and has_depthwise(parts):
        return "depthwise_activation"
    if name == "encoder_activation" and values[:1] == ordered("pix2pix_activation")[:1]:
        return "pix2pix_activation"
    if name == "padding" and "reflect-down" in values:
        return "way_down_padding"
    if name == "dilation" and any("," in value for value in values):
        return "chain_dilation"
    if name == "resize" and values[:2] == ordered("linear_resize")[:2]:
        return "linear_resize"
    if name == "recurrence" and any(says_recurrent(part.units) for part in parts):
        return "named_recurrence"
    hidden = name == "hidden_norm" and not (facts and facts.hidden_norms)
    return "unseen_norm" if hidden and hidden_place(parts) == "functional" else name


def _divides(groups: str, widths: Collection[int]) -> bool:
    # As many groups as channels are an InstanceNorm in another word.
    return all(width % int(groups) == 0 for width in widths) and widths != {int(groups)}


def _ends_with_norm(parts: Sequence[Part]) -> bool:
    """Tell if the numbers say that blocks with a shortcut end behind an activation."""
    ends = [part.units[-1] for part in parts if part.shortcut or part.identity]
    return all(unit.between == 1 for unit in ends)
