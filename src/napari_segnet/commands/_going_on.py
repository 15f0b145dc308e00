"""``--resume``: which results of an earlier run stay."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_segnet.errors import OutputError

if TYPE_CHECKING:
    from napari_segnet.commands._plan import Plan

__all__ = ["DoneMeanwhile", "going_on", "leave_done"]


class DoneMeanwhile(Exception):
    """Another run has made the result of an image since this one began.

    Parameters
    ----------
    files : list of Path
        The result.
    """

    def __init__(self, files: list[Path]) -> None:
        super().__init__(files)
        self.files = files


def going_on(plan: Plan) -> Plan:
    """Return a run that leaves out what is done.

    Raises
    ------
    OutputError
        If a result is there that this run would not make, and it may not be replaced.
    """
    kept: dict[str, list[Path]] = {}
    others: list[tuple[str, str]] = []
    for stem, path in plan.images.items():
        files = _files(plan, stem, path)
        if files[-1].exists():
            why = _difference(plan, files, plan.channel_files.get(stem, (path,)))
        elif there := [file.name for file in files if file.exists()]:
            why = f"has no record ({' and '.join(there)})"
        else:
            continue
        if why is None:
            kept[stem] = files
        else:
            others.append((stem, why))
    if others and not plan.overwrite:
        stem, why = others[0]
        more = f" {len(others) - 1} more are not, either." if len(others) > 1 else ""
        raise OutputError(
            f"The result of {stem} in {plan.folder} is not from this run: it {why}.{more} Add "
            "--overwrite to make these results again, or choose another folder with -o."
        )
    return replace(plan, kept=kept, resume=True)


def leave_done(plan: Plan, stem: str, path: Path) -> None:
    """Leave an image to another run that has the same folder and was faster.

    Raises
    ------
    DoneMeanwhile
        With ``--resume``, if its result is there and is the one that this run would make.
    OutputError
        Without, if its result is there and may not be replaced.
    """
    files = _files(plan, stem, path)
    if not files[-1].exists():
        return
    if not plan.resume:
        _refuse_replacing(plan, stem, path)
        return
    if _difference(plan, files, plan.channel_files.get(stem, (path,))) is None:
        raise DoneMeanwhile(files)


def _refuse_replacing(plan: Plan, stem: str, path: Path) -> None:
    from napari_segnet.readers import has_grid
    from napari_segnet.writers import check_output

    check_output(
        plan.folder,
        stem,
        overwrite=plan.overwrite,
        save_maps=plan.save_maps,
        grid=has_grid(path),
        table=plan.table,
        exports=plan.exports,
        zarr=plan.zarr,
    )


def _files(plan: Plan, stem: str, path: Path) -> list[Path]:
    """Return the files that the result of an image has to have, its record last."""
    from napari_segnet.readers import has_grid
    from napari_segnet.writers import result_paths

    maps = plan.save_maps and bool(plan.checkpoint.outputs)
    files = result_paths(
        plan.folder,
        stem,
        maps=maps,
        table=plan.table,
        grid=has_grid(path) if (plan.folder / f"{stem}.json").exists() else False,
        exports=plan.exports,
    )
    return files if plan.zarr is None else [plan.zarr.folder, *files[1:]]


def _difference(plan: Plan, files: list[Path], images: tuple[Path, ...]) -> str | None:
    from napari_segnet.resume import Run, difference, read_record

    record = read_record(files[-1])
    if record is None:
        return "was made by another program"
    seen = record.get("image")
    predict = plan.predict
    if plan.earlier is not None and isinstance(seen, dict):
        predict = plan.earlier.pinned_as(predict, seen)
    asked = Run(checkpoint=plan.checkpoint, predict=predict, label=plan.label, axes=plan.axes)
    return difference(asked, record, files, images)
