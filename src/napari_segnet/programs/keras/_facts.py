"""What holds for a whole network of Keras: version, backend, order of axes, grid of pixels."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from napari_segnet.checkpoint import Known
from napari_segnet.containers import Tree
from napari_segnet.errors import SettingsError
from napari_segnet.programs.keras._drawing import Facts
from napari_segnet.programs.keras._hparams import choice, lambdas_of
from napari_segnet.programs.keras._model import Layer, Model
from napari_segnet.programs.keras._outputs import output_names

__all__ = ["BACKENDS", "facts_of", "grid_of", "version_of"]

FORMATS = {"th": "channels_first", "tf": "channels_last"}
BACKENDS = ("theano", "tensorflow")
GRIDS = ("half-pixel", "asymmetric")


def version_of(tree: Tree, config: Mapping[str, Any]) -> str:
    version = tree.metadata["keras_version"] or config.get("keras_version")
    return version if isinstance(version, str) else ""


def facts_of(
    model: Model,
    config: Mapping[str, Any],
    tree: Tree,
    version: str,
    overrides: Mapping[str, Any],
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
        values["backend"] = choice("backend", BACKENDS, BACKENDS[not first], why, overrides, known)
        backend = values["backend"]
    lambdas = lambdas_of(every, overrides, known, values)
    grid, sure = grid_of(numbers or (major,) * (major == 3), version)
    if not sure and any(layer.config.get("interpolation") == "bilinear" for layer in every):
        why = "bilinear up-sampling takes pixels at their middle since TensorFlow 2"
        values["grid"] = grid = choice("grid", GRIDS, grid, why, overrides, known)
    if len(names := output_names(model)) > 1:
        values["output"] = " or ".join(names)
    unknown = sorted(set(overrides) - set(values))
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


def grid_of(numbers: tuple[int, ...], version: str) -> tuple[str, bool]:
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
