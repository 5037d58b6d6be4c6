"""Metrics are what their definitions say: by hand, by a twin, by scikit-learn."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from mfcourse import metrics
from tests.plain import metrics as plain

ONE, ZERO = True, False
same_cases = settings(deadline=None, derandomize=True)


def assert_close(a, b):
    np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)


# ---- Errors --------------------------------------------------------------------------


def test_rmse_and_mae_by_hand():
    rating, prediction = [4, 2, 5, 1], [3.5, 2, 3, 4]  # errors 0.5, 0, 2, −3
    assert metrics.rmse(rating, prediction) == np.sqrt((0.25 + 0 + 4 + 9) / 4)
    assert metrics.mae(rating, prediction) == (0.5 + 0 + 2 + 3) / 4
    assert metrics.rmse(rating, rating) == metrics.mae(rating, rating) == 0
    assert isinstance(metrics.rmse(rating, prediction), float)


finite = st.floats(-1e6, 1e6)


@same_cases
@given(st.lists(st.tuples(finite, finite), min_size=1, max_size=50))
def test_rmse_and_mae_are_those_of_scikit_learn(pairs):
    rating, prediction = np.array(pairs).T
    ours = metrics.rmse(rating, prediction), metrics.mae(rating, prediction)
    theirs = (
        sk.root_mean_squared_error(rating, prediction),
        sk.mean_absolute_error(rating, prediction),
    )
    np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12)
    assert ours[1] <= ours[0] * (1 + 1e-12) + 1e-12  # MAE never above RMSE


def test_series_are_taken_by_position_not_by_index():
    rating = pd.Series([1.0, 5.0], index=[7, 3])
    assert metrics.mae(rating, pd.Series([1.0, 5.0], index=[3, 7])) == 0


@pytest.mark.parametrize("metric", [metrics.rmse, metrics.mae])
def test_bad_ratings_are_refused(metric):
    for a, b in [([1, 2], [1]), ([], []), ([[1.0]], [[1.0]]), (1.0, 1.0)]:
        with pytest.raises(ValueError, match="two arrays of one length above 0"):
            metric(a, b)
    with pytest.raises(ValueError, match=r"not finite at row 1: 2\.0, nan"):
        metric([1, 2, 3], [1, np.nan, np.inf])
    with pytest.raises(ValueError, match=r"not finite at row 0: inf, 1\.0"):
        metric([np.inf], [1])


# ---- Lists ---------------------------------------------------------------------------

HITS = np.array(
    [
        [ONE, ZERO, ONE, ZERO],  # 3 relevant: two are found
        [ZERO, ZERO, ZERO, ONE],  # 1 relevant
        [ZERO, ZERO, ZERO, ZERO],  # 2 relevant
        [ONE, ONE, ONE, ONE],  # 9 relevant: a full list
    ]
)
RELEVANT = np.array([3, 1, 2, 9])


def test_lists_by_hand():
    assert_close(metrics.precision(HITS), [2 / 4, 1 / 4, 0, 1])
    assert_close(metrics.recall(HITS, RELEVANT), [2 / 3, 1, 0, 4 / 9])
    assert_close(metrics.recall(HITS, RELEVANT, "min"), [2 / 3, 1, 0, 1])
    first = (1 / 1 + 2 / 3) / 3
    assert_close(metrics.average_precision(HITS, RELEVANT), [first, 1 / 4, 0, 1])
    assert_close(metrics.reciprocal_rank(HITS), [1, 1 / 4, 0, 1])
    first = (1 + 1 / np.log2(4)) / (1 + 1 / np.log2(3) + 1 / np.log2(4))
    assert_close(metrics.ndcg(HITS, RELEVANT), [first, 1 / np.log2(5), 0, 1])


@st.composite
def lists(draw):
    """A length, and for each user a ranked list of items and the relevant ones."""
    n = draw(st.integers(1, 12))
    items = st.integers(0, 15)
    ranked = st.lists(items, unique=True, max_size=n)
    relevant = st.sets(items, min_size=1)
    return n, draw(st.lists(st.tuples(ranked, relevant), min_size=1, max_size=5))


@same_cases
@given(lists())
def test_lists_equal_the_plain_twin(case):
    n, users = case
    hits = np.zeros((len(users), n), dtype=bool)
    for row, (ranked, relevant) in zip(hits, users, strict=True):
        row[: len(ranked)] = [item in relevant for item in ranked]
    size = [len(relevant) for _, relevant in users]
    pairs = [
        (metrics.precision(hits), plain.precision),
        (metrics.recall(hits, size), plain.recall),
        (metrics.average_precision(hits, size), plain.average_precision),
        (metrics.reciprocal_rank(hits), plain.reciprocal_rank),
        (metrics.ndcg(hits, size), plain.ndcg),
    ]
    for values, twin in pairs:
        assert_close(values, [twin(*user, n) for user in users])
        assert (values >= 0).all()
        assert (values <= 1 + 1e-12).all()
    least = [plain.recall(*user, n, denominator="min") for user in users]
    assert_close(metrics.recall(hits, size, "min"), least)


@same_cases
@given(st.integers(1, 30), st.integers(0, 2**32 - 1))
def test_tie_free_ndcg_is_that_of_scikit_learn(n, seed):
    rng = np.random.default_rng(seed)
    relevant = rng.random((4, 30)) < 0.3
    relevant[:, 7] = True  # somebody without a relevant item has no NDCG
    score = rng.permuted(np.tile(np.arange(30.0), (4, 1)), axis=1)
    order = np.argsort(-score, axis=1)[:, :n]
    hits = np.take_along_axis(relevant, order, axis=1)
    theirs = [
        sk.ndcg_score([t], [s], k=n) for t, s in zip(relevant, score, strict=True)
    ]
    assert_close(metrics.ndcg(hits, relevant.sum(axis=1)), theirs)


@same_cases
@given(st.integers(2, 8), st.integers(0, 2**32 - 1))
def test_a_hit_that_moves_up_never_costs(n, seed):
    rng = np.random.default_rng(seed)
    hits = rng.random((1, n)) < 0.5
    hits[0, -1], hits[0, 0] = True, False
    better = hits[:, [n - 1, *range(1, n - 1), 0]]  # the last hit changes places
    size = [int(hits.sum())]
    for metric in (metrics.average_precision, metrics.ndcg):
        assert metric(better, size) > metric(hits, size)
    assert metrics.reciprocal_rank(better) == 1
    assert_close(metrics.precision(better), metrics.precision(hits))


def test_no_users_give_no_values():
    none, size = np.zeros((0, 5), dtype=bool), np.zeros(0, dtype=int)
    for values in (metrics.precision(none), metrics.ndcg(none, size)):
        assert values.shape == (0,)


@pytest.mark.parametrize("bad", [[True], [[]], [[0, 1]], [[0.5]], True])
def test_hits_must_be_a_bool_table(bad):
    for metric in (metrics.precision, metrics.reciprocal_rank):
        with pytest.raises(ValueError, match=r"bool array of shape \(n_users, N\)"):
            metric(bad)
    for metric in (metrics.recall, metrics.average_precision, metrics.ndcg):
        with pytest.raises(ValueError, match=r"bool array of shape \(n_users, N\)"):
            metric(bad, [1])


@pytest.mark.parametrize(
    "metric", [metrics.recall, metrics.average_precision, metrics.ndcg]
)
def test_counts_of_relevant_items_must_fit_the_hits(metric):
    with pytest.raises(ValueError, match=r"count per row of hits, 4; got shape \(3,\)"):
        metric(HITS, RELEVANT[:3])
    for wrong in ([3, 1, 0, 9], [1, 1, 2, 9], [3, 1, -1, 9]):
        with pytest.raises(ValueError, match="at least the hits in each row"):
            metric(HITS, wrong)


def test_the_denominator_of_recall_has_two_names():
    with pytest.raises(ValueError, match='"all" or "min"; got \'most\''):
        metrics.recall(HITS, RELEVANT, "most")
