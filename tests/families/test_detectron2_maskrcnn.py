"""Our answers after reading a file of Detectron2 against those of Detectron2 itself.

Its answers are kept in ``tests/data``; see ``tests/support/detectron2_reference.py``.
"""

from __future__ import annotations

import functools
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.detectron2_reference import CASES, FAINT, Arrays, read, weights_of_case
from support.maskrcnns import normalised
from support.networks import assemble, weights_of

from napari_segnet.checkpoint import Checkpoint
from napari_segnet.engines.torch import identify, load
from napari_segnet.errors import SettingsError, UnknownNetworkError, UnsupportedWeightsError
from napari_segnet.families.maskrcnn.detectron2 import Detectron2MaskRCNN
from napari_segnet.families.maskrcnn.rules import Rules, cell_anchors, grid
from napari_segnet.segmentation import Instances

FAMILY = Detectron2MaskRCNN()
MOST = {"most_detections": 20, "most_proposals": 200}  # as in tests/support/detectron2_reference.py


@functools.cache
def stored() -> dict[str, Any]:
    return read()


@functools.cache
def tensors(name: str) -> Arrays:
    return weights_of_case(name, stored())


def write(name: str, folder: Path, config: bool = True, zoo: bool = False) -> Path:
    """Write a case as Detectron2 does: a checkpoint or a file of its zoo."""
    if zoo:
        path = folder / "model_final_f10217.pkl"
        content = {"model": tensors(name), "__author__": "Detectron2 Model Zoo"}
        path.write_bytes(pickle.dumps(content, protocol=2))
    else:
        path = folder / "model_final.pth"
        state = {key: torch.from_numpy(np.array(value)) for key, value in tensors(name).items()}
        torch.save({"model": state, "iteration": 89_999, "scheduler": {"last_epoch": 9}}, path)
    if config:
        (folder / "config.yaml").write_text(str(stored()[f"{name}/config"]), encoding="utf-8")
    return path


def found_in(path: Path, told: dict[str, Any] | None = None) -> Instances:
    """Return our detections in the stored picture, through the whole engine."""
    network = load(identify(path, {**MOST, **(told or {})}), "cpu")
    rgb = torch.from_numpy(stored()["picture"]).permute(2, 0, 1)[None] / 255
    found = network.detect(normalised(rgb).numpy())[0].instances
    return found


def differing(found: Instances, name: str) -> int:
    """Number of detections that have no equal in the other answer; ties may change places."""
    expected = {key: stored()[f"{name}/{key}"] for key in ("boxes", "scores", "classes", "masks")}
    boxes = expected["boxes"][:, [1, 0, 3, 2]]
    same = np.abs(found.boxes[:, None] - boxes[None]).max(axis=2, initial=0) < 1e-2
    same &= np.abs(found.scores[:, None] - expected["scores"][None]) < 1e-3
    same &= found.classes[:, None] == expected["classes"][None].astype(int) + 1
    for i, j in np.argwhere(same):
        masks = found.masks[i], expected["masks"][j].astype(np.float32)
        same[i, j] = masks[0].shape == masks[1].shape and np.abs(masks[0] - masks[1]).max() < 1e-3
    return int((~same.any(axis=0)).sum() + (~same.any(axis=1)).sum())


@pytest.mark.parametrize("name", CASES)
def test_detections_are_those_of_detectron2(name: str, tmp_path: Path) -> None:
    assert differing(found_in(write(name, tmp_path)), name) == 0


@pytest.mark.parametrize("name", ["msra", "resnext", "one class"])
def test_its_own_networks_need_no_configuration(name: str, tmp_path: Path) -> None:
    told = {} if name == "msra" else {"mask_pool_px": 6}
    assert differing(found_in(write(name, tmp_path, config=False), told), name) == 0


def test_a_file_of_the_model_zoo_is_read(tmp_path: Path) -> None:
    path = write("msra", tmp_path, config=False, zoo=True)
    assert differing(found_in(path), "msra") == 0
    assert identify(path).store.container == "pickle"


WRONG = {
    "stride in the other convolution": ("msra", {"stride_in": "3x3"}),
    "stride in the 1x1 convolution": ("resnext", {"stride_in": "1x1"}),
    "red for blue": ("msra", {"colours": "rgb"}),
    "blue for red": ("everything configured", {"colours": "bgr"}),
    "deviation not folded into the weights": ("msra", {"pixel_std": "57.375,57.12,58.395"}),
    "deviation taken for folded": ("resnext", {"pixel_std": "1,1,1"}),
    "another mean": ("msra", {"pixel_mean": "0,0,0"}),
    "RoIAlign of torchvision": ("msra", {"roi_aligned": False}),
    "aligned": ("everything configured", {"roi_aligned": True}),
    "two points per pixel": ("msra", {"roi_sampling": 2}),
    "as many points as features": ("everything configured", {"roi_sampling": 0}),
    "box weights": ("everything configured", {"box_weights": "10,10,5,5"}),
    "epsilon": ("msra", {"norm_eps": 0}),
    "anchor sizes": ("msra", {"anchor_sizes_px": "8,16,32,64,128"}),
    "size of masks": ("msra", {"mask_pool_px": 7}),
    "overlap of boxes": ("everything configured", {"box_nms": 0.9}),
    "overlap of proposals": ("everything configured", {"proposal_nms": 0.1}),
}


@pytest.mark.sample(5)
@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_choice_answers_something_else(what: str, tmp_path: Path) -> None:
    name, told = WRONG[what]
    assert differing(found_in(write(name, tmp_path), told), name) > 4


FIXED = {
    "anchors ratio by ratio": ("many anchors, agnostic", {"anchor_order": "ratio"}),
    "whole corners of anchors": ("many anchors, agnostic", {"anchor_rounding": True}),
    "background first": ("many anchors, agnostic", {"background": "first"}),
}


@pytest.mark.parametrize("what", FIXED)
def test_what_is_fixed_counts_as_well(what: str, tmp_path: Path) -> None:
    """What no user can tell: here the graph is built otherwise on purpose."""
    name, other = FIXED[what]
    path = write(name, tmp_path)
    checkpoint = identify(path, MOST)
    weights = weights_of({k: torch.from_numpy(np.array(v)) for k, v in tensors(name).items()})
    rgb = torch.from_numpy(stored()["picture"]).permute(2, 0, 1)[None] / 255

    def answers(hparams: dict[str, Any]) -> Instances:
        changed = Checkpoint(**{**fields(checkpoint), "hparams": hparams})
        found = FAMILY.detections(assemble(FAMILY, changed, weights), normalised(rgb))[0].instances
        return found

    assert differing(answers(dict(checkpoint.hparams)), name) == 0
    assert differing(answers({**checkpoint.hparams, **other}), name) > 4


@pytest.mark.parametrize(("arithmetic", "apart"), [("detectron2", 64), ("torchvision", 48)])
def test_anchors_of_the_coarsest_level_are_as_far_apart_as_its_stride(
    arithmetic: str, apart: int, tmp_path: Path
) -> None:
    """Detectron2 takes the stride; torchvision 96 pixels over 2 places, where the stride is 64."""
    hparams = {**identify(write("msra", tmp_path)).hparams, "arithmetic": arithmetic}
    rules = Rules.of(hparams)
    assert rules.stride(64, (96, 128), (2, 2)) == (apart, 64)
    cells = cell_anchors(rules, 4)
    anchors = grid(cells, rules.stride(64, (96, 128), (2, 2)), (2, 2), torch.arange(12))
    tops = (anchors[:, 1] + anchors[:, 3]).view(2, 2, 3) / 2  # centres (row, column, ratio)
    assert torch.allclose(tops[1] - tops[0], torch.full((2, 3), float(apart)))


def fields(checkpoint: Checkpoint) -> dict[str, Any]:
    return {name: getattr(checkpoint, name) for name in checkpoint.__slots__}


def test_the_faint_layer_makes_the_epsilon_count() -> None:
    variance = tensors("msra")[f"{FAINT}.norm.running_var"]
    assert 1e-6 < np.median(variance) < 1e-3


# ---- What is recorded ------------------------------------------------------------------


def test_the_configuration_is_named_where_it_was_used(tmp_path: Path) -> None:
    checkpoint = identify(write("everything configured", tmp_path))
    for fact in ("stride_in", "colours", "pixel_mean", "anchor_sizes_px", "roi_aligned"):
        assert checkpoint.known[fact].source == "read", fact
        assert checkpoint.known[fact].why == "recorded in config.yaml beside the file"
    assert checkpoint.hparams["pixel_mean"] == [110.0, 90.0, 60.0]
    assert "resized to 800 pixels" in checkpoint.known["min_size"].why
    told = identify(checkpoint.path, {"colours": "bgr"})
    assert told.known["colours"].source == "told"


def test_a_configuration_inside_the_file_is_used(tmp_path: Path) -> None:
    path = write("everything configured", tmp_path, config=False)
    content = torch.load(path, weights_only=True)
    torch.save({**content, "cfg": str(stored()["everything configured/config"])}, path)
    assert identify(path).known["colours"].why == "recorded in the file's cfg"
    assert differing(found_in(path), "everything configured") == 0


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("MODEL:\n  ROI_HEADS:\n    NUM_CLASSES: 80\n", "it has 80 classes, the tensors 3"),
        ("model: {}\n", "it is no configuration of Detectron2"),
        ("MODEL: [", "it is no configuration of Detectron2"),
        ("MODEL: !!python/object/apply:os.system [touch gone]\n", "it is no configuration"),
    ],
)
def test_a_configuration_of_something_else_is_not_used(
    text: str, note: str, tmp_path: Path
) -> None:
    path = write("msra", tmp_path, config=False)
    (tmp_path / "config.yaml").write_text(text)
    checkpoint = identify(path)
    assert f"config.yaml beside the file was not used: {note}" in checkpoint.known["family"].why
    assert checkpoint.known["colours"].source == "assumed"


def test_values_that_make_no_sense_are_not_taken(tmp_path: Path) -> None:
    path = write("msra", tmp_path, config=False)
    (tmp_path / "config.yaml").write_text(
        "MODEL:\n"
        "  PIXEL_MEAN: [1.0]\n"
        "  PIXEL_STD: grey\n"
        "  ANCHOR_GENERATOR: {SIZES: [[8, 16]], ASPECT_RATIOS: [[1.0]]}\n"
        "  RPN: {IN_FEATURES: [p2, p3, p4, p5, p6], NMS_THRESH: 7}\n"
        "  ROI_MASK_HEAD: {POOLER_RESOLUTION: 0}\n"
        "  ROI_BOX_HEAD: {BBOX_REG_WEIGHTS: '(10.0, 10.0, 5.0, 5.0)'}\n"
    )
    checkpoint = identify(path)
    assert checkpoint.hparams["anchor_sizes_px"] == [[32], [64], [128], [256], [512]]
    assert checkpoint.hparams["mask_pool_px"] == 14
    assert checkpoint.hparams["proposal_nms"] == 0.7
    assert checkpoint.known["pixel_mean"].source == "assumed"
    assert checkpoint.known["box_weights"].source == "read"
    assert differing(found_in(path), "msra") == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("FPN: {FUSE_TYPE: avg}", "MODEL.FPN.FUSE_TYPE: avg"),
        ("RESNETS: {RES5_DILATION: 2}", "the last stage is dilated"),
        ("ANCHOR_GENERATOR: {OFFSET: 0.5}", "anchors are shifted"),
        ("RPN: {BBOX_REG_WEIGHTS: [2, 2, 1, 1]}", "proposals are scaled"),
        ("ROI_BOX_HEAD: {USE_SIGMOID_CE: true}", "classes do not exclude"),
        ("ROI_BOX_HEAD: {POOLER_TYPE: ROIPool}", "POOLER_TYPE: ROIPool"),
    ],
)
def test_steps_that_the_graph_lacks_are_refused(text: str, message: str, tmp_path: Path) -> None:
    path = write("msra", tmp_path, config=False)
    (tmp_path / "config.yaml").write_text(f"MODEL:\n  {text}\n")
    with pytest.raises(UnsupportedWeightsError, match=message):
        identify(path)


def test_buffers_of_older_files_are_used() -> None:
    state = {k: torch.from_numpy(np.array(v)) for k, v in tensors("many anchors, agnostic").items()}
    for i, sizes in enumerate(CASES["many anchors, agnostic"]["MODEL.ANCHOR_GENERATOR.SIZES"]):
        cells = [
            (-w / 2, -h / 2, w / 2, h / 2)
            for size in sizes
            for ratio in (0.5, 1.3)
            for w, h in [(size / ratio**0.5, size * ratio**0.5)]
        ]
        state[f"proposal_generator.anchor_generator.cell_anchors.{i}"] = torch.tensor(cells)
    state["pixel_mean"] = torch.tensor([1.0, 2.0, 3.0])[:, None, None]
    state["pixel_std"] = torch.tensor([4.0, 5.0, 6.0])[:, None, None]
    checkpoint = FAMILY.describe(weights_of(state), {})
    wanted = {
        "anchor_sizes_px": [[18, 27], [36, 55], [70, 100], [140, 200], [280, 400]],
        "anchor_ratios": [0.5, 1.3],
        "pixel_mean": [1.0, 2.0, 3.0],
        "pixel_std": [4.0, 5.0, 6.0],
    }
    for fact, value in wanted.items():
        assert checkpoint.hparams[fact] == value
        assert checkpoint.known[fact].why == "recorded in the file's buffers"


def test_coco_has_its_names() -> None:
    state = {k: torch.from_numpy(np.array(v)) for k, v in tensors("msra").items()}
    heads = "roi_heads.box_predictor."
    state[f"{heads}cls_score.weight"] = torch.zeros(81, 20)
    state[f"{heads}cls_score.bias"] = torch.zeros(81)
    state[f"{heads}bbox_pred.weight"] = torch.zeros(320, 20)
    state[f"{heads}bbox_pred.bias"] = torch.zeros(320)
    state["roi_heads.mask_head.predictor.weight"] = torch.zeros(80, 10, 1, 1)
    state["roi_heads.mask_head.predictor.bias"] = torch.zeros(80)
    checkpoint = FAMILY.describe(weights_of(state), {})
    assert checkpoint.class_names[:2] == ("background", "person")
    assert checkpoint.class_names[-1] == "toothbrush"
    assert len(checkpoint.class_names) == 81
    assert checkpoint.known["class_names"].source == "assumed"
    told = FAMILY.describe(weights_of(tensors_of("msra")), {"class_names": "a, b,c"})
    assert told.class_names == ("background", "a", "b", "c")
    assert told.known["class_names"].source == "told"


# ---- Refused ---------------------------------------------------------------------------


def tensors_of(name: str) -> dict[str, torch.Tensor]:
    return {key: torch.from_numpy(np.array(value)) for key, value in tensors(name).items()}


def without(start: str) -> dict[str, torch.Tensor]:
    return {key: value for key, value in tensors_of("msra").items() if not key.startswith(start)}


def with_key(key: str) -> dict[str, torch.Tensor]:
    return {**tensors_of("msra"), key: torch.zeros(2, 2)}


RETINANET = ("head.cls_subnet.0.weight", "backbone.fpn_lateral3.weight")
RELATIVES = {
    "is a Faster R-CNN of Detectron2.*draws no masks": lambda: without("roi_heads.mask_"),
    "is a proposal network of Detectron2": lambda: without("roi_heads."),
    "is a RetinaNet of Detectron2": lambda: dict.fromkeys(RETINANET, torch.zeros(2)),
    "is a network of Detectron .Caffe2 blobs": lambda: dict.fromkeys(
        ("conv1_w", "res2_0_branch2a_w", "conv_rpn_fpn2_w"), torch.zeros(2)
    ),
    r"without a feature pyramid \(C4\)": lambda: with_key("roi_heads.res5.0.conv1.weight"),
    "without a feature pyramid .C4 or DC5": lambda: without("backbone.fpn_"),
    "in a cascade": lambda: with_key("roi_heads.box_head.0.fc1.weight"),
    "PointRend": lambda: with_key("roi_heads.mask_head.point_head.fc1.weight"),
    "Panoptic FPN": lambda: with_key("sem_seg_head.predictor.weight"),
    "deformable": lambda: with_key("backbone.bottom_up.res4.0.conv2_offset.weight"),
}


@pytest.mark.parametrize("message", RELATIVES)
def test_relatives_are_refused_by_name(message: str) -> None:
    weights = weights_of(RELATIVES[message](), closed=True)
    assert FAMILY.detect(weights)
    with pytest.raises(UnsupportedWeightsError, match=message):
        FAMILY.describe(weights, {})


def test_blobs_of_caffe2_are_refused_through_their_own_file(tmp_path: Path) -> None:
    blobs = {"conv1_w": np.ones(2), "res2_0_branch2a_w": np.ones(2), "conv_rpn_w": np.ones(2)}
    path = tmp_path / "model_final.pkl"
    path.write_bytes(pickle.dumps({"blobs": blobs}, 2))
    with pytest.raises(UnsupportedWeightsError, match=r"Caffe2 blobs.*Load it with Detectron2"):
        identify(path)


def test_heads_that_differ_in_classes_are_refused() -> None:
    wrong = with_key("x")
    del wrong["x"]
    wrong["roi_heads.box_predictor.bbox_pred.weight"] = torch.zeros(20, 20)
    with pytest.raises(UnknownNetworkError, match=r"4 classes .* 5 have boxes and 3 have masks"):
        FAMILY.describe(weights_of(wrong), {})


def test_what_is_fixed_cannot_be_told() -> None:
    with pytest.raises(SettingsError, match="no hyper-parameter 'background'"):
        FAMILY.describe(weights_of(tensors_of("msra"), closed=True), {"background": "first"})


@pytest.mark.parametrize("ending", [".pth", ".safetensors"])
def test_what_is_written_back_is_the_same_network(ending: str, tmp_path: Path) -> None:
    path = write("msra", tmp_path)
    checkpoint = identify(path)
    module = load(checkpoint, "cpu").module
    written = FAMILY.save(module, checkpoint, tmp_path / f"again{ending}")
    if ending == ".pth":
        again = torch.load(written.path, weights_only=True)["model"]
        assert again.keys() == tensors("msra").keys()
        assert all(torch.equal(again[k], v) for k, v in tensors_of("msra").items())
    assert identify(written.path).store == written.store
    assert differing(found_in(written.path), "msra") == 0
