"""What a file of Keras holds, as a checkpoint of the family ``graph``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_segnet.checkpoint import Checkpoint, Known
from napari_segnet.containers import Tree
from napari_segnet.errors import SettingsError, UnsupportedWeightsError
from napari_segnet.programs.keras._bare import described_by_order
from napari_segnet.programs.keras._beside import described_beside
from napari_segnet.programs.keras._checkpoint import described
from napari_segnet.programs.keras._code import Coded, coded_beside, with_code
from napari_segnet.programs.keras._draw import image_shape
from napari_segnet.programs.keras._drawing import Facts
from napari_segnet.programs.keras._facts import BACKENDS, facts_of, version_of
from napari_segnet.programs.keras._hparams import asked_lambda, asked_output
from napari_segnet.programs.keras._model import Model, NotReadable, read_model
from napari_segnet.programs.keras._outputs import SeveralOutputs, drawn_output
from napari_segnet.programs.keras._write import ENDINGS, check_name, write_keras

if TYPE_CHECKING:
    import torch

__all__ = ["Keras"]


class Keras:
    """The program; see the package's docstring."""

    name = "keras"
    title = "Network of Keras"

    endings = ENDINGS
    own_only = False

    def detect(self, tree: Tree) -> bool:
        """Tell by the container; the Mask R-CNN of matterport is a family of its own."""
        return tree.container.startswith("keras-") and "matterport" not in tree.metadata

    def describe(self, tree: Tree, path: Path, overrides: Mapping[str, Any]) -> Checkpoint:
        """Read the network; see :class:`~napari_segnet.programs.Program`."""
        config, beside = tree.metadata["model_config"], ""
        if config is None:
            try:
                config, beside = described_beside(tree, path)
            except UnsupportedWeightsError as refusal:
                return _without_description(tree, path, overrides, refusal)
        return _by_config(tree, path, overrides, config, beside)

    def check_name(self, checkpoint: Checkpoint, path: Path) -> None:
        """See that it can be written; see :class:`~napari_segnet.programs.WritingProgram`."""
        check_name(checkpoint, path)

    def save(self, module: torch.nn.Module, checkpoint: Checkpoint, path: Path) -> Checkpoint:
        """Write the network in the layout of its file, see ``write_keras``."""
        return write_keras(module, checkpoint, path)


def _without_description(
    tree: Tree, path: Path, overrides: Mapping[str, Any], refusal: UnsupportedWeightsError
) -> Checkpoint:
    """Return what weights alone are: by the code beside them, else by the order of their layers."""
    found = coded_beside(tree, path, overrides)
    if isinstance(found, Coded):
        place = f"{found.definition.name} ({found.definition.where})"
        checkpoint = _by_config(tree, path, found.rest, found.config, place)
        return with_code(checkpoint, found, overrides)
    note = f"The code beside {path.name} is not used: {found.why}." if found.why else ""
    if overrides.get("source"):
        raise UnsupportedWeightsError(
            f"{note or f'The code makes no model of Keras that has the weights of {path.name}.'} "
            "Leave the setting source out, and the weights are read by the order of their layers."
        )
    try:
        checkpoint = described_by_order(tree, path, overrides, refusal)
    except UnsupportedWeightsError as error:
        if not note:
            raise
        raise UnsupportedWeightsError(f"{error} {note}") from error
    return replace(checkpoint, notes=(*checkpoint.notes, note)) if note else checkpoint


def _by_config(
    tree: Tree, path: Path, overrides: Mapping[str, Any], config: Mapping[str, Any], beside: str
) -> Checkpoint:
    """Return the network that a description of its layers says, which stands ``beside``."""
    version = version_of(tree, config)
    try:
        model = read_model(config)
        facts, known = facts_of(model, config, tree, version, overrides)
        draw, graph, name = drawn_output(model, facts, overrides.get("output"), known)
        checkpoint = described(path, tree, graph, draw, model)
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
    return _with_facts(checkpoint, model, facts, known, version, beside, name)


def _sentence(path: Path, version: str, reason: str) -> str:
    return (
        f"{path.name} is a network of Keras {version}".rstrip()
        + f", but {reason}. Ask its author for a version without it, or for the same network in "
        "PyTorch (a state dict, .pth)."
    )


def _with_facts(
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
    decisive = {
        "backend": BACKENDS[not facts.theano],
        "grid": facts.grid,
        "lambda": ",".join(facts.lambdas.values()),
        "output": output,
    }
    hparams = {**checkpoint.hparams, **{name: decisive[name] for name in known}}
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
