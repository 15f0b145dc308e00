"""Few images: each is judged by a training that has not seen it."""

from __future__ import annotations

import pytest
from support.teaching import QUICK, fresh, write_dataset

from napari_segnet.dataset import Dataset
from napari_segnet.errors import DatasetError
from napari_segnet.families.segnet_unet import SegnetUNet
from napari_segnet.progress import run
from napari_segnet.train import cross_fit, cross_fit_cost
from napari_segnet.train._cross_fit import _folds


@pytest.fixture
def network(tmp_path):
    made = fresh(tmp_path / "old.safetensors")
    return SegnetUNet().save(SegnetUNet().build(made).eval(), made, made.path)


def test_each_image_is_held_out_once_and_of_one_each_half(tmp_path):
    two = Dataset.open(write_dataset(tmp_path / "two", count=2))
    for number, part in enumerate(_folds(two)):
        assert [s.name for s in part.of("val")] == [str(number)]
        assert [s.name for s in part.of("train")] == [str(1 - number)]
    one = Dataset.open(write_dataset(tmp_path / "one", count=1))
    boxes = [part.of("val")[0].box for part in _folds(one)]
    assert boxes == [(0, 0, 40, 24), (0, 24, 40, 48)]
    assert cross_fit_cost(one, QUICK)[0] == cross_fit_cost(two, QUICK)[0] == 2


@pytest.mark.trains
def test_all_objects_judge(tmp_path, network):
    data = Dataset.open(write_dataset(tmp_path / "d", count=2))
    found = run(cross_fit(network, data, QUICK, device="cpu"))
    objects = found.comparison.objects
    assert (found.trainings, found.comparison.images) == (2, 2)
    assert objects > 8
    assert found.sentence().startswith("Compared by 2 trainings, each on unseen images: ")
    assert found.to_json()["comparison"]["objects"] == objects


def test_of_many_images_it_is_refused(tmp_path, network):
    data = Dataset.open(write_dataset(tmp_path / "d", count=4))
    assert cross_fit_cost(data, QUICK) == (0, 0.0)
    with pytest.raises(DatasetError, match="Cross-fitting is for 1 to 3 images, and the training"):
        run(cross_fit(network, data, QUICK))
