"""What the form of the Train dock shows of the settings, and in which words."""

from __future__ import annotations

from napari_segnet.widgets.qt.form import Hint

__all__ = ["MAIN", "MORE", "TRAIN_HINTS"]

MAIN = ("minutes", "learning_rate", "head", "patience")
MORE = (
    *("epochs", "steps_per_epoch", "promote_at"),
    *(
        "batch_size",
        "crop_px",
        "crop_z_px",
        "normalize",
        "channels",
        "invert",
        "scale",
        "loss",
        "optimizer",
        "warm_up",
    ),
    *("momentum", "weight_decay", "freeze_stages", "freeze_norm", "replay", "rehearsal"),
    *("average", "anchor"),
    *("on_objects", "flip", "rotate", "scale_range", "gamma", "gain", "offset", "noise"),
    *("blur_px", "mirror", "multiscale", "precision", "threads", "seed"),
)

TRAIN_HINTS = {
    "minutes": Hint(
        label="minutes of training", minimum=0.0, maximum=10_000.0, step=1.0, special="as in epochs"
    ),
    "promote_at": Hint(label="sure that it is better", minimum=0.5, maximum=0.9999, step=0.05),
    "epochs": Hint(label="epochs", minimum=1, maximum=100_000),
    "steps_per_epoch": Hint(label="steps per epoch", minimum=1, maximum=100_000),
    "batch_size": Hint(label="batch size", minimum=1, maximum=4096),
    "threads": Hint(label="threads", minimum=0, maximum=1024, special="all"),
    "crop_px": Hint(label="crop (px)", minimum=8, maximum=100_000),
    "crop_z_px": Hint(label="crop depth (px)", minimum=1, maximum=100_000),
    "normalize": Hint(label="normalise"),
    "channels": Hint(label="channels"),
    "scale": Hint(label="scale", minimum=0.0, maximum=100.0, step=0.1, special="auto"),
    "invert": Hint(
        label="invert",
        choices=("auto", "no", "yes"),
        names=(("yes", "yes: objects are dark"),),
    ),
    "head": Hint(
        label="output layer",
        choices=("keep", "foreground", "objects"),
        names=(
            ("keep", "keep"),
            ("foreground", "new: foreground"),
            ("objects", "new: objects"),
        ),
        editable=True,
    ),
    "loss": Hint(
        label="loss",
        choices=("both", "cross-entropy", "dice", "focal"),
        names=(("both", "cross-entropy and Dice"),),
    ),
    "optimizer": Hint(
        label="optimiser",
        choices=("adamw", "adam", "sgd"),
        names=(("adamw", "AdamW"), ("adam", "Adam"), ("sgd", "SGD")),
    ),
    "learning_rate": Hint(
        label="learning rate",
        minimum=0.0,
        maximum=10.0,
        step=1e-4,
        special="auto",
    ),
    "warm_up": Hint(label="warm-up", minimum=0.0, maximum=0.5, step=0.01),
    "momentum": Hint(label="momentum", minimum=0.0, maximum=0.9999, step=0.01),
    "weight_decay": Hint(label="weight decay", minimum=0.0, maximum=1000.0, step=0.001),
    "freeze_stages": Hint(label="freeze stages", minimum=0, maximum=100, special="none"),
    "freeze_norm": Hint(label="freeze norm layers"),
    "patience": Hint(label="early stopping", minimum=0, maximum=100_000, special="never"),
    "replay": Hint(label="replay", minimum=0.0, maximum=100.0, step=0.1),
    "rehearsal": Hint(label="rehearsal", minimum=0.0, maximum=1.0, step=0.05),
    "average": Hint(label="weight averaging", minimum=0.0, maximum=0.99999, step=0.001),
    "anchor": Hint(label="old network counts as (objects)", minimum=0.0, maximum=1e9, step=10.0),
    "on_objects": Hint(label="crops on objects", minimum=0.0, maximum=1.0, step=0.05),
    "flip": Hint(label="flip"),
    "rotate": Hint(label="rotate"),
    "scale_range": Hint(label="scale range"),
    "gamma": Hint(label="gamma", minimum=1.0, maximum=100.0, step=0.1),
    "gain": Hint(label="contrast", minimum=1.0, maximum=100.0, step=0.1),
    "offset": Hint(label="brightness", minimum=0.0, maximum=100.0, step=0.05),
    "noise": Hint(label="noise", minimum=0.0, maximum=100.0, step=0.01),
    "blur_px": Hint(label="blur (px)", minimum=0.0, maximum=100.0, step=0.1),
    "mirror": Hint(label="label with mirror images"),
    "multiscale": Hint(label="label at several scales"),
    "precision": Hint(label="precision", choices=("auto", "fp32", "fp16", "bf16")),
    "seed": Hint(label="seed", minimum=0, maximum=2**31 - 1),
}
