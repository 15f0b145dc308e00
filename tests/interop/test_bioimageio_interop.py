"""Packages that are written here run in bioimageio.core, with the answer that is in them.

SEGNET_BIOIMAGEIO  Python with bioimageio.core and torch
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

import napari_segnet as sn
from napari_segnet.publish import write_package

pytestmark = [pytest.mark.interop, pytest.mark.subprocess, pytest.mark.timeout(1800)]

CHECK = """
import sys
from bioimageio.core import test_description
for path in sys.argv[1:]:
    found = test_description(path)
    if found.status != "passed":
        found.display()
        sys.exit(f"{path}: {found.status}")
"""


CITE = "10.1007/978-3-319-24574-4_28"


def test_packages_run_in_bioimageio_core(tmp_path: Path, data: Path) -> None:
    """Its library validates the description, runs the network and compares the answers."""
    if "SEGNET_BIOIMAGEIO" not in os.environ:
        pytest.skip("set SEGNET_BIOIMAGEIO to a Python that has bioimageio.core and torch")
    own = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    made = []
    for place in ("nuclei", data / "checkpoints/bioimageio_unet2d_nuclei_broad"):
        path = tmp_path / f"{len(made)}.zip"
        write_package(sn.identify(place), path, authors=["A. Author"], license="MIT", cite=CITE)
        made.append(str(path))
    command = [os.environ["SEGNET_BIOIMAGEIO"], "-c", CHECK, *made]
    subprocess.run(command, check=True, env=own)
