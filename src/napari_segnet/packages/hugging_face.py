"""Folders of the Hugging Face hub: ``config.json`` beside ``model.safetensors``."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from napari_segnet.checkpoint import Checkpoint, Known
from napari_segnet.containers import PackageFiles
from napari_segnet.packages._types import Member, Package, text_of
from napari_segnet.packages._yaml import read_mapping

__all__ = ["HuggingFace"]

WEIGHTS = ("model.safetensors", "pytorch_model.bin")
CONFIG = "config.json"
MOST_FACTS = 100
INSIDE = {"sigmoid": "sigmoid", "softmax": "softmax", "softmax2d": "softmax"}
"""Activations that segmentation-models-pytorch puts behind its networks."""


class HuggingFace:
    """The kind of package; see the module's docstring."""

    name = "hugging-face"
    title = "Model folder of Hugging Face"
    descriptions: tuple[str, ...] = (CONFIG,)

    def describes(self, name: str) -> bool:
        """Tell by the name."""
        return name == CONFIG

    def detect(self, files: PackageFiles) -> bool:
        """Tell by the names of weights and configuration."""
        return CONFIG in files.names and any(name in files.names for name in WEIGHTS)

    def read(self, files: PackageFiles, description: str) -> Package:
        """Read the configuration; see :class:`~napari_segnet.packages.PackageKind`."""
        config = read_mapping(files.read(CONFIG), CONFIG, files.path.name)
        plain = {
            name: value
            for name, value in list(config.items())[:MOST_FACTS]
            if isinstance(value, str | int | float | bool) or _plain_list(value)
        }
        made_by = text_of(config.get("_model_class") or config.get("architectures"), 100)
        members = tuple(
            Member(name=name, what=name.rpartition(".")[2])
            for name in WEIGHTS
            if name in files.names
        )
        activation = config.get("activation")

        def added(checkpoint: Checkpoint) -> Checkpoint:
            card = {**checkpoint.card, "config": plain}
            known = dict(checkpoint.known)
            outputs = checkpoint.outputs
            how: Any = INSIDE.get(str(activation).lower())
            if "encoder_name" in config and how is not None and len(outputs) == 1:
                outputs = (replace(outputs[0], activation=how),)
                known["outputs"] = Known(source="read", why=f"written in {CONFIG} (activation)")
            return replace(checkpoint, card=card, outputs=outputs, known=known)

        title = f"{self.title} ({made_by})" if made_by else self.title
        return Package(
            files=files,
            title=title,
            description=CONFIG,
            members=members,
            adds=added,
            recorded=plain,
        )


def _plain_list(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str | int | float) for one in value)
