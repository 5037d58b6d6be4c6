"""iALS: its equations hold, its objective never rises, fast = plain = implicit's."""

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from implicit.als import AlternatingLeastSquares
from scipy.sparse import csr_matrix

import mfcourse as mf
from mfcourse.models import _solve
from tests.conftest import random_ratings

each_engine = pytest.mark.parametrize("engine", ["fast", "plain"])
SETTINGS = {
    "Hu": mf.ImplicitALSModel(n_factors=4, reg=2.0, alpha=0.7),
    "Spark": mf.ImplicitALSModel(n_factors=4, reg=0.2, reg_scaling="count"),
    "Rendle": mf.ImplicitALSModel(
        n_factors=4, reg=0.05, alpha=3.0, reg_scaling="frequency"
    ),
    "cg": mf.ImplicitALSModel(n_factors=4, reg=2.0, solver="cg", cg_steps=2),
    "more factors than items": mf.ImplicitALSModel(n_factors=25, reg=1.0),
}
each_setting = pytest.mark.parametrize("model", SETTINGS.values(), ids=SETTINGS.keys())
exact = pytest.mark.parametrize(
    "model", [m for m in SETTINGS.values() if m.solver != "cg"],
    ids=[name for name in SETTINGS if name != "cg"],
)  # fmt: skip


def plays(n_users=30, n_items=20, n_events=200, seed=0) -> pd.DataFrame:
    """Counts from 1 on, for some of the cells."""
    frame = random_ratings(n_users, n_items, n_events, seed)
    counts = np.random.default_rng(seed).geometric(0.4, n_events)
    return frame.assign(rating=counts.astype(float))


@pytest.fixture(name="events")
def events_fixture() -> pd.DataFrame:
    return plays()


def weights(model, R):
    """w of each row of R, by the table of conventions."""
    count = (R > 0).sum(axis=1)
    if model.reg_scaling == "none":
        return np.full(len(R), model.reg)
    more = R.shape[1] / model.alpha if model.reg_scaling == "frequency" else 0
    return model.reg * (count + more)


def objective(model, R, U, V):
    """By the formula, over all cells; R is dense."""
    cells = (1 + model.alpha * R) * ((R > 0) - U @ V.T) ** 2
    penalty = sum(
        (weights(model, X) * (F**2).sum(axis=1)).sum() for X, F in ((R, U), (R.T, V))
    )
    return cells.sum() + penalty


def half_steps(model, events, n_epochs=4):
    """(R, a row for each just solved; rows solved, held; objective after, before)."""
    train = mf.Interactions(events)
    R, rng = train.csr.toarray(), np.random.default_rng(3)
    U, V = model._start(rng, train.n_users), model._start(rng, train.n_items)
    before = objective(model, R, U, V)
    for _ in range(n_epochs):
        for X, own, other in ((train.csr, U, V), (train.csr_by_item, V, U)):
            model._half_step(X, own, other)
            after = objective(model, R, U, V)
            yield X.toarray(), own, other, after, before
            before = after


@each_setting
@each_engine
def test_the_objective_never_rises_in_a_half_step(model, engine, events):
    falls = [(a, b) for *_, a, b in half_steps(replace(model, engine=engine), events)]
    assert len(falls) == 8
    for after, before in falls:
        assert after <= before * (1 + 1e-12)
    assert falls[-1][0] < 0.9 * falls[0][1]


@exact
@each_engine
def test_the_block_just_solved_satisfies_its_normal_equations(model, engine, events):
    model = replace(model, engine=engine)
    for R, own, other, *_ in half_steps(model, events):
        weight = weights(model, R)
        for u, r in enumerate(R):
            c = 1 + model.alpha * r
            M = other.T @ (c[:, None] * other) + weight[u] * np.eye(own.shape[1])
            right = other.T @ (c * (r > 0))
            residual = np.linalg.norm(M @ own[u] - right)
            assert residual <= 1e-8 * np.linalg.norm(right)


@exact
def test_no_small_step_from_the_block_just_solved_goes_down(model, events):
    rng = np.random.default_rng(1)
    for R, own, other, after, _ in half_steps(model, events, n_epochs=2):
        for _ in range(3):
            moved = own + 1e-3 * rng.normal(size=own.shape)
            assert objective(model, R, moved, other) > after


@each_setting
def test_history_tells_the_objective(model, events):
    model = replace(model).fit(events)
    R = model.train_.csr.toarray()
    wanted = objective(model, R, model.user_factors_, model.item_factors_)
    assert model.history_["objective"].iloc[-1] == pytest.approx(wanted, rel=1e-12)
    assert len(model.history_) == model.n_epochs


def assert_fast_is_plain(model, frame):
    a, b = replace(model).fit(frame), replace(model, engine="plain").fit(frame)
    for name in ("user_factors_", "item_factors_"):
        left, right = getattr(a, name), getattr(b, name)
        np.testing.assert_allclose(left, right, rtol=0, atol=1e-10)
    left, right = (m.history_["objective"] for m in (a, b))
    np.testing.assert_allclose(left, right, rtol=1e-12)


@each_setting
def test_fast_equals_plain(model, events):
    assert_fast_is_plain(model, events)


@given(
    seed=st.integers(0, 10**6), k=st.integers(1, 6), n=st.integers(1, 40),
    scaling=st.sampled_from(["none", "count", "frequency"]),
    solver=st.sampled_from(["cg", "cholesky"]), alpha=st.floats(0.01, 100),
)  # fmt: skip
def test_fast_equals_plain_on_drawn_input(seed, k, n, scaling, solver, alpha):
    model = mf.ImplicitALSModel(
        n_factors=k, reg=0.5, alpha=alpha, reg_scaling=scaling, solver=solver,
        n_epochs=2, seed=seed,
    )  # fmt: skip
    assert_fast_is_plain(model, plays(8, 5, n, seed))


def test_by_hand():
    """One user, one item, one play, k = 1: u = c v / (c v² + λ), then v from u."""
    frame = pd.DataFrame({"user": ["a"], "item": ["x"], "rating": [3.0]})
    model = mf.ImplicitALSModel(n_factors=1, reg=0.5, alpha=2.0, n_epochs=1, seed=3)
    v, c = np.random.default_rng(3).normal(0, model.init_sd), 1 + 2 * 3
    u = c * v / (c * v**2 + 0.5)
    v = c * u / (c * u**2 + 0.5)
    model.fit(frame)
    assert model.item_factors_ == pytest.approx(np.array([[v]]))
    assert model.user_factors_ == pytest.approx(np.array([[c * v / (c * v**2 + 0.5)]]))


def test_conjugate_gradients_reach_the_exact_solution(events):
    """Exact, not nearly: with as many steps as unknowns, but for rounding."""
    exact = mf.ImplicitALSModel(n_factors=4, reg=2.0, n_epochs=6).fit(events)
    steps = replace(exact, solver="cg", cg_steps=20).fit(events)
    for name in ("user_factors_", "item_factors_"):
        a, b = getattr(exact, name), getattr(steps, name)
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-8)


@pytest.mark.parametrize("n_rated", [1, 3, 4, 9])
def test_the_small_system_has_the_solution_of_the_large_one(n_rated):
    """Both forms of `_solve.cholesky`: fewer rows than unknowns, as many, and more."""
    rng = np.random.default_rng(n_rated)
    A, y, x = rng.normal(size=(n_rated, 4)), rng.normal(size=n_rated), np.empty(4)
    assert _solve.cholesky(A, y, 0.3, x) == 0
    wanted = np.linalg.solve(A.T @ A + 0.3 * np.eye(4), A.T @ y)
    np.testing.assert_allclose(x, wanted, rtol=0, atol=1e-12)
    assert _solve.cholesky(A, y, 0.0, x) == (n_rated < 4)  # no penalty: singular


def test_single_precision_learns_the_same_to_its_own_accuracy(events):
    double = mf.ImplicitALSModel(n_factors=4, reg=2.0)
    for solver in ("cg", "cholesky"):
        a = replace(double, solver=solver).fit(events)
        b = replace(double, solver=solver, dtype="float32").fit(events)
        assert b.user_factors_.dtype == b.item_factors_.dtype == np.float32
        scores = [m.user_factors_ @ m.item_factors_.T for m in (a, b)]
        np.testing.assert_allclose(*scores, rtol=0, atol=1e-4)


SAME_BITS = """
import sys
import mfcourse as mf
from mfcourse import datasets
train, _ = datasets.planted(4000, 1500, 4, density=0.02, seed=2, popularity_skew=1.0)
train["rating"] = 1.0 + (train["rating"] > 0)
for solver in ("cg", "cholesky"):
    model = mf.ImplicitALSModel(n_factors=64, reg=1.0, n_epochs=2, solver=solver)
    model.fit(train)
    sys.stdout.buffer.write(model.user_factors_.tobytes())
    sys.stdout.buffer.write(model.history_["objective"].to_numpy().tobytes())
"""


def test_same_bits_on_any_number_of_threads():
    """Large enough for a second BLAS thread to change them, were it let."""
    names = ("NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")
    one, two = (
        subprocess.run(
            [sys.executable, "-c", SAME_BITS], capture_output=True, check=True,
            env=os.environ | dict.fromkeys(names, n),
        ).stdout
        for n in ("1", "2")
    )  # fmt: skip
    assert len(one) > 4000 * 64 * 8
    assert one == two


# ---- Other libraries' conventions ----------------------------------------------------


def test_ours_is_the_model_of_implicit(events):
    """Its values are 1 + α r, its start is ours; exact solves, users first."""
    model = mf.ImplicitALSModel(n_factors=5, reg=0.3, alpha=2.0, n_epochs=7, seed=4)
    model.fit(events)
    rng, train = np.random.default_rng(4), model.train_
    theirs = AlternatingLeastSquares(
        factors=5, regularization=0.3, alpha=1.0, iterations=7, use_cg=False,
        use_native=True, dtype=np.float64, num_threads=1,
    )  # fmt: skip
    theirs.item_factors = model._start(rng, train.n_items)
    theirs.user_factors = model._start(rng, train.n_users)
    confidence = train.csr.copy()
    confidence.data = 1 + 2.0 * confidence.data
    theirs.fit(confidence, show_progress=False)
    np.testing.assert_allclose(model.item_factors_, theirs.item_factors, atol=1e-6)
    last = theirs.recalculate_user(np.arange(train.n_users), confidence)
    np.testing.assert_allclose(model.user_factors_, last, atol=1e-6)


def test_users_are_solved_first_as_in_implicit(events):
    """Without our last half-step, users too are implicit's to the digit."""
    model = mf.ImplicitALSModel(n_factors=3, reg=1.0, alpha=1.0)
    train, rng = mf.Interactions(events), np.random.default_rng(0)
    U, V = model._start(rng, train.n_users), model._start(rng, train.n_items)
    theirs = AlternatingLeastSquares(
        factors=3, regularization=1.0, alpha=1.0, iterations=3, use_cg=False,
        dtype=np.float64, num_threads=1,
    )  # fmt: skip
    theirs.user_factors, theirs.item_factors = U.copy(), V.copy()
    confidence = train.csr.copy()
    confidence.data += 1
    theirs.fit(confidence, show_progress=False)
    for _ in range(3):
        model._half_step(train.csr, U, V)
        model._half_step(train.csr_by_item, V, U)
    np.testing.assert_allclose(U, theirs.user_factors, atol=1e-6)
    np.testing.assert_allclose(V, theirs.item_factors, atol=1e-6)


def test_the_rows_of_rendle_solve_his_equations(events):
    """(Σ_seen V V ᵀ + α₀ VᵀV + λ (|Ω_u| + α₀ n) I) U_u = Σ_seen V, factors scaled."""
    alpha_0, reg = 0.25, 0.03
    model = mf.ImplicitALSModel(
        n_factors=4, alpha=1 / alpha_0, reg=reg * (1 + 1 / alpha_0),
        reg_scaling="frequency", n_epochs=4,
    )  # fmt: skip
    model.fit(events.assign(rating=1.0))
    U, V = (
        F / np.sqrt(1 + alpha_0) for F in (model.user_factors_, model.item_factors_)
    )
    for u, r in enumerate(model.train_.csr.toarray()):
        A = V[r > 0]
        weight = reg * (len(A) + alpha_0 * len(V))
        M = A.T @ A + alpha_0 * V.T @ V + weight * np.eye(4)
        np.testing.assert_allclose(M @ U[u], A.sum(axis=0), rtol=0, atol=1e-10)


def test_the_rows_of_spark_solve_its_equations(events):
    """c = 1 + α |r|, and λ times the number of the row's events."""
    model = mf.ImplicitALSModel(n_factors=4, alpha=2.0, reg=0.1, reg_scaling="count")
    model.fit(events)
    V = model.item_factors_
    for u, r in enumerate(model.train_.csr.toarray()):
        c = 1 + 2.0 * np.abs(r)
        M = V.T @ (c[:, None] * V) + 0.1 * (r > 0).sum() * np.eye(4)
        right = V.T @ np.where(r > 0, c, 0)
        np.testing.assert_allclose(M @ model.user_factors_[u], right, atol=1e-10)


# ---- Newcomers, reasons, further events ----------------------------------------------


def rows_of(events, user):
    return events.loc[events["user"] == user, ["item", "rating"]]


@each_setting
def test_fold_in_gives_every_training_users_row(model, events):
    """With cg, after one more half-step that goes to the end."""
    model = replace(model).fit(events)
    if model.solver == "cg":
        exactly = replace(model, solver="cholesky")
        exactly._half_step(model.train_.csr, model.user_factors_, model.item_factors_)
    for code, user in enumerate(model.train_.users.ids):
        bias, row = model.fold_in_user(rows_of(events, user))
        assert bias == 0
        np.testing.assert_allclose(row, model.user_factors_[code], rtol=0, atol=1e-10)


@exact
def test_reasons_add_up_to_the_score(model, events):
    model = replace(model).fit(events)
    pairs = pd.DataFrame({"user": 104, "item": events["item"].unique()[:6]})
    for pair, predicted in zip(pairs.itertuples(), model.predict(pairs), strict=True):
        reasons = model.explain(pair.user, pair.item)
        assert set(reasons["item"]) == set(rows_of(events, 104)["item"])
        assert reasons["contribution"].is_monotonic_decreasing
        assert reasons["contribution"].sum() == pytest.approx(predicted, abs=1e-10)


@each_setting
def test_a_newcomers_reasons_add_up_to_the_score_of_fold_in(model, events):
    model = replace(model).fit(events)
    new = rows_of(events, 104).iloc[1:]
    scores = model.fold_in(new, exclude_seen=False).set_index("item")["score"]
    for item in events["item"].unique()[:6]:
        reasons = model.explain_new(new, item)
        assert set(reasons["item"]) == set(new["item"])
        assert reasons["contribution"].sum() == pytest.approx(scores[item], abs=1e-10)
    assert model.explain_new(new.iloc[:0], item).empty
    with pytest.raises(ValueError, match="counts must be above 0; got 0"):
        model.explain_new(new.assign(rating=0.0), item)
    with pytest.raises(KeyError, match="item -3 was not in training"):
        model.explain_new(new, -3)


def test_reasons_need_a_known_pair(events):
    model = mf.ImplicitALSModel(n_factors=2)
    with pytest.raises(mf.NotFittedError):
        model.explain(104, 3)
    model.fit(events)
    with pytest.raises(KeyError, match="user -1 was not in training"):
        model.explain(-1, 3)
    with pytest.raises(KeyError, match="item -3 was not in training"):
        model.explain(104, -3)


def test_further_events_move_the_rows_of_their_users_alone(events):
    model = mf.ImplicitALSModel(n_factors=4, reg=1.0).fit(events)
    V, before = model.item_factors_.copy(), model.user_factors_.copy()
    more = pd.DataFrame({"user": [104, 104, 999], "item": 3, "rating": [2.0, 1.0, 5.0]})
    more["item"] = [3, 10, 3]
    assert model.partial_fit(more) is model
    np.testing.assert_array_equal(model.item_factors_, V)
    codes = model.train_.users.codes([104, 999])
    others = np.setdiff1d(np.arange(len(before)), codes)
    np.testing.assert_array_equal(model.user_factors_[others], before[others])
    every = pd.concat([events, more]).drop_duplicates(["user", "item"], keep="last")
    for code, user in zip(codes, [104, 999], strict=True):
        _, row = model.fold_in_user(rows_of(every, user))
        np.testing.assert_allclose(model.user_factors_[code], row, rtol=0, atol=1e-10)
    assert 3 not in set(model.recommend(999)["item"])


def test_a_new_item_gets_its_row_from_the_users_who_chose_it(events):
    model = mf.ImplicitALSModel(n_factors=4, reg=1.0).fit(events)
    fans = events["user"].unique()[:5]
    before = model.user_factors_[model.train_.users.codes(fans)].copy()
    more = pd.DataFrame({"user": fans, "item": 777, "rating": 1.0})
    model.partial_fit(more)
    row, alpha = model.item_factors_[-1], model.alpha
    U = model.user_factors_.copy()
    U[model.train_.users.codes(fans)] = before  # as they stood when it was solved
    A = U[model.train_.users.codes(fans)]
    M = U.T @ U + alpha * A.T @ A + model.reg * np.eye(4)
    np.testing.assert_allclose(M @ row, (1 + alpha) * A.sum(axis=0), atol=1e-10)
    scores = model.predict(pd.DataFrame({"user": model.train_.users.ids, "item": 777}))
    assert scores[:5].mean() > scores[5:].mean()


def test_further_events_that_are_refused_change_nothing(events):
    model = mf.ImplicitALSModel(n_factors=3).fit(events)
    before = model.user_factors_.copy()
    with pytest.raises(ValueError, match="counts must be above 0"):
        model.partial_fit(pd.DataFrame({"user": [104], "item": [3], "rating": [-1.0]}))
    np.testing.assert_array_equal(model.user_factors_, before)
    assert model.train_.n_ratings == len(events)
    with pytest.raises(mf.NotFittedError):
        mf.ImplicitALSModel().partial_fit(events)


# ---- Bad input -----------------------------------------------------------------------


@each_engine
@pytest.mark.parametrize("count", [0.0, -2.0])
def test_counts_that_are_none_are_refused_with_who_and_what(count, engine, events):
    spoilt = events.assign(rating=events["rating"].where(events.index != 7, count))
    who, what = events.loc[7, "user"], events.loc[7, "item"]
    with pytest.raises(ValueError, match=rf"user {who} has {count:g} for item {what} "):
        mf.ImplicitALSModel(engine=engine).fit(spoilt)


def test_a_validation_frame_is_refused_with_what_to_do(events):
    with pytest.raises(ValueError, match=r"evaluate\.ranking"):
        mf.ImplicitALSModel().fit(events, validation=events)


@pytest.mark.parametrize("alpha", [0, -1.0, np.nan, "2"])
def test_alpha_must_be_above_0(alpha):
    with pytest.raises(ValueError, match="alpha must be a number above 0"):
        mf.ImplicitALSModel(alpha=alpha)


@each_engine
@pytest.mark.parametrize("solver", ["cg", "cholesky"])
@pytest.mark.parametrize("scaling", ["none", "count", "frequency"])
def test_a_user_without_events_gets_zeros_and_a_list(engine, solver, scaling):
    """With "count" its w is 0, for 5 factors and 3 items; but it is not solved."""
    R = csr_matrix(np.array([[1.0, 0, 2], [0, 0, 0], [0, 3, 0]]))
    train = mf.Interactions.from_sparse(R)
    model = mf.ImplicitALSModel(
        n_factors=5, reg=0.5, engine=engine, solver=solver, reg_scaling=scaling
    )
    model.fit(train)
    np.testing.assert_array_equal(model.user_factors_[1], 0)
    assert list(model.recommend(1)["item"]) == [0, 1, 2]  # all 0: ties by code


@pytest.mark.parametrize("form", ["csr", "csc", "coo", "lil", "dok", "bsr"])
def test_any_sparse_matrix_will_do(form, events):
    train = mf.Interactions(events)
    model = mf.ImplicitALSModel(n_factors=3).fit(train)
    again = mf.Interactions.from_sparse(train.csr.asformat(form))
    np.testing.assert_array_equal(
        replace(model).fit(again).user_factors_, model.user_factors_
    )


def test_a_bare_matrix_is_refused_with_what_to_do(events):
    with pytest.raises(TypeError, match=r"Interactions\.from_sparse\(matrix\)"):
        mf.ImplicitALSModel().fit(mf.Interactions(events).csr)


@each_engine
def test_no_penalty_and_too_few_items_is_an_error(engine):
    with pytest.raises(np.linalg.LinAlgError, match=r"reg=0.*Raise reg"):
        mf.ImplicitALSModel(n_factors=6, reg=0, engine=engine).fit(plays(9, 5, 30))


@each_engine
def test_no_penalty_and_enough_items_is_solved(engine, events):
    model = mf.ImplicitALSModel(n_factors=3, reg=0, engine=engine)
    for _, own, *_ in half_steps(model, events):
        assert np.isfinite(own).all()


def test_ids_unseen_at_fold_in_are_named(events):
    model = mf.ImplicitALSModel(n_factors=3).fit(events)
    with pytest.raises(KeyError, match=r"item\(s\) \[-9\] were not in training"):
        model.fold_in(pd.DataFrame({"item": [3, -9], "rating": 1.0}))
    with pytest.raises(ValueError, match="counts must be above 0"):
        model.fold_in(pd.DataFrame({"item": [3], "rating": 0.0}))


# ---- It finds what was planted -------------------------------------------------------


def test_planted_tastes_are_found():
    """Two kinds of people, two kinds of items: lists hold one's own kind."""
    rng = np.random.default_rng(0)
    user, item = np.divmod(rng.permutation(60 * 40)[:700], 40)
    own = user % 2 == item % 2
    frame = pd.DataFrame({"user": user, "item": item, "rating": 1.0})[own]
    model = mf.ImplicitALSModel(n_factors=4, reg=1.0).fit(frame)
    lists = model.recommend(list(range(60)), n=5)
    assert (lists["user"] % 2 == lists["item"] % 2).mean() > 0.95
