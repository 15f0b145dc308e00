"""Make networks of StarDist, or run one: for test_stardist_interop.py, in the library's own Python.

run_stardist.py make FOLDER         random networks NAME/, and what they answer in NAME.npz
run_stardist.py run NETWORK INPUT   labels, probability and distances of images in INPUT.npz
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from stardist import Rays_GoldenSpiral
from stardist.models import Config2D, Config3D, StarDist2D, StarDist3D

NETWORKS = {
    "plain": Config2D(n_rays=32, grid=(2, 2), unet_n_depth=2, unet_n_filter_base=8,
                      net_conv_after_unet=12),
    "classes": Config2D(n_rays=12, grid=(1, 2), n_classes=3, n_channel_in=3, unet_n_depth=1,
                        unet_n_filter_base=8, unet_batch_norm=True, net_conv_after_unet=0),
    "deep": Config2D(n_rays=16, grid=(4, 4), unet_n_conv_per_depth=3, unet_kernel_size=(5, 5),
                     unet_n_filter_base=6, unet_expansion=1.5, unet_activation="elu"),
    "unet3d": Config3D(rays=24, grid=(1, 1, 1), unet_n_depth=1, unet_n_filter_base=6,
                       net_conv_after_unet=8),
    "resnet3d": Config3D(rays=Rays_GoldenSpiral(24, anisotropy=(2, 1, 1)), grid=(1, 2, 2),
                         anisotropy=(2, 1, 1), backbone="resnet", resnet_n_blocks=3,
                         resnet_n_filter_base=6, resnet_batch_norm=True,
                         net_conv_after_resnet=8),
}  # fmt: skip


def make(folder: Path) -> None:
    random = np.random.default_rng(0)
    for name, config in NETWORKS.items():
        kind = StarDist2D if config.n_dim == 2 else StarDist3D
        model = kind(config, name=name, basedir=str(folder))
        # Weights as they are first drawn answer alike everywhere.
        weights = model.keras_model.get_weights()
        wild = [
            np.abs(one + random.normal(0, 0.1, one.shape)) if one.ndim == 1 else 1.2 * one
            for one in weights
        ]
        model.keras_model.set_weights(wild)
        model.keras_model.save_weights(str(folder / name / "weights_best.h5"))
        shape = (64, 64) if config.n_dim == 2 else (8, 32, 32)
        image = random.random((*shape, config.n_channel_in)).astype(np.float32)
        np.savez(folder / f"{name}.npz", image=image, **answers(model, image))


def answers(model: StarDist2D | StarDist3D, image: np.ndarray) -> dict[str, np.ndarray]:
    found = model.predict(image)
    keys = ("prob", "dist", "kinds")
    return dict(zip(keys, found, strict=False))


def run(network: Path, given: Path) -> None:
    kind = StarDist3D if "3d" in network.name else StarDist2D
    model = kind(None, name=network.name, basedir=str(network.parent))
    images = np.load(given)
    found = {}
    for name in images.files:
        if network.name == "shown":  # of random answers everything is suspected
            found[f"{name} labels"] = model.predict_instances(images[name])[0]
        for key, value in answers(model, images[name]).items():
            found[f"{name} {key}"] = value
    np.savez(given.with_suffix(".out.npz"), **found)


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(Path(sys.argv[2]))
    else:
        run(Path(sys.argv[2]), Path(sys.argv[3]))
