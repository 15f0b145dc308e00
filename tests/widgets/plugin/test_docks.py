"""The docks as napari imports them."""

from __future__ import annotations

import subprocess
import sys

import pytest

LATER = (
    "torch skimage napari_segnet.containers napari_segnet.programs napari_segnet.packages "
    "napari_segnet.recognition napari_segnet.find"
).split()


@pytest.mark.subprocess
def test_the_segment_dock_opens_before_what_reads_networks_is_imported():
    """These are 300 modules; the job that looks at the network imports them."""
    code = f"""
import sys
from napari_segnet.widgets.plugin.docks import SegmentDock
print(SegmentDock.__name__, *[name for name in {LATER} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["SegmentDock"]
