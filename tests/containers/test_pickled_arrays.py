"""Pickles of named arrays, as in the model zoo of Detectron2."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_segnet.containers import open_weights
from napari_segnet.errors import BrokenWeightsError, UnsafeWeightsError, UnsupportedWeightsError

ARRAYS = {
    "stem.conv1.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2),
    "stem.conv1.norm.running_var": np.linspace(0, 1, 5, dtype=np.float64),
    "swapped.weight": np.arange(3, dtype=">f4"),
    "turned.weight": np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
}


@pytest.mark.parametrize("protocol", [0, 2, 3, 4, 5])
def test_arrays_are_read_by_name(protocol: int, tmp_path: Path) -> None:
    path = tmp_path / "model_final.pkl"
    zoo = {"model": ARRAYS, "__author__": "Detectron2 Model Zoo"}
    path.write_bytes(pickle.dumps(zoo, protocol))
    (weights, *_) = open_weights(path)
    assert weights.container == "pickle"
    assert weights.wrapper == ("model",)
    assert weights.metadata["__author__"] == "Detectron2 Model Zoo"
    assert list(weights.tensors) == list(ARRAYS)
    for key, array in ARRAYS.items():
        assert weights.tensors[key].shape == array.shape
        assert np.array_equal(weights.tensors[key].load().numpy(), array)


def python2(array: np.ndarray, name: str) -> bytes:
    """A pickle of ``{name: array}`` as Python 2 wrote it: numbers as a string of bytes."""
    raw = array.tobytes()
    return (
        b"\x80\x02}U"
        + bytes([len(name)])
        + name.encode()
        + b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01K"
        + bytes([len(array)])
        + b"\x85cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xff"
        + b"J\xff\xff\xff\xffK\x00tb\x89T"
        + len(raw).to_bytes(4, "little")
        + raw
        + b"tbs."
    )


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(np.array([1.5, -2.25], "<f4").tobytes(), id="no text"),
        pytest.param(bytes(8), id="zeros"),
        pytest.param("éàüö".encode(), id="looks like UTF-8"),
        pytest.param("\u0431\u0436ab\u0431".encode(), id="looks like UTF-8 beyond Latin"),
    ],
)
def test_numbers_of_python_2_are_those_that_were_written(raw: bytes, tmp_path: Path) -> None:
    array = np.frombuffer(raw, "<f4")
    data = python2(array, "conv1.weight")
    assert np.array_equal(pickle.loads(data, encoding="latin1")["conv1.weight"], array)
    path = tmp_path / "old.pkl"
    path.write_bytes(data)
    (weights, *_) = open_weights(path)
    assert weights.tensors["conv1.weight"].load().numpy().tobytes() == raw


class Program:
    def __reduce__(self) -> Any:
        return eval, ("1 + 1",)


BAD = {
    "no arrays": ({"model": {"epoch": 3}}, UnsupportedWeightsError, "holds no arrays with names"),
    "a list": ([np.ones(3)], UnsupportedWeightsError, "plain Python pickle, which"),
    "a program": (
        {"model": {"conv.weight": np.ones(2), "x": Program()}},
        UnsafeWeightsError,
        "would run Python code",
    ),
}


@pytest.mark.parametrize("what", BAD)
def test_other_pickles_are_refused(what: str, tmp_path: Path) -> None:
    content, error, message = BAD[what]
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(content, 2))
    with pytest.raises(error, match=message):
        open_weights(path)


@pytest.mark.parametrize("share", [0.2, 0.7, 0.99])
def test_a_cut_file_is_refused(share: float, tmp_path: Path) -> None:
    data = pickle.dumps({"model": ARRAYS}, 2)
    path = tmp_path / "model.pkl"
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(BrokenWeightsError, match="damaged or cut off"):
        open_weights(path)


def test_what_holds_itself_in_many_places_ends(tmp_path: Path) -> None:
    itself: dict[str, Any] = {}
    itself.update({f"k{n}": itself for n in range(400)})
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(itself, 4))
    with pytest.raises(UnsupportedWeightsError, match="holds no arrays with names"):
        open_weights(path)
    itself["model"] = {"conv.weight": np.ones(3, np.float32)}
    path.write_bytes(pickle.dumps(itself, 4))
    (weights, *_) = open_weights(path)
    assert weights.container == "pickle"


@pytest.mark.parametrize("name", ["pathlib\nPath", "torch\ndevice"])
def test_a_value_that_doubles_at_each_step_stays_small(name: str, tmp_path: Path) -> None:
    steps = b"".join(f"c{name}\n(g{n}\ng{n}\ntRp{n + 1}\n0".encode() for n in range(60))
    path = tmp_path / "model.pkl"
    path.write_bytes(
        b"\x80\x02}(X\x08\x00\x00\x00aaaaaaaap0\n0" + steps + b"X\x01\x00\x00\x00bg60\nu."
    )
    with pytest.raises(BrokenWeightsError, match=r"a path is too long|names a device"):
        open_weights(path)


def test_rare_arrays_beside_the_weights_do_not_hide_them(tmp_path: Path) -> None:
    turned = np.arange(24, dtype=np.float32).reshape(2, 3, 4).transpose(1, 0, 2)  # order "K"
    table = np.zeros(2, [("name", "O"), ("score", "f4")])
    zoo = {
        "model": {**ARRAYS, "k.weight": turned},
        "log": [table, table[0], np.str_(""), np.bytes_()],
    }
    for protocol in (2, 5):
        path = tmp_path / f"model_{protocol}.pkl"
        path.write_bytes(pickle.dumps(zoo, protocol))
        (weights, *_) = open_weights(path)
        assert np.array_equal(weights.tensors["k.weight"].load().numpy(), turned)
