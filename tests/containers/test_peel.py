"""Wrappers, prefixes, optimisers: every way to see a file as a flat set of tensors."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from napari_segnet.containers import TensorRef, Tree, Weights, candidates, open_weights
from napari_segnet.containers._inert import Inert
from napari_segnet.errors import UnknownNetworkError

NET = ("inc.weight", "inc.bias", "outc.weight")


def tensors(*keys: str, prefix: str = "", size: int = 1) -> dict[str, TensorRef]:
    return {
        prefix + key: TensorRef(shape=(size,), dtype="float32", load=lambda: torch.zeros(1))
        for key in keys or NET
    }


def peel(root: Any, **metadata: Any) -> tuple[Weights, ...]:
    return candidates(Tree(container="test", root=root, metadata=metadata), Path("w.pth"))


def views(root: Any) -> list[tuple[str, str]]:
    return [(".".join(found.wrapper), found.prefix) for found in peel(root)]


def test_a_bare_state_dict() -> None:
    (found,) = peel(tensors())
    assert (found.container, found.wrapper, found.prefix) == ("test", (), "")
    assert tuple(found.tensors) == NET


@pytest.mark.parametrize(
    "key",
    "state_dict model_state_dict model_state network_weights model net network weights params "
    "module model_ema my_own".split(),
)
def test_wrappers(key: str) -> None:
    assert views({"epoch": 1, key: tensors()}) == [(key, "")]


def test_wrappers_in_wrappers() -> None:
    assert views({"model": {"state_dict": tensors()}}) == [("model.state_dict", "")]
    assert views({"a": {"b": {"c": tensors()}}}) == [("a.b.c", "")]
    assert views([tensors(), {"lr": 1}]) == [("0", "")]


def test_the_order_of_wrappers() -> None:
    root = {
        "other": tensors(),
        "model_ema": tensors(),
        "model": tensors(),
        "state_dict": tensors(),
    }
    assert views(root) == [("state_dict", ""), ("model", ""), ("model_ema", ""), ("other", "")]


def test_averages_come_after_the_plain_ones() -> None:
    assert views({"ema": tensors(), "zz": tensors()})[0] == ("ema", "")
    assert views({"params_ema": tensors(), "params": tensors()}) == [
        ("params", ""),
        ("params_ema", ""),
    ]


@pytest.mark.parametrize(
    "key",
    "optimizer optimizer_state_dict optimizer_states opt optimiser optim scheduler lr_scheduler "
    "scheduler_state_dict amp scaler grad_scaler".split(),
)
def test_an_optimiser_is_never_a_network(key: str) -> None:
    assert views({key: tensors(), "model": tensors()}) == [("model", "")]
    assert views({key: {"deep": tensors()}, "model": tensors()}) == [("model", "")]


def test_an_optimiser_by_its_form() -> None:
    state = {"state": {0: tensors()}, "param_groups": [{"lr": 1}], "a.b": tensors()["inc.bias"]}
    assert views({"mine": state, "model": tensors()}) == [("model", "")]


def test_a_network_whose_layers_are_named_like_an_optimiser() -> None:
    (found,) = peel(tensors("opt.weight", "scheduler.bias", "optimum.bias"))
    assert len(found.tensors) == 3


@pytest.mark.parametrize(
    "prefix",
    "module _orig_mod model net _model network unet segmentation_model".split(),
)
def test_known_prefixes(prefix: str) -> None:
    whole, stripped = peel({"state_dict": tensors(prefix=prefix + "."), "other": 1})
    assert list(whole.tensors) == [f"{prefix}.{key}" for key in NET]
    assert (stripped.wrapper, stripped.prefix) == (("state_dict",), prefix + ".")
    assert tuple(stripped.tensors) == NET


def test_prefixes_one_by_one() -> None:
    root = {"model": tensors(prefix="module._orig_mod.model."), "ema": tensors()}
    assert views(root) == [
        ("model", ""),
        ("model", "module."),
        ("model", "module._orig_mod."),
        ("model", "module._orig_mod.model."),
        ("ema", ""),
    ]


def test_an_unknown_prefix_is_the_last_resort() -> None:
    root = {"model": tensors(prefix="mine."), "ema": tensors()}
    assert views(root) == [("model", ""), ("ema", ""), ("model", "mine.")]
    assert views(tensors(prefix="mine.net.")) == [("", ""), ("", "mine."), ("", "mine.net.")]


def test_a_prefix_that_one_key_lacks_stays() -> None:
    assert views({**tensors(prefix="module."), "extra": tensors()["inc.bias"]}) == [("", "")]
    assert views({**tensors(prefix="module."), "module": tensors()["inc.bias"]}) == [("", "")]


def test_the_counter_of_an_averaged_model_is_dropped() -> None:
    root = {"n_averaged": tensors()["inc.bias"], **tensors(prefix="module.")}
    whole, stripped = peel(root)
    assert "n_averaged" not in whole.tensors
    assert tuple(stripped.tensors) == NET
    (kept,) = peel({"n_averaged": tensors()["inc.bias"], **tensors()})
    assert "n_averaged" in kept.tensors


def test_losses_beside_a_lightning_network_are_dropped_with_its_prefix() -> None:
    root = {**tensors(prefix="model."), **tensors("loss_fn.weight", "val_metric.total")}
    whole, stripped = peel({"state_dict": root})
    assert len(whole.tensors) == 5
    assert tuple(stripped.tensors) == NET


@pytest.mark.parametrize("average", ["ema_model.", "model_ema.", "ema.module.", "swa_model."])
def test_a_running_average_beside_a_lightning_network_gives_way_to_it(average: str) -> None:
    counter = tensors(average.partition(".")[0] + ".n_averaged")
    root = {**tensors(prefix=average), **counter, **tensors(prefix="net.")}
    whole, stripped = peel({"state_dict": root})
    assert len(whole.tensors) == 7
    assert (stripped.prefix, tuple(stripped.tensors)) == ("net.", NET)


def test_a_file_of_a_running_average_alone_is_opened() -> None:
    assert tuple(peel(tensors(prefix="ema_model."))[-1].tensors) == NET


def test_a_second_network_beside_the_first_is_never_dropped() -> None:
    root = {**tensors(prefix="unet."), **tensors(prefix="net.")}
    assert views(root) == [("", "")]


@pytest.mark.parametrize(
    "root",
    [
        {"fold0": tensors(), "fold1": tensors()},
        {"epoch": 3, "model": {"unet1": tensors(), "unet2": tensors()}},
        [tensors(), tensors()],
    ],
)
def test_two_networks_of_one_build_are_refused_by_name(root: Any) -> None:
    names = "fold0, fold1|model.unet1, model.unet2|0, 1"
    with pytest.raises(UnknownNetworkError, match=rf"holds 2 networks .* \(({names})\)"):
        peel(root)


@pytest.mark.parametrize("sure", ["model", "state_dict"])
def test_a_known_key_tells_which_of_two_is_meant(sure: str) -> None:
    assert views({"teacher": tensors(), "student": tensors(), sure: tensors()})[0] == (sure, "")


def test_networks_of_two_builds_are_both_offered() -> None:
    root = {"generator": tensors(), "discriminator": tensors("a.weight", "b.weight")}
    assert [("generator", ""), ("discriminator", "")] == views(root)[:2]


def test_plain_values_become_metadata() -> None:
    (found,) = peel(
        {
            "epoch": 3,
            "args": {"lr": 0.1},
            "best": tensors()["inc.bias"],
            "optimizer": {"lr": 1},
            "model": {"config": [1], "state_dict": {**tensors(), "mask_values": [0, 255]}},
        },
        card="c",
    )
    assert dict(found.metadata) == {
        "card": "c",
        "epoch": 3,
        "args": {"lr": 0.1},
        "config": [1],
        "mask_values": [0, 255],
    }


def test_zero_dimensional_tensors_stay_tensors() -> None:
    counter = TensorRef(shape=(), dtype="int64", load=lambda: torch.tensor(0))
    (found,) = peel({**tensors(), "bn.num_batches_tracked": counter})
    assert "bn.num_batches_tracked" in found.tensors


def test_a_single_tensor_beside_the_network_is_not_the_network() -> None:
    root = {"loss": tensors()["inc.bias"], "model": tensors()}
    assert views(root) == [("model", "")]
    mixed = {**tensors("a.w"), "model": tensors()}
    assert views(mixed)[:2] == [("model", ""), ("", "")]


def test_arrays_serve_as_tensors() -> None:
    root = {"model": {"a.w": np.arange(3, dtype=">f4"), "note": 1}}
    (found,) = [view for view in peel(root) if not view.prefix]
    assert found.tensors["a.w"].dtype == "float32"
    assert found.tensors["a.w"].load().tolist() == [0, 1, 2]
    assert dict(found.metadata) == {"note": 1}


def test_parts_are_joined_last() -> None:
    found = peel({"encoder": tensors("a.w"), "decoder": tensors("b.w"), "epoch": 1})
    assert [view.wrapper for view in found if not view.prefix] == [("encoder",), ("decoder",), ()]
    joined = next(view for view in found if view.wrapper == ())
    assert list(joined.tensors) == ["encoder.a.w", "decoder.b.w"]


def test_a_file_that_holds_itself_ends() -> None:
    root: dict[str, Any] = {"model": tensors()}
    root["self"] = root
    root["list"] = [root]
    assert views(root) == [("model", "")]
    explode: Any = {"a.b": tensors()["inc.bias"]}
    for _ in range(40):
        explode = {f"k{n}": explode for n in range(10)}
    with pytest.raises(Exception, match="holds no network"):
        peel(explode)


def module(**children: Any) -> Inert:
    state = {"_parameters": tensors("w"), "_buffers": {}, "_modules": children, "width": 3}
    return Inert("net.Net", state=state)


def test_modules_in_modules() -> None:
    (found,) = peel(module(a=module(), b=module(c=module())))
    assert list(found.tensors) == ["w", "a.w", "b.w", "b.c.w"]
    assert dict(found.metadata) == {"__class__": "net.Net", "width": 3}


def test_modules_that_hold_themselves_end() -> None:
    inner = module()
    inner.state["_modules"]["again"] = inner
    inner.state["_non_persistent_buffers_set"] = Inert("set")
    inner.state["_buffers"] = tensors("running")
    assert list(peel(inner)[0].tensors) == ["w", "running"]
    explode = module()
    for _ in range(40):
        explode = module(**{f"k{n}": explode for n in range(10)})
    assert len(peel(explode)[0].tensors) <= 5_000


def test_in_a_file(tmp_path: Path) -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3))
    optimiser = torch.optim.Adam(network.parameters())
    network(torch.ones(1, 1, 3, 3)).sum().backward()
    optimiser.step()
    torch.save(
        {
            "epoch": 4,
            "state_dict": {f"module.{k}": v for k, v in network.state_dict().items()},
            "optimizer": optimiser.state_dict(),
            "args": argparse.Namespace(width=2),
        },
        tmp_path / "w.pth",
    )
    whole, stripped, guess = open_weights(tmp_path / "w.pth")
    assert whole.wrapper == stripped.wrapper == ("state_dict",)
    assert dict(stripped.metadata) == {"epoch": 4, "args": {"width": 2}}
    assert list(stripped.tensors) == ["0.weight", "0.bias"]
    assert guess.prefix == "module.0."
    assert torch.equal(stripped.tensors["0.weight"].load(), network[0].weight)


@pytest.mark.parametrize(
    "name",
    ["criterion.weight", "loss.pos_weight", "train_acc.total", "val_iou.confmat", "pos_weight"],
)
def test_a_buffer_of_a_loss_or_metric_beside_a_bare_network_is_left_out_and_said(name) -> None:
    root = {**tensors("inc.conv.weight", "outc.conv.weight"), **tensors(name)}
    root[name] = dataclasses.replace(root[name], shape=(3,))
    whole, alone = peel(root)
    assert name in whole.tensors
    assert set(alone.tensors) == {"inc.conv.weight", "outc.conv.weight"}
    assert not whole.notes
    assert f"Left out: {name}" in alone.notes[0]


def test_a_part_of_a_network_is_not_taken_for_a_metric() -> None:
    root = tensors("dice.conv.weight", "out.conv.weight")
    root = {k: dataclasses.replace(t, shape=(4, 4, 3, 3)) for k, t in root.items()}
    assert len(peel(root)) == 1
