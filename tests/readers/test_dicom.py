"""DICOM: a series sorted by where its slices lie, whatever its files are called."""

from __future__ import annotations

import pickle
import shutil
import sys
from pathlib import Path

import numpy as np
import pydicom.data
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEGLSLossless, generate_uid
from support.dicoms import ORIGIN_MM, SPACING_MM, save, save_series, slice_of

from napari_segnet.errors import ImageError, MissingExtraError
from napari_segnet.readers import (
    file_axes,
    has_grid,
    image_paths,
    open_image,
    open_series,
    skipped_files,
)

RNG = np.random.default_rng(5)
CT = RNG.integers(0, 3000, (12, 9, 7)).astype(np.int16)
SAMPLES = Path(pydicom.data.__file__).parent / "test_files"
"""Files of many programs, which pydicom brings along."""


# ---- A series ----


def test_shuffled_names_are_sorted_by_position(tmp_path: Path) -> None:
    image = open_image(save_series(tmp_path / "my.scan", CT))
    assert (image.axes, image.name, image.notes) == ("zyx", "my.scan", ())
    assert np.array_equal(np.asarray(image.data), CT)
    assert dict(image.pixel_size_um) == {"z": 2500.0, "y": 700.0, "x": 800.0}
    assert file_axes(tmp_path / "my.scan") == "zyx"
    again = pickle.loads(pickle.dumps(image))
    assert np.array_equal(again.read(z=3, y=slice(2, 5)), image.read()[:, :, 3:4, 2:5])


def test_the_affine_leads_from_voxels_to_the_body(tmp_path: Path) -> None:
    grid = open_image(save_series(tmp_path / "scan", CT)).grid
    assert grid is not None
    assert grid.orientation == "LPS"
    # NIfTI counts towards right and front, DICOM towards left and back.
    x, y, z = np.array(grid.affine) @ (3, 2, 5, 1) @ np.eye(4)[:, :3]
    left, back, up = ORIGIN_MM
    wanted = (-(left + 3 * SPACING_MM[2]), -(back + 2 * SPACING_MM[1]), up + 5 * SPACING_MM[0])
    assert (x, y, z) == pytest.approx(wanted)


def test_one_missing_slice_of_forty_is_named(tmp_path: Path) -> None:
    pixels = RNG.integers(0, 3000, (40, 9, 7)).astype(np.int16)
    image = open_image(save_series(tmp_path / "scan", pixels, missing=(17,)))
    assert np.array_equal(np.asarray(image.data), np.delete(pixels, 17, axis=0))
    assert image.pixel_size_um["z"] == 2500.0
    (note,) = image.notes
    assert note.startswith("1 slice is missing from the series: 1 between slices 17 and 18")
    assert "at -10 and -5 mm (expected at -7.5 mm)" in note


def test_several_gaps_are_counted(tmp_path: Path) -> None:
    image = open_image(save_series(tmp_path / "scan", CT, missing=(2, 6, 7)))
    assert "3 slices are missing" in image.notes[0]
    assert "2 between slices 5 and 6" in image.notes[0]


def test_hounsfield_units(tmp_path: Path) -> None:
    folder = save_series(
        tmp_path / "scan",
        CT.astype(np.uint16),
        BitsStored=12,
        RescaleSlope="1",
        RescaleIntercept="-1024",
    )
    image = open_image(folder)
    assert image.dtype == np.int16
    assert np.array_equal(np.asarray(image.data), CT - 1024)


def test_a_slope_of_each_slice(tmp_path: Path) -> None:
    slopes = {z: str(0.5 + z) for z in range(len(CT))}
    image = open_image(save_series(tmp_path / "pet", CT, RescaleSlope=slopes, RescaleIntercept="0"))
    wanted = CT * (0.5 + np.arange(len(CT)))[:, None, None]
    assert image.dtype == np.float32
    assert np.allclose(np.asarray(image.data), wanted, rtol=1e-6)


def test_zero_that_stands_for_white_is_inverted_and_said(tmp_path: Path) -> None:
    pixels = RNG.integers(0, 4096, (4, 5), np.uint16)
    save(
        slice_of(pixels, PhotometricInterpretation="MONOCHROME1", BitsStored=12), tmp_path / "a.dcm"
    )
    image = open_image(tmp_path / "a.dcm")
    assert np.array_equal(np.asarray(image.data), 4095 - pixels)
    assert any("Zero stands for white" in note for note in image.notes)


def test_a_tilted_gantry_is_a_sheared_grid(tmp_path: Path) -> None:
    places = {z: [0, -0.5 * z, 2.0 * z] for z in range(len(CT))}
    image = open_image(save_series(tmp_path / "scan", CT, ImagePositionPatient=places))
    assert np.array_equal(np.asarray(image.data), CT)
    assert image.pixel_size_um["z"] == 2000.0
    assert any("The voxels are sheared" in note for note in image.notes)
    assert image.grid is not None
    assert np.allclose(np.array(image.grid.affine)[:3, 2], (0, 0.5, 2))


def test_a_spacing_that_the_positions_deny(tmp_path: Path) -> None:
    image = open_image(save_series(tmp_path / "scan", CT, SpacingBetweenSlices="3"))
    assert image.pixel_size_um["z"] == 2500.0
    assert any("says 3 mm, and the slices lie 2.5 mm apart" in note for note in image.notes)


def test_uneven_slices_are_said(tmp_path: Path) -> None:
    places = {z: [0, 0, 2.0 * z + 0.3 * (z % 2)] for z in range(len(CT))}
    image = open_image(save_series(tmp_path / "scan", CT, ImagePositionPatient=places))
    assert any("not evenly spaced: from 1.7 to 2.3 mm" in note for note in image.notes)


def test_without_positions_the_numbers_count(tmp_path: Path) -> None:
    numbers = {z: 10 + z for z in range(len(CT))}
    folder = save_series(
        tmp_path / "scan",
        CT,
        (4,),
        ImagePositionPatient=[],
        InstanceNumber=numbers,
        SliceThickness="2",
    )
    image = open_image(folder)
    assert np.array_equal(np.asarray(image.data), np.delete(CT, 4, axis=0))
    assert "do not say where the slices lie" in image.notes[0]
    assert "1 number is missing from the series: after 13" in image.notes[1]


# ---- What else lies in a folder ----


def test_other_objects_and_copies_are_counted(tmp_path: Path) -> None:
    folder = save_series(tmp_path / "scan", CT)
    shutil.copy(SAMPLES / "rtstruct.dcm", folder / "struct")
    shutil.copy(SAMPLES / "reportsi.dcm", folder / "report.dcm")
    shutil.copy(SAMPLES / "rtdose.dcm", folder / "dose")
    shutil.copy(next(folder.glob("IM*")), folder / "ZZ copy")
    (folder / "notes.txt").write_text("not DICOM")
    image = open_image(folder)
    assert np.array_equal(np.asarray(image.data), CT)
    text = " ".join(image.notes)
    assert "no images: 1 x Basic Text SR, 1 x RT Structure Set." in text
    assert "made of an image: RTDOSE" in text
    assert "1 file holds an object twice, which was read once: ZZ copy." in text


def test_a_damaged_file_does_not_take_the_others_down(tmp_path: Path) -> None:
    folder = save_series(tmp_path / "scan", CT)
    broken = sorted(folder.iterdir())[3]
    broken.write_bytes(broken.read_bytes()[:-40])
    image = open_image(folder)
    assert image.sizes["z"] == len(CT) - 1
    text = " ".join(image.notes)
    assert f"Left out: {broken.name} is damaged or not complete" in text
    assert "1 slice is missing" in text or "ImagePosition" in text


def test_several_series_are_named(tmp_path: Path) -> None:
    folder = save_series(tmp_path / "scan", CT, SeriesDescription="thin", SeriesNumber=2)
    save(slice_of(CT[0], "scout", SeriesInstanceUID=generate_uid()), folder / "scout")
    with pytest.raises(ImageError, match=r"holds 2 DICOM series: CT thin \(series 2\), 12 of 7 x"):
        open_image(folder)
    assert sorted(image.sizes["z"] for image in open_series(folder)) == [1, 12]


def test_slices_of_another_size_or_direction_are_left_out(tmp_path: Path) -> None:
    folder = save_series(tmp_path / "scan", CT)
    save(slice_of(RNG.integers(0, 9, (30, 30), np.int16), "large"), folder / "large")
    image = open_image(folder)
    assert np.array_equal(np.asarray(image.data), CT)
    assert "1 slice of another size or direction left out" in image.notes[0]
    assert image.notes[0].endswith("large.")
    two = tmp_path / "two"
    save(slice_of(CT[0], "a"), two / "a")
    save(slice_of(CT[0], "b", ImageOrientationPatient=[0, 1, 0, 0, 0, -1]), two / "b")
    with pytest.raises(ImageError, match="do not make one image, since they differ in size or"):
        open_image(two)


def test_phases_at_each_position_are_time(tmp_path: Path) -> None:
    folder = save_series(tmp_path / "scan", CT, AcquisitionNumber=1)
    for z, path in enumerate(sorted((save_series(tmp_path / "b", CT + 1)).iterdir())):
        second = pydicom.dcmread(path)
        second.AcquisitionNumber = 2
        second.SOPInstanceUID = generate_uid(entropy_srcs=["second", str(z)])
        save(second, folder / f"B{path.name}")
    image = open_image(folder)
    assert image.axes == "tzyx"
    assert np.array_equal(np.asarray(image.data), np.stack([CT, CT + 1]))
    assert "There are 2 slices at each of 12 positions" in image.notes[0]
    next(folder.glob("BIM*")).unlink()
    again = open_image(folder)
    assert np.array_equal(np.asarray(again.data)[:, 0, 0], CT[:, 0, 0]) and again.axes == "zyx"
    assert "11 slices are left out, since another lies at the same position" in again.notes[0]


def test_a_list_of_a_disk_leads_to_the_folders_inside(tmp_path: Path) -> None:
    shutil.copy(SAMPLES / "dicomdirtests" / "DICOMDIR", tmp_path / "DICOMDIR")
    save_series(tmp_path / "SE1", CT)
    with pytest.raises(ImageError, match=r"holds only a list of DICOM files\. Name one of .*SE1"):
        open_image(tmp_path)


def test_a_folder_of_a_series_is_one_image_of_a_run(tmp_path: Path) -> None:
    folder = save_series(tmp_path / "scan", CT)
    for path in list(folder.iterdir())[:4]:
        path.rename(path.with_suffix(".dcm"))
    assert image_paths([folder]) == [folder]
    assert not skipped_files([folder]), "a slice without an ending belongs to the image"
    assert has_grid(folder)
    assert not has_grid(tmp_path)


# ---- Single files ----


def test_a_single_slice_opens(tmp_path: Path) -> None:
    save(slice_of(CT[0]), tmp_path / "no ending")
    image = open_image(tmp_path / "no ending")
    assert (image.axes, image.name) == ("yx", "no ending")
    assert np.array_equal(np.asarray(image.data), CT[0])
    assert image.grid is not None
    assert image.grid.label_dims == {"z": 1, "y": 9, "x": 7}


def enhanced(pixels: np.ndarray) -> Dataset:
    """Return an enhanced multi-frame CT whose frames lie in the opposite order."""
    found = slice_of(pixels, ImagePositionPatient=None, ImageOrientationPatient=None)
    found.SOPClassUID = found.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.2.1"
    del found.PixelSpacing
    found.Rows, found.Columns, found.NumberOfFrames = *pixels.shape[1:], len(pixels)

    def group(name: str, **values: object) -> tuple[str, Sequence]:
        inner = Dataset()
        for key, value in values.items():
            setattr(inner, key, value)
        return name, Sequence([inner])

    shared = Dataset()
    for name, value in (
        group("PlaneOrientationSequence", ImageOrientationPatient=[1, 0, 0, 0, 1, 0]),
        group("PixelMeasuresSequence", PixelSpacing=["0.7", "0.8"]),
        group("PixelValueTransformationSequence", RescaleSlope="2", RescaleIntercept="-5"),
    ):
        setattr(shared, name, value)
    found.SharedFunctionalGroupsSequence = Sequence([shared])
    frames = []
    for n in range(len(pixels)):
        frame = Dataset()
        place = [0, 0, f"{10 - 1.5 * n}"]
        setattr(frame, *group("PlanePositionSequence", ImagePositionPatient=place))
        frames.append(frame)
    found.PerFrameFunctionalGroupsSequence = Sequence(frames)
    return found


def test_enhanced_multi_frame(tmp_path: Path) -> None:
    save(enhanced(CT), tmp_path / "a.dcm")
    image = open_image(tmp_path / "a.dcm")
    assert image.axes == "zyx"
    assert dict(image.pixel_size_um) == {"z": 1500.0, "y": 700.0, "x": 800.0}
    assert np.array_equal(np.asarray(image.data), CT[::-1].astype(np.int32) * 2 - 5)


@pytest.mark.parametrize(
    "name",
    [
        *("CT_small", "MR_small", "MR_small_RLE", "MR_small_bigendian", "MR_small_implicit"),
        *("MR_small_jp2klossless", "JPEG2000", "image_dfl", "rtdose"),
        *("SC_rgb_rle", "SC_rgb_jpeg_dcmtk", "SC_ybr_full_422_uncompressed", "ExplVR_BigEnd"),
    ],
)
def test_files_of_other_programs_have_the_numbers_that_pydicom_reads(name: str) -> None:
    path = SAMPLES / f"{name}.dcm"
    header = pydicom.dcmread(path)
    wanted = header.pixel_array
    if "RescaleSlope" in header:
        wanted = wanted * float(header.RescaleSlope) + float(header.RescaleIntercept)
    if "DoseGridScaling" in header:
        wanted = wanted * float(header.DoseGridScaling)
    assert np.array_equal(np.asarray(open_image(path).data), wanted)


def test_what_numbers_mean_is_applied_or_said(tmp_path: Path) -> None:
    dose = open_image(SAMPLES / "rtdose.dcm")
    assert "Its numbers are rescaled, as the file says, to: dose in RELATIVE." in dose.notes
    density = slice_of(CT[0], RescaleSlope="0.5", RescaleIntercept="0", RescaleType="OD")
    save(density, tmp_path / "a.dcm")
    assert open_image(tmp_path / "a.dcm").notes[-1].endswith("as the file says, to: OD.")
    table = Dataset()
    table.LUTDescriptor, table.ModalityLUTType = [4, 0, 16], "US"
    table.LUTData = np.array([0, 5, 9, 20], np.uint16).tobytes()
    looked_up = slice_of(CT[0] % 4, ModalityLUTSequence=Sequence([table]))
    looked_up["ModalityLUTSequence"].value[0][0x0028, 0x3006].VR = "OW"
    save(looked_up, tmp_path / "b.dcm")
    image = open_image(tmp_path / "b.dcm")
    assert np.array_equal(np.asarray(image.data), CT[0] % 4)
    assert "A table in the file (Modality LUT)" in image.notes[-1]


def test_a_packing_that_nothing_opens_names_what_to_install(tmp_path: Path) -> None:
    lossless = slice_of(CT[0])
    lossless.file_meta.TransferSyntaxUID = JPEGLSLossless
    lossless.PixelData = pydicom.encaps.encapsulate([b"\xff\xd8" + b"\0" * 40])
    save(lossless, tmp_path / "a.dcm")
    pattern = r"packed as JPEG-LS Lossless.*pip install pylibjpeg"
    try:
        import pylibjpeg  # noqa: F401
    except ModuleNotFoundError:
        with pytest.raises(MissingExtraError, match=pattern):
            open_image(tmp_path / "a.dcm")


@pytest.mark.filterwarnings("ignore:Expected explicit VR:UserWarning")
def test_packed_pixels_in_elements_of_another_kind_than_said() -> None:
    path = SAMPLES / "SC_rgb_jpeg.dcm"  # its elements do not say their kinds, as its syntax has it
    wanted = pydicom.dcmread(path).pixel_array
    np.testing.assert_array_equal(np.asarray(open_image(path).data), wanted)


def test_a_file_without_a_picture(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="holds no image, but 1 x RT Structure Set"):
        open_image(SAMPLES / "rtstruct.dcm")
    with pytest.raises(ImageError, match="shows its numbers as colours of a palette"):
        open_image(SAMPLES / "examples_palette.dcm")


@pytest.mark.parametrize("frames", [1, 2_000_000])
def test_a_header_that_promises_too_much_is_refused(tmp_path: Path, frames: int) -> None:
    large = slice_of(CT[0], Rows=65000, Columns=65000, NumberOfFrames=frames)
    save(large, tmp_path / "a.dcm")
    with pytest.raises(ImageError, match=r"its header says [\d,]+ bytes of pixels or more"):
        open_image(tmp_path / "a.dcm")


@pytest.mark.parametrize("extra", [0, 100_000_000])
def test_what_is_deflated_is_refused_before_it_fills_the_memory(tmp_path: Path, extra: int) -> None:
    header = slice_of(CT[0])
    header.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    if extra:
        header.add_new(0x00091001, "OB", bytes(extra))
    path = tmp_path / "a.dcm"
    header.save_as(path, enforce_file_format=True)
    if not extra:
        assert np.array_equal(np.asarray(open_image(path).data), CT[0])
        return
    with pytest.raises(ImageError, match=r"become more than .* dcmconv"):
        open_image(path)


def test_a_list_of_tens_of_thousands_of_empty_items_is_damaged(tmp_path: Path) -> None:
    header = slice_of(CT[0])
    header.add_new(0x00081115, "SQ", [Dataset() for _ in range(20_000)])
    header.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    with pytest.raises(ImageError, match=r"20,000 items in .* bytes"):
        open_image(tmp_path / "a.dcm")


def test_a_slice_that_changes_while_the_series_is_open(tmp_path: Path) -> None:
    folder = save_series(tmp_path / "scan", CT)
    image = open_image(folder)
    changed = next(folder.iterdir())
    changed.write_bytes(changed.read_bytes() + b"\0\0")
    with pytest.raises(ImageError, match=f"{changed.name} has changed since it was opened"):
        image.read()


@pytest.mark.parametrize("package", ["pydicom", "nibabel"])
def test_without_the_packages_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    save(slice_of(CT[0]), tmp_path / "a.dcm")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=r"pip install 'napari-segnet\[medical\]'"):
        open_image(tmp_path / "a.dcm")


def test_elements_that_are_written_otherwise_than_said(tmp_path: Path) -> None:
    path = tmp_path / "a.dcm"
    save(slice_of(CT[0]), path)
    data = path.read_bytes()
    said, other = b"1.2.840.10008.1.2.1\x00", b"1.2.840.10008.1.2\x00\x00\x00"
    assert said in data
    plain = np.asarray(open_image(path).data)
    path.write_bytes(data.replace(said, other))
    np.testing.assert_array_equal(np.asarray(open_image(path).data), plain)


def test_a_series_without_a_text_for_its_number_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "a.dcm"
    save(slice_of(CT[0], SeriesInstanceUID="1.2.34567"), path)
    data = path.read_bytes()
    said = b"\x20\x00\x0e\x00UI"
    assert said in data
    path.write_bytes(data.replace(said, b"\x20\x00\x0e\x00UL"))
    with pytest.raises(ImageError):
        open_image(path)


def test_a_slope_of_zero_is_refused(tmp_path: Path) -> None:
    made = slice_of(CT[0])
    made.RescaleSlope, made.RescaleIntercept = "0", "-5"
    save(made, tmp_path / "a.dcm")
    with pytest.raises(ImageError, match="slope and intercept"):
        open_image(tmp_path / "a.dcm")
