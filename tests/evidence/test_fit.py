"""How far two distributions are apart, and how much better one network fits."""

import math

import numpy as np
import pytest
import torch

from napari_segnet.evidence import Fit, margin
from napari_segnet.evidence._divergence import divergence
from napari_segnet.evidence._fit import CREDIT, credit, distinct, gain, least_gain, trust
from napari_segnet.evidence._residual import Residual, likelier


def normal(mean, variance):
    return torch.tensor(mean, dtype=torch.float64), torch.tensor(variance, dtype=torch.float64)


def test_equal_distributions_are_not_apart():
    one = normal([0.0, 1.0, -2.0], [1.0, 4.0, 0.5])
    assert divergence(*one, *one) == pytest.approx(0, abs=1e-12)


def test_it_is_the_divergence_of_normal_distributions():
    # KL(N(1.5, 4) | N(0.5, 1)) = (4 + 1 - 1 - ln 4) / 2
    there, file = normal([1.5], [4.0]), normal([0.5], [1.0])
    assert divergence(*there, *file) == pytest.approx((4 - math.log(4)) / 2, rel=2e-3)


def test_one_channel_that_is_far_off_does_not_count():
    file = normal([0.5] * 5, [1.0] * 5)
    assert divergence(*normal([0.5, 0.5, 0.5, 0.5, 1e6], [1.0] * 5), *file) < 0.01


def test_channels_without_variance_say_nothing():
    file = normal([0.0, 0.0, 0.0, 2.0], [0.0, 0.0, 0.0, 1.0])
    assert divergence(*normal([9.0, 9.0, 9.0, 2.0], [7.0, 7.0, 7.0, 1.0]), *file) < 0.01
    assert math.isnan(divergence(*file, *normal([0.0] * 4, [0.0] * 4)))


def test_numbers_with_which_a_norm_begins_say_nothing():
    assert math.isnan(divergence(*normal([1.0], [2.0]), *normal([0.0], [1.0])))


def test_what_is_no_number_is_as_bad_as_can_be():
    assert divergence(*normal([math.nan, 0], [1.0, 1.0]), *normal([0.5, 0], [1.0, 2.0])) == math.inf


def test_the_margin_counts_only_norms_that_differ():
    good, bad = Fit(norms={"a": 0.5, "b": 0.02}), Fit(norms={"a": 0.5, "b": 0.06})
    assert margin(good, bad) == pytest.approx(math.log(2))
    assert margin(bad, good) == -margin(good, bad)
    assert margin(good, good) == 0


def test_a_network_that_answers_no_numbers_loses():
    assert margin(Fit(norms={"a": 3.0}), Fit(norms={"a": math.inf})) > 10


def test_without_norms_there_is_no_fit():
    assert Fit(norms={}).misfit == 0
    assert math.isnan(Fit(norms={}).typical)


def test_unlike_pictures_show_in_the_first_norms_alone():
    values = [7.0, 2.0, 0.5, 0.01, 0.02, 0.03, 0.09]
    fit = Fit(norms={str(number): value for number, value in enumerate(values)})
    assert fit.late == 0.09 and fit.worst == 0.09
    better = Fit(norms={**fit.norms, "7": 0.001, "8": 0.002})
    assert better.late == 0.03 and better.worst == 0.09


def test_a_network_is_left_once_it_is_told_apart():
    good = {str(number): 0.01 for number in range(9)}
    assert not distinct(good, {"0": 0.01, "1": 0.9, "2": 0.03})
    assert distinct(good, {"0": 0.01, "1": 0.9, "2": 0.9})
    assert not distinct(good, {"0": 0.02, "1": 0.02})
    assert distinct(good, {"0": 0.02, "1": 0.02}, most=2)
    assert not distinct(good, {"0": 0.01, "1": 0.01}, most=2)


def off_by(sizes):
    """Return the fit of a network whose norms are off by so much each, in eight channels."""
    return Fit(
        norms={name: size**2 for name, size in sizes.items()},
        residuals={
            name: Residual(np.full((2, 8), size), np.zeros((2, 1, 8)))
            for name, size in sizes.items()
        },
    )


def test_the_norm_that_speaks_least_for_a_network_is_told():
    one, other = off_by({"a": 0.1, "b": 0.3, "c": 0.2}), off_by({"a": 0.3, "b": 0.1, "c": 0.2})
    assert least_gain(one, other) == least_gain(other, one) < 0
    assert least_gain(off_by({"a": 0.1, "c": 0.2}), off_by({"a": 0.3, "c": 0.2})) > 0
    assert least_gain(one, one) == 0


def test_of_many_norms_that_differ_only_some_count():
    names = [str(number) for number in range(20)]
    plain = off_by(dict.fromkeys(names, 0.2))
    other = off_by({**dict.fromkeys(names, 0.2), **dict.fromkeys(names[:16], 0.1)})
    one = likelier(other.residuals["0"], plain.residuals["0"])
    assert one > 1
    assert gain(other, plain) == pytest.approx(16 * one)
    assert gain(other, plain, 4) == pytest.approx(4 * one)
    assert gain(plain, other, 4) == pytest.approx(-4 * one)
    assert gain(other, plain, 16) == pytest.approx(16 * one)
    # The first ten of twenty norms were measured: the others are like these.
    begun = off_by(dict.fromkeys(names[:10], 0.2))
    assert gain(begun, other) == pytest.approx(-20 * one)
    assert gain(begun, other, 4) == pytest.approx(-4 * one)


def test_a_lead_counts_whole_where_the_other_network_fits_badly():
    assert credit(40.0, late=0.2) == 40.0
    assert credit(-40.0, late=math.nan) == -40.0


def test_a_lead_over_what_fits_as_true_networks_do_is_limited():
    assert credit(0.1, late=0.01) == pytest.approx(0.1, rel=0.01)
    assert credit(40.0, late=0.01) == pytest.approx(CREDIT, rel=0.01)
    assert credit(-40.0, late=0.01) == -credit(40.0, late=0.01)
    leads = [credit(lead, late=0.01) for lead in (-9.0, -3.0, 0.0, 3.0, 9.0)]
    assert leads == sorted(set(leads)) and leads[2] == 0


def test_norms_count_the_less_the_more_even_the_best_network_misfits():
    assert trust(0.02, 0.07) == trust(0.07, 0.07) == trust(math.nan, 0.07) == 1
    assert trust(0.7, 0.07) == pytest.approx(0.1)
