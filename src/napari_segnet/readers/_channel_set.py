"""Files of one image, a channel each: ``case_0000.nii.gz``, ``case_0001.nii.gz``, ..."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from napari_segnet.readers._names import image_stem

__all__ = ["channel_sets"]

NUMBERED = re.compile(r"(.+)_(\d{4})")
"""How nnU-Net names the channels of a case;
https://github.com/MIC-DKFZ/nnUNet/blob/master/documentation/dataset_format.md"""


def channel_sets(paths: Sequence[Path]) -> dict[Path, tuple[Path, ...]]:
    """Return the files of each image whose channels lie in files of their own.

    Parameters
    ----------
    paths : sequence of Path
        Picture files.

    Returns
    -------
    dict of Path to tuple of Path
        By the file of channel 0: at least two files of one folder and ending, whose names are
        the same but for four digits at the end, counted from 0000 without a gap.
    """
    groups: dict[tuple[Path, str, str], dict[int, Path]] = {}
    for path in paths:
        stem = image_stem(path)
        found = NUMBERED.fullmatch(stem)
        if found is not None:
            ending = path.name[len(stem) :]
            groups.setdefault((path.parent, found[1], ending), {})[int(found[2])] = path
    return {
        files[0]: tuple(files[n] for n in range(len(files)))
        for files in groups.values()
        if len(files) > 1 and sorted(files) == list(range(len(files)))
    }
