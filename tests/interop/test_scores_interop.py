"""Our scores are those of other programs, wherever they mean the same by them.

The environment is that of ``test_formats_interop.py``, with ``torchmetrics``.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from support.label_pairs import label_pair, other_names

from napari_segnet.evaluate import IOU_PERCENT, evaluate, evaluate_many
from napari_segnet.steps.overlap import overlaps

pytestmark = [
    pytest.mark.interop,
    pytest.mark.filterwarnings("default"),  # other programs' warnings are theirs
]

PAIRS = 300
CLOSE = 1e-9


def or_zero(value):
    """Return 0 where there is nothing to be found and nothing was: StarDist's convention."""
    return 0.0 if math.isnan(value) else value


@pytest.fixture
def matching(monkeypatch):
    module = pytest.importorskip("stardist.matching")

    def divide(x, y, eps=1e-10):
        """Divide as StarDist does, which rounds to float32, in float64."""
        if np.isscalar(x) and np.isscalar(y):
            return x / y if abs(y) > eps else 0.0
        out = np.zeros(np.broadcast(x, y).shape)
        np.divide(x, y, out=out, where=np.abs(y) > eps)
        return out

    monkeypatch.setattr(module, "_safe_divide", divide)
    return module


@pytest.mark.parametrize("dtypes", [("int32", "int32"), ("uint16", "int64"), ("int64", "uint8")])
def test_stardist(matching, dtypes):
    for seed in range(PAIRS):
        found, truth = label_pair(seed)
        ours = evaluate(
            other_names(found, getattr(np, dtypes[0]), seed),
            other_names(truth, getattr(np, dtypes[1]), seed + 1),
        )
        for percent in IOU_PERCENT:
            # A hair below, since 3/5 in binary may lie on either side of 0.6.
            theirs = matching.matching(truth, found, thresh=percent / 100 - 1e-12)
            assert ours.tp[IOU_PERCENT.index(percent)] == theirs.tp
            assert or_zero(ours.ap_at(percent)) == pytest.approx(theirs.accuracy, abs=CLOSE)
        theirs = matching.matching(truth, found, thresh=0.5)
        assert (ours.n_true, ours.n_pred) == (theirs.n_true, theirs.n_pred)
        for name, value in (
            ("precision50", theirs.precision),
            ("recall50", theirs.recall),
            ("f1_50", theirs.f1),
            ("pq", theirs.panoptic_quality),
        ):
            assert or_zero(getattr(ours, name)) == pytest.approx(value, abs=CLOSE), (seed, name)


def test_stardist_pooled_over_images(matching):
    pairs = [label_pair(seed) for seed in range(40)]
    ours = evaluate_many(pairs)
    theirs = matching.matching_dataset(
        [truth for _, truth in pairs], [found for found, _ in pairs], 0.5, show_progress=False
    )
    # What it calls so with by_image=False: pooled counts, as here.
    assert (ours.tp[0], ours.n_true, ours.n_pred) == (theirs.tp, theirs.n_true, theirs.n_pred)
    assert ours.ap50 == pytest.approx(theirs.accuracy, abs=CLOSE)
    assert ours.f1_50 == pytest.approx(theirs.f1, abs=CLOSE)
    assert ours.pq == pytest.approx(theirs.panoptic_quality, abs=CLOSE)


@pytest.fixture
def float64():
    """Let torch divide whole numbers in float64."""
    import torch

    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def test_panoptic_quality_of_torchmetrics(float64):
    quality = pytest.importorskip("torchmetrics.functional.detection").panoptic_quality
    import torch

    compared = 0
    for seed in range(PAIRS):
        found, truth = label_pair(seed)
        table = overlaps(truth, found)
        if not table.pixels.size or (2 * table.pixels == table.unions).any():
            continue  # it asks for more than one half, and we for one half

        def coloured(labels):
            """Return ``(1, y, x, 2)``: category (0 is background) and object."""
            return torch.from_numpy(np.stack([labels > 0, labels], -1).astype(np.int64))[None]

        theirs = quality(coloured(found), coloured(truth), {1}, {0}, return_per_class=True)
        # The background, a category of its own, is not among ours.
        assert evaluate(found, truth).pq == pytest.approx(float(theirs[0, 0]), abs=CLOSE)
        compared += 1
    assert compared > PAIRS / 2


def test_recall_of_coco():
    """COCO's AP is another figure (the area under a curve); found of all true is the same."""
    pytest.importorskip("pycocotools")
    from pycocotools import mask
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    compared = 0
    for seed in range(0, PAIRS, 3):
        found, truth = label_pair(seed)
        if not found.any() or not truth.any():
            continue

        def rows(labels, **more):
            for i in range(1, labels.max() + 1):
                own = np.asfortranarray(labels == i, np.uint8)
                yield {
                    "id": i,
                    "image_id": 1,
                    "category_id": 1,
                    "iscrowd": 0,
                    "segmentation": mask.encode(own),
                    "area": float(own.sum()),
                    "bbox": mask.toBbox(mask.encode(own)).tolist(),
                    **more,
                }

        true = COCO()
        true.dataset = {
            "info": {},
            "images": [{"id": 1, "height": truth.shape[0], "width": truth.shape[1]}],
            "categories": [{"id": 1}],
            "annotations": list(rows(truth)),
        }
        true.createIndex()
        judged = COCOeval(true, true.loadRes(list(rows(found, score=1.0))), "segm")
        judged.params.maxDets = [1000]
        judged.params.areaRng, judged.params.areaRngLbl = [[0, 1e10]], ["all"]
        judged.params.iouThrs = np.array(IOU_PERCENT) / 100 - 1e-12
        judged.evaluate()
        judged.accumulate()
        ours = evaluate(found, truth)
        for tp, theirs in zip(ours.tp, judged.eval["recall"][:, 0, 0, 0], strict=True):
            assert tp / ours.n_true == pytest.approx(theirs, abs=CLOSE)
        compared += 1
    assert compared > PAIRS / 5
