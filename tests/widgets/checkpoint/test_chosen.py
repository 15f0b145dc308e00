"""The network that all docks of a viewer share."""

from __future__ import annotations

from napari.components import ViewerModel

from napari_segnet.widgets.checkpoint.chosen import chosen_network


def test_docks_of_a_viewer_share_their_network_and_others_do_not():
    one, other = ViewerModel(), ViewerModel()
    chosen_network(one).choice = "nuclei"
    assert chosen_network(one).choice == "nuclei"
    assert chosen_network(other).choice == ""


def test_a_network_is_handed_to_whoever_listens():
    viewer, taken = ViewerModel(), []
    chosen_network(viewer).hand_over("nobody.pth")  # no dock is open
    chosen_network(viewer).wanted.connect(taken.append)
    chosen_network(viewer).hand_over("new.pth")
    assert taken == ["new.pth"]
