"""A network as a picture: the same shapes as SVG and as pixels."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np
import pytest
import torch
from PIL import Image as Picture
from support.bare_networks import BARE, settled
from support.maskrcnns import small_maskrcnn
from support.networks import Milesial, save_as

from napari_segnet.diagram import diagram_of, pixels, svg, write_diagram
from napari_segnet.diagram._drawing import COLOURS, Line
from napari_segnet.diagram._stages import stages_of
from napari_segnet.errors import OutputError
from napari_segnet.families import GraphFamily
from napari_segnet.recognition import family_of, identify


def milesial(folder):
    return save_as(Milesial(channels=3, width=4, depth=2), folder / "unet.pth", "bare")


def graph_of(path):
    checkpoint = identify(path)
    family = family_of(checkpoint)
    assert isinstance(family, GraphFamily)
    return family.graph(checkpoint)


def test_a_unet_has_its_levels_widths_and_skips(tmp_path):
    found = stages_of(graph_of(milesial(tmp_path)))
    assert [stage.level for stage in found.stages] == [0, 0, 1, 2, 1, 0]
    assert [stage.channels for stage in found.stages] == [3, 4, 8, 16, 8, 4]
    joins = [(link.first, link.then) for link in found.links if link.kind == "join"]
    assert joins == [(2, 4), (1, 5)]
    kinds = [link.kind for link in found.links if link.then == link.first + 1]
    assert kinds == ["along", "down", "down", "up", "up"]
    assert [stage.outputs for stage in found.stages] == [0, 0, 0, 0, 0, 1]


def test_colours_tell_how_each_fact_is_known(tmp_path):
    path = milesial(tmp_path)
    plain, told = diagram_of(identify(path)), diagram_of(identify(path, {"join": "skip-last"}))
    skips = [one for one in plain.shapes if isinstance(one, Line) and len(one.points) == 4]
    told_skips = [one for one in told.shapes if isinstance(one, Line) and len(one.points) == 4]
    assert COLOURS["assumed"] in {one.colour for one in skips}
    assert COLOURS["told"] not in {one.colour for one in skips}
    assert [one.colour for one in told_skips].count(COLOURS["told"]) == 2
    assert "join: skip-last" in svg(told)


@pytest.mark.sample(4)
@pytest.mark.parametrize("name", BARE)
def test_every_bare_network_can_be_drawn(name, tmp_path):
    path = tmp_path / "bare.pth"
    torch.save(settled(BARE[name][0]()).state_dict(), path)
    diagram = diagram_of(identify(path))
    root = ET.fromstring(svg(diagram))
    assert root.tag.endswith("svg")
    for shape in diagram.shapes:
        for x, y in getattr(shape, "points", ((getattr(shape, "x", 0), getattr(shape, "y", 0)),)):
            assert 0 <= x <= diagram.width and 0 <= y <= diagram.height


def test_files_are_svg_and_png(tmp_path):
    checkpoint = identify("nuclei")
    write_diagram(checkpoint, tmp_path / "n.svg")
    assert ET.parse(tmp_path / "n.svg").getroot().tag.endswith("svg")
    write_diagram(checkpoint, tmp_path / "n.png")
    seen = np.array(Picture.open(tmp_path / "n.png"))
    np.testing.assert_array_equal(seen, pixels(diagram_of(checkpoint)))
    assert (seen == 255).all(-1).mean() > 0.5
    assert len(np.unique(seen.reshape(-1, 3), axis=0)) > 5


def test_what_cannot_be_drawn_is_said(tmp_path):
    with pytest.raises(OutputError, match=r"drawn as \.png or \.svg, not as 'n\.jpg'"):
        write_diagram(identify("nuclei"), tmp_path / "n.jpg")
    path = save_as(small_maskrcnn(), tmp_path / "maskrcnn.pth", "training")
    checkpoint = identify(path, {"norm_eps": "0"})
    with pytest.raises(OutputError, match=r"maskrcnn\.pth cannot be drawn"):
        write_diagram(checkpoint, tmp_path / "n.png")
    with pytest.raises(OutputError, match="could not be written"):
        write_diagram(identify("nuclei"), tmp_path / "missing" / "n.png")
