"""What a TorchScript file holds, as a checkpoint of the family ``graph``."""

from __future__ import annotations

import ast
import functools
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from napari_segnet.checkpoint import Checkpoint, Known, Layout, Output, PrepareStep, Store
from napari_segnet.containers import Inert, TensorRef, Tree
from napari_segnet.errors import BrokenWeightsError, SettingsError, UnsupportedWeightsError
from napari_segnet.families.graph import describe_graph
from napari_segnet.graph import Graph, needed, scales, tensors
from napari_segnet.graph import sizes as sizes_of
from napari_segnet.programs._evaluate import Drawing, NotReadable, Probes, Value, sliced
from napari_segnet.programs._outputs import group_of, rescaled_by
from napari_segnet.programs.torchscript._code import Code, parsed
from napari_segnet.programs.torchscript._run import Module, Runner

__all__ = ["TorchScript"]

MOST_TRIES = 8
MOST_NUMBERS = 2**16
PREPARE = Known(
    source="assumed",
    why="TorchScript does not say how images were prepared; dividing those with values over 1 by "
    "255 is usual, and the network holds no rescaling of its own",
)


class TorchScript:
    """The program; see the package's docstring."""

    name = "torchscript"
    title = "Network in TorchScript"

    def detect(self, tree: Tree) -> bool:
        """Tell by the container."""
        return tree.container == "torchscript"

    def describe(self, tree: Tree, path: Path, told: Mapping[str, Any]) -> Checkpoint:
        """Read the network; see :class:`~napari_segnet.programs.Program`."""
        if told:
            raise SettingsError(
                f"{path.name} says itself what it is, so {', '.join(sorted(told))} cannot be told. "
                "Leave the setting out."
            )
        try:
            return _described(tree, path)
        except NotReadable as error:
            raise UnsupportedWeightsError(_sentence(path, str(error))) from error
        except ValueError as error:
            raise UnsupportedWeightsError(
                _sentence(path, f"it cannot be built: {error}")
            ) from error
        except (TypeError, KeyError, IndexError, AttributeError, ArithmeticError) as error:
            # A number where text was expected, or the like: no torch wrote that.
            raise BrokenWeightsError(
                f"{path.name} is a damaged TorchScript program: its code cannot be understood "
                f"({type(error).__name__}: {str(error)[:120]}). Save or download it again."
            ) from error


def _sentence(path: Path, reason: str) -> str:
    return (
        f"{path.name} is a TorchScript program, but {reason}. Ask its author for the same network "
        "as a state dict: torch.save(model.state_dict(), 'weights.pth')."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Drawn:
    """A network that was read."""

    graph: Graph
    draw: Drawing
    inputs: tuple[str, ...]
    counts: tuple[int, ...]
    outputs: tuple[Output, ...]
    notes: tuple[str, ...]


def _drawn(tree: Tree) -> _Drawn:
    code = parsed(tree.metadata["code"])
    module: Inert = tree.metadata["module"]
    own = code.classes.get(str(module.name))
    forward = own.functions.get("forward") if own else None
    if forward is None:
        raise NotReadable("its outermost module has no function 'forward'")
    inputs = tuple(_inputs(forward))
    refusal, farthest = NotReadable("it holds no convolution along two or three axes"), 0
    for ndim, channels in _tries(tree.root):
        if channels % len(inputs):
            continue
        counts = (channels // len(inputs),) * len(inputs)
        draw = Drawing(channels, Probes((None,) * ndim, None))
        try:
            return _tried(tree, code, module, inputs, counts, draw)
        except NotReadable as error:
            # The try with the right channels comes farthest.
            if len(draw.bases) > farthest:
                refusal, farthest = error, len(draw.bases)
    raise refusal


def _inputs(forward: ast.FunctionDef) -> Iterator[str]:
    """Yield the names of the images that it takes."""
    own = forward.args
    optional = len(own.defaults)
    names = own.args[1:]
    for place, one in enumerate(names):
        kind = ast.unparse(one.annotation) if one.annotation is not None else "Tensor"
        if kind == "Tensor":
            yield one.arg
        elif place < len(names) - optional:
            raise NotReadable(f"it takes {kind[:60]} as its input {one.arg}, not images alone")
    if not names:
        raise NotReadable("it takes no input")


def _tries(root: Mapping[str, TensorRef]) -> Iterator[tuple[int, int]]:
    """Yield dimensions and channels that the image may have, by the kernels of convolutions."""
    seen: dict[tuple[int, int], None] = {}
    for tensor in root.values():
        if len(tensor.shape) in (4, 5) and min(tensor.shape) > 0:
            seen.setdefault((len(tensor.shape) - 2, tensor.shape[1]))
    yield from list(seen)[:MOST_TRIES]


def _tried(
    tree: Tree,
    code: Code,
    module: Inert,
    inputs: tuple[str, ...],
    counts: tuple[int, ...],
    draw: Drawing,
) -> _Drawn:
    read = functools.partial(_numbers, tree.root)
    constants = tree.metadata["constants"]
    run = Runner(code=code, draw=draw, root=tree.root, constants=constants, read=read)
    images, first = list[Value](), 0
    for name, count in zip(inputs, counts, strict=True):
        draw.at = name
        number = draw.probes.number
        whole = draw.image
        images.append(sliced(draw, whole, 1, number(first), number(first + count)))
        first += count
    draw.at = "forward"
    answer = run.method(Module(module, ""), "forward", images)
    return _ended(draw, inputs, counts, answer)


def _numbers(root: Mapping[str, TensorRef], key: str) -> Any:
    """Return the numbers of a small tensor; they are read, so torch is needed."""
    tensor = root.get(key)
    if tensor is None or math.prod(tensor.shape) > MOST_NUMBERS:
        return None
    return tensor.load().float().numpy()


def _answers(answer: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield all maps that a function answers with, and what each is called."""
    if isinstance(answer, dict):
        for key, one in answer.items():
            yield from _answers(one, str(key))
    elif isinstance(answer, list | tuple):
        for place, one in enumerate(answer):
            yield from _answers(one, f"{name}{place}")
    else:
        yield name, answer


def _ended(draw: Drawing, inputs: tuple[str, ...], counts: tuple[int, ...], answer: Any) -> _Drawn:
    ends: list[tuple[str, str]] = []
    every = [pair for pair in _answers(answer) if isinstance(pair[1], Value)]
    for name, value in every:
        draw.at = f"output {name}".strip()
        try:
            ends.append((name, draw.as_map(value)))
        except NotReadable:
            if len(every) == 1:
                raise
    if not ends:
        raise NotReadable("it answers with no map")
    whole = draw.graph([node for _, node in ends])
    sizes = [scales(whole, axis) for axis in range(draw.ndim)]
    kept = [(name, node) for name, node in ends if all(scale[node] == 1 for scale in sizes)]
    if not kept:
        raise NotReadable("its answer has another scale than the image")
    graph = needed(whole, tuple(dict.fromkeys(node for _, node in kept)))
    _require_one_way(draw, graph)
    notes = []
    if len(kept) < len(every):
        notes.append(f"{len(every) - len(kept)} outputs that are no maps of the image's size are "
                     "left out.")  # fmt: skip
    if len(inputs) > 1:
        notes.append(
            f"Its {len(inputs)} inputs are the channels of one image: {', '.join(inputs)[:80]}."
        )
    outputs: tuple[Output, ...] = ()
    if len(kept) > 1:
        outputs = tuple(
            group_of(graph, node, draw.builder.channels(node), name, first=place == 0)
            for place, (name, node) in enumerate(kept)
        )
    return _Drawn(
        graph=graph,
        draw=draw,
        inputs=inputs,
        counts=counts,
        outputs=outputs,
        notes=tuple(notes),
    )


def _require_one_way(draw: Drawing, graph: Graph) -> None:
    """Refuse a graph that takes sizes at which the code does something else."""
    size, probes = sizes_of(graph), draw.probes
    for place in probes.other.nonzero()[0]:
        lengths = tuple(int(axis[place]) for axis in probes.lengths)
        rows = zip(lengths, (*zip(size.minimum, size.multiple, size.remainder, strict=True),),
                   strict=True) if size else ()  # fmt: skip
        if size and all(n >= low and n % m == r for n, (low, m, r) in rows):
            shown = " x ".join(map(str, lengths))
            raise NotReadable(f"it does something else with an image of {shown} pixels")


# ---- The checkpoint --------------------------------------------------------------------


def _described(tree: Tree, path: Path) -> Checkpoint:
    drawn = _drawn(tree)
    keys, layouts = dict[str, str](), dict[str, Layout]()
    for name, tensor in tensors(drawn.graph).items():
        slot = drawn.draw.slots[name]
        key, number = slot.key, 1
        while key in keys:
            number += 1
            key = f"{slot.key} ({number})"
        keys[key] = name
        shape = tree.root[slot.key].shape
        if slot.order != tuple(range(len(shape))) or shape != tensor.shape or key != slot.key:
            shared = slot.key if key != slot.key else ""
            layouts[key] = Layout(order=slot.order, key=shared)
    kinds = Counter(tree.root[drawn.draw.slots[name].key].dtype for name in keys.values())
    store = Store(
        container=tree.container,
        dtype=kinds.most_common(1)[0][0] if kinds else "float32",
        keys=keys,
        layouts=layouts,
    )
    inside = rescaled_by(drawn.graph)
    prepare = (
        ()
        if inside
        else (
            PrepareStep(
                name="normalize", options={"how": "divide-255-if-over-1", "over": "volume"}
            ),
        )
    )
    checkpoint = describe_graph(
        path=path, graph=drawn.graph, store=store, outputs=drawn.outputs, prepare=prepare
    )
    why = "each operation stands in the code of the file, which was read and not run"
    known = {n: Known(source="read", why=why) for n in ("family", "program", "graph")}
    known["prepare"] = PREPARE
    if inside:
        known["prepare"] = Known(source="read", why=f"the network does it itself ({inside})")
    why = "follows from the kernels of its convolutions"
    known["channels"] = Known(source="read", why=why)
    if drawn.outputs:
        why = "the file has several outputs; what their channels mean it does not say"
        known["outputs"] = Known(source="assumed", why=why)
    return replace(
        checkpoint,
        program=TorchScript.name,
        notes=drawn.notes,
        known={**checkpoint.known, **known},
    )
