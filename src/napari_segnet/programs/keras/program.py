"""What a file of Keras holds, as a checkpoint of the family ``graph``."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_segnet.checkpoint import Checkpoint, Known, Layout, PrepareStep, Store
from napari_segnet.containers import TensorRef, Tree
from napari_segnet.errors import SettingsError, UnsupportedWeightsError
from napari_segnet.families.graph import describe_graph
from napari_segnet.graph import BatchNorm, Graph, Rescale, tensors
from napari_segnet.programs.keras._beside import described_beside
from napari_segnet.programs.keras._draw import image_shape
from napari_segnet.programs.keras._drawing import Facts
from napari_segnet.programs.keras._model import Layer, Model, NotReadable, read_model
from napari_segnet.programs.keras._outputs import SeveralOutputs, drawn_output, output_names
from napari_segnet.programs.keras._told import asked_lambda, asked_output, choice, lambdas_told
from napari_segnet.programs.keras._weights import Found, matched
from napari_segnet.programs.keras._write import ENDINGS, check_name, write_keras

if TYPE_CHECKING:
    import torch

__all__ = ["Keras"]

FLOATING = ("float32", "float16", "bfloat16", "float64")
FORMATS = {"th": "channels_first", "tf": "channels_last"}
BACKENDS = ("theano", "tensorflow")
GRIDS = ("half-pixel", "asymmetric")
PREPARE = Known(
    source="assumed",
    why="Keras files do not say how images were prepared; dividing those with values over 1 by 255 "
    "is usual, and the network holds no rescaling of its own",
)


class Keras:
    """The program; see the package's docstring."""

    name = "keras"
    title = "Network of Keras"

    endings = ENDINGS

    def detect(self, tree: Tree) -> bool:
        """Tell by the container."""
        return tree.container.startswith("keras-")

    def describe(self, tree: Tree, path: Path, told: Mapping[str, Any]) -> Checkpoint:
        """Read the network; see :class:`~napari_segnet.programs.Program`."""
        config, beside = tree.metadata["model_config"], ""
        if config is None:
            config, beside = described_beside(tree, path)
        version = _version(tree, config)
        try:
            model = read_model(config)
            facts, known = _facts(model, config, tree, version, told)
            draw, graph, name = drawn_output(model, facts, told.get("output"), known)
            found = matched(draw, model, tree.root, tree.metadata)
            found = {key: one for key, one in found.items() if one[0] in tensors(graph)}
            _complete(graph, found)
            _refuse_whole_numbers(tree.root, found)
            checkpoint = _described(path, tree, graph, found)
        except SettingsError:
            raise
        except SeveralOutputs as error:
            raise asked_output(path, version, error.usable, error.others) from error
        except NotReadable as error:
            raise UnsupportedWeightsError(_sentence(path, version, str(error))) from error
        except ValueError as error:
            reason = f"it cannot be built: {error}"
            raise UnsupportedWeightsError(_sentence(path, version, reason)) from error
        except (TypeError, KeyError, IndexError, AttributeError, ArithmeticError) as error:
            # A number where text was expected, or the like: no Keras wrote that.
            reason = f"the description of its layers is damaged ({error!r})"
            raise UnsupportedWeightsError(_sentence(path, version, reason)) from error
        if "lambda" in known and known["lambda"].source == "assumed":
            raise asked_lambda(path, version, tuple(facts.lambdas))
        return _told_facts(checkpoint, model, facts, known, version, beside, name)

    def check_name(self, checkpoint: Checkpoint, path: Path) -> None:
        """See that it can be written; see :class:`~napari_segnet.programs.WritingProgram`."""
        check_name(checkpoint, path)

    def save(self, module: torch.nn.Module, checkpoint: Checkpoint, path: Path) -> Checkpoint:
        """Write the network in the layout of its file, see ``write_keras``."""
        return write_keras(module, checkpoint, path)


def _sentence(path: Path, version: str, reason: str) -> str:
    return (
        f"{path.name} is a network of Keras {version}".rstrip()
        + f", but {reason}. Ask its author for a version without it, or for the same network in "
        "PyTorch (a state dict, .pth)."
    )


# ---- The model -------------------------------------------------------------------------


def _version(tree: Tree, config: Mapping[str, Any]) -> str:
    told = tree.metadata["keras_version"] or config.get("keras_version")
    return told if isinstance(told, str) else ""


def _facts(
    model: Model,
    config: Mapping[str, Any],
    tree: Tree,
    version: str,
    told: Mapping[str, Any],
) -> tuple[Facts, dict[str, Known]]:
    """Return what holds for the whole model, and how what can be told is known."""
    numbers = tuple(int(n) for n in re.findall(r"\d+", version)[:3])
    every = list(model.all_layers())
    old = any("dim_ordering" in layer.config or "nb_row" in layer.config for layer in every)
    # to_json() of Keras 3 does not say its version; since then inputs have a "batch_shape".
    new = any("batch_shape" in layer.config for layer in every if " (input)" not in layer.name)
    major = numbers[0] if numbers else (1 if old else 3 if new else 2)
    first = _data_format(every) == "channels_first"
    backend = tree.metadata["backend"] or str(config.get("backend") or "")
    known: dict[str, Known] = {}
    values: dict[str, str] = {}
    if major == 1 and not backend:
        why = "Keras 1 did not write it; channels first is Theano's order, last TensorFlow's"
        values["backend"] = choice("backend", BACKENDS, BACKENDS[not first], why, told, known)
        backend = values["backend"]
    lambdas = lambdas_told(every, told, known, values)
    grid, sure = _grid(numbers or (major,) * (major == 3), version)
    if not sure and any(layer.config.get("interpolation") == "bilinear" for layer in every):
        why = "bilinear up-sampling takes pixels at their middle since TensorFlow 2"
        values["grid"] = grid = choice("grid", GRIDS, grid, why, told, known)
    if len(names := output_names(model)) > 1:
        values["output"] = " or ".join(names)
    unknown = sorted(set(told) - set(values))
    if unknown:
        can = f" What can be told of it: {', '.join(values)}." if values else ""
        raise SettingsError(
            f"A network of Keras says itself what it is, so {', '.join(unknown)} cannot be told."
            f"{can} Leave the setting out."
        )
    facts = Facts(
        version=numbers,
        major=major,
        theano=backend == "theano",
        grid="half-pixel" if grid == GRIDS[0] else "asymmetric",
        data_format="channels_first" if first else "channels_last",
        lambdas=lambdas,
    )
    return facts, known


def _data_format(layers: list[Layer]) -> str:
    """Return what the first layer that says it says."""
    for layer in layers:
        said = layer.config.get("data_format") or FORMATS.get(
            str(layer.config.get("dim_ordering", ""))
        )
        if said in FORMATS.values():
            return str(said)
    return "channels_last"


def _grid(numbers: tuple[int, ...], version: str) -> tuple[str, bool]:
    """Return where bilinear up-sampling takes its pixels, and if that is sure.

    Keras before TensorFlow 2 calls ``resize_bilinear``, whose pixels lie at their corners; the
    version 2.2.4-tf stands in files of TensorFlow 1.13 to 2.1.
    """
    if not numbers:
        return GRIDS[0], False
    inside = version.endswith("-tf")
    if numbers < (2, 2, 4) or (not inside and (2,) <= numbers < (2, 4)):
        return GRIDS[1], True
    return GRIDS[0], not (inside and numbers == (2, 2, 4))


# ---- The checkpoint --------------------------------------------------------------------


def _complete(graph: Graph, found: Found) -> None:
    """Refuse a file in which a tensor of the graph is missing."""
    there = {name for name, _ in found.values()}
    if missing := [name for name in tensors(graph) if name not in there]:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise NotReadable(f"the weights of {missing[0]}{more} are not in the file")


def _refuse_whole_numbers(root: Mapping[str, TensorRef], found: Found) -> None:
    for key in found:
        if root[key].dtype not in FLOATING:
            raise NotReadable(
                f"the weight {key} holds numbers of the kind {root[key].dtype}, where float32 was "
                "expected"
            )


def _described(path: Path, tree: Tree, graph: Graph, found: Found) -> Checkpoint:
    kinds = Counter(tree.root[key].dtype for key in found)
    store = Store(
        container=tree.container,
        dtype=kinds.most_common(1)[0][0] if kinds else "float32",
        keys={key: name for key, (name, _) in found.items()},
        layouts=_layouts(tree.root, graph, found),
    )
    inside = _rescales(graph)
    prepare = (
        ()
        if inside
        else (
            PrepareStep(
                name="normalize", options={"how": "divide-255-if-over-1", "over": "volume"}
            ),
        )
    )
    known = {
        "prepare": Known(source="read", why=f"the network does it itself ({inside})")
        if inside
        else PREPARE
    }
    return describe_graph(path=path, graph=graph, store=store, prepare=prepare, known=known)


def _layouts(root: Mapping[str, TensorRef], graph: Graph, found: Found) -> dict[str, Layout]:
    """Return how tensors lie in the file, of those that lie otherwise than in the module."""
    layouts, wanted = {}, tensors(graph)
    for key, (name, slot) in found.items():
        shape = root[key].shape
        plain = tuple(range(len(shape)))
        # A mean may be (1, 1, 1, c) as well as (c,): then only axes of one go.
        order = slot.order if len(slot.order) == len(shape) else plain
        if slot.flipped or order != plain or shape != wanted[name].shape:
            layouts[key] = Layout(order=order, flipped=slot.flipped)
    return layouts


def _rescales(graph: Graph) -> str:
    """Return the first node behind the image if it rescales; empty where none does."""
    names = {graph.image.name}
    for node in graph.nodes:
        if not names.intersection(node.inputs):
            continue
        if isinstance(node.operation, Rescale):
            return node.name
        if isinstance(node.operation, BatchNorm) and node.operation.frozen:
            return node.name  # Keras' Normalization
        if not node.tensors and len(node.inputs) == 1:
            names.add(node.name)
    return ""


def _told_facts(
    checkpoint: Checkpoint,
    model: Model,
    facts: Facts,
    known: Mapping[str, Known],
    version: str,
    beside: str,
    output: str,
) -> Checkpoint:
    where = f"the description in {beside}" if beside else "the description in the file"
    read = {
        name: Known(source="read", why=f"each layer stands in {where}")
        for name in ("family", "program", "graph")
    }
    told = {
        "backend": BACKENDS[not facts.theano],
        "grid": facts.grid,
        "lambda": ",".join(facts.lambdas.values()),
        "output": output,
    }
    hparams = {**checkpoint.hparams, **{name: told[name] for name in known}}
    if version:
        hparams["keras_version"] = version
        read["keras_version"] = Known(source="read", why="written in the file")
    shape = image_shape(model)
    space = shape[1:] if facts.data_format == "channels_first" else shape[:-1]
    size = checkpoint.known["size"]
    if any(n is not None for n in space):
        shown = " x ".join("any" if n is None else str(n) for n in space)
        why = (
            f"follows from the layers; the file says {shown} pixels, on which none of them depends"
        )
        size = Known(source="read", why=why)
    return replace(
        checkpoint,
        program=Keras.name,
        hparams=hparams,
        known={**checkpoint.known, **read, **known, "size": size},
    )
