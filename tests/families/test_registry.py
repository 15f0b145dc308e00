"""Families are imported when a file looks like one of them; other packages may bring theirs."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
import textwrap
import warnings
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from support.examples import EXAMPLES
from support.networks import weights_of
from torch import nn

from napari_segnet import recognition
from napari_segnet.errors import SettingsError, UnknownNetworkError
from napari_segnet.families import FAMILIES, Families, Trainable
from napari_segnet.families.registry import ENTRIES, ENTRY_POINTS

PAGE = Path(__file__).resolve().parents[2] / "CONTRIBUTING.md"


def test_lines_and_classes_have_the_same_names():
    assert [entry.name for entry in ENTRIES] == [entry.load().name for entry in ENTRIES]
    assert [family.name for family in FAMILIES] == [entry.name for entry in ENTRIES]
    assert FAMILIES.named(ENTRIES[0].name) is FAMILIES[0]
    assert FAMILIES[:2] == (FAMILIES[0], FAMILIES[1])
    assert FAMILIES.named("no-such") is None
    assert repr(FAMILIES).startswith("Families(segnet-unet, graph, ")


def test_what_a_family_detects_has_its_signature():
    """Else a line would hide files from a family that knows them."""
    detected = set()
    for example in (example for examples in EXAMPLES.values() for example in examples):
        weights = weights_of(example.make(), example.metadata, closed=True)
        for entry in ENTRIES:
            found = entry.load().detect(weights)
            assert entry.may_be(weights) or not found, (entry, example.name)
            detected |= {entry.name} if found else set()
    assert detected == {entry.name for entry in ENTRIES}


@pytest.mark.subprocess
def test_only_the_family_that_a_file_looks_like_is_imported(tmp_path):
    example = EXAMPLES["mateuszbuda-unet"][0]
    torch.save(example.make().state_dict(), tmp_path / "net.pth")
    code = """
        import sys
        from napari_segnet.recognition import identify
        print(identify("net.pth").family)
        known = "milesial", "mateuszbuda", "jvanvugt", "maskrcnn"
        print(*(n for n in known if f"napari_segnet.families.{n}" in sys.modules))
    """
    words = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["mateuszbuda-unet", "mateuszbuda"]


@pytest.fixture
def distribution(tmp_path, monkeypatch):
    """Install a package of somebody else: its name, its module and its entry points."""

    def install(code: str, points: str, name: str = "foreign") -> None:
        folder = tmp_path / "site"
        info = folder / f"{name}-1.0.dist-info"
        info.mkdir(parents=True)
        (folder / f"{name}_module.py").write_text(code)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[{ENTRY_POINTS}]\n{points}\n")
        monkeypatch.syspath_prepend(folder)
        monkeypatch.delitem(sys.modules, f"{name}_module", raising=False)
        families = Families(ENTRIES, ENTRY_POINTS)
        for module in (recognition, sys.modules["napari_segnet.train._begin"]):
            monkeypatch.setattr(module, "FAMILIES", families)
        (found,) = importlib.metadata.entry_points(group=ENTRY_POINTS)
        assert found.dist.name == name

    return install


@pytest.fixture
def two_layers(tmp_path) -> Path:
    """Weights that only the family of CONTRIBUTING.md knows."""
    torch.manual_seed(0)
    layers = OrderedDict(first=nn.Conv2d(1, 4, 3), relu=nn.ReLU(), second=nn.Conv2d(4, 1, 3))
    torch.save(nn.Sequential(layers).state_dict(), tmp_path / "net.pth")
    return tmp_path / "net.pth"


def code_of_the_page() -> str:
    page = PAGE.read_text(encoding="utf-8")
    return re.findall(r"```python\n# \S+/two_layers/\S+\n(.*?)```", page, re.DOTALL)[0]


def test_another_package_adds_a_family(distribution, two_layers):
    from napari_segnet.train._begin import trainable

    distribution(code_of_the_page(), "two-layers = foreign_module:TwoLayers")
    found = recognition.identify(two_layers)
    assert (found.family, found.hparams, found.halo_px) == ("two-layers", {"width": 4}, (2, 2))
    family = recognition.family_of(found)
    assert (type(family).__module__, recognition.title_of(found)) == (
        "foreign_module",
        "two convolutions",
    )
    with pytest.raises(SettingsError, match="two convolutions has no hyper-parameter 'depth'"):
        recognition.identify(two_layers, {"depth": 3})
    assert not isinstance(family, Trainable)
    with pytest.raises(SettingsError, match="family 'two-layers' cannot be trained"):
        trainable(found)


def test_another_package_is_not_imported_for_what_ours_know(distribution, tmp_path):
    distribution("raise RuntimeError('imported')", "two-layers = foreign_module:TwoLayers")
    torch.save(EXAMPLES["milesial-unet"][0].make().state_dict(), tmp_path / "net.pth")
    assert recognition.identify(tmp_path / "net.pth").family == "milesial-unet"


@pytest.mark.parametrize(
    ("code", "points", "said"),
    [
        ("import no_such", "toy = foreign_module:Toy", r"No module named 'no_such'"),
        ("Toy = 3", "toy = foreign_module:Toy", "lacks what every family has"),
        ("Toy = 3", "toy = foreign_module:Other", "cannot be imported .AttributeError"),
        ("", "milesial-unet = foreign_module:Toy", "has a name that is taken"),
    ],
)
def test_a_broken_family_of_another_package_is_one_warning(
    distribution, two_layers, code, points, said
):
    distribution(code, points)
    with pytest.warns(RuntimeWarning, match=f"of foreign .*{said}") as caught:
        first = recognition.identify(two_layers)
    assert len(caught) == 1
    assert str(caught[0].message).endswith("it is not used. Update or remove that package.")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert recognition.identify(two_layers) == first  # read by its structure, as without it
        with pytest.raises(UnknownNetworkError, match="install the package that brought it"):
            recognition.FAMILIES.named("toy") or recognition.family_of(
                type("Of", (), {"family": "toy"})
            )


def test_a_family_of_another_package_that_fails_is_one_warning(distribution, two_layers):
    code = code_of_the_page().replace('return {"first', 'raise KeyError(3)\n        return {"first')
    distribution(code, "two-layers = foreign_module:TwoLayers")
    with pytest.warns(RuntimeWarning, match=r"'two-layers' of another package fails .KeyError: 3"):
        first = recognition.identify(two_layers)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert recognition.identify(two_layers) == first
    assert first.family == "graph"


def test_a_family_that_calls_itself_something_else_is_not_used(distribution, two_layers):
    distribution(code_of_the_page(), "two = foreign_module:TwoLayers")
    with pytest.warns(RuntimeWarning, match="calls itself 'two-layers'"):
        assert recognition.identify(two_layers).family == "graph"
