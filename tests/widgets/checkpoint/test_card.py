"""The identity card in the window."""

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QStyleOptionViewItem

from napari_segnet import identify
from napari_segnet.widgets.checkpoint.card import CardView, headline


@pytest.fixture(scope="module")
def nuclei():
    return identify("nuclei")


def test_the_headline_is_plain_words(nuclei):
    lines = headline(nuclei).splitlines()
    assert lines[1] == "2D, 1 channel in, 1.9 million parameters"
    assert lines[2] == "answers with foreground, boundary, distance"


def rows_of(card):
    groups = [card.tree.topLevelItem(i) for i in range(card.tree.topLevelItemCount())]
    return {g.text(0): [g.child(i) for i in range(g.childCount())] for g in groups}


def test_every_fact_has_its_origin(qtbot, nuclei):
    card = CardView()
    qtbot.addWidget(card)
    card.set_checkpoint(nuclei)
    rows = rows_of(card)
    assert set(rows) <= {"Read from the file", "Assumed; change what is wrong", "Told by you"}
    names = [row.data(0, Qt.ItemDataRole.UserRole) for row in rows["Read from the file"]]
    assert "halo_px" in names


def test_what_is_assumed_can_be_told(qtbot, tmp_path):
    import torch
    from support.networks import Milesial

    torch.save(Milesial(channels=1, classes=1, width=4, depth=2).state_dict(), tmp_path / "u.pth")
    card = CardView()
    qtbot.addWidget(card)
    card.set_checkpoint(identify(tmp_path / "u.pth"))
    assert not card.caution.isHidden()
    rows = rows_of(card)
    editable = [r for g in rows.values() for r in g if r.flags() & Qt.ItemFlag.ItemIsEditable]
    assert editable[0] is rows["Assumed; change what is wrong"][0]
    name = editable[0].data(0, Qt.ItemDataRole.UserRole)
    with qtbot.waitSignal(card.overridden) as told:
        editable[0].setText(1, "whatever")
    assert told.args == [{name: "whatever"}]


def test_a_choice_stands_in_words_and_is_edited_as_it_is_told(qtbot, tmp_path):
    import torch
    from support.bare_networks import BARE, settled

    torch.save(settled(BARE["resizing"][0]()).state_dict(), tmp_path / "bare.pth")
    network = identify(tmp_path / "bare.pth")
    card = CardView()
    qtbot.addWidget(card)
    card.set_checkpoint(network)
    rows = {r.data(0, Qt.ItemDataRole.UserRole): r for g in rows_of(card).values() for r in g}
    words = {"layout": "levels with", "join": "skip connection joined last", "channels": "3"}
    for name, said in words.items():
        option, index = QStyleOptionViewItem(), card.tree.indexFromItem(rows[name], 1)
        card.tree.itemDelegateForColumn(1).initStyleOption(option, index)
        assert said in option.text
        assert rows[name].text(1) == str(getattr(network, name, network.hparams.get(name)))
        assert f"{name}: {rows[name].text(1)}" in rows[name].toolTip(1)


def test_what_is_decided_stands_apart_and_can_be_overruled(qtbot, tmp_path):
    from dataclasses import replace

    import torch
    from support.networks import Milesial

    from napari_segnet.checkpoint import Known

    torch.save(Milesial(channels=1, classes=1, width=4, depth=2).state_dict(), tmp_path / "u.pth")
    checkpoint = identify(tmp_path / "u.pth")
    fact = Known(source="decided", why="by the BatchNorm statistics of the file")
    card = CardView()
    qtbot.addWidget(card)
    card.set_checkpoint(replace(checkpoint, known={**checkpoint.known, "join": fact}))
    (row,) = rows_of(card)["Decided by the statistics of the file"]
    assert row.data(0, Qt.ItemDataRole.UserRole) == "join"
    assert row.flags() & Qt.ItemFlag.ItemIsEditable
    assert row.toolTip(0).endswith(
        "decided by the statistics of the file: by the BatchNorm statistics of the file"
    )
