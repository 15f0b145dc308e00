"""Write docs/which-files-open.md from the code: containers, programs, families, layers.

python scripts/which_files.py
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from pathlib import Path

from napari_segnet.containers import CONTAINERS
from napari_segnet.containers.damaged import DAMAGED
from napari_segnet.containers.refused import NAMED, REFUSED
from napari_segnet.families import FAMILIES
from napari_segnet.packages import PACKAGES
from napari_segnet.programs import PROGRAMS, WritingProgram
from napari_segnet.programs.keras import read_layers
from napari_segnet.programs.library import KINDS

PAGE = Path(__file__).resolve().parents[1] / "docs" / "which-files-open.md"
HEAD = """# Which files open

All files and networks that open; `python scripts/which_files.py` makes this page from the code.
Files are recognised by their bytes, never by their names, and nothing in them is executed.
"""


def line(thing: object) -> str:
    """Return the first sentence of the file that a class stands in."""
    about = inspect.getmodule(type(thing)).__doc__ or ""
    return about.strip().split("\n\n")[0].replace("\n", " ").replace("``", "`")


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Return a table of Markdown."""
    every = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in every)


def page() -> str:
    """Return the page."""
    opened = [one for one in CONTAINERS if one not in (*REFUSED, *NAMED, *DAMAGED)]
    trained = {family.name for family in FAMILIES.trainable}
    parts = [
        HEAD,
        "## Weights files\n",
        table(("container", "what it is"), ((f"`{one.name}`", line(one)) for one in opened)),
        "\n## Packages: folders and zip files with a description\n",
        table(("package", "what it is"), ((f"`{one.name}`", line(one)) for one in PACKAGES)),
        "\n## Files that hold the layers of their network\n",
        table(
            ("program", "what it is", "written back as"),
            (
                (
                    f"`{one.name}`",
                    one.title,
                    " ".join(f"`{e}`" for e in one.endings)
                    if isinstance(one, WritingProgram)
                    else "file of this plugin",
                )
                for one in PROGRAMS
            ),
        ),
        "\n## Networks known by name\n",
        table(
            ("family", "what it is", "can be trained"),
            (
                (f"`{one.name}`", one.title, "yes" if one.name in trained else "no")
                for one in FAMILIES
            ),
        ),
        "\n## Networks of libraries, drawn by the names of their tensors\n",
        "All except a HoVer-Net with classes can be trained. Trained networks are written in the "
        "format of the library.\n",
        table(("network", "what it is"), ((f"`{one.name}`", one.title) for one in KINDS)),
        "\n## Layers of Keras\n",
        "A network with any other layer is refused by the name of that layer. Names of Keras 1\n"
        "are known, too.\n",
        table(
            ("kind", "classes"),
            ((kind, ", ".join(f"`{c}`" for c in names)) for kind, names in read_layers().items()),
        ),
    ]
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"{PAGE} is written")
