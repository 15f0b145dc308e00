"""How the settings of a run and of its labels are called and shown, in forms and in messages."""

from __future__ import annotations

from napari_segnet.widgets.qt.form import Hint

__all__ = ["HINTS", "LABEL_HINTS", "check_normalizer"]

NORMALIZERS = (
    *("auto", "none", "percentile", "min-max", "z-score", "divide-255", "divide-65535"),
    "imagenet",
    "half",
)
LATER = ("find", "source")
"""Words that become a normalisation as soon as there are a network and an image."""


def check_normalizer(text: str) -> None:
    """Refuse what is no normalisation.

    Raises
    ------
    SettingsError
        If it is none.
    """
    from napari_segnet.prepare import parse_normalizer

    if text not in ("auto", *LATER):
        parse_normalizer(text)


HINTS = {
    "normalize": Hint(
        label="normalise", choices=NORMALIZERS, editable=True, check=check_normalizer
    ),
    "device": Hint(label="device", choices=("auto", "cpu", "cuda", "mps"), editable=True),
    "invert": Hint(
        label="invert",
        choices=("auto", "no", "yes"),
        names=(("yes", "yes: objects are dark"),),
    ),
    "normalize_over": Hint(label="normalise over", choices=("auto", "volume", "plane", "series")),
    "scale": Hint(label="scale", minimum=0.01, maximum=100.0, step=0.1),
    "object_px": Hint(label="objects (px)", minimum=0.1, maximum=100_000.0, step=1.0),
    "object_um": Hint(label="objects (µm)", minimum=0.001, maximum=100_000.0, step=1.0),
    "tile_px": Hint(label="tile (px)", special="auto"),
    "batch_size": Hint(label="tiles at once", minimum=0, maximum=256, special="auto"),
    "precision": Hint(label="precision", choices=("auto", "fp32", "tf32", "fp16", "bf16")),
    "seams": Hint(label="seams", choices=("auto", "exact", "blend")),
    "maps": Hint(label="keep maps as", choices=("auto", "float32", "float16")),
    "threads": Hint(label="threads", minimum=0, maximum=1024, special="all"),
}


LABEL_HINTS = {
    "threshold": Hint(label="threshold", minimum=0.0, maximum=1.0, step=0.01),
    "instances": Hint(
        label="objects by",
        choices=("auto", "none", "components", "watershed"),
        names=(("none", "classes, no objects"),),
    ),
    "seed_threshold": Hint(label="split at", minimum=0.0, maximum=1.0, step=0.01),
    "min_size_px": Hint(label="min. size", minimum=0, maximum=100_000),
    "fill_holes": Hint(label="fill holes"),
    "clear_border": Hint(label="drop at edge"),
    "link": Hint(label="link along", choices=("none", "z", "t", "tz")),
    "steps": Hint(label="more steps", special="none"),
    "score": Hint(label="least score", minimum=0.0, maximum=1.0, step=0.01),
    "nms": Hint(label="most overlap", minimum=0.0, maximum=1.0, step=0.01),
    "mask_threshold": Hint(label="mask above", minimum=0.0, maximum=1.0, step=0.01),
    "mask_overlap": Hint(label="most covered", minimum=0.0, maximum=1.0, step=0.05),
    "overlap": Hint(
        label="overlaps go to",
        choices=("score", "probability"),
        names=(("score", "the highest score"), ("probability", "the surest mask")),
    ),
    "classes": Hint(label="only classes", special="all"),
    "max_objects": Hint(label="most objects", minimum=0, maximum=1_000_000, special="no limit"),
}
