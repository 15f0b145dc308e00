"""Real bare weights of public repositories: the network that wrote them is found.

    SEGNET_WILD    a folder with the files and, for each, NAME.npz: the input x_b, the answer y_b,
                   and z_b before an activation inside the network

What no tensor tells (a kind of pooling, a slope) is told here, as a user would.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_segnet.containers import open_weights
from napari_segnet.graph import Graph
from napari_segnet.graph.build import build
from napari_segnet.programs.structure import read_structure

WILD = Path(os.environ.get("SEGNET_WILD", Path(__file__).parents[4] / "shared" / "wild"))

FILES: Mapping[str, Mapping[str, str]] = {
    "ajay_dsb_monai2d.pth": {},
    "awoloshuk_epistroma_unet.pth": {"pooling": "average"},
    "bio_torchem_fixedshape.pt": {},
    "bio_torchem_multitensor.pt": {},
    "cocowu_sat_encdec.pth": {},
    "ge96lip_brain_monai3d_s1.pth": {},
    "ge96lip_brain_monai3d_s2.pth": {},
    "ikrama_mri_unet.pth": {},
    "jj1553_bfs_encdec.pth": {},
    "kabirvansh_mnistdd_unet.pth": {"pooling": "max-3"},
    "krishna_mri_monai3d.pth": {},
    "poleonia_kidney_monai3d.pth": {},
    "pundukuri_dfu_unet.pth": {},
    "sakshi_brain_unet_bn.pth": {},
    "sakshi_brain_unet_plain.pth": {},
    "sana_nuclei_unet.pt": {},
    "smanchajm_costmap_context.pth": {},
    "stefan_apples_unet.pth": {},
    "thegudiya_brain_noskip.pth": {"output_resize": "nearest"},
}
"""Files, and what has to be told. Two more answer at half and at a fixed size."""


@pytest.mark.parametrize("name", FILES)
def test_the_network_of_a_real_file_is_among_the_first_three_layouts(name: str) -> None:
    path, reference = WILD / name, WILD / f"{name.split('.')[0]}.npz"
    if not path.is_file() or not reference.is_file():
        pytest.skip(f"set SEGNET_WILD to a folder with {name} and its .npz")
    weights = open_weights(path)[0]
    space = read_structure(weights)
    arrays = np.load(reference)
    truth = arrays["z_b"] if "z_b" in arrays.files else arrays["y_b"]
    x = torch.from_numpy(arrays["x_b"]).float()
    distances = []
    for layout in space.layouts[:3]:
        open_ = space.candidate(layout, {}).open
        told = {one: value for one, value in FILES[name].items() if one in open_}
        graph = space.candidate(layout, told).graph
        state = {key: weights.tensors[key].load() for key in build(graph).state_dict()}
        answer = _answered(graph, state, x)
        if answer.shape == truth.shape:
            distances.append(float(np.abs(answer - truth).max() / truth.std()))
    assert min(distances) <= 1e-3, distances


def _answered(
    graph: Graph, state: Mapping[str, torch.Tensor], x: torch.Tensor
) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    module = build(graph).eval()
    module.load_state_dict(state)
    with torch.no_grad():
        answer: np.ndarray[tuple[int, ...], np.dtype[np.float32]] = module(x).numpy()
    return answer
