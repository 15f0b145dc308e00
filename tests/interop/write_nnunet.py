"""Write small networks as nnU-Net's training leaves them, and label an image with its predictor.

Runs with nnU-Net in an environment of its own: ``python write_nnunet.py OUT KIND``. Networks are
not trained; their last layers are scaled.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

LABELS: dict[str, Any] = {"background": 0, "rim": 1, "core": 2}
REGIONS: dict[str, Any] = {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "active": 3}
KINDS: dict[str, dict[str, Any]] = {
    "2d": {"ndim": 2, "folds": 2},
    "3d": {"ndim": 3, "folds": 5},
    "regions": {"ndim": 3, "folds": 1, "labels": REGIONS, "order": [2, 0, 1]},
}
IMAGE_SPACING = (3.2, 1.17, 1.17)
SPACING = (3.2, 0.9, 0.9)
FIGURES = {"mean": 90.0, "std": 40.0, "percentile_00_5": 10.0, "percentile_99_5": 180.0}


def plans_of(kind: dict[str, Any]) -> dict[str, Any]:
    """Return plans as the planner writes them."""
    ndim, order = kind["ndim"], kind.get("order", [0, 1, 2])
    turned = [order[n] for n in range(3)][-ndim:]
    steps = [(1, 1, 1), (1, 2, 2), (2, 2, 2)]
    kernels = [(1, 3, 3), (3, 3, 3), (3, 3, 3)]
    dim = f"torch.nn.modules.conv.Conv{ndim}d"
    norm = f"torch.nn.modules.instancenorm.InstanceNorm{ndim}d"
    kwargs = {
        "n_stages": 3,
        "features_per_stage": [8, 12, 16],
        "conv_op": dim,
        "kernel_sizes": [[k[a] for a in turned] for k in kernels],
        "strides": [[s[a] for a in turned] for s in steps],
        "n_conv_per_stage": [2, 2, 2],
        "n_conv_per_stage_decoder": [2, 2],
        "conv_bias": True,
        "norm_op": norm,
        "norm_op_kwargs": {"eps": 1e-05, "affine": True},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    }
    usual = {"is_seg": False, "order": 3, "order_z": 0, "force_separate_z": None}
    how = "resample_data_or_seg_to_shape"
    own = {
        "data_identifier": "own",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": [(8, 32, 32)[a] for a in turned],
        "spacing": [SPACING[a] for a in turned],
        "normalization_schemes": ["ZScoreNormalization", "CTNormalization"],
        "use_mask_for_norm": [True, False],
        "resampling_fn_data": how,
        "resampling_fn_data_kwargs": usual,
        "resampling_fn_seg": how,
        "resampling_fn_seg_kwargs": {**usual, "is_seg": True, "order": 1},
        "resampling_fn_probabilities": how,
        "resampling_fn_probabilities_kwargs": {**usual, "order": 1},
        "architecture": {
            "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
            "arch_kwargs": kwargs,
            "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
        },
        "batch_dice": True,
    }
    return {
        "dataset_name": "Dataset001_Own",
        "plans_name": "nnUNetPlans",
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": order,
        "transpose_backward": [order.index(axis) for axis in range(3)],
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {"0": FIGURES, "1": FIGURES},
        "configurations": {"own": own},
    }


def write(folder: Path, kind: dict[str, Any]) -> None:
    """Write a training's folder."""
    plans = plans_of(kind)
    dataset = {
        "channel_names": {"0": "T1", "1": "CT"},
        "labels": kind.get("labels", LABELS),
        "regions_class_order": [1, 2, 3],
        "file_ending": ".nii.gz",
        "numTraining": 1,
    }
    folder.mkdir(parents=True)
    (folder / "plans.json").write_text(json.dumps(plans))
    (folder / "dataset.json").write_text(json.dumps(dataset))
    manager = PlansManager(plans)
    own = manager.get_configuration("own")
    heads = manager.get_label_manager(dataset).num_segmentation_heads
    for fold in range(kind["folds"]):
        torch.manual_seed(fold)
        make = nnUNetTrainer.build_network_architecture
        network = make(manager, own, 2, heads, True)
        with torch.no_grad():
            for layer in network.decoder.seg_layers:
                layer.weight.mul_(6)
        (folder / f"fold_{fold}").mkdir()
        arguments = {"plans": plans, "configuration": "own", "dataset_json": dataset}
        state = {
            "network_weights": network.state_dict(),
            "init_args": arguments,
            "trainer_name": "nnUNetTrainer",
            "inference_allowed_mirroring_axes": tuple(range(kind["ndim"])),
        }
        torch.save(state, folder / f"fold_{fold}" / "checkpoint_final.pth")


def image(folder: Path) -> None:
    """Write a case of two channels with nothing around it."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(1)
    for channel in range(2):
        pixels = rng.uniform(20, 180, (16, 40, 45)).astype(np.float32)
        pixels[:2] = pixels[:, :5] = pixels[:, :, -6:] = 0
        picture = sitk.GetImageFromArray(pixels)
        picture.SetSpacing(IMAGE_SPACING[::-1])
        sitk.WriteImage(picture, str(folder / f"case_{channel:04d}.nii.gz"))


if __name__ == "__main__":
    out, kind = Path(sys.argv[1]), KINDS[sys.argv[2]]
    torch.set_num_threads(1)
    write(out / "trained", kind)
    image(out / "images")
    (out / "labels").mkdir()
    predictor = nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False)
    predictor.initialize_from_trained_model_folder(str(out / "trained"), use_folds=None)
    predictor.predict_from_files_sequential(
        str(out / "images"), str(out / "labels"), save_probabilities=True
    )
