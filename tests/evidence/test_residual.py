"""What the channels of a norm tell of a network, where pictures are not those of the training."""

import numpy as np
import pytest
import torch

from napari_segnet.evidence._residual import FARTHEST, Residual, likelier, residual

CHANNELS = 16


def moments(means, variances):
    """Return what comes to a norm with these pictures, alike in number, and what each brings."""
    mean = means.mean(0)
    whole = (variances + (means - mean) ** 2).mean(0)
    return mean, whole, means, variances


def came(means, stored):
    mean, variance, *each = moments(means, torch.full_like(means, 1.0))
    return residual(mean, variance, *stored, *each)


@pytest.fixture
def brighter():
    """Four pictures whose channels differ along one direction, and that direction."""
    along = torch.linspace(0.5, 1.5, CHANNELS, dtype=torch.float64)
    steps = torch.tensor([-1.5, -0.5, 0.5, 1.5], dtype=torch.float64)
    return steps[:, None] * along, along


def across(along):
    """Return a direction of the same length in which these pictures do not differ."""
    other = torch.where(torch.arange(CHANNELS) % 2 == 0, 1.0, -1.0).double()
    other -= along * (other @ along) / (along @ along)
    return other * along.norm() / other.norm()


def test_what_fits_better_is_likelier(brighter):
    means, along = brighter
    _, variance, *_ = moments(means, torch.ones_like(means))
    stored = torch.zeros(CHANNELS).double(), variance
    near, far = (came(means + step * across(along), stored) for step in (0.02, 0.2))
    assert likelier(near, far) > 1
    assert likelier(far, near) < -1
    assert likelier(near, near) == 0


def test_what_pictures_differ_in_tells_less_of_a_network(brighter):
    means, along = brighter
    _, variance, *_ = moments(means, torch.ones_like(means))
    noise = 0.02 * torch.from_numpy(np.random.default_rng(0).standard_normal(CHANNELS))
    stored = noise, variance
    true = came(means, stored)
    bright = came(means + 0.1 * along, stored)
    other = came(means + 0.1 * across(along), stored)
    assert 0 < likelier(true, bright) < 0.5 * likelier(true, other)


def test_a_difference_is_seen_beside_a_larger_one_that_pictures_explain(brighter):
    """Both networks are off by the brightness of the pictures; one is off otherwise, too."""
    means, along = brighter
    _, variance, *_ = moments(means, torch.ones_like(means))
    stored = torch.zeros(CHANNELS).double(), variance
    true = came(means + 0.1 * along, stored)
    wrong = came(means + 0.1 * along + 0.05 * across(along), stored)
    alone = (Residual(one.off, np.zeros((2, 1, CHANNELS))) for one in (true, wrong))
    assert likelier(true, wrong) > 2 * likelier(*alone) > 0


def test_more_channels_tell_more_but_not_for_long():
    def gained(count):
        none = np.zeros((2, 1, count))
        one, other = (Residual(np.full((2, count), size), none) for size in (0.1, 0.2))
        return likelier(one, other)

    assert gained(8) == pytest.approx(gained(2) * 2)
    assert gained(64) == pytest.approx(gained(8) * 1.5)
    assert gained(1024) == pytest.approx(gained(64))


def test_channels_that_never_fired_are_left_out(brighter):
    means, _ = brighter
    stored = torch.zeros(CHANNELS).double(), torch.ones(CHANNELS).double()
    stored[1][3] = 0
    assert came(means, stored).off.shape == (2, CHANNELS - 1)


def test_what_comes_out_as_no_number_is_farthest(brighter):
    means, _ = brighter
    stored = torch.zeros(CHANNELS).double(), torch.ones(CHANNELS).double()
    broken = came(means * torch.nan, stored)
    assert (broken.off == FARTHEST).all()
    assert likelier(came(means, stored), broken) > 20
    assert likelier(broken, came(means, stored)) < -20


def test_pictures_whose_variance_as_one_batch_overflows_are_farthest(brighter):
    means, _ = brighter
    stored = torch.zeros(CHANNELS).double(), torch.ones(CHANNELS).double()
    mean, _, *each = moments(means, torch.ones_like(means))
    broken = residual(mean, torch.full_like(mean, torch.inf), *stored, *each)
    assert (broken.off == FARTHEST).all()
    assert likelier(broken, came(means, stored)) < -20
