"""Check packages with bioimage.io's own library, and let it answer to images.

    python run_bioimageio.py PACKAGE.zip ...

Run by ``test_bioimageio_interop.py`` in an environment of its own. Beside each package lies
``PACKAGE.in.npy``; ``PACKAGE.out.npy`` is written. By itself its ``predict`` pads an image by the
halo before it measures and normalises it; that has to run, and what is compared is not padded.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from bioimageio.core import (
    create_prediction_pipeline,
    load_description,
    predict,
    test_description,
)
from bioimageio.core.digest_spec import create_sample_for_model

torch.set_num_threads(1)


def main() -> None:
    for name in sys.argv[1:]:
        found = test_description(name)
        if found.status != "passed":
            found.display()
            sys.exit(f"{name}: {found.status}")
        path = Path(name)
        given = path.with_suffix(".in.npy")
        if given.exists():
            model, pixels = load_description(path), np.load(given)
            predict(model=model, inputs=pixels)
            sample = create_sample_for_model(model, inputs=pixels)
            with create_prediction_pipeline(model) as pipeline:
                made = pipeline.predict_sample_without_blocking(
                    sample, skip_input_padding=True, skip_output_cropping=True
                )
            (answer,) = made.members.values()
            np.save(path.with_suffix(".out.npy"), np.asarray(answer.data))


if __name__ == "__main__":
    main()
