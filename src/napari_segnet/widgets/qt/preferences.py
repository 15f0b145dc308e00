"""What the user set in napari's preferences, under "Segment with your network"."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from napari_segnet import cache
from napari_segnet.engines import cluster
from napari_segnet.engines.apart import keep_apart

__all__ = ["PLUGIN", "TITLE", "Preferences", "preferences"]

PLUGIN, TITLE = "napari-segnet", "Segment with your network"
"""Name and title of the plugin, as the manifest has them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preferences:
    """How networks are run unless a run says otherwise.

    Attributes
    ----------
    device, precision : str
        As in ``PredictSettings``.
    cache_gb : float
        Room for the answers of networks, in 10^9 bytes.
    folder : Path or None
        Where the user keeps networks.
    own_process : bool
        Networks run in a process of their own, whose end does not end napari.
    scheduler : str
        Address of the dask scheduler on whose workers networks run; empty for this machine.
    """

    device: str = "auto"
    precision: str = "auto"
    cache_gb: float = 8.0
    folder: Path | None = None
    own_process: bool = False
    scheduler: str = ""


def preferences() -> Preferences:
    """Return what is set now; give the cache of answers its size, and networks their process.

    Where the plugin is disabled, or napari has not heard of it (as in a test of a single
    widget), nothing is set.
    """
    from napari.settings import get_plugin_settings

    known = get_plugin_settings()
    assert isinstance(known, dict)
    if PLUGIN not in known:
        return Preferences()
    engine = known[PLUGIN].engine
    folder = str(engine.networks_folder).strip()
    found = Preferences(
        device=str(engine.device),
        precision=str(engine.precision),
        cache_gb=float(engine.cache_gb),
        folder=Path(folder).expanduser() if folder else None,
        own_process=bool(engine.own_process),
        scheduler=str(engine.scheduler).strip(),
    )
    cache.predictions.limit_bytes = int(found.cache_gb * 1e9)
    keep_apart(found.own_process)
    cluster.use(found.scheduler)
    return found
