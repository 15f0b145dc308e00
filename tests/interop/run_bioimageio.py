"""Check packages with bioimage.io's own library, and let it answer to images.

    python run_bioimageio.py PACKAGE.zip ...

Run by ``test_bioimageio_interop.py`` in an environment of its own. Beside each package lies
``PACKAGE.in.npy``; ``PACKAGE.out.npy`` is written.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from bioimageio.core import load_description, predict, test_description

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
            made = predict(model=load_description(path), inputs=np.load(given))
            (answer,) = made.members.values()
            np.save(path.with_suffix(".out.npy"), np.asarray(answer.data))


if __name__ == "__main__":
    main()
