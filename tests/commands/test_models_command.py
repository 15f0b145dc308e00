"""``napari-segnet models``: names that ``-c`` takes, and what stands behind them."""

from __future__ import annotations

from napari_segnet import builtin


def test_what_ships_with_its_card(run):
    done = run("models", "--json")
    assert (done.code, done.err) == (0, "")
    (nuclei,) = (card for card in done.json if card["name"] == "nuclei")
    assert {"title", "data", "licence", "scores"} <= nuclei.keys()
    assert nuclei["scores"]["ap50"] > 0.7


def test_for_people(run):
    done = run("models")
    assert done.code == 0
    lines = done.out.splitlines()
    at = lines.index("nuclei")
    assert "uclei" in lines[at + 1]
    assert [line.split(":")[0].strip() for line in lines[at + 2 : at + 5]] == [
        "trained on",
        "licence",
        "scores",
    ]
    assert "ap50 0." in lines[at + 4]


def test_a_network_without_a_card_is_listed_too(run, own_network, tmp_path, monkeypatch):
    monkeypatch.setattr(builtin, "MODELS", own_network.parent)
    done = run("models")
    assert done.out.startswith("own\n  Nuclei of a test\n  trained on: unknown\n")
    assert "scores: ap50 0.5 on nothing" in done.out
    monkeypatch.setattr(builtin, "MODELS", tmp_path)
    assert run("models").out == "This installation has no built-in networks.\n"
    assert run("models", "--json").json == []
