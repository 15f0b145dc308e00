"""The pages say what the code does: settings and defaults, what opens, commands, links.

Every command and every piece of Python on them is run, in a folder with the files that they name.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import importlib
import itertools
import re
import shlex
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest
import tifffile
import torch
from support.dicoms import save_series
from support.keras_networks import written
from support.networks import Milesial, calibrate

import napari_segnet
from napari_segnet.__main__ import main
from napari_segnet.builtin import builtin_models, weights_path
from napari_segnet.commands import COMMANDS, demo
from napari_segnet.commands._plan import BUILT_IN, checked_settings
from napari_segnet.commands._wishes import sort_wishes
from napari_segnet.containers import CONTAINERS
from napari_segnet.engines.torch import identify
from napari_segnet.families import FAMILIES
from napari_segnet.inference import LabelSettings, PredictSettings
from napari_segnet.prepare import NORMALIZERS
from napari_segnet.readers import READERS
from napari_segnet.settings import parse_pairs, settings_from
from napari_segnet.steps import LABELERS, REFINERS
from napari_segnet.train import TrainSettings

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("benchmarks/*.md")])


NO_SETTINGS = {
    *(
        "head",
        "join",
        "output",
        "activation",
        "align_corners",
        "anchor_sizes_px",
        "downsample",
        "img_size",
        "lambda",
        "norm_eps",
        "resize",
        "y",
        "z",
    ),
}
"""Names with values that stand on the pages: a fact of a network, an option of torch, a place."""
OF_THE_EXAMPLES = ("=unit-mean", "=shrink")
"""CONTRIBUTING.md adds them; test_contributing.py tries them."""
NETWORKS = ("unet.pth", "unet.h5", "better.safetensors", "nuclei")


def blocks(page: Path, language: str) -> list[str]:
    """Return the code that stands between fences of a language ("" for none)."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.S | re.M)
    return [code for of, code in found if of == language]


def slug(title: str) -> str:
    """Return the anchor of a heading, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def section(page: str, title: str) -> str:
    """Return the text of a page from one heading to the next of the same level."""
    text = (ROOT / page).read_text(encoding="utf-8")
    (found,) = re.findall(rf"^## {re.escape(title)}$(.*?)(?=^## |\Z)", text, re.M | re.S)
    return found


def typed(value: object) -> str:
    """Return a default as a person would type it after ``--set KEY=``."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(str(v) for v in value) or "auto"
    return "-" if value is None else str(value)


@pytest.mark.parametrize(
    ("title", "settings"),
    [
        ("How the network is run (`PredictSettings`)", PredictSettings),
        ("How labels are made (`LabelSettings`)", LabelSettings),
        ("How a network is trained (`TrainSettings`)", TrainSettings),
    ],
)
def test_every_setting_stands_in_its_table_with_its_default(title, settings):
    rows = re.findall(r"^\| `(\w+)` \| `([^`]*)` \| \S", section("docs/settings.md", title), re.M)
    expected = [(f.name, typed(getattr(settings(), f.name))) for f in dataclasses.fields(settings)]
    assert expected == rows


def test_helps_name_the_defaults_that_options_have():
    # Those of these two are chosen where they are used.
    real, named = {"segment --checkpoint": BUILT_IN, "demo --output": str(demo.FOLDER)}, {}
    for command in COMMANDS:
        parser = argparse.ArgumentParser()
        command.arguments(parser)
        for action in parser._actions:
            option = f"{command.name} {(*action.option_strings, '')[-2:][0]}"
            if action.default not in (None, False, (), "", 1, argparse.SUPPRESS, []):
                real[option] = str(action.default)
            told = r"(\w+)(?: \(|, )default\)|(?<!by )default (?!what|that)([\w-]+)\)"
            for one, other in re.findall(told, action.help or ""):
                named[option] = one or other
    assert real.pop("import --labels") == "auto"  # its help says what that means
    assert named == real


def test_every_name_of_a_setting_is_explained():
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    for entry in (*NORMALIZERS, *LABELERS, *REFINERS):
        assert f"`{entry.name}" in page, entry.name


def test_the_readme_lists_the_families_that_open():
    names = re.findall(r"^\| `([\w-]+)` \|", section("README.md", "What opens"), re.M)
    assert sorted(family.name for family in FAMILIES) == sorted(names)


def test_the_readme_lists_the_pictures_that_open():
    opens = section("README.md", "What opens")
    for reader in READERS:
        assert reader.name in opens


def test_the_readme_shows_every_command_and_no_other():
    shown = set(re.findall(r"^napari-segnet (\w+)", section("README.md", "The commands"), re.M))
    assert {command.name for command in COMMANDS} == shown


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)", text):
        linked = (page.parent / target).resolve() if target else page
        assert linked.exists(), target
        if anchor:
            titles = re.findall(r"^#+ (.*)$", linked.read_text(encoding="utf-8"), re.M)
            assert anchor in [slug(title) for title in titles]


# ---- What stands between fences is run ----


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every file that the pages speak of."""
    folder = tmp_path_factory.mktemp("prepared")
    rng = np.random.default_rng(5)
    y, x = np.mgrid[:64, :64]

    def picture() -> tuple[np.ndarray, np.ndarray]:
        labels = np.zeros((64, 64), np.uint16)
        for number, (top, left) in enumerate([(14, 14), (16, 46), (48, 20), (46, 48)], 1):
            middle = rng.uniform(-3, 3, 2) + np.array([top, left])
            labels[np.hypot(y - middle[0], x - middle[1]) < rng.uniform(7, 10)] = number
        return (200 + 900 * (labels > 0) + rng.normal(0, 20, (64, 64))).astype(np.uint16), labels

    def write(path: str, pixels: np.ndarray) -> None:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(folder / path, pixels, photometric="minisblack", metadata=None)

    pixels, labels = picture()
    for path in ("cells.tif", "folder/cells.tif"):
        write(path, pixels)
    write("truth/cells.tif", labels)
    for name in ("stack", "movie"):
        write(f"{name}.tif", np.stack([picture()[0] for _ in range(3)]))
    for number in range(1, 5):
        pixels, labels = picture()
        write(f"folder_of_masks/images/cell_{number}.tif", pixels)
        write(f"folder_of_masks/masks/cell_{number}.tif", labels)
        write(f"dataset/images/cell_{number}.tif", pixels)
        write(f"dataset/labels/cell_{number}.tif", labels)
    head = np.stack([picture()[0] for _ in range(3)])
    nibabel.save(nibabel.Nifti1Image(head.T, np.eye(4)), folder / "head.nii.gz")
    nibabel.save(
        nibabel.Nifti1Image(1 * (head > 600).T, np.eye(4), dtype="uint8"),
        folder / "head_truth.nii.gz",
    )
    save_series(folder / "series", head)
    torch.save(
        calibrate(Milesial(channels=1, classes=2, width=4, depth=3)).state_dict(),
        folder / "unet.pth",
    )
    shutil.copy(weights_path("nuclei"), folder / "better.safetensors")
    written(folder, "keras 2", "unet")
    written(folder, "keras 2", "unet-trained")
    return folder


@pytest.fixture
def workplace(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, to work in."""
    folder = tmp_path / "work"
    shutil.copytree(prepared, folder)
    monkeypatch.chdir(folder)
    return folder


def words_of(line: str) -> list[str]:
    """Split a line of the shell; variables, a screen of its own and comments are left out."""
    words = shlex.split(line, comments=True)
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words.pop(0)
    return words[2:] if words[:2] == ["xvfb-run", "-a"] else words


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_line_for_the_shell_works(page, workplace, capsys):
    for line in [line for block in blocks(page, "sh") for line in block.splitlines()]:
        match words_of(line):
            case ["napari-segnet", "train", *words]:
                check_training(words)
            case ["napari-segnet", *words]:
                here = ["cpu" if word == "cuda" else word for word in words]
                # A window would wait for somebody to close it.
                here += ["--headless"] * (words[0] == "demo" and "--headless" not in words)
                assert main(here) == 0, (line, capsys.readouterr().err)
            case ["sh" | "python", script, *options]:
                source = (ROOT / script).read_text(encoding="utf-8")
                named = [word for word in options if word.startswith("--")]
                assert [word for word in named if word not in source] == [], line
            case ["pip", "install", *packages]:
                extras = {
                    ".[all]",
                    ".[medical]",
                    ".[fast]",
                    ".[zarr]",
                    ".[test,bench]",
                    ".[test,test-window,bench]",
                }
                assert set(packages) <= {".", *extras}, line
            case [".venv/bin/pytest", *options]:
                marks = "long", "fuzz", "kills", "interop", "cuda"
                assert options in ([], ["-n", "2", "--quick"]) or options[0] == "-m", line
                assert options[1:2] == [] or options[1] in (*marks, "2"), line
                assert all((ROOT / path).exists() for path in options[2:] if "/" in path), line
            case [] | ["git", "clone", *_]:
                pass
            case words:
                raise AssertionError(f"nobody tries {words}")


def check_training(words: list[str]) -> None:
    """A training takes too long: see that its files are there and its settings make sense."""
    pairs = [value for option, value in itertools.pairwise(words) if option == "--set"]
    settings_from(TrainSettings, parse_pairs(pairs))
    assert Path(words[0]).is_dir()
    assert words[words.index("-c") + 1] in NETWORKS
    known = ("--set", "--override", "--resume", "--device", "--json", "--earlier")
    assert [word for word in words if word.startswith("--") and word not in known] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_command_or_a_setting_within_a_line_exists(page):
    """Those in running text, such as `scale=2` or `--set scale=2`, are parsed."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.S | re.M)
    for code in re.findall(r"`([^`]+)`", text.replace("\n", " ")):
        if found := re.match(r"napari-segnet (\w+)", code):
            assert found[1] in {command.name for command in COMMANDS}, code
        pairs = re.findall(r"(?:^|--set )([a-z_]+=[\w:,.-]*\w)", code)
        pairs = [pair for pair in pairs if not pair.endswith(OF_THE_EXAMPLES)]
        wishes = sort_wishes(parse_pairs(pairs))
        checked_settings(wishes)
        of_training = {field.name for field in dataclasses.fields(TrainSettings)}
        assert set(wishes.overrides) <= NO_SETTINGS | of_training, code


PROGRAMS = [
    pytest.param(page, number, code, id=f"{page.relative_to(ROOT)} {number}")
    for page in PAGES
    for number, code in enumerate(blocks(page, "python"), 1)
    if re.search("^import .*sn$", code, re.M)
]


@pytest.mark.parametrize(("page", "number", "code"), PROGRAMS)
@pytest.mark.trains
def test_python_on_a_page_runs(page, number, code, workplace):
    assert main(["segment", "cells.tif", "-o", "results"]) == 0
    quick = "epochs=1, steps_per_epoch=1, batch_size=1, crop_px=32"
    code = code.replace("epochs=20", quick)
    exec(compile(code, f"{page.name} {number}", "exec"), {})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_python_on_a_page_uses_public_names(page):
    for block in blocks(page, "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "sn":
                assert node.attr in napari_segnet.__all__


def test_what_the_readme_shows_of_inspect_is_printed(workplace, capsys):
    (shown,) = [b for b in blocks(ROOT / "README.md", "") if b.startswith("$ napari-segnet")]
    command, *lines = shown.splitlines()
    assert main(shlex.split(command)[2:]) == 0
    assert set(lines) - set(capsys.readouterr().out.splitlines()) == set()


@pytest.mark.parametrize("name", builtin_models())
def test_the_readme_tells_the_scores_of_the_built_in_networks(name):
    card = identify(weights_path(name)).card
    text = section("README.md", "The built-in networks")
    (row,) = re.findall(rf"^\| `{name}` \| (0\..*) \|$", text, re.M)
    names = ("ap50", "ap75", "ap", "f1_50", "pq", "dice")
    assert [card["scores"][name] for name in names] == [float(cell) for cell in row.split(" | ")]
    assert f"({card['scores']['on'].split()[0]} nuclei)" in text
    minutes = re.search(r"(\d+) minutes", card["note"])
    assert minutes is not None
    assert minutes[0] in " ".join(text.split())


def test_files_that_a_page_names_exist():
    tree = section("docs/architecture.md", "The tree")
    package = ROOT / "src" / "napari_segnet"
    cells = re.findall(r"^\| (`.*?) \|", tree, re.M)
    named = {name for cell in cells for name in re.findall(r"`([\w./]+)`", cell)}
    assert [name for name in sorted(named) if not (package / name).exists()] == []
    there = {p.name + "/" if p.is_dir() else p.name for p in package.iterdir()}
    there -= {"__pycache__/", "__init__.py", "py.typed"}
    assert sorted(there) == sorted(named)


def test_containers_that_open_are_in_the_readme():
    opens = section("README.md", "What opens").lower()
    words = {
        "torch-zip": "torch.save",
        "torch-legacy": "legacy",
        "safetensors": "safetensors",
        "pickle": ".pkl",
    }
    assert set(words) <= {container.name for container in CONTAINERS}
    assert all(word in opens for word in words.values())


def pictures_of(page):
    text = page.read_text(encoding="utf-8")
    return [(page.parent / name).resolve() for name in re.findall(r"!\[[^]]+\]\(([^)]+)\)", text)]


def made_by_the_script():
    """Return the files that scripts/pictures.py makes, by the names of its functions."""
    tree = ast.parse((ROOT / "scripts" / "pictures.py").read_text(encoding="utf-8"))
    endings = {"picture": "png", "moving": "gif"}
    return {
        f"{node.name.replace('_', '-')}.{endings[mark.id]}"
        for node in tree.body
        if isinstance(node, ast.FunctionDef)
        for mark in node.decorator_list
        if isinstance(mark, ast.Name) and mark.id in endings
    }


def test_every_picture_is_shown_and_made_by_the_script():
    folder = ROOT / "docs" / "pictures"
    shown = {path for page in PAGES for path in pictures_of(page)}
    assert all(path.parent == folder for path in shown)
    there = {path.name for path in folder.iterdir()}
    assert {path.name for path in shown} == there
    assert made_by_the_script() == there


def test_pictures_are_small():
    from PIL import Image

    for path in (ROOT / "docs" / "pictures").iterdir():
        most = 1_500_000 if path.suffix == ".gif" else 250_000
        assert path.stat().st_size < most, path.name
        with Image.open(path) as picture:
            assert picture.width <= 1280, path.name


def test_every_picture_says_in_words_what_it_shows():
    for page in PAGES:
        assert "![](" not in page.read_text(encoding="utf-8"), page.name


def test_pages_of_the_window_name_what_is_in_it():
    """Bold words are what a user looks for: rows, buttons, menus (those of napari after File)."""
    widgets = (ROOT / "src" / "napari_segnet" / "widgets").rglob("*.py")
    manifest = ROOT / "src" / "napari_segnet" / "napari.yaml"
    written = "".join(p.read_text(encoding="utf-8") for p in (*widgets, manifest))
    written = written.replace("\\n", " ")  # a label of two lines
    for page in ("tutorial.md", "your-network.md", "troubleshooting.md", "correct.md"):
        text = (ROOT / "docs" / page).read_text(encoding="utf-8")
        for words in re.findall(r"\*\*([^*]+)\*\*", text):
            *menus, last = re.split(r"\s+>\s+", words)
            plain = last.startswith(("The ", "Save Selected", "Preferences")) or menus[:1] in (
                ["Plugins"],
                ["Layers"],
            )
            assert plain or last in written, f"{page}: {words}"


def test_the_page_of_files_is_made_from_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    module = importlib.import_module("which_files")
    made = (ROOT / "docs" / "which-files-open.md").read_text(encoding="utf-8")
    assert made == module.page(), "run python scripts/which_files.py"
