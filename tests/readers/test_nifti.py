"""NIfTI: numbers, axes, sizes and orientation as nibabel has them; nothing is flipped."""

from __future__ import annotations

import gzip
import pickle
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest

from napari_segnet.errors import ImageError, MissingExtraError
from napari_segnet.readers import file_axes, image_paths, image_stem, open_image

RNG = np.random.default_rng(7)
SHAPE = (5, 6, 7)  # i, j, k
AFFINE = np.array([[-0.7, 0, 0, 80], [0, 0, 2.5, -90], [0, 0.8, 0, 12], [0, 0, 0, 1]])


def numbers(dtype: str, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return (RNG.random(shape) * 100).astype(dtype)


def saved(path: Path, data: np.ndarray, affine: np.ndarray = AFFINE, unit: str = "mm") -> Path:
    image = nibabel.Nifti1Image(data, affine, dtype=data.dtype)
    image.header.set_xyzt_units(unit)
    nibabel.save(image, path)
    return path


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.hdr", "a.img"])
@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "float32", "float64"])
def test_every_kind_of_number_and_file(tmp_path: Path, name: str, dtype: str) -> None:
    data = numbers(dtype)
    pair = name.endswith((".hdr", ".img"))
    kind = nibabel.Nifti1Pair if pair else nibabel.Nifti1Image
    nibabel.save(kind(data, AFFINE, dtype=dtype), tmp_path / name)
    image = open_image(tmp_path / name)
    assert (image.axes, image.name, image.dtype) == ("zyx", "a", np.dtype(dtype))
    assert np.array_equal(np.asarray(image.data), data.T)
    assert np.array_equal(image.read(z=2, y=slice(1, 4))[0, 0, 0], data.T[2, 1:4])
    again = pickle.loads(pickle.dumps(image))
    assert np.array_equal(again.read(), image.read())


@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
def test_big_endian_files_and_both_versions(tmp_path: Path, kind: type) -> None:
    data = numbers("int16")
    header = kind.header_class(endianness=">")
    header.set_data_dtype(np.int16)
    nibabel.save(kind(data, AFFINE, header), tmp_path / "a.nii")
    assert (tmp_path / "a.nii").read_bytes()[:4] in (b"\0\0\x01\x5c", b"\0\0\x02\x1c")
    image = open_image(tmp_path / "a.nii")
    assert np.array_equal(np.asarray(image.data), data.T)
    assert image.grid is not None
    assert np.allclose(image.grid.affine, AFFINE)


def test_sizes_by_axis_in_micrometres_and_the_way_the_voxels_run(tmp_path: Path) -> None:
    image = open_image(saved(tmp_path / "a.nii.gz", numbers("int16")))
    assert dict(image.pixel_size_um) == {"z": 2500.0, "y": 800.0, "x": 700.0}
    assert image.grid is not None
    assert image.grid.orientation == "LSA"
    assert image.notes == ()
    assert file_axes(tmp_path / "a.nii.gz") == "zyx"


@pytest.mark.parametrize(("unit", "micrometres"), [("meter", 7e5), ("micron", 0.7)])
def test_other_units(tmp_path: Path, unit: str, micrometres: float) -> None:
    image = open_image(saved(tmp_path / "a.nii", numbers("int16"), unit=unit))
    assert image.pixel_size_um["x"] == pytest.approx(micrometres)


def test_a_unit_that_is_not_named_is_said(tmp_path: Path) -> None:
    image = open_image(saved(tmp_path / "a.nii", numbers("int16"), unit="unknown"))
    assert image.pixel_size_um["x"] == 700.0
    assert "millimetres were assumed" in image.notes[0]


def test_sform_comes_before_qform(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(numbers("int16"), None)
    image.set_qform(np.diag([1.0, 1, 1, 1]), code=1)
    image.set_sform(AFFINE, code=2)
    image.header.set_xyzt_units("mm")
    nibabel.save(image, tmp_path / "a.nii")
    opened = open_image(tmp_path / "a.nii")
    assert opened.grid is not None
    assert np.array_equal(opened.grid.affine, nibabel.load(tmp_path / "a.nii").affine)
    assert opened.pixel_size_um["z"] == 2500.0
    assert any("two voxel sizes, 0.7 x 0.8 x 2.5" in note for note in opened.notes)


def test_oblique_and_sheared_volumes_are_kept_and_said(tmp_path: Path) -> None:
    angle = np.radians(20)
    turned = np.eye(4)
    turned[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    image = open_image(saved(tmp_path / "a.nii", numbers("int16"), turned))
    assert any("oblique in the body, by up to 20.0°" in note for note in image.notes)
    turned[0, 2] = 0.2
    image = open_image(saved(tmp_path / "b.nii", numbers("int16"), turned))
    assert any("The voxels are sheared" in note for note in image.notes)
    assert image.grid is not None
    assert np.allclose(image.grid.affine, turned)


def test_a_file_that_does_not_say_how_it_lies(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(numbers("int16"), None)
    nibabel.save(image, tmp_path / "a.nii")
    assert any("neither sform nor qform" in n for n in open_image(tmp_path / "a.nii").notes)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_slope_and_intercept_as_nibabel(tmp_path: Path, name: str) -> None:
    image = nibabel.Nifti1Image(numbers("float64"), AFFINE)
    image.header.set_data_dtype(np.int16)
    nibabel.save(image, tmp_path / name)
    wanted = nibabel.load(tmp_path / name)
    assert wanted.dataobj.slope != 1
    opened = open_image(tmp_path / name)
    assert opened.dtype == np.float64
    assert np.array_equal(np.asarray(opened.data).T, wanted.get_fdata())


def test_time_channels_and_colours(tmp_path: Path) -> None:
    data = numbers("int16", (*SHAPE, 3))
    moving = open_image(saved(tmp_path / "t.nii", data))
    assert (moving.axes, moving.label_axes) == ("tzyx", "tzyx")
    assert "say so by axes=czyx" in moving.notes[0]
    told = open_image(tmp_path / "t.nii", "czyx")
    assert (told.sizes["c"], told.label_axes, told.notes) == (3, "zyx", ())
    assert told.grid is not None
    assert told.grid.label_dims == {"z": 7, "y": 6, "x": 5}
    spectrum = open_image(saved(tmp_path / "s.nii", data, unit="hz"))
    assert spectrum.axes == "czyx"
    vectors = open_image(saved(tmp_path / "v.nii", numbers("int16", (*SHAPE, 1, 3))))
    assert (vectors.axes, vectors.sizes["c"], vectors.label_axes) == ("ctzyx", 3, "tzyx")
    rgb = np.zeros(SHAPE, [("R", "u1"), ("G", "u1"), ("B", "u1")])
    rgb["G"] = 9
    coloured = open_image(saved(tmp_path / "c.nii.gz", rgb))
    assert (coloured.axes, coloured.rgb, coloured.label_axes) == ("zyxc", True, "zyx")
    assert (coloured.read(c=1) == 9).all() and not coloured.read(c=0).any()


def test_an_extension_is_skipped(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(numbers("int16"), AFFINE)
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"x" * 5000))
    nibabel.save(image, tmp_path / "a.nii")
    assert np.array_equal(np.asarray(open_image(tmp_path / "a.nii").data), image.dataobj.T)


# ---- What is not whole ----


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_a_header_that_promises_too_much_is_refused_before_memory_is_spent(
    tmp_path: Path, name: str
) -> None:
    header = nibabel.Nifti2Header(endianness="<")
    header["magic"], header["vox_offset"] = b"n+2", 544
    header.set_data_dtype(np.float32)
    header.set_data_shape((100_000, 100_000, 100_000))
    content = header.binaryblock + b"\0" * 5000
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    with pytest.raises(ImageError, match="its header says 4,000,000,000,0"):
        open_image(tmp_path / name)


def test_a_damaged_gzip_is_believed(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.nii.gz", RNG.integers(0, 9, (50, 50, 20), np.int16))
    content = bytearray(path.read_bytes())
    content[-6] ^= 1  # of the checksum
    path.write_bytes(content)
    with pytest.raises(ImageError, match=r"a\.nii\.gz is damaged or not complete.*CRC"):
        open_image(path).read()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ImageError, match=r"a\.nii\.gz is damaged or not complete"):
        open_image(path).read()


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_a_file_that_changes_while_it_is_open(tmp_path: Path, name: str) -> None:
    path = saved(tmp_path / name, numbers("int16"))
    image = open_image(path)
    path.unlink()
    saved(path, numbers("int16", (9, 9, 9)))
    with pytest.raises(ImageError, match="has changed since it was opened"):
        image.read()


def test_complex_numbers_and_too_many_dimensions_are_refused(tmp_path: Path) -> None:
    saved(tmp_path / "c.nii", numbers("complex64"))
    with pytest.raises(ImageError, match="complex numbers"):
        open_image(tmp_path / "c.nii")
    saved(tmp_path / "d.nii", numbers("int16", (2, 2, 2, 2, 2, 2)))
    with pytest.raises(ImageError, match="has 6 dimensions"):
        open_image(tmp_path / "d.nii")


def test_a_pair_without_its_pixels(tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Pair(numbers("int16"), AFFINE), tmp_path / "a.hdr")
    (tmp_path / "a.img").unlink()
    with pytest.raises(ImageError, match=r"its pixels should be in a\.img"):
        open_image(tmp_path / "a.hdr")


def test_a_folder_lists_headers_of_nifti_only(tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Pair(numbers("int16"), AFFINE), tmp_path / "a.hdr")
    saved(tmp_path / "b.nii.gz", numbers("int16"))
    saved(tmp_path / "b.labels.nii.gz", numbers("int16"))
    (tmp_path / "envi.hdr").write_text("ENVI\nsamples = 3\n")
    assert [p.name for p in image_paths([tmp_path])] == ["a.hdr", "b.nii.gz"]


def test_stems() -> None:
    names = {"head.nii.gz": "head", "head.NII.GZ": "head", "a.labels.nii.gz": "a.labels"}
    names |= {"a.b.nii": "a.b", "a.ome.tif": "a", "a.tar.gz": "a.tar", ".nii.gz": ".nii"}
    assert {name: image_stem(Path(name)) for name in names} == names


def test_without_nibabel_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(tmp_path / "a.nii", numbers("int16"))
    monkeypatch.setitem(sys.modules, "nibabel", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'napari-segnet\[medical\]'"):
        open_image(path)


def test_a_real_ct(data: Path) -> None:
    path = data / "ct" / "example_ct_sm.nii.gz"
    image, truth = open_image(path), nibabel.load(path)
    assert image.name == "example_ct_sm"
    assert dict(image.pixel_size_um) == {"z": 3000.0, "y": 3000.0, "x": 3000.0}
    assert np.array_equal(np.asarray(image.data).T, np.asarray(truth.dataobj))
