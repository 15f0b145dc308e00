"""All networks that a file can be, as one list: topologies times what leaves no trace."""

from __future__ import annotations

import hashlib
import heapq
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from napari_segnet.graph import Graph, Node, sizes, tensors
from napari_segnet.programs.structure._choices import Open, counted_as, open_choices
from napari_segnet.programs.structure._draw import drawn
from napari_segnet.programs.structure._facts import Facts
from napari_segnet.programs.structure._parts import Part
from napari_segnet.programs.structure._priors import cost
from napari_segnet.programs.structure._topology import Topology
from napari_segnet.programs.structure._types import Candidate
from napari_segnet.programs.structure._unusual import unusual

__all__ = ["OTHER", "Networks", "Reading", "layout_word"]

MOST_TRIED = 400
"""So many combinations are drawn at most for one list."""
SKIP_WHY = "the likeliest network whose channels close; another forward may leave the same file"
MORE_LAYERS = "more-layers"
MOST_NAMED = 3
"""Of the other topologies of a file."""
OTHER = "other"
"""What is not in the list: a topology, as no shapes prove that there is none; and the value of a
choice that is the only one in this topology, but not in every other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One way to take the layers of a file together.

    Attributes
    ----------
    parts : sequence of Part
        Of the file.
    facts : Facts
        What it says besides.
    """

    parts: Sequence[Part]
    facts: Facts


@dataclass(frozen=True, slots=True, kw_only=True)
class Networks:
    """The space; see :class:`~napari_segnet.programs.structure.Space`.

    Attributes
    ----------
    readings : mapping of str to Reading
        By layout.
    found : mapping of str to Topology
        By layout, that of the highest prior first.
    apart : tuple of str
        Layouts that together have all tensors, where no single one does.
    siblings : mapping of str to str
        Layouts without skip connections -> the same with them added, and the reverse.
    numbers : mapping of str to int
        How many numbers each tensor of the file holds.
    aliases : mapping of str to str
        Tensors that the file holds under a second name -> the name in the graphs.
    """

    readings: Mapping[str, Reading]
    found: Mapping[str, Topology]
    apart: tuple[str, ...] = ()
    siblings: Mapping[str, str] = field(default_factory=dict)
    numbers: Mapping[str, int] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    _open: dict[str, Open] = field(default_factory=dict)
    _first: dict[int, tuple[Candidate, ...]] = field(default_factory=dict)

    def with_others(self, other: Networks) -> Networks:
        """Return these networks with those of another reading of the same tensors.

        A layout that both have is that of this one.
        """
        found = {**other.found, **self.found}
        return Networks(
            readings={**other.readings, **self.readings},
            found=dict(sorted(found.items(), key=lambda item: item[1].cost)),
            siblings={**other.siblings, **self.siblings},
            numbers=self.numbers,
            aliases=self.aliases,
            apart=self.apart,
        )

    def with_others_of_more_layers(self, other: Networks) -> Networks:
        """Return these networks with those of a reading that leaves out fewer layers.

        A layout that both have is one of these, and one of the others under another name.
        """
        named = {
            layout: f"{layout}-{MORE_LAYERS}"
            for layout, topology in other.found.items()
            if layout in self.found and not self._same_layers(layout, other)
        }
        more = replace(
            other,
            readings={named.get(word, word): one for word, one in other.readings.items()},
            found={named.get(word, word): one for word, one in other.found.items()},
            siblings={
                named.get(one, one): named.get(two, two) for one, two in other.siblings.items()
            },
        )
        apart = tuple(one.layouts[0] for one in (self, more))
        return replace(self, apart=apart).with_others(more)

    def _same_layers(self, layout: str, other: Networks) -> bool:
        return self.readings[layout].parts == other.readings[layout].parts

    @property
    def layouts(self) -> tuple[str, ...]:
        """The topologies, that of the highest prior first."""
        return tuple(self.found)

    def candidate(self, layout: str, choices: Mapping[str, str]) -> Candidate:
        """Return the network of this topology with these choices, see ``Space``."""
        if layout not in self.found:
            raise ValueError(f"layout is one of {', '.join(self.found)}, not {layout!r}")
        topology, possible = self.found[layout], self._possible(layout)
        if layout in self.siblings and choices.get("join") == possible["join"][0][1]:
            return self.candidate(self.siblings[layout], {**choices, "layout": ""})
        chosen = {name: values[0] for name, (values, _) in possible.items()}
        for name, value in choices.items():
            if name == "layout":
                continue
            if name not in possible:
                raise ValueError(f"{name!r} is no choice; there are {', '.join(possible)}")
            if value not in possible[name][0]:
                words = " or ".join(possible[name][0])
                raise ValueError(f"{name} is {words}, not {value!r}")
            chosen[name] = value
        prior = -self._price(layout, chosen)
        own = self.readings[layout]
        graph = drawn(own.parts, topology, chosen, own.facts)
        self._check_numbers(graph)
        return Candidate(
            graph=graph,
            choices={"layout": layout, **chosen},
            open={
                "layout": (layout, *(one for one in self.layouts if one != layout), OTHER),
                **{name: self._everywhere(name, v) for name, (v, _) in possible.items()},
            },
            prior=prior,
            why={
                "layout": SKIP_WHY + self._others(layout),
                **{name: why for name, (_, why) in possible.items()},
            },
            aliases=self.aliases,
        )

    def _others(self, layout: str) -> str:
        """Name the likeliest of the other topologies, so that a user can tell one of them."""
        others = [one for one in self.layouts if one != layout]
        more = f" and {len(others) - MOST_NAMED} more" * (len(others) > MOST_NAMED)
        return f". Others: {', '.join(others[:MOST_NAMED])}{more}" if others else ""

    def first(self, n: int) -> tuple[Candidate, ...]:
        """Return up to ``n`` candidates, that of the highest prior first."""
        if n not in self._first:
            self._first[n] = self._likeliest(n)
        return self._first[n]

    def _likeliest(self, n: int) -> tuple[Candidate, ...]:
        heap: list[tuple[float, int, str, tuple[tuple[str, str], ...]]] = []
        begun: set[tuple[str, tuple[tuple[str, str], ...]]] = set()

        def push(layout: str, choices: Mapping[str, str]) -> None:
            key = (layout, tuple(sorted(choices.items())))
            if key in begun:
                return
            begun.add(key)
            heapq.heappush(heap, (self._price(layout, choices), len(begun), *key))

        for layout in self.found:
            push(layout, {})
        found: list[Candidate] = []
        seen: set[tuple[object, ...]] = set()
        tried = 0
        while heap and len(found) < n and tried < MOST_TRIED:
            _, _, layout, pairs = heapq.heappop(heap)
            tried += 1
            self._add(found, seen, layout, dict(pairs))
            for name, (values, _) in self._possible(layout).items():
                if name == "join" and layout in self.siblings:
                    continue  # the other value is another topology
                at = values.index(dict(pairs).get(name, values[0]))
                # What is unusual of a value may leave the next one likelier.
                for value in values[at + 1 : at + 3]:
                    push(layout, {**dict(pairs), name: value})
        return tuple(sorted(found, key=lambda one: -one.prior))

    def _price(self, layout: str, choices: Mapping[str, str]) -> float:
        """Return minus the prior; what is not chosen is as is likeliest."""
        topology, possible = self.found[layout], self._possible(layout)
        own = self.readings[layout]
        return (
            topology.cost
            + sum(
                cost(counted_as(n, own.parts, own.facts, values), choices.get(n, values[0]), values)
                for n, (values, _) in possible.items()
            )
            + unusual(own.parts, topology, choices, possible, own.facts.strides)
        )

    def _check_numbers(self, graph: Graph) -> None:
        """Refuse a graph whose tensors are larger or smaller than those of the file."""
        for name, tensor in tensors(graph).items():
            there = self.numbers.get(name)
            if there is not None and there != math.prod(tensor.shape):
                raise ValueError(f"{name} holds {there} numbers, not {tensor.shape}")

    def _add(
        self,
        found: list[Candidate],
        seen: set[tuple[object, ...]],
        layout: str,
        choices: Mapping[str, str],
    ) -> None:
        """Append a candidate that can answer and stands not yet in the list."""
        try:
            one = self.candidate(layout, choices)
        except ValueError:
            return  # choices that do not fit together, such as a reflection of too many pixels
        key = _shape_of(one.graph)
        if key not in seen and sizes(one.graph) is not None:
            seen.add(key)
            found.append(one)

    def _everywhere(self, name: str, values: tuple[str, ...]) -> tuple[str, ...]:
        """Return the values of a choice, and ``OTHER`` beside an only one that is not proven.

        Topologies are assumed: a file proves only what is so in each of them. Nor do strides of
        a pickled module prove that its forward does not pool by a function as well.
        """
        facts = [own.facts for own in self.readings.values()]
        by_function = name == "pooling" and any(
            one.functional and "pooling" not in one.said for one in facts
        )
        in_each = all(
            self._possible(layout).get(name, ((), ""))[0] == values for layout in self.found
        )
        return values if len(values) > 1 or (in_each and not by_function) else (*values, OTHER)

    def _possible(self, layout: str) -> Open:
        if layout not in self._open:
            read = self.readings[layout]
            possible = dict(open_choices(read.parts, self.found[layout], read.facts))
            if layout in self.siblings:
                own = possible["join"][0][0]
                other = "add" if own == "none" else "none"
                possible["join"] = ((own, other), "the channels are the same with a sum or without")
            self._open[layout] = possible
        return self._open[layout]


def _shape_of(graph: Graph) -> tuple[object, ...]:
    """Return what two graphs that do the same have in common, whatever their nodes are called."""
    keys: dict[str, int] = {}
    memo: dict[tuple[object, ...], int] = {}
    for node in graph.nodes:
        key = (repr(node.operation), *_tensors(node), *(keys[name] for name in node.inputs))
        keys[node.name] = memo.setdefault(key, len(memo))
    rows = tuple(sorted(memo, key=memo.__getitem__))
    return (*rows, tuple(keys[name] for name in graph.outputs))


def _tensors(node: Node) -> tuple[str, ...]:
    return tuple(node.tensors.values())


def layout_word(topology: Topology) -> str:
    """Return a short word for a topology: its levels, its skip connections, and a mark."""
    text = ";".join(
        f"{one.part}{one.transposed:d}{one.before}{one.join}{one.skip}{one.sees}"
        + "shuffled" * one.shuffled
        + "flat" * (one.stride_one and topology.poolings > 0)
        + "below" * one.below
        for one in topology.steps
    )
    mark = hashlib.sha256(text.encode()).hexdigest()[:4]
    return f"{topology.poolings + 1}-levels-{topology.skips}-skips-{mark}"
