"""Nested U-Nets (U-Net++, Zhou et al. 2018, arXiv 1807.10165): a grid of nodes by their names.

Node ``i, j`` stands at level ``i`` in column ``j``. Those of column 0 are the encoder; each other
one takes all earlier nodes of its level and the node below of the column before, brought up. Names
place the nodes (``conv0_1``, ``X_01``, ``rows.0.1``, ``up_concat01.up``); the encoder may be a list
of its own (``downs.0`` beside ``up_0_0``). Where no name does, the channels of a level and what a
node takes place it. Channels have to prove every one of them, so the numbered layers of any other
network are no grid.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from napari_segnet.programs.structure._names import OUTPUT
from napari_segnet.programs.structure._parts import Part
from napari_segnet.programs.structure._topology import Step, Topology

__all__ = ["nested"]

Place = tuple[int, int]
_PLACE = re.compile(r"[a-z][._]?(\d)[._]?(\d)(?!\d)", re.IGNORECASE)
FEWEST = 2
"""Steps down. With one, a nested network is a plain one."""


@dataclass(slots=True)
class _Node:
    """What runs at one place: a transposed convolution that brings up, and a chain of parts."""

    up: int = -1
    chain: list[int] = field(default_factory=list)


def nested(parts: Sequence[Part]) -> Topology | None:
    """Return the nested network that all parts make, None where they are none.

    Its answer is that of the last head: others are of deep supervision, and no step runs them.
    """
    ways = (_grid, _beside, _by_channels)
    return next(filter(None, (_made(parts, *way(parts)) for way in ways)), None)


def _made(
    parts: Sequence[Part], grid: Mapping[Place, _Node] | None, heads: Sequence[int]
) -> Topology | None:
    """Return the network of a grid and its heads; None where channels do not prove it."""
    if grid is None or not heads:
        return None
    depth = max(row for row, _ in grid)
    wide = {at: parts[node.chain[-1]].outputs(False) for at, node in grid.items()}
    closes = all(_closes(parts, grid, wide, at) for at in grid)
    ends = all(_head(parts[at]) and parts[at].inputs(False) == wide[0, depth] for at in heads)
    if not (closes and ends):
        return None
    places: dict[Place, int] = {}
    steps: list[Step] = []
    for at in sorted(grid, key=lambda at: (at[1], at[0] if not at[1] else -at[0])):
        steps += _steps(grid[at], at, places)
        places[at] = len(places) + 1
    steps.append(Step(part=heads[-1]))
    return Topology(
        steps=tuple(steps), level=0, cost=0.0, poolings=depth, skips=len(grid) - depth - 1
    )


def _grid(parts: Sequence[Part]) -> tuple[Mapping[Place, _Node] | None, list[int]]:
    """Return the nodes by level and column, and the heads; None: places make no triangle."""
    found: dict[Place, _Node] = {}
    ups: dict[Place, int] = {}
    heads: list[int] = []
    for at, part in enumerate(parts):
        match = _PLACE.search(part.name)
        if part.role == OUTPUT or match is None:
            heads.append(at)
            continue
        place = (int(match[1]), int(match[2]))
        if part.gate is not None or (part.ways[0] and place in ups):
            return None, []
        if part.ways[0]:
            ups[place] = at
        else:
            found.setdefault(place, _Node()).chain.append(at)
    if not found:
        return None, []
    first = (min(row for row, _ in found), min(column for _, column in found))
    # A step up is named as the node that it leads to, or as the one that it leaves.
    leaves = any(column == first[1] for _, column in ups)
    grid = {(row - first[0], column - first[1]): node for (row, column), node in found.items()}
    for (row, column), at in ups.items():
        to = (row - first[0] - leaves, column - first[1] + leaves)
        if to not in grid:
            return None, []
        grid[to].up = at
    depth = max(row for row, _ in grid)
    whole = {(row, column) for row in range(depth + 1) for column in range(depth + 1 - row)}
    return (grid, heads) if depth >= FEWEST and set(grid) == whole else (None, [])


def _beside(parts: Sequence[Part]) -> tuple[Mapping[Place, _Node] | None, list[int]]:
    """Return the same where no name places the encoder: it runs as it is listed."""
    placed = [at for at, part in enumerate(parts) if _PLACE.search(part.name)]
    others = [at for at in range(len(parts)) if at not in placed]
    encoder = [at for at in others if parts[at].role != OUTPUT and at != len(parts) - 1]
    places = [_PLACE.search(parts[at].name) for at in placed]
    rows = {(int(one[1]), int(one[2])): at for one, at in zip(places, placed, strict=True) if one}
    least = min((column for _, column in rows), default=0)
    rows = {(row, column - least): at for (row, column), at in rows.items()}
    depth = len(encoder) - 1
    whole = {(row, column) for row in range(depth) for column in range(depth - row)}
    if depth < FEWEST or set(rows) != whole or len(rows) != len(placed):
        return None, []
    grid = {(row, 0): _Node(chain=[at]) for row, at in enumerate(encoder)}
    grid |= {(row, column + 1): _Node(chain=[at]) for (row, column), at in rows.items()}
    return grid, [at for at in others if at not in encoder]


def _by_channels(parts: Sequence[Part]) -> tuple[Mapping[Place, _Node] | None, list[int]]:
    """Return the same where names place nothing, but the channels do: each level has its own.

    The encoder is listed first. What brings up to a level stands in the order of its columns.
    """
    encoder = [0] if parts else []
    for at, (one, two) in enumerate(pairwise(parts), 1):
        if two.ways != (False,) or not one.outputs(False) == two.inputs(False) < two.outputs(False):
            break
        encoder.append(at)
    wide = [parts[at].outputs(False) for at in encoder]
    depth = len(wide) - 1
    grid = {(row, 0): _Node(chain=[at]) for row, at in enumerate(encoder)}
    ups: dict[int, list[int]] = {row: [] for row in range(depth)}
    heads: list[int] = []
    for at in range(len(encoder), len(parts)):
        part = parts[at]
        row = next((one for one in range(depth) if wide[one] == part.outputs(part.ways[0])), -1)
        if row < 0 or (_head(part) and max(part.first.kernel) == 1):
            heads.append(at)
        elif part.ways[0]:
            ups[row].append(at)
        else:
            columns = (part.inputs(False) - wide[row + 1]) / wide[row]
            columns = part.inputs(False) / wide[row] - 1 if any(ups.values()) else columns
            if (row, int(columns)) in grid:
                return None, []
            grid[row, int(columns)] = _Node(chain=[at])
    for row, places in ups.items():
        for column, at in enumerate(places, 1):
            grid.setdefault((row, column), _Node()).up = at
    whole = {(row, column) for row in range(depth + 1) for column in range(depth + 1 - row)}
    filled = set(grid) == whole and all(node.chain for node in grid.values())
    return (grid, heads) if depth >= FEWEST and filled else (None, [])


def _closes(
    parts: Sequence[Part], grid: Mapping[Place, _Node], wide: Mapping[Place, int], at: Place
) -> bool:
    """Tell if a node takes the channels of those that it is joined from."""
    (row, column), node = at, grid[at]
    chain = [parts[one] for one in node.chain]
    inside = all(one.outputs(False) == two.inputs(False) for one, two in pairwise(chain))
    if not inside or not all(False in part.ways for part in chain):
        return False
    if not column:
        fits = not row or chain[0].inputs(False) == wide[row - 1, 0]
        return fits and node.up < 0
    below = wide[row + 1, column - 1]
    if node.up >= 0:
        up = parts[node.up]
        if up.inputs(True) != below:
            return False
        below = up.outputs(True)
    return chain[0].inputs(False) == below + sum(wide[row, one] for one in range(column))


def _steps(node: _Node, at: Place, places: Mapping[Place, int]) -> list[Step]:
    """Return the steps of a node; ``places`` are those of earlier ones among the answers."""
    row, column = at
    own = [Step(part=one) for one in node.chain]
    if not column:
        if row:
            own[0] = replace(own[0], before="pool", begins=places[row - 1, 0], level=row - 1)
    else:
        skip, *others = (places[row, one] for one in range(column))
        below, level = places[row + 1, column - 1], row + 1
        own[0] = replace(own[0], join="concat", skip=skip, row=tuple(others))
        if node.up >= 0:
            own.insert(0, Step(part=node.up, transposed=True, begins=below, level=level))
        else:
            own[0] = replace(own[0], before="resize", begins=below, level=level)
    return [*own[:-1], replace(own[-1], keeps=True)]


def _head(part: Part) -> bool:
    return len(part.units) == 1 and not part.shortcut and False in part.ways
