"""Popularity, means and biases."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mfcourse as mf
from mfcourse.models.baselines import damped_biases
from tests.conftest import random_ratings


@pytest.fixture
def small():
    return pd.DataFrame(
        {
            "user": ["a", "a", "b", "b", "c"],
            "item": ["x", "y", "x", "z", "x"],
            "rating": [5.0, 3.0, 4.0, 2.0, 3.0],
        }
    )


def test_popularity_counts_ratings(small):
    model = mf.PopularityModel().fit(small)
    assert list(model.recommend("c")["item"]) == ["y", "z"]
    np.testing.assert_array_equal(model.item_bias_, [3, 1, 1])
    liked = pd.DataFrame({"item": ["y"], "rating": [5.0]})
    assert list(model.fold_in(liked)["item"]) == ["x", "z"]


def test_means_by_hand(small):
    pairs = pd.DataFrame({"user": ["a", "c", "?"], "item": ["z", "x", "x"]})
    assert_means = {
        "global": [3.4, 3.4, 3.4],
        "user": [4.0, 3.0, 3.4],
        "item": [2.0, 4.0, 4.0],
    }
    for of, expected in assert_means.items():
        predicted = mf.MeanModel(of=of).fit(small).predict(pairs)
        np.testing.assert_allclose(predicted, expected, atol=1e-12)
    with pytest.raises(ValueError, match="of must be one of"):
        mf.MeanModel(of="median")


def test_one_pass_of_biases_by_hand(small):
    model = mf.BiasModel(damping_user=1.0, damping_item=2.0, n_epochs=1).fit(small)
    b_i = np.array([(1.6 + 0.6 - 0.4) / 5, -0.4 / 3, -1.4 / 3])
    b_u = [
        (1.6 - b_i[0] - 0.4 - b_i[1]) / 3,
        (0.6 - b_i[0] - 1.4 - b_i[2]) / 3,
        (-0.4 - b_i[0]) / 2,
    ]
    np.testing.assert_allclose(model.item_bias_, b_i, atol=1e-12)
    np.testing.assert_allclose(model.user_bias_, b_u, atol=1e-12)


@given(
    seed=st.integers(0, 10_000),
    damping_user=st.floats(0, 50),
    damping_item=st.floats(0, 50),
)
def test_objective_of_the_biases_never_rises(seed, damping_user, damping_item):
    train = mf.Interactions(random_ratings(8, 6, 25, seed))
    objective = damped_biases(train, damping_user, damping_item, 12)[3]
    assert (np.diff(objective) <= 1e-9 * objective[:-1]).all()


def test_converged_biases_are_the_ridge_solution(ratings):
    """The same minimum as one dense linear system over all biases."""
    train = mf.Interactions(ratings)
    mu, b_u, b_i, _ = damped_biases(train, 4.0, 3.0, 400)
    m, n = train.n_users, train.n_items
    X = np.zeros((train.n_ratings, m + n))
    rows = np.arange(train.n_ratings)
    X[rows, train.user_code] = 1
    X[rows, m + train.item_code] = 1
    damping = np.diag([4.0] * m + [3.0] * n)
    b = np.linalg.solve(X.T @ X + damping, X.T @ (train.rating - mu))
    np.testing.assert_allclose(np.concatenate([b_u, b_i]), b, atol=1e-10)


def test_planted_biases_are_recovered():
    rng = np.random.default_rng(3)
    frame = random_ratings(60, 40, 1800, seed=3)
    b_u, b_i = rng.normal(size=60), rng.normal(size=40)
    user, item = frame["user"] - 100, (frame["item"] - 3) // 7
    frame["rating"] = 3 + b_u[user] + b_i[item]
    model = mf.BiasModel(damping_user=0.0, damping_item=0.0, n_epochs=200).fit(frame)
    np.testing.assert_allclose(model.predict(frame), frame["rating"], atol=1e-8)


def test_fold_in_is_the_row_solve_of_training(ratings):
    model = mf.BiasModel(n_epochs=30).fit(ratings)
    for user, mine in ratings.groupby("user"):
        bias, row = model.fold_in_user(mine)
        code = model.train_.users.codes([user])[0]
        assert bias == pytest.approx(model.user_bias_[code], abs=1e-12)
        assert row.shape == (0,)
    nobody = ratings.iloc[:0]
    assert model.fold_in_user(nobody)[0] == 0.0
    assert mf.MeanModel(of="user").fit(ratings).fold_in_user(nobody)[0] == 0.0
    undamped = mf.BiasModel(damping_user=0.0).fit(ratings)
    assert undamped.fold_in_user(nobody)[0] == 0.0


@pytest.mark.parametrize(
    "wrong", [{"damping_user": -1}, {"damping_item": np.nan}, {"n_epochs": 0}]
)
def test_hyper_parameters_are_checked(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        mf.BiasModel(**wrong)


def test_history_has_a_row_an_epoch(ratings):
    history = mf.BiasModel(n_epochs=4).fit(ratings).history_
    assert list(history["epoch"]) == [1, 2, 3, 4]
    assert history["objective"].is_monotonic_decreasing
