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


def two_lines(words: str) -> str:
    """Return words in two lines of about the same length: a dock is narrow."""
    spaces = [at for at, letter in enumerate(words) if letter == " "]
    middle = min(spaces, key=lambda at: abs(at - len(words) / 2))
    return f"{words[:middle]}\n{words[middle + 1 :]}"


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
    "object_px": Hint(label="object diameter", minimum=0.1, maximum=100_000.0, step=1.0),
    "object_um": Hint(label="object diameter", minimum=0.001, maximum=100_000.0, step=1.0),
    "tile_px": Hint(label="tile size (px)", special="auto"),
    "batch_size": Hint(label="batch size", minimum=0, maximum=256, special="auto"),
    "precision": Hint(label="precision", choices=("auto", "fp32", "tf32", "fp16", "bf16")),
    "seams": Hint(label="seams", choices=("auto", "exact", "blend")),
    "mirror": Hint(
        label="mirror images, too",
        choices=("auto", "no", "yes"),
        names=(("auto", "auto (as trained)"), ("yes", "yes: 4 times the time")),
    ),
    "multiscale": Hint(
        label="several scales",
        choices=("auto", "no", "yes"),
        names=(("auto", "auto (as trained)"), ("yes", "yes: 1.25 times the time")),
    ),
    "maps": Hint(label="keep maps as", choices=("auto", "float32", "float16")),
    "threads": Hint(label="threads", minimum=0, maximum=1024, special="all"),
    "engine": Hint(label="engine", choices=("auto", "torch", "openvino")),
}


LABEL_HINTS = {
    "threshold": Hint(label="threshold", minimum=0.0, maximum=1.0, step=0.01),
    "instances": Hint(
        label=two_lines("separate touching objects"),
        choices=("auto", "none", "components", "watershed", "flows", "offsets"),
        names=(
            ("none", "classes only"),
            ("components", "no"),
            ("watershed", "yes"),
            ("flows", "by their flows"),
            ("offsets", "by their offsets"),
        ),
    ),
    "seed_threshold": Hint(label="seed threshold", minimum=0.0, maximum=1.0, step=0.01),
    "cut_by": Hint(
        label="cut by",
        choices=("auto", "distance"),
        names=(("auto", "boundary and distance"), ("distance", "distance alone")),
    ),
    "flow_threshold": Hint(label="flow threshold", minimum=0.0, maximum=4.0, step=0.05),
    "flow_steps": Hint(label="steps along flows", minimum=0, maximum=100_000, special="auto"),
    "min_size_px": Hint(label="minimum size (px)", minimum=0, maximum=100_000),
    "fill_holes": Hint(label="fill holes"),
    "clear_border": Hint(label=two_lines("remove at image edge")),
    "link": Hint(
        label="join slices",
        choices=("none", "z", "t", "tz"),
        names=(
            ("none", "no"),
            ("z", "of the z-stack"),
            ("t", "of the time series"),
            ("tz", "of both"),
        ),
    ),
    "steps": Hint(label="further steps", special="none"),
    "score": Hint(label="minimum score", minimum=0.0, maximum=1.0, step=0.01),
    "nms": Hint(label="maximum overlap", minimum=0.0, maximum=1.0, step=0.01),
    "mask_threshold": Hint(label="mask threshold", minimum=0.0, maximum=1.0, step=0.01),
    "mask_overlap": Hint(label="maximum covered", minimum=0.0, maximum=1.0, step=0.05),
    "overlap": Hint(
        label="overlaps go to",
        choices=("score", "probability"),
        names=(("score", "the higher score"), ("probability", "the higher probability")),
    ),
    "classes": Hint(label="classes", special="all"),
    "max_objects": Hint(label="maximum objects", minimum=0, maximum=1_000_000, special="no limit"),
}
