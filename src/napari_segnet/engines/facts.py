"""What decides how the weights of a file are used; two that agree in it are one network."""

from __future__ import annotations

from napari_segnet.checkpoint import Checkpoint

__all__ = ["deciding_facts"]


def deciding_facts(checkpoint: Checkpoint) -> str:
    """Return all that decides how the weights are used, as text."""
    store = (checkpoint.store.member, checkpoint.store.wrapper, checkpoint.store.prefix)
    how = (checkpoint.outputs, checkpoint.size, checkpoint.halo_px, checkpoint.exact)
    return repr((sorted(checkpoint.hparams.items()), store, *how))
