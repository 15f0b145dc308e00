"""Bundles of MONAI: ``configs/inference.json`` and ``configs/metadata.json`` beside weights.

https://docs.monai.io/en/stable/mb_specification.html. Expressions (``$...``) are evaluated only
where they are numbers and references; all others are named.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from napari_segnet.checkpoint import Checkpoint, Known
from napari_segnet.containers import PackageFiles
from napari_segnet.errors import UnsupportedWeightsError, WeightsError
from napari_segnet.packages._expressions import Config, NotPlain
from napari_segnet.packages._monai_transforms import Transforms, read_transforms
from napari_segnet.packages._types import Member, Package, mapping_of, text_of
from napari_segnet.packages._yaml import read_mapping

__all__ = ["MonaiBundle"]

METADATA = "configs/metadata.json"
INFERENCE = ("configs/inference.json", "configs/inference.yaml", "configs/inference.yml")
WEIGHTS = ("models/model.ts", "models/model.pt")
"""The first holds the layers of its network."""
ABOUT = {
    "name": "name",
    "description": "description",
    "version": "version",
    "authors": "authors",
    "copyright": "copyright",
    "data_source": "training_data",
    "intended_use": "intended_use",
}


class MonaiBundle:
    """The kind of package; see the module's docstring."""

    name = "monai-bundle"
    title = "MONAI bundle"
    descriptions: tuple[str, ...] = (METADATA, *INFERENCE)

    def describes(self, name: str) -> bool:
        """Tell by the name; its descriptions lie in a folder of their own."""
        return False

    def detect(self, files: PackageFiles) -> bool:
        """Tell by the names of its descriptions."""
        return METADATA in files.names or any(name in files.names for name in INFERENCE)

    def read(self, files: PackageFiles, description: str) -> Package:
        """Read both descriptions; see :class:`~napari_segnet.packages.PackageKind`."""
        package = files.path.name
        inference = next((name for name in INFERENCE if name in files.names), "")
        about = _content(files, METADATA) if METADATA in files.names else {}
        config = Config(_content(files, inference) if inference else {})
        members = tuple(
            Member(name=name, what=name.rpartition(".")[2])
            for name in WEIGHTS
            if name in files.names
        )
        if not members:
            raise UnsupportedWeightsError(
                f"The MONAI bundle {package} holds none of {', '.join(WEIGHTS)}. Download its "
                "weights into the folder models, as its large_files.yml says."
            )
        adding = _Adding(config=config, about=about, name=inference or METADATA)
        return Package(
            files=files,
            title=self.title,
            description=inference or METADATA,
            members=members,
            adds=adding.added,
        )


def _content(files: PackageFiles, name: str) -> Mapping[str, Any]:
    return read_mapping(files.read(name), name, files.path.name)


class _Adding:
    """Adds what the descriptions say."""

    def __init__(self, config: Config, about: Mapping[str, Any], name: str) -> None:
        self.config, self.about, self.name = config, about, name

    def added(self, checkpoint: Checkpoint) -> Checkpoint:
        found = read_transforms(self.config, checkpoint.ndim)
        known, notes = dict(checkpoint.known), [*checkpoint.notes, *found.notes]
        changes: dict[str, Any] = {}
        if found.prepare is not None:
            changes["prepare"] = (found.prepare,)
            known["prepare"] = self._read("preprocessing")
        if found.pixel_size_um:
            changes["pixel_size_um"] = found.pixel_size_um
            known["pixel_size_um"] = self._read("spacing")
        if found.activation and len(checkpoint.outputs) == 1:
            group = checkpoint.outputs[0]
            changes["outputs"] = (replace(group, activation=found.activation),)
            known["outputs"] = self._read("postprocessing")
        names = self._class_names(checkpoint)
        if names:
            changes["class_names"] = names
            known["class_names"] = Known(source="read", why=f"written in {METADATA}")
        card = {**checkpoint.card, **self._card(found)}
        return replace(checkpoint, **changes, card=card, known=known, notes=tuple(notes))

    def _read(self, what: str) -> Known:
        return Known(source="read", why=f"written in {self.name} ({what})")

    def _class_names(self, checkpoint: Checkpoint) -> tuple[str, ...]:
        data = mapping_of(self.about.get("network_data_format"))
        outputs = mapping_of(data.get("outputs"))
        said = mapping_of(mapping_of(outputs.get("pred")).get("channel_def"))
        numbers = sorted((str(key) for key in said), key=lambda key: (len(key), key))
        names = tuple(text_of(said[key], 80) for key in numbers)
        group = checkpoint.outputs[0] if checkpoint.outputs else None
        fits = group is not None and group.role == "class" and len(names) == group.channels > 1
        return names if fits else ()

    def _card(self, found: Transforms) -> dict[str, Any]:
        card: dict[str, Any] = {
            own: text_of(self.about[name])
            for name, own in ABOUT.items()
            if isinstance(self.about.get(name), str | int | float)
        }
        package: dict[str, Any] = {"kind": "monai-bundle", "description": self.name}
        inputs = mapping_of(mapping_of(self.about.get("network_data_format")).get("inputs"))
        channels = mapping_of(mapping_of(inputs.get("image")).get("channel_def"))
        if channels:
            package["channels"] = [text_of(one, 80) for one in channels.values()][:64]
        try:
            package["network"] = self._network()
            package["inferer"] = self._inferer()
        except (NotPlain, WeightsError):
            pass  # a card without them
        card["package"] = {name: value for name, value in package.items() if value}
        return card

    def _network(self) -> dict[str, Any]:
        """Return the class of the network and its plain arguments."""
        return _plain(self.config.value(self.config.first("network_def", "network")))

    def _inferer(self) -> dict[str, Any]:
        return _plain(self.config.value(self.config.first("inferer")))


def _plain(value: Any) -> dict[str, Any]:
    row = mapping_of(value)
    return {
        str(k): list(v) if isinstance(v, list | tuple) else v
        for k, v in row.items()
        if isinstance(v, str | int | float | bool | list | tuple)
    }
