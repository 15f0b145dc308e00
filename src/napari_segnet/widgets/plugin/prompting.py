"""What the prompts of the Segment dock are about: a network, an image, a layer for objects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, ref

from napari_segnet.checkpoint import Checkpoint
from napari_segnet.widgets.layers.convert import Source
from napari_segnet.widgets.prompt.about import About
from napari_segnet.widgets.prompt.jobs import Listening
from napari_segnet.widgets.prompt.target import labels_over, visible_part
from napari_segnet.widgets.segment.request import network_name

if TYPE_CHECKING:
    import napari.layers

    from napari_segnet.widgets.segment.dock import SegmentDock

__all__ = ["PromptSubject"]


class PromptSubject:
    """Chooses the layer that prompted objects go to.

    Parameters
    ----------
    dock : SegmentDock
        Whose network and image are meant; only a weak reference is kept.
    """

    def __init__(self, dock: SegmentDock) -> None:
        self._dock = ref(dock)
        self._whole: WeakKeyDictionary[Any, tuple[str, Source]] = WeakKeyDictionary()
        """Image layers that were asked about as a whole: their feature maps are kept."""

    def about(self) -> About:
        """Return the network that is chosen, and the layer that its objects go to.

        Raises
        ------
        SegnetError
            If network or image is missing.
        """
        dock = self._dock()
        assert dock is not None  # it holds the box that asks
        checkpoint = dock.session.network()
        layer = _result_meant(dock)
        made = dock.shown.results.of(layer)
        request = dock.session.request_of(made)
        if made is None or request is None or layer is None:
            return self._about_image(dock, checkpoint)
        key = made.key if dock.session.is_of_network(request) else None
        return _about_layer(dock, layer, request.source, checkpoint, key)

    def _about_image(self, dock: SegmentDock, checkpoint: Checkpoint) -> About:
        image = dock.image_box.image()
        others = [str(one.unique_id) for one in dock.image_box.channel_layers()]
        axes = " ".join([dock.image_box.letters(), *others])
        known = self._whole.get(image)
        if known is None or known[0] != axes:
            known = self._whole[image] = axes, dock.image_box.source(checkpoint, "layer")
        source = known[1]
        name = f"{image.name} · {network_name(checkpoint)}"
        layer = labels_over(dock.viewer, source, checkpoint, name)
        return _about_layer(dock, layer, source, checkpoint, None)


def _result_meant(dock: SegmentDock) -> napari.layers.Labels | None:
    """Return the active layer if it is of labels, else the one of the live settings.

    If the user has selected other labels, or another image, these are meant.
    """
    from napari.layers import Labels

    active = dock.viewer.layers.selection.active
    if isinstance(active, Labels):
        return active
    made = dock.shown.results.of(dock.result)
    image = dock.image_box.chosen()
    ours = made is not None and image is not None and made.subject[0] == image.unique_id
    return dock.result if ours else None


def _about_layer(
    dock: SegmentDock,
    layer: napari.layers.Labels,
    source: Source,
    checkpoint: Checkpoint,
    key: str | None,
) -> About:
    image = dock.image_box.chosen()
    over = image is not None and str(image.unique_id) == source.layer_id
    return About(
        layer=layer,
        source=source,
        listening=Listening(
            checkpoint=checkpoint, image=source.image, predict=dock.settings(), key=key
        ),
        labels=dock.labels.value(),
        visible=visible_part(dock.viewer, image, source, dock.image_box.letters())
        if image is not None and over
        else None,
    )
