"""What Detectron2 itself answers, kept in a small file so that it need not be installed.

Weights are random numbers from a fixed generator, made lively by a few numbers that were
measured once (means and variances of the normalisations, scales of the last layers). The
file holds those, a picture, and Detectron2's detections for each case. Where Detectron2 is
installed, ``python tests/support/detectron2_reference.py`` writes the file anew.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

PATH = Path(__file__).parents[1] / "data" / "detectron2_maskrcnn.npz"
Arrays = dict[str, npt.NDArray[Any]]

SMALL: dict[str, Any] = {
    "MODEL.META_ARCHITECTURE": "GeneralizedRCNN",
    "MODEL.BACKBONE.NAME": "build_resnet_fpn_backbone",
    "MODEL.RESNETS.OUT_FEATURES": ["res2", "res3", "res4", "res5"],
    "MODEL.RESNETS.WIDTH_PER_GROUP": 8,
    "MODEL.RESNETS.RES2_OUT_CHANNELS": 16,
    "MODEL.RESNETS.STEM_OUT_CHANNELS": 12,
    "MODEL.FPN.IN_FEATURES": ["res2", "res3", "res4", "res5"],
    "MODEL.FPN.OUT_CHANNELS": 16,
    "MODEL.ANCHOR_GENERATOR.SIZES": [[32], [64], [128], [256], [512]],
    "MODEL.RPN.IN_FEATURES": ["p2", "p3", "p4", "p5", "p6"],
    "MODEL.RPN.PRE_NMS_TOPK_TEST": 200,
    "MODEL.RPN.POST_NMS_TOPK_TEST": 200,
    "MODEL.ROI_HEADS.NAME": "StandardROIHeads",
    "MODEL.ROI_HEADS.IN_FEATURES": ["p2", "p3", "p4", "p5"],
    "MODEL.ROI_HEADS.NUM_CLASSES": 3,
    "MODEL.ROI_BOX_HEAD.NAME": "FastRCNNConvFCHead",
    "MODEL.ROI_BOX_HEAD.NUM_FC": 2,
    "MODEL.ROI_BOX_HEAD.FC_DIM": 20,
    "MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION": 7,
    "MODEL.ROI_MASK_HEAD.NUM_CONV": 2,
    "MODEL.ROI_MASK_HEAD.CONV_DIM": 10,
    "MODEL.ROI_MASK_HEAD.POOLER_RESOLUTION": 6,
    "MODEL.MASK_ON": True,
    "MODEL.DEVICE": "cpu",
    "MODEL.WEIGHTS": "",
    "TEST.DETECTIONS_PER_IMAGE": 20,
}
"""Settings of Detectron2 that all cases share; what is missing has its default."""

CASES: dict[str, dict[str, Any]] = {
    "msra": {"MODEL.ROI_MASK_HEAD.POOLER_RESOLUTION": 14},
    "resnext": {
        "MODEL.RESNETS.NUM_GROUPS": 2,
        "MODEL.RESNETS.WIDTH_PER_GROUP": 4,
        "MODEL.RESNETS.STRIDE_IN_1X1": False,
        "MODEL.PIXEL_STD": [57.375, 57.12, 58.395],
    },
    "everything configured": {
        "MODEL.RESNETS.STRIDE_IN_1X1": False,
        "MODEL.RESNETS.NORM": "BN",
        "INPUT.FORMAT": "RGB",
        "MODEL.PIXEL_MEAN": [110.0, 90.0, 60.0],
        "MODEL.PIXEL_STD": [70.0, 60.0, 50.0],
        "MODEL.ROI_BOX_HEAD.POOLER_TYPE": "ROIAlign",
        "MODEL.ROI_MASK_HEAD.POOLER_TYPE": "ROIAlign",
        "MODEL.ROI_BOX_HEAD.POOLER_SAMPLING_RATIO": 2,
        "MODEL.ROI_MASK_HEAD.POOLER_SAMPLING_RATIO": 2,
        "MODEL.ROI_BOX_HEAD.BBOX_REG_WEIGHTS": (8.0, 8.0, 4.0, 4.0),
        "MODEL.ROI_HEADS.NMS_THRESH_TEST": 0.4,
        "MODEL.RPN.NMS_THRESH": 0.6,
    },
    "many anchors, agnostic": {
        "MODEL.ANCHOR_GENERATOR.SIZES": [[18, 27], [36, 55], [70, 100], [140, 200], [280, 400]],
        "MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS": [[0.5, 1.3]],
        "MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG": True,
        "MODEL.ROI_MASK_HEAD.CLS_AGNOSTIC_MASK": True,
    },
    "group normalised heads": {
        "MODEL.RESNETS.WIDTH_PER_GROUP": 32,
        "MODEL.RESNETS.RES2_OUT_CHANNELS": 32,
        "MODEL.RESNETS.STEM_OUT_CHANNELS": 32,
        "MODEL.RESNETS.NORM": "GN",
        "MODEL.RESNETS.STRIDE_IN_1X1": False,
        "MODEL.FPN.NORM": "GN",
        "MODEL.FPN.OUT_CHANNELS": 32,
        "MODEL.RPN.CONV_DIMS": [24, 20],
        "MODEL.ROI_BOX_HEAD.NUM_CONV": 2,
        "MODEL.ROI_BOX_HEAD.CONV_DIM": 32,
        "MODEL.ROI_BOX_HEAD.NUM_FC": 1,
        "MODEL.ROI_BOX_HEAD.NORM": "GN",
        "MODEL.ROI_MASK_HEAD.NORM": "GN",
        "MODEL.ROI_MASK_HEAD.CONV_DIM": 32,
    },
    "one class": {"MODEL.ROI_HEADS.NUM_CLASSES": 1},
}
"""What each case sets beside ``SMALL``."""

FAINT = "backbone.bottom_up.stem.conv1"
"""Its answers are made small, as those of some channels of trained networks are, so that
the epsilon of the normalisation behind it counts."""


def random_weights(shapes: Mapping[str, tuple[int, ...]]) -> Arrays:
    """Return float32 weights from a generator that numpy will never change."""
    random = np.random.RandomState(7)
    weights: Arrays = {}
    for key in sorted(shapes):
        shape = shapes[key]
        noise = random.standard_normal(shape).astype(np.float32)
        if key.endswith("running_mean"):
            weights[key] = np.zeros(shape, np.float32)
        elif key.endswith("running_var"):
            weights[key] = np.ones(shape, np.float32)
        elif key.endswith("norm.weight"):
            weights[key] = np.float32(1) + np.float32(0.2) * noise
        elif len(shape) < 2:
            weights[key] = np.float32(0.1) * noise
        else:
            inputs = shape[0] if ".deconv." in key else int(np.prod(shape[1:]))
            weights[key] = noise * np.float32((2 / inputs) ** 0.5)
        if key.endswith("conv3.norm.weight"):
            # Blocks of trained networks change little; else sixteen of them amplify rounding.
            weights[key] *= np.float32(0.3)
        if key == f"{FAINT}.weight":
            weights[key] *= np.float32(1e-4)
    return weights


def weights_of_case(name: str, stored: Mapping[str, npt.NDArray[Any]]) -> Arrays:
    """Return the state dict of a case, as Detectron2 names it."""
    shapes = json.loads(str(stored[f"{name}/shapes"]))
    weights = random_weights({key: tuple(shape) for key, shape in shapes.items()})
    for key in weights:
        if f"{name}/factor/{key}" in stored:
            weights[key] = weights[key] * stored[f"{name}/factor/{key}"]
        if f"{name}/value/{key}" in stored:
            weights[key] = stored[f"{name}/value/{key}"]
    return weights


def read() -> dict[str, npt.NDArray[Any]]:
    """Return the stored numbers by ``case/what``."""
    with np.load(PATH) as file:
        return dict(file)


# ---- Where Detectron2 is installed -----------------------------------------------------


def configuration(name: str) -> Any:
    """Return Detectron2's configuration of a case."""
    from detectron2.config import get_cfg

    cfg = get_cfg()
    settings = {**SMALL, **CASES[name]}
    cfg.merge_from_list([item for pair in settings.items() for item in pair])
    return cfg


def build(name: str, weights: Mapping[str, npt.NDArray[Any]] | None = None) -> Any:
    """Return Detectron2's network of a case."""
    import torch
    from detectron2.modeling import build_model

    model = build_model(configuration(name)).eval()
    if weights is not None:
        state = {key: torch.from_numpy(np.array(value)) for key, value in weights.items()}
        missing = model.load_state_dict(state, strict=False)
        assert not missing.unexpected_keys
        assert all(key.endswith("num_batches_tracked") for key in missing.missing_keys)
    return model


def shapes_of(model: Any) -> dict[str, tuple[int, ...]]:
    """Return what is stored of a network."""
    return {
        key: tuple(value.shape)
        for key, value in model.state_dict().items()
        if not key.endswith("num_batches_tracked")
    }


def answer(model: Any, picture: npt.NDArray[np.uint8], name: str) -> Arrays:
    """Return Detectron2's detections in ``(y, x, 3)`` RGB, before masks are pasted."""
    import torch

    colours = picture if configuration(name).INPUT.FORMAT == "RGB" else picture[:, :, ::-1]
    image = torch.from_numpy(np.ascontiguousarray(colours.transpose(2, 0, 1)))
    with torch.no_grad():
        (found,) = model.inference([{"image": image.float()}], do_postprocess=False)
    return {
        "boxes": found.pred_boxes.tensor.numpy(),
        "scores": found.scores.numpy(),
        "classes": found.pred_classes.numpy().astype(np.uint8),
        "masks": found.pred_masks.numpy()[:, 0].astype(np.float16),  # exact to 0.00025
    }


def _settle(model: Any, run: Callable[[], Any]) -> Arrays:
    """Measure what makes the network answer like a trained one; change it so."""
    import torch

    values: dict[str, torch.Tensor] = {}
    named = {module: name for name, module in model.named_modules()}

    def settle(layer: Any, inputs: Any) -> None:
        layer.running_mean.copy_(inputs[0].mean((0, 2, 3)))
        layer.running_var.copy_(inputs[0].var((0, 2, 3)))
        values[f"{named[layer]}.running_mean"] = layer.running_mean.clone()
        values[f"{named[layer]}.running_var"] = layer.running_var.clone()

    norms = [m for m in named if hasattr(m, "running_var")]
    hooks = [norm.register_forward_pre_hook(settle) for norm in norms]
    run()
    for hook in hooks:
        hook.remove()
    return {f"value/{key}": _short(value.numpy()) for key, value in values.items()}


def _short(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return numbers with fewer digits, which take half the space in the file."""
    return (values.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)


def _spread(model: Any, layer: Any, std: float, run: Callable[[], Any]) -> Arrays:
    """Scale a last layer to a standard deviation of its answers, and centre them."""
    import torch

    name = next(name for name, module in model.named_modules() if module is layer)
    answers: list[torch.Tensor] = []
    hook = layer.register_forward_hook(
        lambda _m, _x, y: answers.append(y.detach().transpose(0, 1).flatten(1))
    )
    run()
    hook.remove()
    joined = torch.cat(answers, dim=1)
    factor = np.float32(std / joined.std())
    layer.weight.data *= float(factor)
    layer.bias.data = (layer.bias.data - joined.mean(1)) * float(factor)
    return {
        f"factor/{name}.weight": np.asarray(factor),
        f"value/{name}.bias": _short(layer.bias.data.numpy().copy()),
    }


def calibrate(name: str, picture: npt.NDArray[np.uint8]) -> Arrays:
    """Return the numbers that ``weights_of_case`` needs beside the random ones."""
    blank = build(name)
    shapes = shapes_of(blank)
    model = build(name, random_weights(shapes))
    found: Arrays = {"shapes": np.array(json.dumps(shapes))}

    def run() -> None:
        answer(model, picture, name)

    found |= _settle(model, run)
    heads, rpn = model.roi_heads, model.proposal_generator.rpn_head
    for layer, std in (
        (rpn.objectness_logits, 3.0),
        (rpn.anchor_deltas, 0.3),
        (heads.box_predictor.cls_score, 3.0),
        (heads.box_predictor.bbox_pred, 1.5),
        (heads.mask_head.predictor, 3.0),
    ):
        found |= _spread(model, layer, std, run)
    return found


def generate() -> dict[str, npt.NDArray[Any]]:
    """Run Detectron2 and return all that is stored."""
    from support.networks import pictures

    picture = (pictures(1, 3, (93, 117), seed=5)[0].numpy().transpose(1, 2, 0) * 255).round()
    stored: dict[str, npt.NDArray[Any]] = {"picture": picture.astype(np.uint8)}
    for name in CASES:
        numbers = calibrate(name, stored["picture"])
        stored |= {f"{name}/{key}": value for key, value in numbers.items()}
        model = build(name, weights_of_case(name, stored))
        found = answer(model, stored["picture"], name)
        stored |= {f"{name}/{key}": value for key, value in found.items()}
        stored[f"{name}/config"] = np.array(configuration(name).dump())
    return stored


def main() -> None:
    """Write the file anew."""
    stored = generate()
    content = io.BytesIO()
    np.savez_compressed(content, **stored)
    PATH.parent.mkdir(exist_ok=True)
    PATH.write_bytes(content.getvalue())
    for name in CASES:
        scores = stored[f"{name}/scores"]
        print(f"{name}: {len(scores)} detections, scores {scores.min():.2f} to {scores.max():.2f}")
    print(f"{len(content.getvalue()) / 1000:.0f} kB")


if __name__ == "__main__":
    sys.exit(main())
