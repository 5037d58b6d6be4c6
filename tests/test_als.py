"""ALS: its equations hold, its objective never rises, fast = plain, it meets SGD."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mfcourse as mf
from mfcourse import datasets
from mfcourse.models import _solve
from tests.conftest import random_ratings

each_engine = pytest.mark.parametrize("engine", ["fast", "plain"])
SETTINGS = {
    "weighted": mf.ALSModel(n_factors=3, reg=0.1),
    "plain λ": mf.ALSModel(n_factors=3, reg=2.0, weighted=False),
    "factors on the mean": mf.ALSModel(n_factors=3, reg=0.1, center="mean"),
    "factors alone": mf.ALSModel(n_factors=3, reg=0.1, center="none"),
    "cg": mf.ALSModel(n_factors=3, reg=0.1, solver="cg", cg_steps=2),
}
each_setting = pytest.mark.parametrize("model", SETTINGS.values(), ids=SETTINGS.keys())
exact = pytest.mark.parametrize(
    "model", [m for m in SETTINGS.values() if m.solver != "cg"],
    ids=[name for name in SETTINGS if name != "cg"],
)  # fmt: skip
LEARNED = ("user_bias_", "item_bias_", "user_factors_", "item_factors_")


def objective(model, R, users, items):
    """By the formula at the head of als.py; rows are (bias, factors)."""
    total = 0.0
    for u in range(R.shape[0]):
        for p in range(R.indptr[u], R.indptr[u + 1]):
            i = R.indices[p]
            e = R.data[p] - (model._level + users[u, 0] + items[i, 0])
            total += (e - users[u, 1:] @ items[i, 1:]) ** 2
    for rows, counts in ((users, np.diff(R.indptr)), (items, R.getnnz(axis=0))):
        weight = model.reg * (counts if model.weighted else 1)
        total += (weight * (rows**2).sum(axis=1)).sum()
    return total


def half_steps(model, ratings, n_epochs=4):
    """(R, rows just solved, rows held, objective, objective before) each half-step."""
    train = mf.Interactions(ratings)
    rng = np.random.default_rng(model.seed)
    model.train_, model.global_mean_ = train, float(train.rating.mean())
    users, items = model._start(rng, train.n_users), model._start(rng, train.n_items)
    before = objective(model, train.csr, users, items)
    for _ in range(n_epochs):
        for R, own, other, side in (
            (train.csr_by_item, items, users, "item"),
            (train.csr, users, items, "user"),
        ):
            model._half_step(R, own, other, side)
            after = objective(model, train.csr, users, items)
            yield R, own, other, after, before
            before = after


@each_setting
@each_engine
def test_the_objective_never_rises_in_a_half_step(model, engine, ratings):
    model = replace(model, engine=engine)
    falls = [(after, before) for *_, after, before in half_steps(model, ratings)]
    assert len(falls) == 8
    for after, before in falls:
        assert after <= before * (1 + 1e-12)
    assert falls[-1][0] < 0.9 * falls[0][1]


@exact
@each_engine
def test_the_block_just_solved_satisfies_its_normal_equations(model, engine, ratings):
    model = replace(model, engine=engine)
    first = 0 if model.center == "biases" else 1
    for R, own, other, *_ in half_steps(model, ratings):
        for u in range(R.shape[0]):
            rated = R.indices[R.indptr[u] : R.indptr[u + 1]]
            A = np.column_stack([np.ones(len(rated)), other[rated, 1:]])[:, first:]
            y = R[u].data - model._level - other[rated, 0]
            weight = model.reg * (len(rated) if model.weighted else 1)
            system, right = A.T @ A + weight * np.eye(A.shape[1]), A.T @ y
            residual = np.linalg.norm(system @ own[u, first:] - right)
            assert residual <= 1e-8 * np.linalg.norm(right)


@exact
def test_no_small_step_from_the_block_just_solved_goes_down(model, ratings):
    rng = np.random.default_rng(1)
    for R, own, other, after, _ in half_steps(model, ratings, n_epochs=2):
        by_user = R.shape[0] == ratings["user"].nunique()
        step = 1e-3 * rng.normal(size=own.shape)
        if model.center != "biases":
            step[:, 0] = 0
        for sign in (1, -1):
            moved = own + sign * step
            pair = (moved, other) if by_user else (other, moved)
            assert objective(model, R if by_user else R.T.tocsr(), *pair) > after


@each_setting
def test_history_tells_the_objective(model, ratings):
    model = replace(model).fit(ratings)
    users = np.column_stack([model.user_bias_, model.user_factors_])
    items = np.column_stack([model.item_bias_, model.item_factors_])
    wanted = objective(model, model.train_.csr, users, items)
    assert model.history_["objective"].iloc[-1] == pytest.approx(wanted, rel=1e-10)
    error = ratings["rating"] - model.predict(ratings)
    rmse = model.history_["train_rmse"].iloc[-1]
    assert rmse == pytest.approx(np.sqrt((error**2).mean()), rel=1e-10)


def assert_fast_is_plain(model, frame):
    a, b = replace(model).fit(frame), replace(model, engine="plain").fit(frame)
    for name in LEARNED:
        left, right = getattr(a, name), getattr(b, name)
        np.testing.assert_allclose(left, right, rtol=0, atol=1e-10)


@each_setting
def test_fast_equals_plain(model, ratings):
    assert_fast_is_plain(model, ratings)


@given(
    seed=st.integers(0, 10**6), k=st.integers(1, 5), n=st.integers(1, 40),
    weighted=st.booleans(), center=st.sampled_from(["biases", "mean", "none"]),
)  # fmt: skip
def test_fast_equals_plain_on_drawn_input(seed, k, n, weighted, center):
    frame = random_ratings(n_users=8, n_items=5, n_ratings=n, seed=seed)
    model = mf.ALSModel(
        n_factors=k, reg=0.2, weighted=weighted, center=center, n_epochs=2, seed=seed
    )
    assert_fast_is_plain(model, frame)


def test_by_hand():
    """k = 1, one item: V = v, so U_u = v r / (v² + λ) with plain λ."""
    frame = pd.DataFrame({"user": ["a", "b"], "item": "x", "rating": [2.0, 4.0]})
    model = mf.ALSModel(
        n_factors=1, reg=0.5, weighted=False, center="none", n_epochs=1, seed=3
    )
    start = np.random.default_rng(3).normal(0, 0.1, (2, 2))[:, 1]
    v = start @ [2, 4] / (start @ start + 0.5)
    model.fit(frame)
    assert model.item_factors_ == pytest.approx(v)
    np.testing.assert_allclose(
        model.user_factors_[:, 0], v * np.r_[2, 4] / (v**2 + 0.5)
    )


@pytest.mark.parametrize("center", ["biases", "mean"])
def test_als_and_sgd_reach_the_same_objective(center):
    frame, _ = datasets.planted(80, 60, 3, density=0.4, noise=0.3, seed=1, biases=True)
    als = mf.ALSModel(n_factors=3, reg=0.05, n_epochs=100, center=center).fit(frame)
    sgd = mf.SGDModel(
        n_factors=3, reg=0.05, lr=0.02, decay=0.02, n_epochs=1000, center=center
    ).fit(frame)
    a, b = (m.history_["objective"].iloc[-1] for m in (als, sgd))
    assert a == pytest.approx(b, rel=0.01)


def test_conjugate_gradients_reach_the_exact_solution(ratings):
    exact = mf.ALSModel(n_factors=4, reg=0.1, n_epochs=6).fit(ratings)
    steps = replace(exact, solver="cg", cg_steps=20).fit(ratings)
    for name in LEARNED:
        a, b = getattr(exact, name), getattr(steps, name)
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-8)
    few = replace(exact, solver="cg", cg_steps=1, n_epochs=60).fit(ratings)
    long = replace(exact, n_epochs=60).fit(ratings)
    a, b = (m.history_["objective"].iloc[-1] for m in (few, long))
    assert a == pytest.approx(b, rel=0.01)


# ---- Newcomers and reasons -----------------------------------------------------------


@exact
def test_fold_in_gives_every_training_users_row(model, ratings):
    model = replace(model).fit(ratings)
    for code, user in enumerate(model.train_.users.ids):
        own = ratings[ratings["user"] == user]
        bias, row = model.fold_in_user(own[["item", "rating"]])
        assert bias == pytest.approx(model.user_bias_[code], abs=1e-10)
        np.testing.assert_allclose(row, model.user_factors_[code], rtol=0, atol=1e-10)


@exact
def test_reasons_add_up_to_the_prediction(model, ratings):
    model = replace(model).fit(ratings)
    pairs = pd.DataFrame({"user": 104, "item": ratings["item"].unique()[:6]})
    for pair, predicted in zip(pairs.itertuples(), model.predict(pairs), strict=True):
        reasons = model.explain(pair.user, pair.item)
        assert set(reasons["item"]) == set(ratings["item"][ratings["user"] == 104])
        assert reasons["contribution"].is_monotonic_decreasing
        bias = model.item_bias_[model.train_.items.codes([pair.item])[0]]
        total = reasons["contribution"].sum() + model._level + bias
        assert total == pytest.approx(predicted, abs=1e-10)


@each_setting
def test_a_newcomers_reasons_add_up_to_the_score_of_fold_in(model, ratings):
    model = replace(model).fit(ratings)
    new = ratings.loc[ratings["user"] == 104, ["item", "rating"]].iloc[1:]
    scores = model.fold_in(new, exclude_seen=False).set_index("item")["score"]
    for item in ratings["item"].unique()[:6]:
        reasons = model.explain_new(new, item)
        assert set(reasons["item"]) == set(new["item"])
        bias = model.item_bias_[model.train_.items.codes([item])[0]]
        total = reasons["contribution"].sum() + model._level + bias
        assert total == pytest.approx(scores[item], abs=1e-10)
    assert model.explain_new(new.iloc[:0], item).empty
    with pytest.raises(KeyError, match="item -3 was not in training"):
        model.explain_new(new, -3)


def test_reasons_need_a_known_pair(ratings):
    model = mf.ALSModel(n_factors=2)
    with pytest.raises(mf.NotFittedError):
        model.explain(104, 3)
    model.fit(ratings)
    with pytest.raises(KeyError, match="user -1 was not in training"):
        model.explain(-1, 3)
    with pytest.raises(KeyError, match="item -3 was not in training"):
        model.explain(104, -3)


# ---- Bad input -----------------------------------------------------------------------


@each_engine
def test_no_penalty_and_too_few_ratings_is_an_error_that_names_who(engine):
    frame = datasets.toy()
    model = mf.ALSModel(n_factors=4, reg=0, engine=engine)
    message = r"item '.*' has \d ratings for 5 unknowns: no unique solution at reg=0"
    with pytest.raises(np.linalg.LinAlgError, match=message):
        model.fit(frame)
    replace(model, reg=1e-6).fit(frame)


@each_engine
def test_no_penalty_is_fine_where_ratings_suffice(engine):
    rng = np.random.default_rng(0)
    rating = rng.normal(size=(9, 2)) @ rng.normal(size=(2, 8))
    user, item = np.indices(rating.shape)
    frame = pd.DataFrame(
        {"user": user.ravel(), "item": item.ravel(), "rating": rating.ravel()}
    )
    model = mf.ALSModel(n_factors=2, reg=0, center="none", engine=engine).fit(frame)
    np.testing.assert_allclose(model.predict(frame), frame["rating"], atol=1e-9)


@pytest.mark.parametrize(
    ("name", "value"),
    [("n_factors", 0), ("reg", -1e-9), ("weighted", "yes"), ("weighted", 1),
     ("solver", "lu"), ("cg_steps", 0), ("center", "median"), ("n_epochs", 0),
     ("engine", ""), ("seed", -1), ("patience", 0)],
)  # fmt: skip
def test_a_senseless_hyper_parameter_is_named(name, value):
    with pytest.raises(ValueError, match=f"{name} must be .*got"):
        mf.ALSModel(**{name: value})


def test_a_user_who_lost_all_ratings_gets_zeros(ratings):
    train = mf.Interactions(ratings)
    R = train.csr.copy()
    R.data[: R.indptr[1]] = 0
    R.eliminate_zeros()
    empty = mf.Interactions.from_parts(train.users, train.items, R)
    for engine in ("fast", "plain"):
        for solver in ("cholesky", "cg"):
            model = mf.ALSModel(n_factors=2, engine=engine, solver=solver).fit(empty)
            assert not model.user_factors_[0].any()
            assert model.user_bias_[0] == 0


@given(st.integers(1, 8), st.integers(1, 12), st.integers(0, 10**6))
def test_a_row_solve_equals_numpys(k, n, seed):
    rng = np.random.default_rng(seed)
    A, y = rng.normal(size=(n, k)), rng.normal(size=n)
    wanted = np.linalg.lstsq(
        np.vstack([A, np.sqrt(0.3) * np.eye(k)]), np.append(y, np.zeros(k)), rcond=None
    )[0]
    x = np.empty(k)
    assert _solve.cholesky(A, y, 0.3, x) == 0
    np.testing.assert_allclose(x, wanted, rtol=0, atol=1e-9)
    steps = np.zeros(k)
    _solve.conjugate_gradients(A, y, 0.3, steps, 3 * k)
    np.testing.assert_allclose(steps, wanted, rtol=0, atol=1e-7)
    bias, row = _solve.ridge_row(A, y, 0.3, False)
    assert bias == 0
    np.testing.assert_allclose(row, wanted, rtol=0, atol=1e-9)
