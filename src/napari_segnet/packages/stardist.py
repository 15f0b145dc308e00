"""Folders of StarDist: ``config.json`` and ``thresholds.json`` beside ``weights_best.h5``."""

from __future__ import annotations

from napari_segnet.containers import PackageFiles
from napari_segnet.errors import WeightsError
from napari_segnet.packages._types import Member, Package

__all__ = ["StarDistFolder"]

CONFIG = "config.json"
ENDINGS = (".h5", ".hdf5")
RAYS = '"n_rays"'
"""What a configuration of StarDist holds, and those of CSBDeep and Keras do not."""
BEST = "best"
"""In the name of the weights that StarDist takes first."""


class StarDistFolder:
    """The kind of package; what it says is read by ``programs/stardist``, beside the weights."""

    name = "stardist"
    title = "Folder of StarDist"
    descriptions: tuple[str, ...] = (CONFIG,)

    def describes(self, name: str) -> bool:
        """Tell by the name."""
        return name == CONFIG

    def detect(self, files: PackageFiles) -> bool:
        """Tell by the names of configuration and weights, and that it speaks of rays."""
        if CONFIG not in files.names or not _weights(files):
            return False
        try:
            return RAYS in files.read(CONFIG)
        except (OSError, WeightsError):
            return False

    def read(self, files: PackageFiles, description: str) -> Package:
        """List the weights, the best first; see :class:`~napari_segnet.packages.PackageKind`."""
        members = tuple(Member(name=name, what=name) for name in _weights(files))
        return Package(files=files, title=self.title, description=CONFIG, members=members)


def _weights(files: PackageFiles) -> list[str]:
    there = [n for n in files.names if "/" not in n and n.lower().endswith(ENDINGS)]
    return sorted(there, key=lambda name: (BEST not in name, "last" not in name, name))
