"""Both engines give the same labels of real images."""

from __future__ import annotations

import csv

import pytest

import napari_segnet as sn
from napari_segnet.evaluate import pool

pytest.importorskip("openvino", reason="openvino, the extra [fast], is not installed")

IMAGES = 30


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_labels_of_thirty_real_images_are_those_of_torch(data):
    folder = data / "nuclei"
    with (folder / "index.csv").open(newline="") as file:
        rows = sorted((r["split"], r["name"]) for r in csv.DictReader(file) if r["split"] == "val")
    names = [name for _, name in rows[:: len(rows) // IMAGES]][:IMAGES]
    same, pixels, scores = 0, 0, []
    for name in names:
        (path,) = (folder / "images").glob(f"{name}.*")
        one, other = (
            sn.run(sn.predict("nuclei", sn.open_image(path), {"engine": engine, "device": "cpu"}))
            for engine in ("torch", "openvino")
        )
        inside = [prediction.answer.data[0] > 0.5 for prediction in (one, other)]
        same += int((inside[0] == inside[1]).sum())
        pixels += inside[0].size
        labels, others = (sn.run(sn.label(prediction)).labels for prediction in (one, other))
        scores.append(sn.evaluate(others, labels))
    all_of_them = pool(scores)
    print(f"{same / pixels:.6f} of pixels, AP {all_of_them.ap_at(90):.4f}, {all_of_them.n_true}")
    assert len(scores) == IMAGES and all_of_them.n_true > 500
    assert same >= 0.9999 * pixels
    assert all_of_them.ap_at(90) >= 0.995
