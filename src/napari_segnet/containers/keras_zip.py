"""Keras 3 in a zip (``.keras``): the network as JSON, its weights as HDF5.

https://github.com/keras-team/keras/blob/v3.15.1/keras/src/saving/saving_lib.py
"""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path

from napari_segnet.containers._hdf5 import opened, parsed
from napari_segnet.containers._hdf5_bytes import Part
from napari_segnet.containers._types import Tree
from napari_segnet.containers._zip import Archive, names
from napari_segnet.containers.keras_h5 import listed
from napari_segnet.errors import BrokenWeightsError, UnsupportedWeightsError

__all__ = ["KerasZip"]

CONFIG, WEIGHTS, ABOUT = "config.json", "model.weights.h5", "metadata.json"
MOST_PACKED = 100
"""Weights of float32 pack to a half at best; zeros of a network that was never trained, further."""


class KerasZip:
    """Files that ``model.save("name.keras")`` wrote."""

    name = "keras-zip"

    def detect(self, head: bytes, path: Path) -> bool:
        """Tell by the names in the zip."""
        found = names(head, path) or frozenset()
        return {CONFIG, ABOUT} <= found and any(name.startswith("model.weights") for name in found)

    def open(self, path: Path) -> Tree:
        """List the weights; ``metadata`` holds the network."""
        archive = Archive.open(path)
        if WEIGHTS not in archive.entries:
            raise UnsupportedWeightsError(
                f"{path.name} is a Keras model whose weights are not in {WEIGHTS} but in several "
                "files or another format. Save it again: model.save('network.keras')."
            )
        info = archive.entries[WEIGHTS]
        if info.compress_type != zipfile.ZIP_STORED and info.file_size > MOST_PACKED * (
            info.compress_size + 2**12
        ):
            raise BrokenWeightsError(
                f"{path.name} is damaged: its weights claim to be {info.file_size:,} bytes, packed "
                f"into {info.compress_size:,}. Download or copy it again."
            )
        config = parsed(archive.read(CONFIG), path, f"its part {CONFIG}")
        about = parsed(archive.read(ABOUT), path, f"its part {ABOUT}") or {}
        if config is None:
            raise BrokenWeightsError(
                f"{path.name} is damaged: its part {CONFIG} describes no network. Download or copy "
                "it again."
            )
        try:
            part = Part(region=archive.region(WEIGHTS))
        except ValueError as error:
            raise BrokenWeightsError(
                f"{path.name} is a damaged zip file ({error}). Download or copy it again."
            ) from error
        with opened(part) as file:
            tree = listed(file, self.name, config)
        version = about.get("keras_version")
        recorded = {"keras_version": version if isinstance(version, str) else ""}
        return replace(tree, metadata={**tree.metadata, **recorded, "model_config": config})
