"""What a folder of StarDist holds, as a checkpoint of the family ``graph``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_segnet.checkpoint import Checkpoint, Known, Output, PrepareStep
from napari_segnet.containers import Tree
from napari_segnet.errors import SettingsError, UnsupportedWeightsError
from napari_segnet.graph import Graph, Resize, needed
from napari_segnet.programs.keras._checkpoint import described
from napari_segnet.programs.keras._draw import drawn
from napari_segnet.programs.keras._drawing import Drawing, Facts, Value
from napari_segnet.programs.keras._model import Model, NotReadable, Ref, read_model
from napari_segnet.programs.stardist._config import CONFIG, DEFAULTS, Config, config_beside
from napari_segnet.programs.stardist._network import layers_of
from napari_segnet.programs.stardist._write import ENDINGS, check_name, write_stardist

if TYPE_CHECKING:
    import torch

__all__ = ["StarDist"]

PROBABILITY, DISTANCE = "prob", "dist"
"""Layers that every network of StarDist ends with."""
PREPARE = Known(
    source="assumed",
    why="StarDist does not write it; its examples stretch each channel of an image from its "
    "percentile 1 to 99.8, without clipping",
)


class StarDist:
    """The program; see the package's docstring."""

    name = "stardist"
    title = "Network of StarDist"

    endings = ENDINGS
    own_only = True

    def detect(self, tree: Tree) -> bool:
        """Tell by the two layers that these networks end with."""
        if tree.container != "keras-h5" or "matterport" in tree.metadata:
            return False
        layers = tree.metadata["layers"]
        named = {*layers, *tree.metadata["names"].values()}
        return {PROBABILITY, DISTANCE} <= named

    def describe(self, tree: Tree, path: Path, overrides: Mapping[str, Any]) -> Checkpoint:
        """Read the network; see :class:`~napari_segnet.programs.Program`."""
        config = config_beside(path)
        if config is None or "n_rays" not in config.values:
            raise UnsupportedWeightsError(
                f"{path.name} holds the weights of a network of StarDist, but not how it is "
                f"built: that stands in {CONFIG} in the folder of the network. Put {CONFIG} and "
                f"thresholds.json beside {path.name}, or open the whole folder."
            )
        if overrides:
            raise SettingsError(
                f"A network of StarDist says itself what it is, so {', '.join(sorted(overrides))} "
                "cannot be told. Leave the setting out."
            )
        try:
            return _described(tree, path, config)
        except NotReadable as error:
            raise UnsupportedWeightsError(_sentence(path, config, str(error))) from error
        except (ValueError, TypeError, KeyError, ArithmeticError) as error:
            reason = f"it cannot be built: {error}"
            raise UnsupportedWeightsError(_sentence(path, config, reason)) from error

    def check_name(self, checkpoint: Checkpoint, path: Path) -> None:
        """See that it can be written; see :class:`~napari_segnet.programs.WritingProgram`."""
        check_name(checkpoint, path)

    def save(self, module: torch.nn.Module, checkpoint: Checkpoint, path: Path) -> Checkpoint:
        """Write the network as a folder of StarDist, see ``write_stardist``."""
        return write_stardist(module, checkpoint, path)


def _sentence(path: Path, config: Config, reason: str) -> str:
    return (
        f"{path.name} holds the weights of a network of StarDist, but {config.where} beside it is "
        f"that of another one: {reason}. Open the folder as it was published."
    )


def _described(tree: Tree, path: Path, config: Config) -> Checkpoint:
    network, names = layers_of(config, tree.metadata["layers"])
    model = read_model(network)
    facts = Facts(data_format="channels_last")
    draw, graph = _on_pixels(model, facts, names, config.grid)
    rays, classes = config.count("n_rays", 32), config.classes
    outputs: tuple[Output, ...] = (
        Output(role="foreground", channels=1, activation="none"),
        Output(role="ray_distance", channels=rays, activation="none"),
    )
    if classes:
        kinds = Output(role="object_class", channels=classes + 1, activation="none")
        outputs = (*outputs, kinds)
    found = described(path, tree, graph, draw, model, outputs)
    thresholds = {**DEFAULTS, **config.thresholds}
    over = "plane" if config.ndim == 2 else "volume"
    steps = (PrepareStep(name="normalize", options={"how": "scale-range:1,99.8", "over": over}),)
    return replace(
        found,
        program=StarDist.name,
        task="instance",
        answer_kind="star_polygons",
        hparams={**found.hparams, "star": config.star(rays)},
        classes=1 + max(1, classes),
        prepare=steps,
        card={
            **found.card,
            "label": {"threshold": thresholds["prob"], "nms": thresholds["nms"]},
        },
        known={**found.known, **_known(config)},
    )


def _known(config: Config) -> dict[str, Known]:
    read = Known(source="read", why=f"written in {config.where}")
    known = dict.fromkeys(("family", "program", "graph", "outputs", "task", "star"), read)
    known["classes"] = (
        read
        if config.classes
        else Known(source="read", why=f"{config.where} names none, so all objects are of one")
    )
    return {**known, "prepare": PREPARE}


def _on_pixels(
    model: Model, facts: Facts, names: tuple[str, ...], grid: tuple[int, ...]
) -> tuple[Drawing, Graph]:
    """Return a network whose answers lie on the pixels of the image: each counts for its grid."""
    draw, values = drawn(model, facts, [Ref(name) for name in names])
    if max(grid) > 1:
        values = [_repeated(draw, name, one, grid) for name, one in zip(names, values, strict=True)]
    graph = draw.graph(values)
    return draw, needed(graph, graph.outputs)


def _repeated(draw: Drawing, name: str, value: Value, grid: tuple[int, ...]) -> Value:
    return draw.add(f"{name}_on_pixels", Resize(factor=grid, mode="nearest"), value)
