"""Choosing a network."""

from pathlib import Path

import numpy as np
import pytest
import torch
from support.packages import package, rdf, zipped

from napari_segnet.widgets.checkpoint.picker import WeightsBox, is_weights
from napari_segnet.widgets.qt.recent import recent_networks, remember_network


def items(box):
    return [box.combo.itemData(i) for i in range(box.combo.count())]


def test_built_in_networks_are_offered(qtbot):
    box = WeightsBox()
    qtbot.addWidget(box)
    assert "nuclei" in items(box)
    assert box.current() == ""


def test_a_folder_of_networks_is_offered(qtbot, tmp_path):
    (tmp_path / "mine.pth").write_bytes(b"x")
    (tmp_path / "notes.txt").write_text("no network")
    box = WeightsBox(tmp_path)
    qtbot.addWidget(box)
    assert str(tmp_path / "mine.pth") in items(box)
    assert str(tmp_path / "notes.txt") not in items(box)


def test_recent_files_come_back_newest_first(qtbot, tmp_path):
    for name in ("a.pth", "b.pth"):
        (tmp_path / name).write_bytes(b"x")
        remember_network(tmp_path / name)
    assert recent_networks()[:2] == [tmp_path / "b.pth", tmp_path / "a.pth"]
    (tmp_path / "b.pth").unlink()
    assert tmp_path / "b.pth" not in recent_networks()


def test_a_choice_of_the_user_is_told_once(qtbot):
    box = WeightsBox()
    qtbot.addWidget(box)
    with qtbot.waitSignal(box.chosen) as chosen:
        box.combo.setCurrentIndex(box.combo.findData("nuclei"))
        box.combo.activated.emit(box.combo.currentIndex())
    assert chosen.args == ["nuclei"]
    with qtbot.assertNotEmitted(box.chosen):
        box.show_choice("other.pth")
    assert box.current() == "other.pth"


def test_the_line_that_is_no_network_leaves_the_choice(qtbot):
    """Else it would be shown as if nothing were chosen, and Run would run the network."""
    box = WeightsBox()
    qtbot.addWidget(box)
    box.show_choice("nuclei")
    with qtbot.assertNotEmitted(box.chosen):
        box.combo.setCurrentIndex(0)
        box.combo.activated.emit(0)
    assert box.current() == "nuclei"


def test_weights_are_known_by_their_endings():
    assert is_weights("a.PTH")
    assert is_weights("model_final_f10217.pkl")
    assert is_weights(Path("b.safetensors"))
    assert not is_weights("cells.tif")


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("name", ["my_model", "cellpose_1700000000.12"])
def test_files_of_torch_need_no_ending(tmp_path, name, zipped):
    path = tmp_path / name
    assert not is_weights(path)
    torch.save({"a": torch.zeros(1)}, path, _use_new_zipfile_serialization=zipped)
    assert is_weights(path)
    path.write_bytes(path.read_bytes()[20:])
    assert not is_weights(path)
    np.savez(tmp_path / "arrays", a=np.zeros(1))
    assert not is_weights(tmp_path / "arrays.npz")


def test_packages_are_known_by_what_they_hold(tmp_path):
    folder = package(tmp_path / "p", rdf())
    assert is_weights(folder)
    assert is_weights(zipped(folder))
    assert is_weights(folder / "rdf.yaml")
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.tif").touch()
    (tmp_path / "other.yaml").touch()
    for other in (tmp_path / "pictures", zipped(tmp_path / "pictures"), tmp_path / "other.yaml"):
        assert not is_weights(other)
