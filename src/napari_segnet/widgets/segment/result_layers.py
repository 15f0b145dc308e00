"""Result layers: what may be replaced, and what belongs to the user by now."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer
    import numpy as np
    import numpy.typing as npt

from napari_segnet.widgets.layers.history import Break, Step, history_of
from napari_segnet.widgets.layers.private import reset_history

__all__ = ["Result", "Results"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a Labels layer was made from.

    Attributes
    ----------
    subject : tuple
        Image layer, region, then network: a second run of the same subject may replace it.
    key : str
        The network's kept answer.
    """

    subject: tuple[Any, ...]
    key: str


class Results:
    """The Labels layers that were made here and that nobody has changed since."""

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        self._viewer = viewer
        self._made: weakref.WeakKeyDictionary[Any, Result] = weakref.WeakKeyDictionary()
        self._edited: weakref.WeakSet[Any] = weakref.WeakSet()
        self._bases: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()
        self._followed: weakref.WeakKeyDictionary[Any, _Followed] = weakref.WeakKeyDictionary()
        self._ours = False

    def of(self, layer: object) -> Result | None:
        """Return what a layer was made from; None if it is not ours or no longer there."""
        if layer is None or layer not in self._viewer.layers:
            return None
        return self._made.get(layer)

    def is_edited(self, layer: object) -> bool:
        """Tell if a layer holds something of the user's: not if all of it was undone again."""
        if layer not in self._edited:
            return False
        base = self._bases.get(layer)
        return base is None or not _equal(base, layer)

    def corrected(
        self, subject: tuple[Any, ...], shape: tuple[int, ...]
    ) -> napari.layers.Labels | None:
        """Return the newest layer that holds corrections, if its base is known.

        It is of the same part of the same image; the network may be another one, as after
        fine-tuning.
        """
        for layer, made in reversed(list(self._made.items())):
            same = made.subject[:2] == subject[:2] and layer in self._viewer.layers
            if same and layer in self._bases and self._bases[layer].shape == shape:
                if layer.data.shape == shape and self.is_edited(layer):
                    return layer
        return None

    def base(self, layer: napari.layers.Labels) -> npt.NDArray[np.int32]:
        """Return what the network said before the user corrected a layer."""
        base: npt.NDArray[np.int32] = self._bases[layer]
        return base

    def rebase(
        self, layer: napari.layers.Labels, result: Result, base: npt.NDArray[np.int32]
    ) -> None:
        """Remember that a new prediction was merged into a corrected layer."""
        self._made[layer], self._bases[layer] = result, base

    def keys(self) -> set[str]:
        """Return the keys of the answers that a layer of the viewer was made from."""
        return {made.key for layer, made in self._made.items() if layer in self._viewer.layers}

    def adopt(self, layer: napari.layers.Labels, result: Result) -> None:
        """Take a layer that was made elsewhere for a result."""
        self._watch(layer)
        self._made[layer] = result

    def put(
        self, result: Result, data: npt.NDArray[np.int32], kwargs: dict[str, Any]
    ) -> napari.layers.Labels:
        """Replace the untouched result of the same subject, or add a layer beside.

        What another network made of the same part of the image is hidden then, unless it was
        corrected: its objects would be taken for those of the new layer above it.
        """
        layer = self._untouched(result.subject, data.shape)
        if layer is None:
            self._hide_untouched(result.subject)
            layer = self._viewer.add_labels(data, **kwargs)
            self._watch(layer)
        else:
            self._replace(layer, data, kwargs)
        self._made[layer] = result
        return layer

    def update(
        self,
        layer: napari.layers.Labels,
        result: Result,
        data: npt.NDArray[np.int32],
        kwargs: dict[str, Any],
    ) -> napari.layers.Labels:
        """Show new labels of a kept answer: in its layer if that is untouched, else beside."""
        if layer in self._viewer.layers and not self.is_edited(layer):
            self._replace(layer, data, kwargs)
            self._made[layer] = result
            return layer
        return self.put(result, data, kwargs)

    def _hide_untouched(self, subject: tuple[Any, ...]) -> None:
        for layer, made in list(self._made.items()):
            if made.subject[:2] == subject[:2] and not self.is_edited(layer):
                layer.visible = False

    def _untouched(
        self, subject: tuple[Any, ...], shape: tuple[int, ...]
    ) -> napari.layers.Labels | None:
        for layer, made in list(self._made.items()):
            same = made.subject == subject and layer in self._viewer.layers
            if same and not self.is_edited(layer) and layer.data.shape == shape:
                return layer
        return None

    def _replace(
        self, layer: napari.layers.Labels, data: npt.NDArray[np.int32], kwargs: dict[str, Any]
    ) -> None:
        from napari.utils.colormaps import DirectLabelColormap, label_colormap

        classes = isinstance(layer.colormap, DirectLabelColormap)
        self._ours = True
        try:
            if layer in self._edited:  # and undone: what could be done again is of other labels
                reset_history(layer)
                self._edited.discard(layer)
                self._bases.pop(layer, None)
            layer.data = data
            layer.features = kwargs["features"]
            layer.metadata = {**layer.metadata, **kwargs["metadata"]}
            if "colormap" in kwargs:
                layer.colormap = kwargs["colormap"]
            elif classes:  # they were classes; now they are objects, each with its colour
                layer.colormap = label_colormap()
        finally:
            self._ours = False

    def _watch(self, layer: napari.layers.Labels) -> None:
        if layer not in self._followed:
            self._followed[layer] = _Followed(layer, self._changed)

    def _changed(self, layer: napari.layers.Labels, step: Step | None) -> None:
        """Remember that a layer is the user's by now, and what it was before the first step."""
        if self._ours:
            return
        if step is not None and layer not in self._edited:
            self._bases[layer] = before(layer.data, step)
        self._edited.add(layer)


class _Followed:
    """Hears of what happens to one layer; does not keep it alive."""

    def __init__(
        self, layer: napari.layers.Labels, changed: Callable[[Any, Step | None], None]
    ) -> None:
        self._layer = weakref.ref(layer)
        self._tell = changed
        history = history_of(layer)
        history.look()
        history.follow(self._stepped, self._broken)

    def _stepped(self, step: Step) -> None:
        layer = self._layer()
        if layer is not None:
            self._tell(layer, step)

    def _broken(self, why: Break) -> None:
        layer = self._layer()
        if layer is not None and why == "other labels":
            self._tell(layer, None)


def _equal(base: npt.NDArray[np.int32], layer: Any) -> bool:
    import numpy as np

    return np.array_equal(base, np.asarray(layer.data))


def before(labels: Any, step: Step) -> npt.NDArray[np.int32]:
    """Return a copy of labels as they were before the last step of their history."""
    import numpy as np

    copy = np.array(labels, np.int32)
    for change in reversed(step.changes()):
        change.inverse().apply(copy)
    return copy
