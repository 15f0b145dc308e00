"""What a TorchScript file holds, as a checkpoint of the family ``graph``."""

from __future__ import annotations

import ast
import functools
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from napari_segnet.checkpoint import Checkpoint, Known
from napari_segnet.containers import Inert, TensorRef, Tree
from napari_segnet.errors import BrokenWeightsError, SettingsError, UnsupportedWeightsError
from napari_segnet.programs._drawn import Drawn, checkpoint_of, ended
from napari_segnet.programs._evaluate import Drawing, NotReadable, Probes, Value, sliced
from napari_segnet.programs.torchscript._code import Code, parsed
from napari_segnet.programs.torchscript._run import Module, Runner

__all__ = ["TorchScript"]

MOST_TRIES = 8
MOST_NUMBERS = 2**16
MOST_ANSWERS, DEEPEST = 64, 3
"""Answers in a list, and lists in each other."""


class TorchScript:
    """The program; see the package's docstring."""

    name = "torchscript"
    title = "Network in TorchScript"

    def detect(self, tree: Tree) -> bool:
        """Tell by the container."""
        return tree.container == "torchscript"

    def describe(self, tree: Tree, path: Path, overrides: Mapping[str, Any]) -> Checkpoint:
        """Read the network; see :class:`~napari_segnet.programs.Program`."""
        if overrides:
            raise SettingsError(
                f"{path.name} says itself what it is, so {', '.join(sorted(overrides))} cannot be "
                "told. Leave the setting out."
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


def _drawn(tree: Tree) -> Drawn:
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
) -> Drawn:
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
    return ended(draw, list(_answers(answer)), inputs)


def _numbers(root: Mapping[str, TensorRef], key: str) -> Any:
    """Return the numbers of a small tensor; they are read, so torch is needed."""
    tensor = root.get(key)
    if tensor is None or math.prod(tensor.shape) > MOST_NUMBERS:
        return None
    return tensor.load().float().numpy()


def _answers(answer: Any, name: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Yield all maps that a function answers with, and what each is called."""
    if depth > DEEPEST:
        raise NotReadable(f"it answers with lists more than {DEEPEST} deep")
    if isinstance(answer, dict):
        for key, one in answer.items():
            yield from _answers(one, str(key), depth + 1)
    elif isinstance(answer, list | tuple):
        for place, one in enumerate(answer[:MOST_ANSWERS]):
            yield from _answers(one, f"{name}{place}", depth + 1)
    else:
        yield name, answer


# ---- The checkpoint --------------------------------------------------------------------


def _described(tree: Tree, path: Path) -> Checkpoint:
    drawn = _drawn(tree)
    why = "each operation stands in the code of the file, which was read and not run"
    known = {n: Known(source="read", why=why) for n in ("family", "program", "graph")}
    known["channels"] = Known(source="read", why="follows from the kernels of its convolutions")
    return checkpoint_of(
        path, tree, drawn, program=TorchScript.name, title="TorchScript", known=known
    )
