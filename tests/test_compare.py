"""The same answer counts as the same, whatever it is made of; another one is told."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.sparse import csr_matrix

from mfcourse.exercises.compare import difference

NUMBERS = hnp.arrays(
    np.float64, hnp.array_shapes(max_dims=2, max_side=4), elements=st.floats(-9, 9)
)


@given(NUMBERS)
def test_lists_tuples_and_arrays_of_the_same_numbers_are_the_same(x):
    assert not difference(x, x.tolist())
    assert not difference(x.tolist(), x)
    assert not difference(x, tuple(x.tolist()))


@given(NUMBERS, st.data())
def test_one_number_that_differs_is_found_and_placed(x, data):
    place = tuple(data.draw(st.integers(0, n - 1)) for n in x.shape)
    other = x.copy()
    other[place] += 0.5
    words = difference(x, other)
    assert f"[{', '.join(map(str, place))}]" in words
    assert words.startswith(f"1 of {x.size} numbers")


@pytest.mark.parametrize(
    ("expected", "got"),
    [
        (1.5, np.float64(1.5)),
        (2.0, 2),
        (2, 2.0),
        (2.0, np.array(2)),
        (True, np.True_),
        (np.array([True, False]), [1, 0]),
        (np.nan, float("nan")),
        (np.array([1, np.nan]), [1, np.nan]),
        (1.0, 1 + 1e-8),
        ((1, np.arange(3)), [1.0, [0, 1, 2]]),
        ([np.arange(2), np.arange(3)], ([0, 1], [0, 1, 2])),
        (np.inf, np.inf),
    ],
)
def test_these_are_the_same(expected, got):
    assert difference(expected, got) == ""


@pytest.mark.parametrize(
    ("expected", "got", "words"),
    [
        (1.5, None, "gave back None"),
        (1.5, 1.6, "expected 1.5, got 1.6"),
        (1.5, 1.50001, "expected 1.5, got 1.50001"),
        (1.5, np.nan, "expected 1.5, got nan"),
        (np.nan, 0.0, "expected nan, got 0"),
        (1.5, "1.5", "expected a number, got a str"),
        (1.5, [1.5], "expected a number, got an array of shape (1,)"),
        (np.zeros(2), 0.0, "expected an array of shape (2,), got a number"),
        (np.zeros((2, 3)), np.zeros((3, 2)), "expected shape (2, 3), got (3, 2)"),
        (np.zeros(3), np.zeros((3, 1)), "expected shape (3,), got (3, 1)"),
        (np.zeros(2), [[1], [1, 2]], "expected an array of shape (2,), got a list"),
        (np.zeros((1, 2)), csr_matrix([[0, 0]]), "got a csr_matrix"),
        (np.zeros(2), {0.0, 1.0}, "got a set"),
        (np.zeros(2), np.array(["a", "b"]), "got a ndarray"),
        (1.0, 1j, "expected a number, got a complex"),
        ((1, 2), 1, "expected 2 parts, got a number"),
        ((1, 2), (1, 2, 3), "expected 2 parts, got 3"),
        ((1, np.zeros(2)), (1, [0, 1]), "part 2: 1 of 2 numbers differ"),
        ((1, 2), (1, None), "part 2: your function gave back None"),
        (np.array([True]), [False], "expected True, got False"),
        (0.0, np.ma.masked, "expected a number, got a MaskedConstant"),
    ],
)
def test_these_differ_and_the_words_say_how(expected, got, words):
    assert words in difference(expected, got)


def test_codes_and_counts_are_right_or_wrong():
    assert difference([1234567], [1234568])
    assert difference(1234567, 1234567.5)
    assert not difference([1234567], [1234567.0])
    assert not difference(1234567.0, 1234567.5)
