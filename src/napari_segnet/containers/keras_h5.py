"""Keras in HDF5: whole models (``.h5``, ``.hdf5``) and weights (``.weights.h5``).

Keras 1 and 2, and Keras 3 where it is told to, write a group for each layer with the names of
its weights in the attribute ``weight_names``, at the top or in ``model_weights``; the
attribute ``model_config`` holds the network as JSON. Keras 3 writes weights alone in groups
``layers/NAME/vars/0``.
https://github.com/keras-team/keras/blob/v3.15.1/keras/src/legacy/saving/legacy_h5_format.py
https://github.com/keras-team/keras/blob/v3.15.1/keras/src/saving/saving_lib.py
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from napari_segnet.containers._hdf5 import SIGNATURE, Hdf5, opened, parsed
from napari_segnet.containers._hdf5_bytes import Part
from napari_segnet.containers._types import TensorRef, Tree
from napari_segnet.errors import BrokenWeightsError, UnsupportedWeightsError

__all__ = ["KerasH5", "holds_keras", "listed"]

WEIGHTS = "model_weights"
NOT_WEIGHTS = ("optimizer", "optimizer_weights")
MATTERPORT = frozenset({"mrcnn_mask_deconv", "mrcnn_class_logits", "mrcnn_bbox_fc"})
"""Layers of the Mask R-CNN of matterport, whose network is not in the file; ``metadata`` has
``matterport`` (True) where one is there, and lacks it elsewhere."""
MARKS = ("layer_names", "layer_names0", "model_config", "keras_version")


class KerasH5:
    """Files that ``model.save`` or ``model.save_weights`` wrote as HDF5."""

    name = "keras-h5"

    def detect(self, head: bytes, path: Path) -> bool:
        """Tell by the signature: every HDF5 file is read here or refused."""
        return head.startswith(SIGNATURE)

    def open(self, path: Path) -> Tree:
        """List the weights; ``metadata`` holds the network and the order of its layers."""
        with opened(Part.whole(path)) as file:
            return listed(file, self.name)


def holds_keras(path: Path) -> bool:
    """Tell if an HDF5 file is one of Keras, by what stands at its top.

    Raises
    ------
    WeightsError
        If it cannot be read.
    """
    with opened(Part.whole(path)) as file:
        return _is_keras(file, file.children())


def listed(file: Hdf5, container: str, config: Mapping[str, Any] | None = None) -> Tree:
    """Return the weights of Keras in an open HDF5 file.

    Parameters
    ----------
    file : Hdf5
        The file.
    container : str
        Name of the container.
    config : mapping, optional
        The network, where the file itself does not hold it.

    Returns
    -------
    Tree
        ``root``: datasets by path. ``metadata``: ``model_config`` (the network, or None),
        ``keras_version``, ``backend``; ``layers``: for each layer in the file's order the
        paths of its weights in theirs; ``names``: the layer that a group of Keras 3 is of;
        ``ordered``: whether the layers stand in the order in which they run.
    """
    path, top, stamp = file.part.path, file.children(), file.part.region.stamp
    if config is None and not _is_keras(file, top):
        raise UnsupportedWeightsError(
            f"{path.name} is an HDF5 file, but it holds no network that Keras wrote. If it holds "
            "images, open them with the program that made them and save them as TIFF."
        )
    group = f"/{WEIGHTS}" if WEIGHTS in top else "/"
    inside = file.children(group)
    text = file.attribute("/", "model_config")
    about: dict[str, Any] = {
        "model_config": parsed(text, path, "the description of its layers") or config,
        "keras_version": _either(file, group, "keras_version"),
        "backend": _either(file, group, "backend"),
        **({"matterport": True} if MATTERPORT.intersection(inside) else {}),
    }
    names = file.texts(group, "layer_names")
    if names is None:
        held: dict[str, TensorRef] = {}
        for name in inside:
            if name not in NOT_WEIGHTS:
                part = file.datasets(f"{group.rstrip('/')}/{name}")
                held.update({f"{name}/{key}": one for key, one in part.items()})
        layers = _vars(held)
        about |= {"layers": layers, "names": _names(file, group, layers), "ordered": False}
        return Tree(container=container, root=held, metadata=about, stamp=stamp)
    root: dict[str, TensorRef] = {}
    layers = {layer: list[str]() for layer in names}
    for layer in names:
        _require(layer.partition("/")[0] in inside, path, layer)
        for name, one in _of_layer(file, path, f"{group.rstrip('/')}/{layer}", layer).items():
            layers[layer].append(f"{layer}/{name}")
            root[f"{layer}/{name}"] = one
    return Tree(
        container=container,
        root=root,
        metadata={**about, "layers": layers, "names": {}, "ordered": True},
        stamp=stamp,
    )


def _of_layer(file: Hdf5, path: Path, group: str, layer: str) -> Mapping[str, TensorRef]:
    """Return the weights that a layer lists, in its order.

    Below its group lie those of other layers, too: of ``a/b`` in that of ``a``.
    """
    found, listed = file.datasets(group), file.texts(group, "weight_names")
    if listed is None and found:
        raise BrokenWeightsError(
            f"{path.name} is damaged: its layer {layer[:80]!r} does not say which weights it has. "
            "Download or copy it again."
        )
    for name in listed or ():
        _require(name in found, path, f"{layer}/{name}")
    return {name: found[name] for name in listed or ()}


def _require(there: bool, path: Path, name: str) -> None:
    """Refuse a file that lists what is not in it, as Keras does."""
    if not there:
        raise BrokenWeightsError(
            f"{path.name} is damaged: it lists {name[:80]!r}, which is not in it. Download or copy "
            "it again."
        )


def _vars(held: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the weights of each group ``.../vars`` of Keras 3, in the order of their numbers."""
    found: dict[str, list[str]] = {}
    for key in held:
        above, _, name = key.rpartition("/")
        if name and above.rpartition("/")[2] == "vars":
            found.setdefault(above[: -len("/vars")], []).append(key)
    number = {key: key.rpartition("/")[2] for keys in found.values() for key in keys}
    return {
        group: sorted(keys, key=lambda key: (not number[key].isdigit(), number[key].zfill(9)))
        for group, keys in found.items()
    }


def _names(file: Hdf5, group: str, layers: Iterable[str]) -> dict[str, str]:
    """Return the names of layers that newer versions of Keras 3 write beside their numbers."""
    found = {}
    for layer in layers:
        name = file.attribute(f"{group.rstrip('/')}/{layer}/vars", "name")
        if isinstance(name, str):
            found[layer] = name
    return found


def _either(file: Hdf5, group: str, name: str) -> str:
    value = file.attribute("/", name) or file.attribute(group, name)
    return value if isinstance(value, str) else ""


def _is_keras(file: Hdf5, top: list[str]) -> bool:
    if WEIGHTS in top or any(file.attribute("/", mark) is not None for mark in MARKS):
        return True
    return "layers" in top and bool({"vars", "optimizer"} & set(top))
