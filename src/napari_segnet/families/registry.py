"""Every family by name, imported when a file looks like one of it.

A line of ``ENTRIES`` costs nothing until a file has one of the names in it. Other packages add
families by the entry point ``napari_segnet.families``; they are asked of what ours do not know.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache, cached_property
from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any, cast, overload

from napari_segnet.errors import SettingsError, WeightsError
from napari_segnet.families.protocol import Family, Trainable

if TYPE_CHECKING:
    from napari_segnet.checkpoint import Checkpoint
    from napari_segnet.containers import Weights

__all__ = ["ENTRIES", "ENTRY_POINTS", "FAMILIES", "Entry", "Families"]

ENTRY_POINTS = "napari_segnet.families"
"""The group in which another package names its families: ``name = "module:Class"``."""


class Entry:
    """A family that is imported when it is needed.

    Parameters
    ----------
    name : str
        That of the family; stands in files and JSON.
    place : str
        ``"module:Class"``.
    *signature : str
        Names of tensors (or of what lies beside them) of which every file of the family has one
        or more; none: every file is shown to it.
    """

    __slots__ = ("name", "place", "signature")

    def __init__(self, name: str, place: str, *signature: str) -> None:
        self.name = name
        self.place = place
        self.signature = signature

    def __repr__(self) -> str:
        return f"Entry({self.name!r}, {self.place!r})"

    def may_be(self, weights: Weights) -> bool:
        """Tell from names alone if the family is to be asked."""
        if not self.signature:
            return True
        return any(name in weights.tensors or name in weights.metadata for name in self.signature)

    def load(self) -> Family:
        """Return the family; its module is imported the first time."""
        return cast("Family", _loaded(self.place))


ENTRIES: tuple[Entry, ...] = (
    Entry("segnet-unet", "napari_segnet.families.segnet_unet:SegnetUNet", "head.weight"),
    Entry("graph", "napari_segnet.families.graph:StoredGraph", "napari_segnet"),
    Entry("milesial-unet", "napari_segnet.families.milesial:MilesialUNet", "outc.conv.weight"),
    Entry(
        "mateuszbuda-unet",
        "napari_segnet.families.mateuszbuda:MateuszbudaUNet",
        "encoder1.enc1conv1.weight",
    ),
    Entry("jvanvugt-unet", "napari_segnet.families.jvanvugt:JvanvugtUNet", "last.weight"),
    Entry("cellpose", "napari_segnet.families.cellpose:CellposeNet", "output.2.weight"),
    Entry(
        "torchvision-maskrcnn",
        "napari_segnet.families.maskrcnn.torchvision:TorchvisionMaskRCNN",
        "rpn.head.cls_logits.weight",
        "head.classification_head.cls_logits.weight",
    ),
    Entry(
        "detectron2-maskrcnn",
        "napari_segnet.families.maskrcnn.detectron2:Detectron2MaskRCNN",
        "proposal_generator.rpn_head.objectness_logits.weight",
        "head.cls_subnet.0.weight",
        "res2_0_branch2a_w",
    ),
    Entry(
        "mmdetection-maskrcnn",
        "napari_segnet.families.maskrcnn.mmdetection:MMDetectionMaskRCNN",
        "rpn_head.rpn_cls.weight",
        "bbox_head.retina_cls.weight",
        "bbox_head.cls_convs.0.conv.weight",
    ),
    Entry(
        "matterport-maskrcnn",
        "napari_segnet.families.maskrcnn.matterport:MatterportMaskRCNN",
        "matterport",  # beside the tensors of its .h5, where names differ by the version of Keras
        "mrcnn_class_logits/mrcnn_class_logits/kernel:0",
        "mrcnn_class_logits/mrcnn_class_logits/kernel",
        "mrcnn_mask_deconv/mrcnn_mask_deconv/kernel:0",
    ),
)
"""Our families, in the order in which a file is shown to them."""


class Families(Sequence["Family"]):
    """Families in the order in which a file is shown to them; iterating imports them all.

    Parameters
    ----------
    entries : tuple of Entry
        Those of this package.
    group : str
        The entry points of others; empty: none.
    given : tuple of Family
        Families that are there already; they are asked first.
    """

    def __init__(
        self, entries: tuple[Entry, ...], group: str = "", given: tuple[Family, ...] = ()
    ) -> None:
        self._entries = entries
        self._group = group
        self._given = given
        self._failed: set[str] = set()

    def __repr__(self) -> str:
        names = (*(family.name for family in self._given), *(one.name for one in self._entries))
        return f"Families({', '.join(names)})"

    def __iter__(self) -> Iterator[Family]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    @overload
    def __getitem__(self, at: int) -> Family: ...
    @overload
    def __getitem__(self, at: slice) -> tuple[Family, ...]: ...
    def __getitem__(self, at: int | slice) -> Family | tuple[Family, ...]:
        return self._all[at]

    @cached_property
    def _all(self) -> tuple[Family, ...]:
        return (*self._given, *(entry.load() for entry in self._entries), *self.installed)

    @cached_property
    def installed(self) -> tuple[Family, ...]:
        """Families of other packages; one that cannot be used is left out with a warning."""
        taken = {entry.name for entry in self._entries}
        found: dict[str, Family] = {}
        for point in metadata.entry_points(group=self._group) if self._group else ():
            family = _installed(point, taken | found.keys())
            if family is not None:
                found[point.name] = family
        return tuple(found.values())

    @property
    def trainable(self) -> tuple[Trainable, ...]:
        """Those whose networks can be trained and written back."""
        return tuple(family for family in self if isinstance(family, Trainable))

    def named(self, name: str) -> Family | None:
        """Return the family of this name; None where nobody has one."""
        for entry in self._entries:
            if entry.name == name:
                return entry.load()
        others = (*self._given, *self.installed)
        return next((family for family in others if family.name == name), None)

    def also(self, *families: Family) -> Families:
        """Return these families and some more, which are asked first."""
        return Families(self._entries, self._group, (*families, *self._given))

    def looks_like(self, weights: Weights) -> Iterator[Family]:
        """Yield the families of this package that detect these tensors; no other is imported."""
        for family in self._given:
            if family.detect(weights):
                yield family
        for entry in self._entries:
            if entry.may_be(weights) and entry.load().detect(weights):
                yield entry.load()

    def described_elsewhere(
        self, views: Sequence[Weights], overrides: Mapping[str, Any]
    ) -> Checkpoint | WeightsError | SettingsError | None:
        """Return the network that a family of another package knows, or why it is none.

        Whatever else goes wrong in such a family is a warning; it is not asked again.
        """
        refusal: WeightsError | SettingsError | None = None
        for family in self.installed:
            for weights in views:
                if family.name in self._failed:
                    break
                try:
                    if family.detect(weights):
                        found = family.describe(weights, overrides)
                        notes = (*weights.notes, *found.notes)
                        return replace(found, stamp=weights.stamp, notes=notes)
                except (WeightsError, SettingsError) as error:
                    refusal = refusal or error
                except Exception as error:
                    self._failed.add(family.name)
                    _warn(f"the family {family.name!r} of another package fails ({_text(error)})")
        return refusal


@cache
def _loaded(place: str) -> object:
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)()


def _installed(point: metadata.EntryPoint, taken: set[str]) -> Family | None:
    """Return the family behind an entry point, or warn why it is not used."""
    where = f"{point.name} = {point.value}"
    package = point.dist.name if point.dist else "another package"
    named = f"the family {where!r} of {package}"
    if point.name in taken:
        _warn(f"{named} has a name that is taken")
        return None
    try:
        loaded: Any = point.load()
        family = loaded() if isinstance(loaded, Callable) else loaded  # type: ignore[arg-type]
    except Exception as error:
        _warn(f"{named} cannot be imported ({_text(error)})")
        return None
    if not isinstance(family, Family):
        _warn(f"{named} lacks what every family has: name, title, task, detect, describe, build")
    elif family.name != point.name:
        _warn(f"{named} calls itself {family.name!r}")
    else:
        return family
    return None


def _text(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _warn(what: str) -> None:
    warnings.warn(
        f"{what[0].upper()}{what[1:]}; it is not used. Update or remove that package.",
        RuntimeWarning,
        stacklevel=2,
    )


FAMILIES = Families(ENTRIES, ENTRY_POINTS)
"""Every family: those of this package, then those of other packages."""
