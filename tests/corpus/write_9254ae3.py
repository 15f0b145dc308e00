"""Writes the folder ``9254ae3`` of the corpus, with the code of that commit and no other.

::

    git worktree add --detach OLD 9254ae3
    cd EMPTY
    PYTHONPATH=OLD/src:OLD/tests xvfb-run -a python HERE/write_9254ae3.py
    # then move EMPTY/9254ae3 here, and: git worktree remove OLD

The imports are those of then. The script is kept to tell how each file came about; it is not
run again, and what it wrote is never changed.
"""

# Some of the names are gone, and with them the order of the imports.
# ruff: noqa: I001
from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import json
import shutil
import socket
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import tifffile
import torch
from napari_segnet.network import identify
from napari_segnet.network.sidecar import sidecar_path
from napari_segnet.predict import LabelSettings, PredictSettings, predict
from networks import Jvanvugt, Milesial, calibrate
from teaching import CLASSES, FOREGROUND, NUCLEI, QUICK, fresh, objects, photograph, write

from napari_segnet.card import card_of
from napari_segnet.checkpoint import PrepareStep
from napari_segnet.dataset import Dataset, add, remove, set_split
from napari_segnet.export import export
from napari_segnet.families.segnet_unet import SegnetUNet
from napari_segnet.image import Image
from napari_segnet.progress import run
from napari_segnet.results import write_segmentation
from napari_segnet.segmentation import Instances, Origin, Segmentation
from napari_segnet.train import state_path, train

socket.gethostname = lambda: "corpus"  # journals name their computer
HERE = Path("9254ae3").absolute()
RNG = np.random.default_rng(20261128)


# ---- Networks ----


def own(name, outputs, ndim=2, strides=None, channels=1, dtype="float32", **how):
    """Write a network of our own kind, with weights that answer."""
    path = HERE / "networks" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    network = fresh(path, outputs, ndim=ndim, channels=channels, strides=strides, **how)
    family = SegnetUNet()
    torch.manual_seed(5)
    module = calibrate(family.build(network), seed=5, images=pictures(ndim, channels))
    network = replace(network, store=replace(network.store, dtype=dtype))
    family.save(module, network, path)
    return path


def pictures(ndim, channels):
    shape = (32, 32) if ndim == 2 else (8, 16, 16)
    return torch.from_numpy(RNG.normal(0, 1, (2, channels, *shape)).astype(np.float32))


def networks():
    card = {
        "title": "Nuclei of the corpus",
        "data": "computed",
        "licence": "CC0-1.0",
        "label": {"threshold": 0.45, "min_size_px": 4},
        "scores": {"ap50": 0.5},
    }
    own(
        "nuclei.safetensors",
        NUCLEI,
        pixel_size_um={"y": 0.5, "x": 0.5},
        class_names=("background", "nucleus"),
        card=card,
    )
    own("volume.safetensors", FOREGROUND, ndim=3, strides=[[1, 2, 2]], dtype="float16")
    own(
        "classes.safetensors",
        CLASSES,
        channels=2,
        class_names=("background", "a", "Ü"),
        prepare=(PrepareStep(name="normalize", options={"how": "z-score", "over": "plane"}),),
    )
    own("torch.pth", FOREGROUND, card={"title": "In torch's own file"})
    torch.manual_seed(0)
    torch.save(
        calibrate(Milesial(channels=1, classes=2, width=2, depth=2), seed=1).state_dict(),
        HERE / "networks" / "milesial.pth",
    )
    torch.save(
        calibrate(
            Jvanvugt(channels=1, classes=2, depth=2, width=4, padding=True), seed=1
        ).state_dict(),
        HERE / "networks" / "jvanvugt.pth",
    )


def cards():
    """What ``inspect --json`` says of each, and what each answers to the picture."""
    found, answers = {}, {}
    for path in sorted((HERE / "networks").glob("*")):
        if path.suffix in (".pth", ".safetensors"):
            checkpoint = identify(path)
            found[path.name] = card_of(checkpoint)
            image = picture_for(checkpoint)
            answer = run(predict(checkpoint, image, PredictSettings(device="cpu", maps="float32")))
            answers[path.name] = answer.answer.data.astype(np.float32)
    (HERE / "networks" / "cards.json").write_text(json.dumps(found, indent=1, ensure_ascii=False))
    np.savez_compressed(HERE / "networks" / "answers.npz", **answers)


def picture_for(checkpoint):
    """See ``picture_for`` in ``tests/test_corpus.py``: the same numbers."""
    shape = (4, 16, 20) if checkpoint.ndim == 3 else (24, 28)
    shape = (checkpoint.channels, *shape) if checkpoint.channels > 1 else shape
    grid = np.indices(shape).sum(0) * 7 + np.indices(shape).prod(0)
    axes = ("c" if checkpoint.channels > 1 else "") + ("zyx" if checkpoint.ndim == 3 else "yx")
    return Image(data=(grid % 251).astype(np.uint8), axes=axes, name="pattern")


# ---- Runs ----


def runs():
    folder = HERE / "runs"
    folder.mkdir()
    labels = objects((48, 56), count=9, seed=4)
    write(folder / "cells.tif", photograph(labels, seed=4), "yx", {"y": 0.5, "x": 0.5})
    volume = objects((4, 24, 28), count=5, seed=6)
    write(folder / "stack.tif", photograph(volume, seed=6), "zyx", {"z": 2.0, "y": 0.4, "x": 0.4})
    settings = {"threshold": 0.4, "instances": "watershed", "min_size_px": 5, "fill_holes": True}
    (folder / "settings.json").write_text(json.dumps(settings))
    both = {"predict": asdict(PredictSettings()), "label": asdict(LabelSettings())}
    (folder / "defaults.json").write_text(json.dumps(both, indent=1))
    command(
        "segment", folder / "cells.tif", "-c", HERE / "networks" / "nuclei.safetensors",
        "-o", folder, "--device", "cpu", "--save-maps", "--set", "threshold=0.4",
        "--set", "instances=watershed", "--set", "tile_px=32,32",
    )  # fmt: skip
    command(
        "segment", folder / "stack.tif", "-c", HERE / "networks" / "volume.safetensors",
        "-o", folder, "--device", "cpu",
    )  # fmt: skip
    objects_with_detections(folder)


def command(*words):
    from napari_segnet.__main__ import main

    code = main([str(word) for word in words])
    assert code == 0, words


def objects_with_detections(folder):
    labels = np.zeros((20, 30), np.int32)
    labels[2:8, 3:12], labels[10:18, 15:29] = 1, 2
    found = Instances(
        boxes=np.array([[2, 3, 8, 12], [10, 15, 18, 29]], np.float32),
        plane=np.zeros(2, np.int64),
        scores=np.array([0.75, 0.5], np.float32),
        classes=np.array([1, 2]),
        masks=np.ones((2, 28, 28), np.float32),
        shape=(20, 30),
        axes="yx",
    )
    made = Segmentation(
        labels=labels,
        axes="yx",
        pixel_size_um={"y": 0.25, "x": 0.25},
        kind="instance",
        label_class={1: 1, 2: 2},
        label_score={1: 0.75, 2: 0.5},
        class_names=("background", "cell", "Ü"),
        origin=Origin(
            checkpoint={"path": "detector.pth", "sha256": "ab" * 32, "family": "torchvision"},
            image={"name": "detected", "axes": "yx", "shape": [20, 30], "dtype": "uint8"},
            predict=asdict(PredictSettings()),
            label=asdict(LabelSettings()),
            time="2026-11-28T12:00:00Z",
        ),
    )
    write_segmentation(made, folder, "detected", instances=found)


# ---- Datasets ----


def image(pixels, axes, name, **how):
    return Image(data=pixels, axes=axes, name=name, **how)


def datasets():
    root, expected = HERE / "datasets" / "full", {}
    flat = objects((32, 40), seed=1)
    trusted = np.zeros((32, 40), bool)
    trusted[:20] = True
    stack = objects((3, 20, 24), seed=2)
    first = {
        "review": {"states": {"1": "accepted", "2": "fixed"}, "locked": [1], "regions": []},
        "classes": {1: 1, 2: 2, 3: 1},
        "class_names": ("background", "round", "Ü"),
    }
    sizes = {"y": 0.5, "x": 0.25}
    pixels = photograph(flat, seed=1)
    add(root, image(pixels, "yx", "flat", pixel_size_um=sizes), flat, trusted, **first)
    deep = photograph(stack, seed=2).astype(np.uint16) * 9
    where = {"z": 2.0, "y": 0.5, "x": 0.5}
    add(root, image(deep, "zyx", "stack", pixel_size_um=where), stack, split="val")
    colours = np.stack([photograph(flat, seed=s) for s in range(3)])
    add(root, image(colours, "cyx", "colours", rgb=True), flat, source="slide 7", plane="z=3")
    two = np.stack([photograph(flat, seed=s) for s in (5, 6)]).astype(np.float32) / 255
    names = ("DAPI", "GFP")
    sample = add(root, image(two, "cyx", "two", channel_names=names), flat, source="slide 7")
    again = flat * (flat != 1)
    add(root, image(two, "cyx", "two", channel_names=names), again, source="slide 7")
    gone = add(root, image(pixels[:16, :16], "yx", "gone"), flat[:16, :16])
    remove(root, gone)
    set_split(root, "slide 7", "train")
    assert sample.plane == ""
    for one in Dataset.open(root).samples:
        expected[f"{one.image.name}|labels"] = tifffile.imread(one.labels)
        expected[f"{one.image.name}|image"] = tifffile.imread(one.image)
        if one.trusted is not None:
            expected[f"{one.image.name}|trusted"] = tifffile.imread(one.trusted)
    np.savez_compressed(HERE / "datasets" / "full.npz", **expected)
    plain = HERE / "datasets" / "plain"
    for i in range(2):
        write(plain / "images" / f"{i}.tif", photograph(flat[: 16 + i], seed=i))
        write(plain / "labels" / f"{i}.tif", flat[: 16 + i])


def exports():
    data = Dataset.open(HERE / "datasets" / "full")
    for kind in ("coco", "coco-polygons", "cellpose", "stardist", "tiff"):
        run(export(data, kind, HERE / "exports" / kind))


# ---- Training ----


def trainings():
    folder = HERE / "training"
    root = folder / "dataset"
    for i in range(2):
        labels = objects((32, 32), seed=i, classes=1)  # what all three can learn from
        write(root / "images" / f"{i}.tif", photograph(labels, seed=i))
        write(root / "labels" / f"{i}.tif", labels)
    samples = [
        {"image": f"images/{i}.tif", "labels": f"labels/{i}.tif", "source": str(i), "split": side}
        for i, side in enumerate(("train", "val"))
    ]
    (root / "dataset.json").write_text(json.dumps({"samples": samples}))
    settings = replace(QUICK, epochs=3, precision="fp32")
    for name, network, how in (
        ("fresh.safetensors", lambda path: fresh(path, widths=(4, 6)), {}),
        ("taught.safetensors", lambda _: identify(HERE / "networks" / "nuclei.safetensors"), {}),
        (
            "milesial.pth",
            lambda _: identify(HERE / "networks" / "milesial.pth", {"activation": "sigmoid"}),
            {"optimizer": "sgd", "freeze_stages": 1, "patience": 2},
        ),
    ):
        cut, whole = folder / name, folder / "whole" / name
        whole.parent.mkdir(exist_ok=True)
        data = Dataset.open(root)
        now = replace(settings, **how)
        steps = train(network(cut), data, cut, now, device="cpu")
        for report in steps:
            if report.what == "epoch":
                break
        steps.close()
        assert state_path(cut).exists()
        assert not cut.exists()
        run(train(network(whole), data, whole, now, device="cpu"))
    assert sidecar_path(folder / "whole" / "milesial.pth").exists()


# ---- Corrections ----


def journals():
    from napari.components import ViewerModel
    from napari_segnet.widgets._editing import apply_edit, editing_of, set_locked
    from qtpy.QtWidgets import QApplication

    from napari_segnet.correct import delete, find_places, merge
    from napari_segnet.journal import (
        Act,
        Journal,
        _write,
        changes_at,
        difference,
        replay,
        slabs,
        summary,
    )
    from napari_segnet.review import Review, State
    from napari_segnet.widgets._journal_keeper import keep_journal
    from napari_segnet.widgets._reviews import reviews as reviews_of

    app = QApplication.instance() or QApplication([])
    folder = HERE / "journals"
    os.environ["NAPARI_SEGNET_DATA"] = str(HERE / "home")
    expected, about = {}, {}

    def finish(name, viewer, keeper, layer):
        keeper.flush()
        (path,) = sorted(keeper.folder.glob("*"))
        keeper.close()
        kept = folder / f"{name}.journal"
        kept.parent.mkdir(exist_ok=True)
        shutil.move(path, kept)
        state = replay(kept)
        np.testing.assert_array_equal(state.labels, np.asarray(layer.data))
        expected[name] = state.labels
        about[name] = {"acts": state.acts, "document": state.document}

    def begin(shape, seed, **kwargs):
        viewer = ViewerModel()
        labels = objects(shape, count=8, seed=seed)
        viewer.add_image(photograph(labels, seed=seed), name="cells", scale=kwargs["scale"])
        keeper = keep_journal(viewer)
        layer = viewer.add_labels(labels, name="cells · nuclei", **kwargs)
        return viewer, keeper, layer

    def seen(keeper):
        keeper.look()
        for _ in range(20):  # the snapshot is copied while nothing else is to be done
            app.processEvents()

    def stroke(layer, keeper, points, value, size=3):
        layer.brush_size = size
        with layer.block_history():
            for point in points:
                layer.paint(point, value)
        seen(keeper)

    # Strokes, fill, undo and redo, in a plane.
    viewer, keeper, layer = begin((40, 48), 3, scale=(0.5, 0.25), units=("um", "um"))
    stroke(layer, keeper, [(5, 5), (6, 8), (9, 12)], 20)
    stroke(layer, keeper, [(30, 30), (31, 36)], 0, 5)
    layer.fill((0, 47), 21)
    seen(keeper)
    layer.undo()
    seen(keeper)
    layer.undo()
    seen(keeper)
    layer.redo()
    seen(keeper)
    stroke(layer, keeper, [(20, 20)], 22, 7)
    finish("strokes", viewer, keeper, layer)

    # Edits with what is known of objects: features, classes, locks, a review.
    features = {"index": list(range(1, 9)), "score": [0.1 * i for i in range(1, 9)],
                "class": [1, 2] * 4}  # fmt: skip
    metadata = json.loads((HERE / "layers" / "dock.json").read_text())
    viewer, keeper, layer = begin(
        (40, 48), 5, scale=(0.5, 0.5), features=features, metadata={"segnet": metadata}
    )
    reviews = reviews_of(viewer)
    kept = editing_of(layer)
    data = kept.begin_looking()
    kept.found(data, run(find_places(data)))
    there = [int(i) for i in np.unique(layer.data) if i]
    reviews.change(layer, Review().with_state(there[:2], State.ACCEPTED))
    set_locked(layer, [there[0]], True)
    keeper.remember(layer)
    apply_edit(layer, delete(layer.data, [there[2]]))
    seen(keeper)
    apply_edit(layer, merge(layer.data, [there[3], there[4]]))
    seen(keeper)
    apply_edit(layer, delete(layer.data, [there[5]]))
    seen(keeper)
    layer.undo()
    seen(keeper)
    finish("edits", viewer, keeper, layer)
    (HERE / "layers" / "edited.json").write_text(
        json.dumps(about["edits"]["document"]["segnet"], indent=1, ensure_ascii=False)
    )

    # A stack.
    viewer, keeper, layer = begin((4, 24, 28), 7, scale=(2, 0.5, 0.5), translate=(1, 0, 3))
    for z in range(3):
        stroke(layer, keeper, [(z, 5, 5), (z, 8, 9)], 30 + z, 4)
    layer.undo()
    seen(keeper)
    finish("stack", viewer, keeper, layer)

    # Labels that were pasted as a whole: a second snapshot.
    viewer, keeper, layer = begin((20, 24), 9, scale=(1, 1))
    stroke(layer, keeper, [(5, 5)], 4)
    layer.data = np.roll(np.asarray(layer.data), 5, axis=1)
    stroke(layer, keeper, [(12, 12)], 5)
    finish("pasted", viewer, keeper, layer)

    # One that was written anew as a snapshot, with acts behind it.
    labels = objects((24, 30), seed=11)
    _write.COMPACT_BYTES = 500
    made = Journal(folder / "compacted.journal")
    made.document(difference({}, {"layer": {"name": "compacted"}}))
    made.begin_snapshot(labels.shape, labels.dtype)
    for part in slabs(labels.shape):
        made.snapshot_box([p.start for p in part], labels[part].copy())
    made.end_snapshot()
    now = labels.copy()
    for i in range(60):
        at = tuple(RNG.integers(0, n, 20) for n in labels.shape)
        at = tuple(np.unique(np.stack(at), axis=1))
        before = now[at].copy()
        changes = changes_at(at, before, i + 1)
        now[at] = i + 1
        made.act(lambda changes=changes: Act(what="stroke", at=time.time(), changes=changes))
        made.flush()
    made.close()
    _write.COMPACT_BYTES = 64 * 2**20
    state = replay(folder / "compacted.journal")
    np.testing.assert_array_equal(state.labels, now)
    assert state.acts == 60
    expected["compacted"] = now
    about["compacted"] = {"acts": state.acts, "document": state.document}

    # One whose writer was killed in the middle of a record.
    content = (folder / "strokes.journal").read_bytes()
    cut = folder / "unfinished.journal"
    cut.write_bytes(content[:-9])
    state = replay(cut)
    assert not state.whole
    expected["unfinished"] = state.labels
    about["unfinished"] = {"acts": state.acts, "document": state.document}
    assert summary(cut).acts == summary(folder / "strokes.journal").acts - 1
    # The image on which they were made, by whose pixels they are found again.
    expected["image"] = photograph(objects((40, 48), count=8, seed=3), seed=3)
    np.savez_compressed(folder / "expected.npz", **expected)
    (folder / "expected.json").write_text(json.dumps(about, indent=1, ensure_ascii=False))
    shutil.rmtree(HERE / "home", ignore_errors=True)


def layers():
    """What the Segment dock writes into a layer, and the layer of a whole run without it."""
    import napari
    from qtpy.QtWidgets import QApplication

    from napari_segnet.widgets._journal_layers import describe
    from napari_segnet.widgets.segment import SegmentDock

    folder = HERE / "layers"
    folder.mkdir()
    os.environ["NAPARI_SEGNET_DATA"] = str(HERE / "home")
    viewer = napari.Viewer(show=False)
    dock = SegmentDock(viewer)
    viewer.window.add_dock_widget(dock, name="Segment")
    shape = (40, 48)
    pixels = photograph(objects(shape, count=8, seed=5), seed=5)
    viewer.add_image(pixels, name="cells", scale=(0.5, 0.5), units=("um", "um"))

    def wait(until, seconds=60):
        end = time.monotonic() + seconds
        while not until():
            QApplication.processEvents()
            assert time.monotonic() < end
            time.sleep(0.01)

    dock.choose_weights(str(HERE / "networks" / "nuclei.safetensors"))
    wait(lambda: dock.checkpoint is not None and not dock._looker.busy)
    dock.run_box.button.click()
    wait(lambda: any(isinstance(x, napari.layers.Labels) for x in viewer.layers))
    wait(lambda: not dock._runner.busy)
    (layer,) = [x for x in viewer.layers if isinstance(x, napari.layers.Labels)]
    told = describe(layer)
    (folder / "dock.json").write_text(json.dumps(told["segnet"], indent=1, ensure_ascii=False))
    (folder / "dock-layer.json").write_text(json.dumps({k: v for k, v in told.items()
                                                        if k != "segnet"}, indent=1))  # fmt: skip
    np.savez_compressed(folder / "dock.npz", labels=np.asarray(layer.data), image=pixels)
    viewer.close()


def main():
    HERE.mkdir()
    for step in (networks, cards, runs, datasets, exports, trainings, layers, journals):
        print(step.__name__, flush=True)
        step()


if __name__ == "__main__":
    main()
