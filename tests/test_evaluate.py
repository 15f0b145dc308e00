"""Scores: hand-made cases, a slow second implementation, and files."""

import json
import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Picture
from scipy.optimize import linear_sum_assignment
from support.label_pairs import label_pair, other_names
from tifffile import imwrite

from napari_segnet.errors import ImageError, MismatchError
from napari_segnet.evaluate import (
    IOU_PERCENT,
    evaluate,
    evaluate_many,
    pair_folders,
    pairing,
    pool,
    read_labels,
)

FIGURES = ("ap50", "ap75", "ap", "precision50", "recall50", "f1_50", "pq", "dice")


def row(text):
    return np.asarray([[int(c) for c in text.replace(".", "0")]], np.int32)


def close(figures):
    """Compare to 1e-9, and none with none."""
    return pytest.approx(figures, rel=1e-9, abs=1e-9, nan_ok=True)


def figures(scores):
    return {key: getattr(scores, key) for key in FIGURES}


def slow_figures(pairs):
    """All figures by definition: dense IoU and optimal assignment, as StarDist matches."""
    tp, true_count, predicted_count = dict.fromkeys(IOU_PERCENT, 0), 0, 0
    iou_sum, both_px, all_px = 0.0, 0, 0
    for labels, truth in pairs:
        ours, theirs = np.unique(labels[labels > 0]), np.unique(truth[truth > 0])
        iou = np.zeros((theirs.size, ours.size))
        for i, t in enumerate(theirs):
            for j, p in enumerate(ours):
                both = ((truth == t) & (labels == p)).sum()
                iou[i, j] = both / ((truth == t) | (labels == p)).sum()
        for percent in IOU_PERCENT:
            good = iou >= percent / 100
            rows, columns = linear_sum_assignment(-good.astype(float) - iou / (2 * iou.size + 1))
            matched = good[rows, columns]
            tp[percent] += int(matched.sum())
            if percent == 50:
                iou_sum += iou[rows, columns][matched].sum()
        true_count, predicted_count = true_count + theirs.size, predicted_count + ours.size
        both_px += int(((labels > 0) & (truth > 0)).sum())
        all_px += int((labels > 0).sum() + (truth > 0).sum())

    def over(a, b):
        return a / b if b else math.nan

    total = true_count + predicted_count
    ap = {t: over(tp[t], total - tp[t]) for t in IOU_PERCENT}
    return {
        "ap50": ap[50],
        "ap75": ap[75],
        "ap": float(np.mean(list(ap.values()))),
        "precision50": over(tp[50], predicted_count) if predicted_count else over(0, true_count),
        "recall50": over(tp[50], true_count) if true_count else over(0, predicted_count),
        "f1_50": over(2 * tp[50], total),
        "pq": over(2 * iou_sum, total),
        "dice": over(2 * both_px, all_px),
    }


def random_pair(seed, shape):
    """Truth of blocks, and a prediction of the same blocks shifted, halved, renamed."""
    rng = np.random.default_rng(seed)
    truth = np.kron(rng.integers(0, 5, [-(-n // 4) for n in shape]), np.ones([4] * len(shape)))
    truth = truth[tuple(slice(0, n) for n in shape)].astype(np.int32)
    labels = np.roll(truth, rng.integers(0, 2), axis=int(rng.integers(0, len(shape))))
    labels = np.where(rng.random(shape) < rng.uniform(0, 0.3), 0, labels)
    if rng.random() < 0.5:
        half = np.arange(shape[-1]) % 4 < 2
        labels = np.where((labels > 0) & half, labels + 10, labels)
    return labels.astype(np.int32), truth


shapes = st.sampled_from([(1, 1), (8, 12), (1, 24), (4, 8, 8)])
seeds = st.integers(0, 2**31)


# ---- Known values ----


def test_the_same_labels_score_one():
    labels = row("11.22.3")
    assert figures(evaluate(labels, labels)) == dict.fromkeys(FIGURES, 1.0)


def test_known_values():
    """Object 1: IoU 3/4. Object 2: 2/4. Object 3: missed. Prediction 7: of nothing."""
    truth = row("1111..2222..33....")
    labels = row(".555...66......77.")
    scores = evaluate(labels, truth)
    assert (scores.n_true, scores.n_pred) == (3, 3)
    assert scores.tp == (2, 1, 1, 1, 1, 1, 0, 0, 0, 0)
    assert scores.ap50 == 2 / 4
    assert scores.ap75 == 1 / 5
    assert scores.ap == pytest.approx((2 / 4 + 5 * 1 / 5) / 10)
    assert scores.precision50 == scores.recall50 == scores.f1_50 == 2 / 3
    assert scores.pq == pytest.approx((3 / 4 + 2 / 4) / 3)
    assert scores.dice == pytest.approx(2 * 5 / (10 + 7))


def test_precision_and_recall_are_told_apart():
    scores = evaluate(row("11.22.33"), row("11......"))
    assert (scores.precision50, scores.recall50) == (1 / 3, 1)


@pytest.mark.parametrize("percent", IOU_PERCENT)
def test_a_threshold_that_is_reached_exactly_counts(percent):
    """An IoU of exactly 60 % is 60 %, though 0.5 + 0.05 + 0.05 is more than 3 / 5."""
    truth = np.ones((1, 20), int)
    labels = np.zeros((1, 20), int)
    labels[:, : percent // 5] = 1
    tp = evaluate(labels, truth).tp
    assert tp == tuple(int(other <= percent) for other in IOU_PERCENT)


def test_of_two_halves_one_matches():
    assert evaluate(row("1122"), row("3333")).tp[0] == 1
    assert evaluate(row("3333"), row("1122")).tp[0] == 1


def test_touching_objects_that_were_merged_are_missed():
    scores = evaluate(row("1111111"), row("1111222"))
    assert (scores.tp[0], scores.n_pred, scores.n_true) == (1, 1, 2)
    assert scores.dice == 1


# ---- Nothing there ----


def test_an_empty_image_found_empty_has_no_value_and_is_null_in_json():
    empty = np.zeros((4, 4), np.uint8)
    scores = evaluate(empty, empty)
    assert all(math.isnan(value) for value in figures(scores).values())
    written = json.loads(json.dumps(scores.to_json(), allow_nan=False))
    assert [written[key] for key in FIGURES] == [None] * len(FIGURES)
    assert (written["n_true"], written["n_pred"], written["images"]) == (0, 0, [])


@pytest.mark.parametrize("turn", [False, True])
def test_all_missed_or_all_invented_scores_zero(turn):
    pair = (row("..."), row("1.2"))
    scores = evaluate(*(reversed(pair) if turn else pair))
    assert figures(scores) == dict.fromkeys(FIGURES, 0.0)


def test_a_perfect_empty_image_changes_no_pooled_figure():
    pair = (row("11.2"), row("1.22"))
    empty = np.zeros((1, 4), int)
    pooled = evaluate_many([pair, (empty, empty)])
    assert figures(pooled) == figures(evaluate(*pair))
    assert len(pooled.images) == 2


def test_nothing_at_all_has_no_value():
    assert math.isnan(evaluate_many([]).ap50)


# ---- Against the slow way ----


@settings(max_examples=60)
@given(seed=seeds, shape=shapes)
def test_one_image_scores_as_by_definition(seed, shape):
    pair = random_pair(seed, shape)
    assert figures(evaluate(*pair)) == close(slow_figures([pair]))


@settings(max_examples=40)
@given(seed=seeds, dtypes=st.permutations([np.uint16, np.int64, np.int32, np.uint8]))
def test_touching_merged_and_cut_objects_score_as_by_definition(seed, dtypes):
    found, truth = label_pair(seed, (20, 24))
    named = other_names(found, dtypes[0], seed), other_names(truth, dtypes[1], seed)
    assert figures(evaluate(*named)) == close(slow_figures([(found, truth)]))


@settings(max_examples=25)
@given(seed=seeds, count=st.integers(0, 4))
def test_many_images_are_pooled_as_by_definition(seed, count):
    pairs = [random_pair(seed + number, (8, 12)) for number in range(count)]
    pooled = evaluate_many(pairs)
    assert figures(pooled) == close(slow_figures(pairs))
    assert [figures(image) for image in pooled.images] == [
        close(slow_figures([pair])) for pair in pairs
    ]


@settings(max_examples=40)
@given(
    seed=seeds,
    shape=shapes,
    dtype=st.sampled_from([np.uint8, np.int16, np.uint32, np.int64, np.uint64]),
)
def test_the_names_of_ids_do_not_matter(seed, shape, dtype):
    labels, truth = random_pair(seed, shape)
    rng = np.random.default_rng(seed)
    highest = min(np.iinfo(dtype).max, 2**62)
    names = rng.choice(np.linspace(1, highest, 60).astype(dtype), 40, replace=False)
    names[0] = 0
    assert figures(evaluate(names[labels], truth)) == pytest.approx(
        figures(evaluate(labels, truth)), nan_ok=True
    )


def test_ids_beyond_signed_numbers_are_ids_too():
    truth = row("112..")
    labels = np.uint64([[2**64 - 1, 2**64 - 1, 2**64 - 2, 0, 0]])
    assert evaluate(labels, truth).ap == 1


@settings(max_examples=40)
@given(seed=seeds, shape=shapes)
def test_swapped_precision_is_recall(seed, shape):
    labels, truth = random_pair(seed, shape)
    there, back = evaluate(labels, truth), evaluate(truth, labels)
    swapped = figures(back) | {"precision50": back.recall50, "recall50": back.precision50}
    assert figures(there) == pytest.approx(swapped, nan_ok=True)
    assert there.tp == back.tp


def test_bool_is_one_object_and_arrays_need_not_be_contiguous():
    truth = np.zeros((6, 8), bool)
    truth[1:4, 2:5] = True
    assert evaluate(truth.T, truth.T).ap == 1
    assert evaluate(truth, truth).n_true == 1


def test_fifty_thousand_objects_need_no_dense_matrix():
    """A dense table of IoU would be 20 GB."""
    truth = np.kron(np.arange(1, 50_001).reshape(200, 250), np.ones((3, 3), int))
    scores = evaluate(np.roll(truth, 1, axis=1), truth)
    assert (scores.n_true, scores.n_pred) == (50_000, 50_000)
    # Moved by one of its three columns, each object shares half of the union with itself.
    assert scores.tp == (50_000, *[0] * 9)


# ---- Refusals ----


def test_shapes_that_differ_are_told():
    with pytest.raises(
        MismatchError,
        match=r"of cells must have the same shape; the labels have \(3, 4\), the "
        r"truth has \(3, 5\)",
    ):
        evaluate(np.zeros((3, 4), int), np.zeros((3, 5), int), name="cells")


def test_negative_labels_are_refused():
    with pytest.raises(MismatchError, match=r"The truth has negative labels \(the least is -1\)"):
        evaluate(row("1"), row("1") - 2)


def test_broken_numbers_are_refused():
    with pytest.raises(MismatchError, match=r"The prediction must be labels.*it is float64"):
        evaluate(np.zeros((2, 2)), row("1"))


# ---- Files ----


def write(path, labels=None):
    labels = row("11.22") if labels is None else labels
    path.parent.mkdir(exist_ok=True)
    imwrite(path, np.asarray(labels, np.uint16), photometric="minisblack")
    return path


def test_two_files_are_a_pair_whatever_they_are_called(tmp_path):
    ours, theirs = write(tmp_path / "a.labels.tif"), write(tmp_path / "b.tif")
    assert pair_folders(ours, theirs) == [("a", ours, theirs)]


def test_folders_are_paired_by_stem(tmp_path):
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for stem in ("b", "a"):
        write(ours / f"{stem}.labels.tif")
        write(ours / f"{stem}.maps.tif")
        (ours / f"{stem}.json").write_text("{}")
        write(theirs / f"{stem}.tif")
    (theirs / ".hidden").write_text("")
    (theirs / "notes").mkdir()
    write(theirs / "b.labels.tif")  # beside the image that it labels
    assert pair_folders(ours, theirs) == [
        ("a", ours / "a.labels.tif", theirs / "a.tif"),
        ("b", ours / "b.labels.tif", theirs / "b.labels.tif"),
    ]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("a.labels.tif", "a_mask.tif"),
        ("a.labels.tif", "a_masks.ome.tif"),
        ("a.ome.labels.tif", "a.tif"),
        ("a.ome.labels.tif", "a.ome.tif"),
        ("a.ome.tif", "a.ome_cp_masks.tif"),
        ("a_cp_masks.tif", "a.tif"),
        ("a_cp_masks.tif", "a.ome.tif"),
        ("001_img.labels.tif", "001_masks.tif"),
        ("img_1.labels.tif", "mask_1.tif"),
    ],
)
def test_names_that_programs_lengthen_are_paired(ours, theirs, tmp_path):
    one, other = write(tmp_path / "ours" / ours), write(tmp_path / "theirs" / theirs)
    same = write(tmp_path / "ours" / "b.tif"), write(tmp_path / "theirs" / "b.tif")
    pairs = [pair[1:] for pair in pair_folders(tmp_path / "ours", tmp_path / "theirs")]
    assert sorted(pairs) == sorted([(one, other), same])


def test_a_name_that_two_could_be_is_not_guessed(tmp_path):
    write(tmp_path / "ours" / "a.tif")
    for name in ("a_mask.tif", "a_labels.tif"):
        write(tmp_path / "theirs" / name)
    with pytest.raises(MismatchError, match=r"In \S*ours but not in \S*theirs: a\. In"):
        pair_folders(tmp_path / "ours", tmp_path / "theirs")


def test_unpaired_stems_are_listed(tmp_path):
    for name in ("a", "b", "c"):
        write(tmp_path / "ours" / f"{name}.tif")
    for name in ("b", "d"):
        write(tmp_path / "theirs" / f"{name}.tif")
    with pytest.raises(
        MismatchError, match=r"In \S*ours but not in \S*theirs: a, c\. In \S*theirs but .*: d\. Add"
    ):
        pair_folders(tmp_path / "ours", tmp_path / "theirs")


def test_many_unpaired_stems_are_counted(tmp_path):
    for number in range(13):
        write(tmp_path / "theirs" / f"{number:02}.tif")
    write(tmp_path / "ours" / "00.tif")
    with pytest.raises(MismatchError, match=r"01, 02, .*10 and 2 more\."):
        pair_folders(tmp_path / "ours", tmp_path / "theirs")


def test_two_files_for_one_stem_are_refused(tmp_path):
    for name in ("a.tif", "a.png"):
        write(tmp_path / "ours" / name)
    write(tmp_path / "theirs" / "a.tif")
    with pytest.raises(MismatchError, match=r"could be the labels of a: a\.png, a\.tif\. Leave"):
        pair_folders(tmp_path / "ours", tmp_path / "theirs")


def test_a_file_and_a_folder_are_refused(tmp_path):
    file = write(tmp_path / "a.tif")
    with pytest.raises(MismatchError, match=r"Give two files or two folders: \S+ is a folder"):
        pair_folders(file, tmp_path)


def test_what_does_not_exist_or_is_empty_is_refused(tmp_path):
    with pytest.raises(MismatchError, match=r"There is no file or folder \S*nowhere"):
        pair_folders(tmp_path / "nowhere", tmp_path)
    (tmp_path / "ours").mkdir()
    with pytest.raises(MismatchError, match=r"There are no label files in the folder \S*ours"):
        pair_folders(tmp_path / "ours", tmp_path / "ours")


def test_the_scores_of_each_image_are_written_beside_the_pooled_ones():
    pairs = [(row("11.22"), row("1..22")), (row("1...."), row("...11"))]
    written = evaluate_many(pairs).to_json()
    assert [image["name"] for image in written["images"]] == ["0", "1"]
    assert written["images"][1]["ap50"] == 0
    means = {"mean_dice", "mean_iou", "mean_hd95_px", "mean_hd95_um"}
    assert set(written["images"][0]) == {"name", "n_true", "n_pred", "classes", *means, *FIGURES}
    assert set(written) == {"n_true", "n_pred", "classes", "images", *means, *FIGURES}


def test_an_axis_of_length_one_makes_no_difference(tmp_path):
    ours = write(tmp_path / "a.tif", row("1122")[np.newaxis].repeat(3, axis=1))
    theirs = write(tmp_path / "b.tif", row("1122").repeat(3, axis=0))
    assert evaluate(read_labels(ours), read_labels(theirs)).ap == 1


def test_whole_numbers_in_a_float_file_are_labels(tmp_path):
    imwrite(tmp_path / "a.tif", row("1.2").astype(np.float32))
    assert read_labels(tmp_path / "a.tif").tolist() == [1, 0, 2]


def test_a_probability_map_is_refused(tmp_path):
    imwrite(tmp_path / "a.tif", np.full((4, 4), 0.5, np.float32))
    with pytest.raises(ImageError, match=r"a\.tif has broken numbers \(float32\)"):
        read_labels(tmp_path / "a.tif")


def test_a_coloured_picture_of_labels_is_refused(tmp_path):
    Picture.new("RGB", (4, 4), (255, 0, 0)).save(tmp_path / "a.png")
    with pytest.raises(ImageError, match=r"a\.png has 3 channels \(colours\); labels need one"):
        read_labels(tmp_path / "a.png")


# ---- Labels that are not what they seem ----


def fields(*numbers):
    """Squares of these numbers in a row."""
    labels = np.zeros((9, 8 * len(numbers)), np.uint8)
    for place, number in enumerate(numbers):
        labels[2:7, 8 * place : 8 * place + 5] = number
    return labels


@pytest.mark.parametrize(
    ("found", "truth", "said"),
    [
        ((1, 2, 3), (255, 255, 255), r"The truth has one number, 255, in several separate pieces"),
        ((1, 1, 1), (1, 2, 3), r"The prediction has one number, 1, in several separate pieces"),
        ((1, 2, 3, 4, 5, 6), (1, 2, 1, 2, 1, 2), "The truth has numbers that each lie in"),
    ],
)
def test_a_mask_among_objects_is_said(found, truth, said):
    scores = evaluate(fields(*found), fields(*truth))
    assert scores.ap50 == 0
    (note,) = scores.notes
    assert re.match(said, note)
    assert note.endswith("let each piece be one (evaluate --labels pieces).")
    pooled = pool([scores, scores, evaluate(fields(1, 2), fields(1, 2))])
    assert pooled.notes == (f"2 images: {note}",)


def test_foregrounds_that_agree_while_no_object_does():
    labels = np.arange(1, 33, dtype=np.uint8).repeat(9).reshape(32, 9)
    scores = evaluate(labels, np.ones_like(labels))
    assert (scores.ap50, scores.dice) == (0, 1)
    assert scores.notes[0].startswith("No object matches although the foregrounds agree")


@pytest.mark.parametrize(("found", "truth"), [((1, 2), (1, 2)), ((1, 1), (0, 0)), ((0,), (3,))])
def test_nothing_is_said_where_nothing_is_odd(found, truth):
    assert evaluate(fields(*found), fields(*truth)).notes == ()


def test_labels_are_read_as_programs_save_them(tmp_path):
    labels = fields(1, 2)
    indexed = Picture.fromarray(labels).convert("P")
    indexed.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    indexed.save(tmp_path / "a.png")
    indexed.save(tmp_path / "a.gif")
    Picture.fromarray(np.dstack([labels] * 3)).save(tmp_path / "grey.png")
    for name in ("a.png", "a.gif", "grey.png"):
        np.testing.assert_array_equal(read_labels(tmp_path / name), labels)
    Picture.fromarray(labels).save(tmp_path / "a.jpg")
    with pytest.raises(ImageError, match=r"a\.jpg is a JPEG, which changes the numbers of labels"):
        read_labels(tmp_path / "a.jpg")


def test_a_stem_that_two_files_have_leaves_the_others(tmp_path):
    for name in ("ours/a.tif", "ours/a.png", "ours/b.png", "theirs/a.png", "theirs/b.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Picture.fromarray(fields(1)).save(tmp_path / name)
    found = pairing(tmp_path / "ours", tmp_path / "theirs")
    assert [stem for stem, _, _ in found.pairs] == ["b"]
    ((stem, reason),) = found.failed
    assert stem == "a"
    assert "Several files could be the labels of a: a.png, a.tif. Leave one" in reason
