"""Mapping of channels."""

from napari_segnet.widgets.segment.channel_picker import ChannelBox


def combos(box):
    return box._combos


def test_nothing_to_choose_is_hidden(qtbot):
    box = ChannelBox()
    qtbot.addWidget(box)
    box.offer(["grey"], 1, rgb=False)
    assert box.isHidden()
    assert box.value() == "auto"


def test_too_many_channels_ask_for_a_choice(qtbot):
    box = ChannelBox()
    qtbot.addWidget(box)
    box.offer(["dapi", "gfp", "rfp"], 1, rgb=False)
    assert not box.isHidden()
    assert box.value() == "0"
    combos(box)[0].setCurrentIndex(2)
    assert box.value() == "2"


def test_automatic_is_for_all_or_none(qtbot):
    box = ChannelBox()
    qtbot.addWidget(box)
    box.offer(["a", "b"], 2, rgb=False)
    assert box.value() == "auto"
    with qtbot.waitSignal(box.changed):
        combos(box)[0].setCurrentIndex(2)
    assert box.value() == "1,1"
    combos(box)[1].setCurrentIndex(0)
    assert box.value() == "auto"


def test_the_choice_stays_while_nothing_changes(qtbot):
    box = ChannelBox()
    qtbot.addWidget(box)
    box.offer(["a", "b"], 1, rgb=False)
    combos(box)[0].setCurrentIndex(1)
    box.offer(["a", "b"], 1, rgb=False)
    assert box.value() == "1"
