"""What every container promises; a newcomer is tested without an edit here.

To let a newcomer's reading be tried as well, give ``WRITERS`` a function that writes a
dict of tensors as its kind of file, and returns what an independent reader makes of it.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import hypothesis.strategies as st
import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from support.onnx_files import KINDS as ONNX_KINDS
from support.onnx_files import graph, model, part, tensor_of

from napari_segnet.containers import CONTAINERS, Container, TensorRef, open_tree, open_weights
from napari_segnet.errors import WeightsError

Tensors = dict[str, torch.Tensor]


def torch_zip(tensors: Tensors, path: Path) -> Mapping[str, torch.Tensor]:
    torch.save(tensors, path)
    return torch.load(path, weights_only=True)


def torch_legacy(tensors: Tensors, path: Path) -> Mapping[str, torch.Tensor]:
    # torch cannot read float8 back from its own legacy file: test_torch_files.py tries it
    known = {
        key: tensor.half() if "float8" in str(tensor.dtype) else tensor
        for key, tensor in tensors.items()
    }
    torch.save(known, path, _use_new_zipfile_serialization=False)
    return torch.load(path, weights_only=True)


def safe(tensors: Tensors, path: Path) -> Mapping[str, torch.Tensor]:
    alone = {
        key: tensor.clone(memory_format=torch.contiguous_format).contiguous()
        for key, tensor in tensors.items()
    }
    safetensors.torch.save_file(alone, path)
    return safetensors.torch.load_file(path)


def onnx(tensors: Tensors, path: Path) -> Mapping[str, torch.Tensor]:
    """No other reader is at hand: what was written is what is to be read."""
    alone = {key: tensor.clone(memory_format=torch.contiguous_format).contiguous()
             for key, tensor in tensors.items()}  # fmt: skip
    rows = []
    for key, tensor in alone.items():
        kind = ONNX_KINDS[str(tensor.dtype).removeprefix("torch.")]
        content = part(9, bits(tensor).numpy().tobytes())
        rows.append(tensor_of(key, tensor.shape, kind, content))
    path.write_bytes(model(graph([], rows, [], [])))
    return alone


WRITERS: dict[str, Callable[[Tensors, Path], Mapping[str, torch.Tensor]]] = {
    "torch-zip": torch_zip,
    "torch-legacy": torch_legacy,
    "safetensors": safe,
    "onnx": onnx,
}
DTYPES = (
    torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32,
    torch.int16, torch.int8, torch.uint8, torch.bool, torch.complex64,
    torch.float8_e4m3fn, torch.float8_e5m2,
)  # fmt: skip

every_container = pytest.mark.parametrize("container", CONTAINERS, ids=lambda c: c.name)
every_writer = pytest.mark.parametrize("kind", WRITERS)


def random_bytes(shape: tuple[int, ...], dtype: torch.dtype, seed: int) -> torch.Tensor:
    source = torch.Generator().manual_seed(seed)
    if dtype == torch.bool:
        return torch.randint(0, 2, shape, generator=source).bool()
    numbers = torch.randn(shape, generator=source) * 20
    return numbers.to(dtype)


@st.composite
def tensor(draw: st.DrawFn) -> torch.Tensor:
    """A tensor of any kind and shape, often not contiguous, sometimes a part of a larger one."""
    shape = tuple(draw(st.lists(st.integers(0, 4), max_size=4)))
    made = random_bytes(shape, draw(st.sampled_from(DTYPES)), draw(st.integers(0, 99)))
    if made.ndim and draw(st.booleans()):
        made = made.permute(draw(st.permutations(range(made.ndim))))
    if made.ndim and draw(st.booleans()):
        made = made[draw(st.integers(0, 1)) :: draw(st.integers(1, 2))]
    if draw(st.booleans()):
        made = made.unsqueeze(0).expand(2, *made.shape)
    return made


@st.composite
def trees(draw: st.DrawFn) -> Tensors:
    keys = draw(st.lists(st.text("abc.ü1", min_size=1), min_size=1, max_size=4, unique=True))
    found = {key: draw(tensor()) for key in keys}
    if draw(st.booleans()):
        found["shared"] = found[keys[0]]
        found["shared_part"] = found[keys[0]][..., :1] if found[keys[0]].ndim else found[keys[0]]
    return found


def assert_same(expected: torch.Tensor, reference: TensorRef) -> None:
    assert tuple(expected.shape) == reference.shape
    assert f"torch.{reference.dtype}" == str(expected.dtype)
    loaded = reference.load()
    assert loaded.device.type == "cpu"
    assert loaded.shape == expected.shape
    assert loaded.dtype == expected.dtype
    # as bits, so that NaN equals itself
    assert torch.equal(bits(loaded), bits(expected))


def bits(tensor: torch.Tensor) -> torch.Tensor:
    dense = torch.empty(tensor.shape, dtype=tensor.dtype).copy_(tensor)
    return dense.reshape(-1).view(torch.uint8)


@every_container
def test_names_are_unique(container: Container) -> None:
    assert container.name
    assert sum(other.name == container.name for other in CONTAINERS) == 1


@every_container
def test_opening_anything_raises_no_other_error(container: Container, tmp_path: Path) -> None:
    """Each is honest even about a file that is not its own kind, where it claims it."""
    path = tmp_path / "weights.pth"
    for content in (
        b"",
        b"\0" * 100,
        b"PK\x03\x04",
        b"\x80\x02}.",
        b"{" * 100,
        b"\x89HDF\r\n\x1a\n",
    ):
        path.write_bytes(content)
        if container.detect(content[:4096], path):
            try:
                container.open(path)
            except WeightsError as error:
                assert "weights.pth" in str(error)


@every_writer
@given(tensors=trees())
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_tensors_are_what_another_reader_loads(kind: str, tensors: Tensors, tmp_path: Path) -> None:
    path = tmp_path / "weights"
    expected = WRITERS[kind](tensors, path)
    tree = open_tree(path)
    assert tree.container == kind
    assert set(tree.root) == set(expected)
    for key, reference in tree.root.items():
        assert_same(expected[key], reference)


@every_writer
def test_the_order_of_the_file_is_kept(kind: str, tmp_path: Path) -> None:
    if kind == "safetensors":
        pytest.skip("its writer sorts by the kind of number")
    tensors = {key: torch.zeros(1) for key in ("z", "a", "m.b", "m.a")}
    WRITERS[kind](tensors, tmp_path / "weights")
    (first, *_rest) = open_weights(tmp_path / "weights")
    assert list(first.tensors) == ["z", "a", "m.b", "m.a"]


@every_writer
@given(cut=st.floats(0, 1, exclude_max=True))
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_file_cut_anywhere_is_refused(kind: str, cut: float, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    if not whole.exists():
        WRITERS[kind]({"a.weight": torch.ones(50, 3), "a.bias": torch.ones(9)}, whole)
    data = whole.read_bytes()
    path = tmp_path / "cut.pth"
    path.write_bytes(data[: int(cut * len(data))])
    with pytest.raises(WeightsError, match=r"cut\.pth"):
        open_weights(path)


@every_writer
@given(
    flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), min_size=1)
)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damage_anywhere_gives_no_other_error(
    kind: str, flips: list[tuple[float, int]], tmp_path: Path
) -> None:
    whole = tmp_path / "whole"
    if not whole.exists():
        WRITERS[kind]({"a.weight": torch.ones(2, 3), "a.bias": torch.ones(2)}, whole)
    data = bytearray(whole.read_bytes())
    for where, mask in flips:
        data[int(where * len(data))] ^= mask
    path = tmp_path / "damaged.pth"
    path.write_bytes(data)
    try:
        for weights in open_weights(path):
            for reference in weights.tensors.values():
                reference.load()
    except WeightsError as error:
        assert "pth" in str(error) or "tensor" in str(error)


@every_writer
@pytest.mark.subprocess
def test_listing_imports_no_torch_and_reads_no_tensor(kind: str, tmp_path: Path) -> None:
    """A tensor of 4 MB is listed in less than one."""
    path = tmp_path / "weights"
    WRITERS[kind]({"a.weight": torch.ones(1000, 1000)}, path)
    code = f"""
import sys, tracemalloc
from napari_segnet.containers import open_weights
tracemalloc.start()
(first, *_) = open_weights({str(path)!r})
assert next(iter(first.tensors.values())).shape == (1000, 1000)
assert tracemalloc.get_traced_memory()[1] < 1_000_000, "it read the tensor"
print("torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["False"], done.stderr


@every_writer
def test_a_file_that_changes_is_not_read_wrongly(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    WRITERS[kind]({"a.weight": torch.ones(3)}, path)
    reference = open_tree(path).root["a.weight"]
    path.write_bytes(path.read_bytes() + b"more")
    with pytest.raises(WeightsError, match=r"weights\.pth has changed since it was opened"):
        reference.load()
    path.unlink()
    with pytest.raises(WeightsError, match=r"weights\.pth can no longer be read"):
        reference.load()
