"""Training sees the pixels that prediction feeds, whatever the image and its pixel size."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.engines import put_first
from support.examples import EXAMPLES
from support.files import identified, write_picture
from support.networks import pictures

from napari_segnet.crops import Augmentation, Crops, prepared_pixels
from napari_segnet.dataset import Sample
from napari_segnet.errors import DatasetError, MismatchError
from napari_segnet.families import FAMILIES
from napari_segnet.inference import PredictSettings, predict
from napari_segnet.plan import resolve
from napari_segnet.progress import run
from napari_segnet.readers import open_image
from napari_segnet.segmentation import Detected, Instances

TRAINED_UM = 0.5
SIZES_UM = {"no size": None, "3 % off": 0.515, "2 times off": 0.25}
STILL = Augmentation(on_objects=0.0)


def _cases():
    for family in FAMILIES:
        if family.name == "cellpose":
            continue  # it is shown Cellpose's own tiles, resized as Cellpose does: tests/flows
        chosen = {}
        for example in EXAMPLES[family.name]:
            ndim = len(example.sizes[0])
            kinds = (
                ("RGB", "channels") if ndim == 2 and example.channels in (1, 3) else ("channels",)
            )
            for kind in kinds:
                chosen.setdefault((ndim, kind), example)
        for (ndim, kind), example in chosen.items():
            yield pytest.param(
                family.name, example, ndim, kind, id=f"{family.name}: {ndim}D {kind}"
            )


def written(folder, example, ndim, kind, size_um):
    """Write an image and labels of which one pixel in the middle may be learned from."""
    shape = (20, 64, 60)[-ndim:]
    if kind == "RGB":
        colours = (pictures(1, 3, shape, seed=7)[0].numpy() * 200).clip(0, 255).astype(np.uint8)
        pixels, axes = np.moveaxis(colours, 0, -1), "yxs"
    else:
        grey = pictures(1, example.channels, shape, seed=7)[0].numpy()
        pixels, axes = (grey * 40_000).clip(0, 65535).astype(np.uint16), "c" + "zyx"[-ndim:]
    trusted = np.zeros(shape, np.uint8)
    # Two pixels wide, so that some of it is left at half the size.
    trusted[tuple(slice(n // 2, n // 2 + 2) for n in shape)] = 1
    axes_of_labels = "zyx"[-ndim:]
    return Sample(
        image=write_picture(folder / "images" / "a.tif", pixels, axes, size_um, kind == "RGB"),
        labels=write_picture(
            folder / "labels" / "a.tif", np.zeros(shape, np.int32), axes_of_labels
        ),
        trusted=write_picture(folder / "trusted" / "a.tif", trusted, axes_of_labels),
    )


def pixel_by_pixel(checkpoint):
    """Return a network as it is shown tiles; matterport's sees whole pictures as a square else."""
    if "resize" not in checkpoint.hparams:
        return checkpoint
    return replace(checkpoint, hparams={**checkpoint.hparams, "resize": "none"})


def fed(checkpoint, image, monkeypatch):
    """Return what prediction feeds of an image in one tile: ``(c, [z,] y, x)``."""
    batches = []

    def maps(batch, **_):
        batches.append(batch)
        lengths = (n - lost for n, lost in zip(batch.shape[2:], checkpoint.size.loss, strict=True))
        channels = sum(output.channels for output in checkpoint.outputs)
        return np.zeros((len(batch), channels, *lengths), np.float32)

    def detect(batch, **_):
        batches.append(batch)
        nothing = Instances(
            boxes=np.zeros((0, 4), np.float32),
            plane=np.zeros(0, np.int64),
            scores=np.zeros(0, np.float32),
            classes=np.zeros(0, np.int64),
            masks=np.zeros((0, 28, 28), np.float32),
            shape=batch.shape[-2:],
            axes="yx",
        )
        return [Detected(instances=nothing)] * len(batch)

    put_first(monkeypatch, maps=maps, detect=detect)
    run(predict(checkpoint, image))
    ((whole,),) = batches
    given = resolve(checkpoint, image).input
    before = [lost // 2 for lost in checkpoint.size.loss]
    inner = (slice(b, b + n) for b, n in zip(before, given.seen, strict=True))
    return whole[(slice(None), *inner)], given


@pytest.mark.parametrize("size", SIZES_UM)
@pytest.mark.parametrize(("family", "example", "ndim", "kind"), [*_cases()])
def test_training_sees_what_prediction_feeds(
    family, example, ndim, kind, size, tmp_path, monkeypatch
):
    known = {} if SIZES_UM[size] is None else {"y": TRAINED_UM, "x": TRAINED_UM}
    checkpoint = replace(pixel_by_pixel(identified(tmp_path, family, example)), pixel_size_um=known)
    sample = written(tmp_path, example, ndim, kind, SIZES_UM[size])
    image = open_image(sample.image)
    assert image.rgb == (kind == "RGB")
    whole, given = fed(checkpoint, image, monkeypatch)
    assert given.scale == (2 if size == "2 times off" else 1), "a hair's breadth is none"
    # The sample in memory is the very same, bit for bit.
    prepared = prepared_pixels(given)
    assert np.array_equal(prepared[0] if ndim == 3 else prepared[0, :, 0], whole)
    if family not in {one.name for one in FAMILIES.trainable}:
        return
    # And so is a crop without augmentation, but for the rounding of its places.
    lengths = (3, 7, 7)[-ndim:]
    taken = tuple(n + lost for n, lost in zip(lengths, checkpoint.size.loss, strict=True))
    if any(n > m for n, m in zip(taken, given.seen, strict=True)):
        taken = lengths  # a network that loses more than there is: its targets count nothing here
    crops = Crops((sample,), checkpoint, taken, STILL)
    assert list(crops.check()) == [""]
    crop = crops.draw(np.random.default_rng(0)).pixels
    windows = np.lib.stride_tricks.sliding_window_view(whole, (len(whole), *taken))
    off = np.abs(windows[0] - crop).reshape(*windows.shape[1 : ndim + 1], -1).max(-1)
    assert off.min() < 1e-4 * np.ptp(whole)
    assert np.sort(off, axis=None)[1] > 0.01 * np.ptp(whole), "it would lie anywhere"


def test_a_pixel_size_that_can_hardly_be_true_is_refused_by_both(tmp_path, monkeypatch):
    example = EXAMPLES["milesial-unet"][0]
    known = {"y": TRAINED_UM, "x": TRAINED_UM}
    checkpoint = replace(identified(tmp_path, "milesial-unet", example), pixel_size_um=known)
    sample = written(tmp_path, example, 2, "channels", 50 * TRAINED_UM)
    with pytest.raises(MismatchError, match=r"unlikely for the same objects.*--set scale=1"):
        run(predict(checkpoint, open_image(sample.image), PredictSettings(device="cpu")))
    with pytest.raises(DatasetError, match=r"unlikely for the same objects.*add it again"):
        list(Crops((sample,), checkpoint, (7, 7), STILL).check())
