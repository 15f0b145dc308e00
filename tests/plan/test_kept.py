"""What is kept of a run: nothing of one cut is taken for a tile of another."""

from types import SimpleNamespace

import numpy as np
import pytest
from support.networks import Milesial, calibrate, pictures, save_as

import napari_segnet as sn
from napari_segnet.errors import OutputError
from napari_segnet.inference import PredictSettings, predict
from napari_segnet.plan import kept as kept_module
from napari_segnet.plan.kept import KeptRun
from napari_segnet.plan.memory import MemoryPlan
from napari_segnet.progress import run
from napari_segnet.sinks import Blocks, KeptPlace


def plan(edge):
    return MemoryPlan(
        tiling=SimpleNamespace(exact=True), edge=(edge, edge), batch=1, device="cpu",
        name="tiles", notes=(),
    )  # fmt: skip


def test_another_cut_drops_the_blocks_of_all_planes_behind(tmp_path):
    """One block was lost to a power failure, and memory is short when it is made again."""
    with Blocks(KeptPlace(folder=tmp_path / "kept"), {"network": "a"}) as blocks:
        run = KeptRun(blocks)
        run.memory(0, plan(512), lambda edge, exact: plan(edge[0]).tiling)
        for unit in (0, 2, 10):
            run.put(unit, 0, maps=np.zeros((1, 512, 512), np.float32))
        run.begin_again(1, plan(256))
        assert run.get(0, 0) is not None
        assert run.get(2, 0) is None and run.get(10, 0) is None
        assert run.memory(2, plan(512), lambda edge, _: plan(edge[0]).tiling).edge == (256, 256)


def test_tiles_that_were_kept_in_another_order_are_not_taken(tmp_path, monkeypatch):
    module = calibrate(Milesial(channels=1, width=2, depth=1), images=pictures(2, 1, (32, 32)))
    network = sn.identify(save_as(module, tmp_path / "network.pth", "bare"))
    image = sn.Image(data=pictures(1, 1, (40, 50))[0, 0].numpy(), axes="yx")
    how = PredictSettings(engine="torch", device="cpu", threads=1, tile_px=(32,))
    place = KeptPlace(folder=tmp_path / "kept")
    run(predict(network, image, how, place))
    run(predict(network, image, how, place))
    monkeypatch.setattr(kept_module, "ORDER", kept_module.ORDER + 1)
    with pytest.raises(OutputError, match="with another version is kept"):
        run(predict(network, image, how, place))
