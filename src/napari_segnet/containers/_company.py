"""What training programs keep beside a network: losses, metrics, a running average.

None of it takes part in the network's answer. A part of any other name might, so it stays, and
no family will know the whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from napari_segnet.containers._types import TensorRef

__all__ = ["AVERAGED", "company_of", "printable", "said"]

AVERAGED = re.compile(r"(?:^|_)(?:ema|swa)(?:_|$)")
_LOSS = re.compile(r"(?:^|_)(?:loss|losses|criterion|criteria|metrics?)(?:_|\d|$)")
_METRIC = re.compile(
    r"(?:(?:train|training|val|valid|validation|test)_?)?"
    r"(?:acc|accuracy|iou|miou|jaccard|dice|dice_score|f1|f1_score|precision|recall|auroc|auc|"
    r"confusion_matrix|confmat|mae|mse|psnr|ssim|metrics?)(?:_(?:train|val|valid|test))?\d*"
)
_CLASS_WEIGHTS = re.compile(
    r"pos_weights?|class_weights?|loss_weights?|(?:criterion|loss|metric)(?:_\w+)?"
)


def company_of(tensors: Mapping[str, TensorRef]) -> frozenset[str]:
    """Return the first parts of names that are no network's; none if nothing else is there."""
    groups = {key.partition(".")[0] for key in tensors}
    found = frozenset(name for name in groups if _is_company(name, tensors))
    left = [key for key in tensors if key.partition(".")[0] not in found]
    return found if any("." in key for key in left) else frozenset()


def _is_company(name: str, tensors: Mapping[str, TensorRef]) -> bool:
    """Tell a loss, a metric or an average by the first part of its tensors' names."""
    if name in tensors:  # a tensor of its own, such as Lightning's registered buffers
        return bool(_CLASS_WEIGHTS.fullmatch(name)) and len(tensors[name].shape) <= 1
    if _LOSS.search(name) or AVERAGED.search(name):
        return True
    # The words alone may name a part of a network; the buffers of a metric are counts.
    own = [tensor for key, tensor in tensors.items() if key.startswith(f"{name}.")]
    return bool(_METRIC.fullmatch(name)) and all(len(tensor.shape) <= 3 for tensor in own)


def said(left_out: Iterable[str]) -> Iterator[str]:
    """Say what was left out; an average beside the network has its own reading."""
    names = [n for n in left_out if not AVERAGED.search(n.partition(".")[0])]
    if names:
        shown = ", ".join(map(printable, names[:3])) + (", ..." if len(names) > 3 else "")
        yield (
            f"Left out: {shown}. A loss or a metric of the training takes no part in the "
            "network's answer."
        )


def printable(text: str) -> str:
    """Return the beginning of a name out of a file, fit for a message."""
    return "".join(letter if letter.isprintable() else "?" for letter in text[:40])
