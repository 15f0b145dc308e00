"""What a file of torch.export holds, as a checkpoint of the family ``graph``."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from napari_segnet.checkpoint import Checkpoint, Known
from napari_segnet.containers import TensorRef, Tree
from napari_segnet.errors import BrokenWeightsError, SettingsError, UnsupportedWeightsError
from napari_segnet.programs._drawn import Drawn, checkpoint_of, ended
from napari_segnet.programs._evaluate import Drawing, NotReadable, Probes, Value, sliced
from napari_segnet.programs.exported._program import Program, read_program
from napari_segnet.programs.exported._run import Runner

__all__ = ["Exported"]

MOST_NUMBERS = 2**16
MOST_CHANNELS = 512
"""More channels than any image has."""


class Exported:
    """The program; see the package's docstring."""

    name = "torch-export"
    title = "Network of torch.export"

    def detect(self, tree: Tree) -> bool:
        """Tell by the container."""
        return tree.container == "torch-export"

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
        except (TypeError, KeyError, IndexError, AttributeError, ArithmeticError) as error:
            # A number where text was expected, or the like: no torch wrote that.
            raise _damaged(path, error) from error
        except ValueError as error:
            raise UnsupportedWeightsError(
                _sentence(path, f"it cannot be built: {error}")
            ) from error


def _sentence(path: Path, reason: str) -> str:
    return (
        f"{path.name} is a program of torch.export, but {reason[:400]}. Ask its author for the "
        "same network as a state dict: torch.save(model.state_dict(), 'weights.pth')."
    )


def _damaged(path: Path, error: Exception) -> BrokenWeightsError:
    return BrokenWeightsError(
        f"{path.name} is a damaged program of torch.export: its graph cannot be understood "
        f"({type(error).__name__}: {str(error)[:120]}). Save or download it again."
    )


def _drawn(program: Program, root: Mapping[str, TensorRef]) -> Drawn:
    if not program.images:
        raise NotReadable("it takes no input")
    shapes = list(program.images.values())
    first = shapes[0]
    for name, shape in program.images.items():
        if len(shape) not in (4, 5):
            raise NotReadable(f"its input {name[:80]} has {len(shape)} axes, so it is no image")
        if len(shape) != len(first) or shape[2:] != first[2:]:
            raise NotReadable(f"its {len(shapes)} inputs have several sizes")
    counts = [shape[1] for shape in shapes]
    if not all(n is not None and 0 < n <= MOST_CHANNELS for n in counts):
        raise NotReadable("it does not say how many channels its images have")
    channels = [int(n or 0) for n in counts]
    draw = Drawing(sum(channels), Probes(first[2:], first[0]))
    images, begin = dict[str, Value](), 0
    for name, count in zip(program.images, channels, strict=True):
        draw.at = name
        number = draw.probes.number
        images[name] = sliced(draw, draw.image, 1, number(begin), number(begin + count))
        begin += count
    read = functools.partial(_numbers, root)
    answers = Runner(program=program, draw=draw, root=root, read=read).run(images)
    return ended(draw, answers, tuple(program.images))


def _numbers(root: Mapping[str, TensorRef], key: str) -> Any:
    """Return the numbers of a small tensor; they are read, so torch is needed."""
    tensor = root.get(key)
    if tensor is None or math.prod(tensor.shape) > MOST_NUMBERS:
        return None
    return tensor.load().float().numpy()


def _described(tree: Tree, path: Path) -> Checkpoint:
    program = read_program(tree.metadata["program"])
    drawn = _drawn(program, tree.root)
    by = f", written by torch {program.version}" if program.version else ""
    why = f"each operation stands in the file, which was read and not run{by}"
    known = {n: Known(source="read", why=why) for n in ("family", "program", "graph")}
    names = ", ".join(name[:40] for name in program.images)
    known["channels"] = Known(source="read", why=f"the file says so of its input {names}")
    if any(one != "any" for one in program.ranges):
        shown = " x ".join(program.ranges)
        fact = f"follows from the layers; the file says {shown} pixels, on which none depends"
        known["size"] = Known(source="read", why=fact)
    return checkpoint_of(
        path, tree, drawn, program=Exported.name, title="torch.export", known=known
    )
