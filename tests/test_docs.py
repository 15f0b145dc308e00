"""The pages say what the code does: settings and defaults, what opens, commands, links."""

from __future__ import annotations

import ast
import dataclasses
import re
from pathlib import Path

import pytest

import napari_segnet
from napari_segnet.commands import COMMANDS
from napari_segnet.containers import CONTAINERS
from napari_segnet.families import FAMILIES
from napari_segnet.predict import LabelSettings, PredictSettings
from napari_segnet.prepare import NORMALIZERS
from napari_segnet.readers import READERS
from napari_segnet.steps import LABELERS, REFINERS
from napari_segnet.train import TrainSettings

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])


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
        ("How a network is taught (`TrainSettings`)", TrainSettings),
    ],
)
def test_every_setting_stands_in_its_table_with_its_default(title, settings):
    rows = re.findall(r"^\| `(\w+)` \| `([^`]*)` \| \S", section("docs/settings.md", title), re.M)
    expected = [(f.name, typed(getattr(settings(), f.name))) for f in dataclasses.fields(settings)]
    assert expected == rows


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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)", text):
        linked = (page.parent / target).resolve() if target else page
        assert linked.exists(), target
        if anchor:
            titles = re.findall(r"^#+ (.*)$", linked.read_text(encoding="utf-8"), re.M)
            assert anchor in [t.lower().replace(" ", "-") for t in titles]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_on_a_page_uses_public_names(page):
    text = page.read_text(encoding="utf-8")
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "sn":
                assert node.attr in napari_segnet.__all__


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
    words = {"torch-zip": "torch.save", "torch-legacy": "legacy", "safetensors": "safetensors"}
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
    widgets = (ROOT / "src" / "napari_segnet" / "widgets").glob("*.py")
    manifest = ROOT / "src" / "napari_segnet" / "napari.yaml"
    written = "".join(p.read_text(encoding="utf-8") for p in (*widgets, manifest))
    for page in ("tutorial.md", "your-network.md", "troubleshooting.md"):
        text = (ROOT / "docs" / page).read_text(encoding="utf-8")
        for words in re.findall(r"\*\*([^*]+)\*\*", text):
            *menus, last = re.split(r"\s+>\s+", words)
            plain = last.startswith(("The ", "Save Selected", "Preferences")) or menus[:1] in (
                ["Plugins"],
                ["Layers"],
            )
            assert plain or last in written, f"{page}: {words}"
