"""What reading one file may cost is counted before it is spent, and refused in words."""

from __future__ import annotations

import io
import re
import sys
import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from napari_segnet.budget import Budget, OverBudget, parsed_json, parsed_yaml
from napari_segnet.containers import candidates, open_tree
from napari_segnet.containers._inert import Inert, plain
from napari_segnet.containers._protobuf import Message, Source
from napari_segnet.containers._types import TensorRef, Tree
from napari_segnet.containers._unpickle import Stream, unpickle
from napari_segnet.errors import BrokenWeightsError, UnknownNetworkError, UnsupportedWeightsError
from napari_segnet.families.maskrcnn.detectron2.config import recorded_in
from napari_segnet.programs._evaluate import NotReadable
from napari_segnet.programs.exported import _run as exported_run
from napari_segnet.programs.onnx import _draw as onnx_draw
from napari_segnet.programs.source._budget import Budget as SourceBudget
from napari_segnet.programs.torchscript import _run as script_run

DOUBLED = "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}' if n else 'x'] * 10)}]\n" for n in range(10)
)


def test_each_part_of_a_budget_ends() -> None:
    with pytest.raises(OverBudget, match="more steps than any such file"):
        Budget(steps=3).step(4)
    with pytest.raises(OverBudget, match="more memory than any such file"):
        Budget(nbytes=10).made("a text")
    with pytest.raises(OverBudget, match="more than 1 deep"):
        with (once := Budget(deepest=1)).inside(), once.inside():
            pass
    late = Budget(seconds=0)
    until = time.thread_time() + 0.01
    with pytest.raises(OverBudget, match="more than 0 s to be understood"):
        while time.thread_time() < until + 1:
            late.step()
    assert Budget(steps=2).can(2) and not Budget(steps=2).can(3)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ('{"a": NaN}', "NaN is no number"),
        ('{"a": 1e999}', "too large"),
        ('{"a": -Infinity}', "-Infinity"),
        ("9" * 5000, "5,000 digits"),
        ("[" * 100_000, "in each other"),
        ('"\\ud800"', "surrogates"),
        (b"\xff\xfe\x00\xd8", "decode"),
        ('{"a": 1, "a": 2}', "twice"),
    ],
)
def test_json_that_could_not_be_printed_or_computed_with(text: str | bytes, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        parsed_json(text, unique=True)


def test_json_of_all_kinds() -> None:
    text = '{"a": [1, -2.5e3, "\\ud83d\\ude00", null, true], "": {}}'
    expected = {"a": [1, -2500.0, "😀", None, True], "": {}}
    for written in (text, text.encode(), text.encode("utf-16"), text.encode("utf-8-sig")):
        assert parsed_json(written) == expected


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (DOUBLED, "more values"),
        ("&a [*a]", "holds itself"),
        ("[" * 100, "in each other"),
        ("a: 2001-99-99", "month|cannot be understood"),
        ("a: " + "9" * 5000, "digits"),
        ("!!python/object/apply:os.system [exit]", "python/object"),
        ("{[1]: 2}", "unhashable|hashable"),
    ],
)
def test_yaml_that_is_more_than_it_looks(text: str, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        parsed_yaml(text)


def test_yaml_with_aliases() -> None:
    assert parsed_yaml("a: &x [1, 2]\nb: *x\nc: {<<: {d: 3}}") == {
        **{"a": [1, 2], "b": [1, 2]},
        "c": {"d": 3},
    }


CONFIGURATIONS = {
    "MODEL: {PIXEL_MEAN: [.nan, .nan, .nan]}": r"PIXEL_MEAN: \[nan, nan, nan\].*not used",
    "MODEL: {PIXEL_STD: [0, 0, 0]}": r"PIXEL_STD: \[0, 0, 0\].*not used",
    "MODEL: {PIXEL_STD: 1}": "PIXEL_STD: 1 .*not used",
    "MODEL: {DATE: 2001-99-99}": "no configuration of Detectron2",
    f"{DOUBLED}MODEL: {{FPN: {{FUSE_TYPE: *a9}}}}": "no configuration of Detectron2",
    "MODEL: {RPN: {BBOX_REG_WEIGHTS: 5}}": "BBOX_REG_WEIGHTS: 5",
    "MODEL: {ROI_BOX_HEAD: {POOLER_TYPE: [1], POOLER_SAMPLING_RATIO: 0}}": r"POOLER_TYPE: \[1\]",
}


@pytest.mark.parametrize("text", CONFIGURATIONS)
def test_a_configuration_of_other_kinds_is_said(text: str, tmp_path: Any) -> None:
    (tmp_path / "config.yaml").write_text(text)
    weights: Any = SimpleNamespace(path=tmp_path / "w.pth", metadata={}, tensors={})
    try:
        said = "; ".join(recorded_in(weights, 3)[1])
    except UnsupportedWeightsError as error:
        said = str(error)
    assert re.search(CONFIGURATIONS[text], said), said


def _read(data: bytes) -> Any:
    return unpickle(Stream(io.BytesIO(data), len(data)), "weights.pth")


def _reduce(name: str, argument: bytes) -> bytes:
    module, _, function = name.rpartition(".")
    return f"c{module}\n{function}\n".encode() + argument + b"\x85R"


LONG = b"\x8d" + (300_000).to_bytes(8, "little") + b"x" * 300_000 + b"\x940"
"""A text of 300,000 letters, remembered as number 0."""
BOMBS = {
    "a text encoded again and again": LONG + _reduce("_codecs.encode", b"h\x00") * 5000,
    "a list copied again and again": (
        b"(" + b"K\x01" * 100_000 + b"l\x940" + _reduce("builtins.list", b"h\x00") * 5000
    ),
    "a name that grows": b"cx\ny\n" + b")R" * 300_000,
    "paths of long texts": (
        b"\x8d"
        + (30_000).to_bytes(8, "little")
        + b"x" * 30_000
        + b"\x940"
        + _reduce("pathlib.Path", b"h\x00") * 30_000
    ),
    "a state joined again and again": (
        b"cx\ny\n)R}("
        + b"".join(b"M" + n.to_bytes(2, "little") + b"N" for n in range(60_000))
        + b"u\x94"
        + b"b"
        + b"}b" * 100
        + b"h\x00b" * 100_000
    ),
    "names of long texts": LONG + b"h\x00h\x00\x930" * 60_000,
}


@pytest.mark.parametrize("kind", BOMBS)
def test_a_pickle_that_takes_more_than_it_has(kind: str) -> None:
    started = time.thread_time()
    with pytest.raises(BrokenWeightsError, match=r"more (steps|memory) than any such file"):
        _read(b"\x80\x04" + BOMBS[kind] + b".")
    assert time.thread_time() - started < 5


def test_sets_in_sets_that_are_equal_are_not_compared_for_ever() -> None:
    data = b"\x80\x04"
    for start in (b"K\x01", b"K\x01"):
        data += b"(" + start + b"\x91"
        for _ in range(40):
            data += b"\x940"  # remember, drop
            memo = data.count(b"\x940") - 1
            get = b"h" + bytes([memo])
            data += b"(K\x01" + get + b"\x86K\x02" + get + b"\x86\x91"
    with pytest.raises(BrokenWeightsError, match="cannot be a key"):
        _read(data + b"\x86.")


def test_what_is_copied_counts_the_numbers_of_arrays() -> None:
    many = [np.zeros(4000, np.int8)] * 1000
    copied = plain(many)
    assert sum(len(one) for one in copied if isinstance(one, list)) <= 200_000
    assert plain({1 << 20_000: slice(1 << 20_000)}) == {"...": "..."}


def ref(n: int) -> TensorRef:
    return TensorRef(shape=(n,), dtype="float32", load=lambda: torch.zeros(n))


def inert(parameters: Any, modules: Any) -> Inert:
    held = {"_parameters": parameters, "_buffers": {}, "_modules": modules}
    return Inert("net.Block", state=held)


@pytest.mark.long
def test_networks_that_share_their_parts_are_counted_for_each_place(tmp_path: Any) -> None:
    inner: Any = {f"n{n}": n for n in range(1500)}
    for _ in range(5):
        inner = {f"k{n}": dict(inner) if n < 1 else inner for n in range(16)}
    tree = Tree(container="pickle", root=inner, metadata={})
    with pytest.raises(UnknownNetworkError, match="holds no network"):
        candidates(tree, tmp_path / "weights.pkl")
    shared = {f"w{n}": ref(n) for n in range(300)}
    module = inert(shared, {})
    for _ in range(12):
        module = inert(shared, {"a": module, "b": module})
    with pytest.raises(BrokenWeightsError, match="as often as it is referred to"):
        candidates(Tree(container="pickle", root=module, metadata={}), tmp_path / "weights.pkl")


def test_tensors_that_expand_to_more_than_a_file_holds(tmp_path: Any) -> None:
    path = tmp_path / "weights.pth"
    torch.save({"conv.weight": torch.zeros(1).expand(40_000, 40_000)}, path)
    with pytest.raises(BrokenWeightsError, match="expand to 6,400,000,000 bytes"):
        open_tree(path)
    torch.save({"conv.weight": torch.zeros(1).expand(400, 400)}, path)
    assert open_tree(path).root["conv.weight"].shape == (400, 400)


def test_the_time_in_which_a_library_is_imported_is_not_that_of_the_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "thread_time", lambda: now[0])
    budget = Budget(seconds=2, _begun=0.0, _looked=0.0)
    monkeypatch.setitem(sys.modules, "a_library_of_the_first_use", sys)
    now[0] = 60.0
    budget.look()
    now[0] = 63.0
    with pytest.raises(OverBudget, match="more than 2 s to be understood"):
        budget.look()


@pytest.mark.parametrize("kind", ["source", "torchscript", "exported", "onnx"])
def test_programs_are_read_by_the_clock(kind: str) -> None:
    empty: Any = None
    if kind == "source":
        budget: Budget = SourceBudget(seconds=0)
    elif kind == "onnx":
        budget = onnx_draw.Reader(empty, empty, empty).budget
    elif kind == "exported":
        budget = exported_run.Runner(empty, empty, empty, empty).budget
    else:
        budget = script_run.Runner(empty, empty, empty, empty, empty).budget
    budget.seconds = 0
    until = time.thread_time() + 0.002
    while time.thread_time() < until:
        pass
    with pytest.raises(NotReadable, match="more than 0 s to be understood"):
        budget.step(10_000)


def test_fields_of_protobuf_are_counted_and_timed() -> None:
    data = b"\x08\x01" * 5000
    source = Source(io.BytesIO(data), len(data))
    source.budget.steps = 100
    with pytest.raises(ValueError, match="more steps than any such file"):
        list(Message(source, 0, len(data)))
    text = b"\x0a\x7f" + b"x" * 127
    source = Source(io.BytesIO(text), len(text))
    source.budget.nbytes = 100
    (field,) = Message(source, 0, len(text))
    with pytest.raises(ValueError, match="more memory than any such file"):
        Message(source, 0, len(text)).data(field)
