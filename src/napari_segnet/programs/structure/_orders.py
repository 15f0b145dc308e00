"""In which order parts may run: as registered, or as the names of their lists say.

Registration order is running order, but for lists that are made first and walked through later:
all up-convolutions and then all blocks of the decoder (which run in turns), a decoder before
its encoder, a decoder that is numbered from the finest level on (which runs backwards).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, groupby, pairwise, takewhile, zip_longest

from napari_segnet.programs.structure._names import (
    BOTTLENECK,
    DECODER,
    ENCODER,
    OUTPUT,
    UNKNOWN,
    head,
    in_common,
    is_down,
    is_gate,
    is_up,
    numbers,
    pattern,
    role,
)
from napari_segnet.programs.structure._parts import Part

__all__ = ["networks", "orders"]

Group = tuple[int, ...]
"""Places of parts that stay together: one element of a list."""
List = tuple[Group, ...]

COSTS = {
    "by number": 0.3, "by role": 0.3, "in turns": 0.3, "as registered, in turns": 0.3,
    "reversed turns": 0.3, "backwards": 0.6, "with gates": 0.0, "gates by width": 0.3,
    "head last": 0.3, "steps down last": 0.3, "steps up last": 0.3, "steps up behind": 0.3,
}  # fmt: skip
"""What each costs, see ``_priors.py``."""
MOST_NETWORKS = 3
LEAST_PARTS = 5
"""So many networks stand side by side at most, each of so many parts or more."""
Names = Mapping[int, str]
"""Places -> names of parts."""
MOST_COLOURS = 4
"""Images that most networks take have so many channels at most."""
LEAST_LATE = 2
"""So many steps up behind all other layers are a list of their own; one may be a head."""
MOST_IN_TURNS = 3
"""So many lists run in turns at most: up-convolutions, attention gates, blocks."""


def orders(
    parts: Sequence[Part], by_name: bool = False
) -> tuple[tuple[float, tuple[int, ...]], ...]:
    """Return orders of all places, each with what is unusual about it; the file's own first.

    Stacked networks have one order each, and the same kind of it. ``by_name``: the file's own
    order says nothing.
    """
    found: dict[tuple[int, ...], float] = {}
    each = [dict(_orders_of(parts, places, by_name)) for places in networks(parts)]
    for kind in each[0]:
        if all(kind in one for one in each):
            order = tuple(chain.from_iterable(one[kind] for one in each))
            found.setdefault(order, sum(COSTS[word] for word in kind))
    return tuple((price, order) for order, price in found.items())


def networks(parts: Sequence[Part]) -> list[list[int]]:
    """Return the places of each network, where names say that a few stand side by side."""
    found: dict[str, list[int]] = {}
    depth = in_common(part.name for part in parts)
    for at, part in enumerate(parts):
        found.setdefault(part.name.split(".")[depth], []).append(at)
    alike = len({pattern(name) for name in found}) == 1
    few = alike and 1 < len(found) <= MOST_NETWORKS
    return (
        list(found.values())
        if few and min(map(len, found.values())) >= LEAST_PARTS
        else [list(range(len(parts)))]
    )


def _orders_of(
    parts: Sequence[Part], places: Sequence[int], by_name: bool
) -> Iterator[tuple[tuple[str, ...], tuple[int, ...]]]:
    """Yield orders of one network, by what is done to that of the file."""
    depth = in_common(parts[at].name for at in places)
    names = {at: ".".join(_named(parts, at).split(".")[depth:]) for at in places}
    if by_name:
        numbered = _by_number(parts, names)
        yield ("by number",), numbered
        if _is_head(parts[numbered[0]]):
            yield ("by number", "head last"), (*numbered[1:], numbered[0])
    if inserted := _with_steps_down(parts, places):
        yield ("steps down last",), inserted
    if inserted := _with_steps_up(parts, places):
        yield ("steps up last",), inserted
    if turned := _with_steps_up_first(parts, places):
        yield ("steps up behind",), turned
    if role(names[places[0]]) == OUTPUT and not by_name and not _takes_image(parts[places[0]]):
        yield ("head last",), (*places[1:], places[0])
    yield from _of_lists(parts, names, by_name)
    gates = [at for at in places if parts[at].gate]
    others = {at: name for at, name in names.items() if at not in gates}
    if gates and others:
        for words, order in _of_lists(parts, others, by_name):
            if gated := _gated(parts, order, gates):
                yield (*words, "gates by width"), gated


def _of_lists(
    parts: Sequence[Part], names: Names, by_name: bool
) -> Iterator[tuple[tuple[str, ...], tuple[int, ...]]]:
    """Yield orders of whole lists of parts, by what is done to that of the file."""
    plain = _lists(names)
    entry = _entry(parts, names)
    ranked = tuple(sorted(plain, key=lambda one: _rank(names, one, entry)))
    known = sum(_role(names, one) != UNKNOWN for one in plain)
    bases: list[tuple[tuple[List, ...], tuple[str, ...]]] = [(plain, ())]
    bases += [(ranked, ("by role",))] if known * 2 >= len(plain) else []
    gated = [(_with_gates(names, base), (*words, "with gates")) for base, words in bases]
    bases += [(base, words) for base, words in gated if base not in (plain, ranked)]
    for base, first in bases:
        for turned, second in _turned(names, base, by_name):
            for order, third in _taking_turns(names, turned, by_name):
                yield (*first, *second, *third), tuple(chain.from_iterable(order))


def _gated(parts: Sequence[Part], order: Sequence[int], gates: Sequence[int]) -> tuple[int, ...]:
    """Return an order of other parts with each gate where its channels close; empty: nowhere.

    It sees the answer of the part before it. One of the two parts behind it takes the skip
    connection as well.
    """
    found: dict[int, int] = {}
    for gate in gates:
        wide, skip = parts[gate].inputs(False), parts[gate].outputs(False)
        for at in range(len(order) - 1):
            answers = [parts[one].outputs(parts[one].ways[0]) for one in order[at : at + 2]]
            behind = [parts[one].inputs(False) for one in order[at + 1 : at + 3]]
            joined = any(a + skip == b for a, b in zip(answers, behind, strict=False))
            if at not in found and answers[0] == wide and joined:
                found[at] = gate
                break
        else:
            return ()
    pairs = ((one, *((found[at],) if at in found else ())) for at, one in enumerate(order))
    return tuple(chain.from_iterable(pairs))


def _named(parts: Sequence[Part], at: int) -> str:
    """Return the name of a part; the first element of a list has not that of the list."""
    name = parts[at].name
    listed = any(part.name.startswith(f"{name}.") and part.gap is None for part in parts)
    return parts[at].first.layer.name if listed else name


def _with_steps_down(parts: Sequence[Part], places: Sequence[int]) -> tuple[int, ...]:
    """Return places with steps down that are registered behind all others where they belong.

    That is behind the first part whose answer has their channels; empty where there are none.
    """
    late = [at for at in places if parts[at].steps_down]
    main = [at for at in places if at not in late]
    if not late or not main or min(late) < max(main):
        return ()
    for at in late:
        wide = parts[at].inputs(False)
        before = next((n for n, one in enumerate(main) if parts[one].outputs(False) == wide), None)
        if before is None:
            return ()
        main.insert(before + 1, at)
    return tuple(main)


def _with_steps_up(parts: Sequence[Part], places: Sequence[int]) -> tuple[int, ...]:
    """Return places with steps up that are registered behind all others where they belong.

    That is behind the next parts whose answers have their channels; empty where there are none.
    """
    late = [at for at in places if parts[at].ways[0]]
    main = [at for at in places if at not in late]
    if len(late) < LEAST_LATE or not main or min(late) < max(main):
        return ()
    begin = 0
    for at in late:
        wide = parts[at].inputs(True)
        fits = [parts[one].outputs(False) == wide for one in main[begin:]]
        if True not in fits:
            return ()
        begin += fits.index(True)
        begin += len(tuple(takewhile(bool, fits[fits.index(True) :])))
        main.insert(begin, at)
        begin += 1
    return tuple(main)


def _with_steps_up_first(parts: Sequence[Part], places: Sequence[int]) -> tuple[int, ...]:
    """Return places with the step up of each module before its block, where it is behind all.

    So ``unetUp`` of many repositories registers them. Empty where the channels that a step up takes
    are those of the block behind which it is registered, or there are not several such modules.
    """
    found, turned = list(places), 0
    for at, (one, two) in enumerate(pairwise(places)):
        module = parts[two].first.layer.name.rpartition(".")[0]
        inside = module and parts[one].first.layer.name.startswith(f"{module}.")
        after = parts[places[at + 2]].first.layer.name if at + 2 < len(places) else ""
        up = parts[two].ways[0] and parts[two].inputs(True) != parts[one].outputs(False)
        joined = parts[two].inputs(True) == parts[one].inputs(False)
        if inside and up and joined and not after.startswith(f"{module}."):
            found[at], found[at + 1] = two, one
            turned += 1
    return tuple(found) if turned >= LEAST_LATE else ()


def _by_number(parts: Sequence[Part], names: Names) -> tuple[int, ...]:
    """Return places by the first number in each name: ``up6`` and then ``conv6``."""
    known = {at: numbers(head(name)) for at, name in names.items()}
    risen = [known[at][0] for at in names if known[at] and role(names[at]) == DECODER]
    first, last = (
        min(risen, default=0),
        1 + max((own[-1] for own in known.values() if own), default=0),
    )
    ends = {ENCODER: (-1.0,), BOTTLENECK: (first - 0.5,), OUTPUT: (float(last),)}

    def key(at: int) -> tuple[object, ...]:
        place = role(names[at])
        if place == OUTPUT or not known[at]:
            return (*ends.get(place, (float(last),)), at)
        up = parts[at].ways[0] or is_up(names[at])
        return (float(known[at][0]), not up, known[at][1:], at)

    return tuple(sorted(names, key=lambda at: tuple(map(_comparable, key(at)))))


def _is_head(part: Part) -> bool:
    """Tell if a part is one bare convolution of a pixel to fewer channels, as answers end in."""
    unit = part.first
    alone = len(part.units) == 1 and not (part.shortcut or part.identity or part.gate)
    bare = alone and max(unit.kernel) == 1 and unit.norm is None and unit.slopes is None
    return bare and unit.outputs(False) < unit.inputs(False)


def _takes_image(part: Part) -> bool:
    """Tell if a part takes few channels and answers more, as the first one of a network does."""
    return part.inputs(False) <= MOST_COLOURS and part.inputs(False) < part.outputs(False)


def _comparable(value: object) -> tuple[float, ...]:
    return tuple(map(float, value)) if isinstance(value, tuple) else (float(value),)  # type: ignore[arg-type]


def _lists(names: Names) -> tuple[List, ...]:
    groups = [
        (pattern(head), tuple(places))
        for head, places in groupby(names, key=lambda at: head(names[at]))
    ]
    return tuple(
        tuple(places for _, places in same) for _, same in groupby(groups, key=lambda one: one[0])
    )


def _with_gates(names: Names, lists: tuple[List, ...]) -> tuple[List, ...]:
    """Return lists with that of the gates before the one of twice as many elements.

    That one holds steps up and blocks in turns; it becomes two. So do as many lists of one element
    behind the gates, such as ``up1``, ``dec1``, ``up2``, ``dec2``.
    """
    gates = next((one for one in lists if len(one) > 1 and is_gate(names[one[0][0]])), ())
    if gates:
        first = lists.index(gates) + 1
        singles = lists[first : first + 2 * len(gates)]
        words = [pattern(head(names[one[0][0]])) for one in singles if len(one) == 1]
        if len(words) == 2 * len(gates) and words == words[:2] * len(gates):
            ups, blocks = (tuple(one[0] for one in singles[at::2]) for at in (0, 1))
            return (*lists[: first - 1], gates, ups, blocks, *lists[first + len(singles) :])
    both = next((one for one in lists if gates and len(one) == 2 * len(gates)), ())
    if not both:
        return lists
    parts = {both: (both[::2], gates, both[1::2]), gates: ()}
    return tuple(chain.from_iterable(parts.get(one, (one,)) for one in lists))


def _role(names: Names, one: List) -> int:
    return role(names[one[0][0]])


def _side(names: Names, one: List) -> int:
    """Return the role of a list; gates stand in the decoder."""
    return DECODER if is_gate(names[one[0][0]]) else _role(names, one)


def _rank(names: Names, one: List, entry: str) -> float:
    if entry and _owner(names[one[0][0]]) == entry:
        return -1.0
    found = _role(names, one)
    return found if found != UNKNOWN else 0.5


def _entry(parts: Sequence[Part], names: Names) -> str:
    """Return the module of the only part that takes an image; empty: there are none, or several.

    It may be registered behind lists, which are made first.
    """
    straight = [at for at in names if False in parts[at].ways and role(names[at]) != OUTPUT]
    fewest = min((parts[at].inputs(False) for at in straight), default=0)
    found = [at for at in straight if parts[at].inputs(False) == fewest]
    return _owner(names[found[0]]) if len(found) == 1 and fewest <= MOST_COLOURS else ""


def _owner(name: str) -> str:
    return name.split(".")[0]


def _turned(
    names: Names, lists: tuple[List, ...], by_name: bool
) -> Iterator[tuple[tuple[List, ...], tuple[str, ...]]]:
    """Yield the lists as they are, and with those of the decoder backwards."""
    yield lists, ()
    roles = [_role(names, one) for one in lists]
    if by_name and DECODER in roles:
        # Sorted, lists without a telling name stand there for what they do with the channels.
        first = roles.index(DECODER)
        roles[first:] = [DECODER if own == UNKNOWN else own for own in roles[first:]]
    decoders = [len(one) > 1 and place == DECODER for one, place in zip(lists, roles, strict=True)]
    if not any(decoders):
        decoders = [len(one) > 1 and at > 0 for at, one in enumerate(lists)]
    if any(decoders):
        turned = (one[::-1] if back else one for one, back in zip(lists, decoders, strict=True))
        yield tuple(turned), ("backwards",)


def _taking_turns(
    names: Names, lists: tuple[List, ...], by_name: bool
) -> Iterator[tuple[tuple[Group, ...], tuple[str, ...]]]:
    """Yield the groups one list after the other, and in turns where lists have one length.

    The first one may be longer by one: the lowest level has no step down.
    """
    yield tuple(chain.from_iterable(lists)), ()
    runs: list[list[List]] = []
    for one in lists:
        longer = len(runs[-1][0]) - len(one) if runs else 0
        fits = runs and longer in (0, 1) and len(one) > 1 and len(runs[-1]) < MOST_IN_TURNS
        apart = runs and _apart(_side(names, runs[-1][0]), _side(names, one), by_name)
        if fits and not apart:
            runs[-1].append(one)
        else:
            runs.append([one])
    if all(len(run) == 1 for run in runs):
        return
    named = [sorted(run, key=lambda one: _turn(names, one)) for run in runs]
    for word, ordered in (
        ("in turns", named),
        ("as registered, in turns", runs),
        ("reversed turns", [run[::-1] for run in runs]),
    ):
        turns = (zip_longest(*run, fillvalue=()) for run in ordered)
        groups = (group for turn in chain.from_iterable(turns) for group in turn if group)
        yield tuple(groups), (word,)


def _apart(one: int, other: int, by_name: bool) -> bool:
    """Tell if a list and the next one stand on two sides.

    What names do not tell, neighbours in a sorted file do. Registered behind steps up, blocks of
    no telling name, such as ``conv6`` to ``conv9``, stand in the decoder.
    """
    behind = one == DECODER and other == UNKNOWN
    return one != other and not behind and not (by_name and UNKNOWN in (one, other))


def _turn(names: Names, one: List) -> int:
    """Return what sorts lists in turns: steps up stand before blocks, steps down behind them."""
    name = names[one[0][0]]
    if is_gate(name):
        return -1  # a gate sees what was brought up, and stands before the block
    if _role(names, one) == DECODER:
        return -2 * int(is_up(name))
    return int(is_down(name))
