"""What ``import napari_segnet`` costs, and that its names mean the same in every order."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import napari_segnet

HEAVY = (
    "torch torchvision dask zarr skimage scipy tifffile imagecodecs PIL cc3d edt fastremap "
    "fill_voids napari qtpy magicgui superqt"
).split()
WINDOW = ("napari", "qtpy", "magicgui", "superqt", "PyQt5", "PyQt6", "PySide2", "PySide6")


def python(code: str) -> str:
    """Run code in a fresh interpreter and return what it prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.subprocess
def test_importing_the_package_imports_nothing_heavy():
    code = f"import sys, napari_segnet; print(*[m for m in {HEAVY} if m in sys.modules])"
    assert python(code).split() == []


@pytest.mark.subprocess
def test_naming_the_open_sets_imports_nothing_heavy():
    """The lists of readers, steps, families... are read when the command starts."""
    code = f"""
import sys
import napari_segnet.containers, napari_segnet.families, napari_segnet.recognition
import napari_segnet.prepare, napari_segnet.readers, napari_segnet.steps
print(*[m for m in {HEAVY} if m in sys.modules])
"""
    assert python(code).split() == []


TELLING = [
    ["models"],
    ["models", "--json"],
    ["inspect", "nuclei", "--json"],
    ["inspect", "unet.pth"],
    ["inspect", "graph.safetensors", "--json"],
    ["inspect", "maskrcnn.pth", "--json", "--set", "norm_eps=0"],
    ["inspect", "unet.pth", "cells.npy", "--set", "scale=2"],
]


@pytest.mark.subprocess
def test_telling_what_a_network_is_needs_no_torch(tmp_path):
    """Nor anything else that is slow to import, without an image."""
    import numpy as np
    from safetensors.torch import save_file
    from support.graph_networks import Gated, gated, header
    from support.maskrcnns import small_maskrcnn
    from support.networks import Milesial, save_as

    save_as(Milesial(width=4, depth=2, bilinear=True), tmp_path / "unet.pth", "training")
    save_as(small_maskrcnn(), tmp_path / "maskrcnn.pth", "training")
    metadata = {"napari_segnet": header(gated())}
    save_file(Gated().state_dict(), tmp_path / "graph.safetensors", metadata=metadata)
    np.save(tmp_path / "cells.npy", np.eye(20, dtype=np.uint8))
    code = f"""
import os, sys
from napari_segnet.__main__ import main
os.chdir({str(tmp_path)!r})
for words in {TELLING}:
    assert main(words) == 0, words
    heavy = [m for m in {HEAVY} if m in sys.modules]
    assert not heavy, (words, heavy)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout and not done.stderr


@pytest.mark.subprocess
def test_the_core_needs_neither_napari_nor_qt():
    """Every module outside ``widgets`` imports where a window toolkit cannot."""
    code = f"""
import importlib, pkgutil, sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {WINDOW}:
            raise ModuleNotFoundError(f"the core asked for {{name}}", name=name)

sys.meta_path.insert(0, Refuse())
import napari_segnet
seen = 0
for module in pkgutil.walk_packages(napari_segnet.__path__, "napari_segnet."):
    if not module.name.startswith("napari_segnet.widgets"):
        importlib.import_module(module.name)
        seen += 1
print(seen, *[m for m in {WINDOW} if m in sys.modules])
"""
    seen, *windows = python(code).split()
    assert int(seen) > 20
    assert windows == []


def test_public_names_are_sorted_and_resolve():
    assert sorted(napari_segnet.__all__) == napari_segnet.__all__
    for name in napari_segnet.__all__:
        assert getattr(napari_segnet, name) is not None
    assert set(napari_segnet.__all__) <= set(dir(napari_segnet))


def test_type_checkers_see_the_same_names():
    """The late names and the imports under TYPE_CHECKING are one list."""
    tree = ast.parse(Path(napari_segnet.__file__).read_text(encoding="utf-8"))
    seen = {
        alias.asname: (node.module or "").removeprefix("napari_segnet.")
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("napari_segnet.")
        for alias in node.names
    }
    assert seen == napari_segnet._HOMES


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'segmentt'"):
        napari_segnet.segmentt  # noqa: B018 - the access is the test


@pytest.mark.sample(2)
@pytest.mark.parametrize(
    "code",
    [
        "import napari_segnet as sn, napari_segnet.evaluate",
        "import napari_segnet.evaluate\nimport napari_segnet as sn",
        "from napari_segnet.evaluate import Scores\nimport napari_segnet as sn",
        "import napari_segnet as sn\nsn.evaluate\nimport napari_segnet.evaluate",
        "from napari_segnet import evaluate\nimport napari_segnet as sn\nassert callable(evaluate)",
        "import napari_segnet as sn, napari_segnet.inference\nassert callable(sn.predict)",
    ],
)
@pytest.mark.subprocess
def test_a_function_keeps_its_name_in_every_import_order(code):
    """``evaluate`` is a function, and a module of the same name."""
    python(f"""
{code}
assert callable(sn.evaluate)
from napari_segnet.evaluate import evaluate
assert evaluate is sn.evaluate
""")


@pytest.mark.subprocess
def test_a_function_keeps_its_name_in_every_thread():
    python("""
import importlib, threading
import napari_segnet as sn

gate = threading.Barrier(8)
wrong = []

def ask(number):
    gate.wait()
    if number % 2:
        importlib.import_module("napari_segnet.evaluate")
    for _ in range(200):
        if not callable(sn.evaluate):
            wrong.append(number)

threads = [threading.Thread(target=ask, args=(n,)) for n in range(8)]
[t.start() for t in threads]
[t.join() for t in threads]
assert not wrong
assert callable(sn.evaluate)
""")


def test_a_name_can_be_replaced_in_a_test(monkeypatch):
    """Only the import system's own assignment is refused."""
    monkeypatch.setattr(napari_segnet, "evaluate", len)
    assert napari_segnet.evaluate("abc") == 3


def test_no_file_is_imported_by_what_it_imports():
    """Not even inside a function, nor through the ``__init__`` of its own folder."""
    grimp = pytest.importorskip("grimp")
    graph = grimp.build_graph("napari_segnet", exclude_type_checking_imports=True, cache_dir=None)
    circles = []
    for module in sorted(graph.modules):
        for imported in sorted(graph.find_modules_directly_imported_by(module)):
            chain = graph.find_shortest_chain(importer=imported, imported=module)
            if chain is not None:
                circles.append(" -> ".join((module, *chain)))
    assert circles == []
