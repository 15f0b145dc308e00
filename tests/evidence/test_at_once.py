"""Several networks are measured at once; what is found stays the same."""

import threading
from functools import partial

import pytest
import torch
from support.calibrated import Toys, bits, calibrated, drawn

from napari_segnet.errors import Cancelled
from napari_segnet.evidence import decide
from napari_segnet.evidence._at_once import at_once
from napari_segnet.progress import check_cancelled, job, run


@pytest.fixture
def threads():
    """Set how many threads torch may use; afterwards there are as many as before."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def test_results_are_in_the_order_of_the_functions(threads):
    threads(2)
    second = threading.Event()

    def slow():
        assert second.wait(10), "the second function did not run beside the first"
        return "first"

    assert at_once([slow, lambda: second.set() or "second", lambda: "third"]) == [
        "first",
        "second",
        "third",
    ]


def test_each_takes_its_part_of_the_threads_and_those_of_the_caller_stay(threads):
    threads(4)
    assert at_once([torch.get_num_threads] * 2) == [2, 2]
    assert at_once([torch.get_num_threads] * 8) == [1] * 8
    assert at_once([torch.get_num_threads]) == [4]
    assert torch.get_num_threads() == 4


def test_a_thread_that_comes_later_has_the_number_of_the_caller(threads):
    threads(4)
    at_once([torch.get_num_threads] * 2)
    found = []
    thread = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert found == [4]


def test_the_first_error_is_raised_when_all_have_ended(threads):
    threads(2)
    done = []

    def fails(word):
        raise ValueError(word)

    with pytest.raises(ValueError, match="one"):
        at_once([partial(fails, "one"), partial(done.append, "two"), partial(fails, "three")])
    assert done == ["two"]


def test_they_are_cancelled_with_their_job(threads):
    threads(2)

    @job
    def steps():
        yield
        began.set()
        at_once([until_cancelled] * 2)

    def until_cancelled():
        for _ in range(10_000):
            check_cancelled()
            threading.Event().wait(0.001)

    began, own = threading.Event(), steps()
    stop = threading.Thread(target=lambda: began.wait(10) and own.cancel())
    stop.start()
    with pytest.raises(Cancelled):
        run(own)
    stop.join()


def test_a_decision_is_the_same_with_any_number_of_threads(threads):
    tensors = calibrated(drawn({"join": "skip-up"}))
    found = []
    for count in (1, 2, 3):
        threads(count)
        found.append(run(decide(Toys(), tensors)))
    assert bits(found[0].fit) == bits(found[1].fit) == bits(found[2].fit)
    assert found[0].verdicts == found[1].verdicts == found[2].verdicts
    choices = [[one.choices for one in decision.candidates] for decision in found]
    assert choices[0] == choices[1] == choices[2]
