"""SGD and SVD++: gradient, plain twin, planted truth, early ends and bad ones."""

from dataclasses import replace

import numba
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mfcourse as mf
from mfcourse import datasets
from mfcourse.models import _epochs, sgd, svdpp
from tests.conftest import random_ratings

KINDS = {"sgd": mf.SGDModel, "svd++": mf.SVDppModel}
each_kind = pytest.mark.parametrize("Kind", KINDS.values(), ids=KINDS.keys())
each_engine = pytest.mark.parametrize("engine", ["fast", "plain"])
LEARNED = ("user_bias_", "item_bias_", "user_factors_", "item_factors_")


def assert_same_model(a, b, atol=0.0):
    for name in LEARNED:
        np.testing.assert_allclose(
            getattr(a, name), getattr(b, name), rtol=0, atol=atol
        )
    columns = a.history_.columns.drop("seconds")
    pd.testing.assert_frame_equal(
        a.history_[columns], b.history_[columns], rtol=1e-10, atol=atol
    )


# ---- One step ------------------------------------------------------------------------


def rows_of(k, seed=0, n_items=1):
    """A user's b_u, the items' b_i, U, V, Y and ratings of one user."""
    rng = np.random.default_rng(seed)
    shapes = (1,), (n_items,), (1, k), (n_items, k), (n_items, k), (n_items,)
    return [rng.normal(size=shape) for shape in shapes]


@pytest.mark.parametrize("run", [sgd.epoch, sgd.epoch_plain], ids=["fast", "plain"])
@pytest.mark.parametrize("reg", [0.0, 0.3])
def test_a_step_is_half_the_negative_gradient_times_lr(run, reg):
    b_u, b_i, U, V, _, rating = rows_of(k=3)
    x = np.concatenate([b_u, b_i, U[0], V[0]])

    def objective(x):
        e = rating[0] - (0.5 + x[0] + x[1] + x[2:5] @ x[5:])
        return e**2 + reg * x @ x

    h = 1e-5 * np.eye(len(x))
    gradient = [(objective(x + d) - objective(x - d)) / 2e-5 for d in h]
    csr = np.array([0, 1]), np.array([0])
    run(*csr, rating, 0.5, b_u, b_i, U, V, 0.01, 0.01, reg)
    step = np.concatenate([b_u, b_i, U[0], V[0]]) - x
    np.testing.assert_allclose(step, -0.01 / 2 * np.array(gradient), rtol=1e-7)


@pytest.mark.parametrize("run", [svdpp.epoch, svdpp.epoch_plain], ids=["fast", "plain"])
def test_a_step_of_svdpp_goes_down_its_gradient(run):
    b_u, b_i, U, V, Y, rating = rows_of(k=2, n_items=1)
    x = np.concatenate([b_u, b_i, U[0], V[0], Y[0]])

    def objective(x):
        e = rating[0] - (0.5 + x[0] + x[1] + x[4:6] @ (x[2:4] + x[6:]))
        return e**2 + 0.3 * x @ x

    h = 1e-5 * np.eye(len(x))
    gradient = [(objective(x + d) - objective(x - d)) / 2e-5 for d in h]
    csr = np.array([0, 1]), np.array([0])
    run(*csr, rating, 0.5, b_u, b_i, U, V, Y, 0.01, 0.3)
    step = np.concatenate([b_u, b_i, U[0], V[0], Y[0]]) - x
    np.testing.assert_allclose(step, -0.01 / 2 * np.array(gradient), rtol=1e-7)


def test_one_step_by_hand():
    one = pd.DataFrame({"user": ["Ana"], "item": ["Iron Tide"], "rating": [5.0]})
    model = mf.SGDModel(n_factors=1, n_epochs=1, lr=0.1, reg=0.5, center="none", seed=1)
    u, v = np.random.default_rng(1).standard_normal(2) * 0.1
    e = 5 - u * v
    model.fit(one)
    assert model.user_factors_ == pytest.approx(u + 0.1 * (e * v - 0.5 * u))
    assert model.item_factors_ == pytest.approx(v + 0.1 * (e * u - 0.5 * v))
    assert model.user_bias_ == model.item_bias_ == 0


@each_kind
def test_decay_begins_with_the_second_epoch(Kind, ratings):
    def learned(n_epochs, decay):
        return Kind(n_factors=2, n_epochs=n_epochs, decay=decay, lr=0.04).fit(ratings)

    np.testing.assert_array_equal(
        learned(1, 3.0).user_factors_, learned(1, 0.0).user_factors_
    )
    if Kind is mf.SGDModel:
        by_hand = learned(1, 0.0)
        by_hand._pass(by_hand.train_, 0.04 / (1 + 3))
        np.testing.assert_array_equal(
            learned(2, 3.0).user_factors_, by_hand.user_factors_
        )


# ---- Fast = plain, same bits ---------------------------------------------------------


@each_kind
@given(seed=st.integers(0, 10**6), k=st.integers(1, 6), n=st.integers(1, 40))
def test_fast_equals_plain(Kind, seed, k, n):
    frame = random_ratings(n_users=8, n_items=5, n_ratings=n, seed=seed)
    model = Kind(n_factors=k, n_epochs=2, lr=0.05, reg=0.1, decay=0.5, seed=seed)
    assert_same_model(
        model.fit(frame), replace(model, engine="plain").fit(frame), 1e-10
    )


@pytest.mark.parametrize("center", ["biases", "mean", "none"])
def test_fast_equals_plain_whatever_the_center(center, ratings):
    model = mf.SGDModel(n_factors=3, n_epochs=3, center=center)
    plain = replace(model, engine="plain").fit(ratings)
    assert_same_model(model.fit(ratings), plain, 1e-10)
    if center != "biases":
        assert not model.user_bias_.any()
        assert not model.item_bias_.any()


DEGENERATE = {
    "one rating": [("a", "x", 4.0)],
    "one user": [("a", "x", 4.0), ("a", "y", 1.0), ("a", "z", 0.0)],
    "one item": [("a", "x", 4.0), ("b", "x", 1.0), ("c", "x", 5.0)],
    "one value": [("a", "x", 3.0), ("a", "y", 3.0), ("b", "x", 3.0)],
    "negative": [("a", "x", -4.0), ("b", "y", -1.0)],
}


@each_kind
@pytest.mark.parametrize("rows", DEGENERATE.values(), ids=DEGENERATE.keys())
def test_fast_equals_plain_on_degenerate_input(Kind, rows):
    frame = pd.DataFrame(rows, columns=["user", "item", "rating"])
    model = Kind(n_factors=2, n_epochs=3, reg=0.0)
    assert_same_model(
        model.fit(frame), replace(model, engine="plain").fit(frame), 1e-10
    )


@each_kind
def test_float32_is_close_and_stays_float32(Kind, ratings):
    wide = Kind(n_factors=4, n_epochs=3).fit(ratings)
    narrow = Kind(n_factors=4, n_epochs=3, dtype="float32").fit(ratings)
    for name in LEARNED:
        assert getattr(narrow, name).dtype == np.float32
    # The random start differs by dtype, so only the fit is alike.
    a, b = (m.history_["train_rmse"].iloc[-1] for m in (wide, narrow))
    assert a == pytest.approx(b, rel=0.05)
    plain = Kind(n_factors=4, n_epochs=3, dtype="float32", engine="plain").fit(ratings)
    assert_same_model(narrow, plain, 1e-4)


@pytest.mark.parametrize(
    "model",
    [mf.SGDModel(n_epochs=2), mf.SVDppModel(n_epochs=2), mf.ALSModel(n_epochs=2),
     mf.ALSModel(n_epochs=2, solver="cg")],
    ids=["sgd", "svd++", "als", "cg"],
)  # fmt: skip
def test_one_thread_and_two_give_the_same_bits(model):
    frame = datasets.load().iloc[:20_000]
    at_most = numba.get_num_threads()
    if at_most < 2:
        pytest.skip("one core here: nothing to compare")
    try:
        fitted = []
        for threads in (1, 2):
            numba.set_num_threads(threads)
            fitted.append(replace(model).fit(frame))
    finally:
        numba.set_num_threads(at_most)
    for name in LEARNED:
        a, b = (getattr(m, name) for m in fitted)
        np.testing.assert_array_equal(a, b)
    a, b = (m.history_["objective"] for m in fitted)
    np.testing.assert_array_equal(a, b)


# ---- What it learns ------------------------------------------------------------------


def principal_angle(A, B):
    """The largest angle between two column spaces, in radians."""
    cosines = np.linalg.svd(np.linalg.qr(A)[0].T @ np.linalg.qr(B)[0], compute_uv=False)
    return float(np.arccos(np.clip(cosines.min(), -1, 1)))


@pytest.mark.parametrize(
    "model",
    [
        mf.SGDModel(n_factors=3, reg=0, lr=0.05, n_epochs=400, center="none"),
        mf.ALSModel(n_factors=3, reg=1e-9, n_epochs=100, center="none"),
    ],
    ids=["sgd", "als"],
)
def test_a_planted_matrix_is_recovered(model):
    frame, truth = datasets.planted(120, 80, 3, density=0.3, seed=4)
    model = replace(model, init_sd=0.5, seed=2).fit(frame)
    grid = pd.MultiIndex.from_product([range(120), range(80)], names=["user", "item"])
    cells = grid.to_frame(index=False).merge(frame, how="left", on=["user", "item"])
    hidden = cells[cells["rating"].isna()]
    wanted = truth.predict(hidden)
    error = np.linalg.norm(model.predict(hidden) - wanted) / np.linalg.norm(wanted)
    assert error < 1e-3
    users, items = model.train_.users.ids, model.train_.items.ids
    assert principal_angle(model.user_factors_, truth.user_factors[users]) < 0.05
    assert principal_angle(model.item_factors_, truth.item_factors[items]) < 0.05


def test_zeros_never_leave(ratings):
    model = mf.SGDModel(n_factors=3, init_sd=0.0, n_epochs=5).fit(ratings)
    assert not model.user_factors_.any()
    assert not model.item_factors_.any()
    assert model.user_bias_.any()


@each_kind
def test_history_tells_the_objective_and_it_falls(Kind, ratings):
    model = Kind(n_factors=4, n_epochs=30, lr=0.01, reg=0.1).fit(ratings)
    history = model.history_
    assert list(history) == ["epoch", "objective", "train_rmse", "seconds"]
    assert list(history["epoch"]) == list(range(1, 31))
    assert model.best_epoch_ == 30
    error = ratings["rating"] - model.predict(ratings)
    last = history.iloc[-1]
    assert last["train_rmse"] == pytest.approx(np.sqrt((error**2).mean()), rel=1e-12)
    if Kind is mf.SGDModel:
        u = model.train_.users.codes(ratings["user"])
        i = model.train_.items.codes(ratings["item"])
        b_u, b_i, U, V = (getattr(model, name) for name in LEARNED)
        sizes = b_u[u] ** 2 + b_i[i] ** 2 + (U[u] ** 2).sum(1) + (V[i] ** 2).sum(1)
        wanted = (error**2).sum() + 0.1 * sizes.sum()
        assert last["objective"] == pytest.approx(wanted, rel=1e-12)
    assert (history["objective"].diff().dropna() < 0).mean() > 0.9


def test_objective_of_svdpp_by_its_formula(ratings):
    model = mf.SVDppModel(n_factors=2, n_epochs=1, reg=0.3).fit(ratings)
    R, Y = model.train_.csr, model.implicit_factors_
    total = 0.0
    for u in range(R.shape[0]):
        rated = R.indices[R.indptr[u] : R.indptr[u + 1]]
        z = Y[rated].sum(axis=0) / np.sqrt(len(rated))
        own = model.user_factors_[u] - z
        for i, r in zip(rated, R.data[R.indptr[u] : R.indptr[u + 1]], strict=True):
            V_i, b = model.item_factors_[i], (model.user_bias_[u], model.item_bias_[i])
            e = r - model.global_mean_ - sum(b) - V_i @ (own + z)
            sizes = b[0] ** 2 + b[1] ** 2 + own @ own + V_i @ V_i
            total += e**2 + 0.3 * (sizes + (Y[rated] ** 2).sum())
    assert model.history_["objective"].iloc[0] == pytest.approx(total, rel=1e-10)


# ---- Validation and early stopping ---------------------------------------------------


@each_kind
@each_engine
def test_the_best_epoch_is_put_back(Kind, engine, ratings):
    train, validation = ratings.iloc[:240], ratings.iloc[240:]
    model = Kind(n_factors=10, reg=0.0, lr=0.05, n_epochs=60, patience=4, engine=engine)
    model.fit(train, validation=validation)
    errors = model.history_["validation_rmse"]
    assert model.best_epoch_ == errors.idxmin() + 1
    assert len(errors) == model.best_epoch_ + 4 < 60
    error = validation["rating"] - model.predict(validation)
    assert np.sqrt((error**2).mean()) == pytest.approx(errors.min(), rel=1e-12)
    until = replace(model, n_epochs=model.best_epoch_).fit(train)
    for name in LEARNED:
        np.testing.assert_array_equal(getattr(until, name), getattr(model, name))


def test_a_validation_frame_with_unknown_ids_counts_every_row(ratings):
    strangers = pd.DataFrame({"user": [-1, 100], "item": [3, -9], "rating": [5.0, 1.0]})
    validation = pd.concat([ratings.iloc[:9], strangers])
    model = mf.SGDModel(n_epochs=3, n_factors=2).fit(ratings, validation=validation)
    error = validation["rating"] - model.predict(validation)
    best = model.history_["validation_rmse"].min()
    assert np.sqrt((error**2).mean()) == pytest.approx(best, rel=1e-12)


def test_a_bar_names_the_validation_error(ratings, capsys):
    model = mf.SGDModel(n_epochs=2, n_factors=2)
    model.fit(ratings, validation=ratings, progress=True)
    shown = capsys.readouterr().err
    assert "SGD" in shown
    assert f"validation_rmse={model.history_['validation_rmse'].iloc[-1]:.4f}" in shown
    model.fit(ratings)
    assert capsys.readouterr().err == ""


# ---- Bad ends ------------------------------------------------------------------------


@each_kind
@each_engine
@pytest.mark.filterwarnings("ignore:.*encountered:RuntimeWarning")
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_divergence_names_the_epoch_and_keeps_what_was_learned(
    Kind, engine, dtype, ratings
):
    model = Kind(n_factors=4, n_epochs=30, engine=engine, dtype=dtype).fit(ratings)
    before = model.predict(ratings)
    model.lr = 2.0
    with pytest.raises(FloatingPointError, match=r"diverged in epoch \d+: .* Lower lr"):
        model.fit(ratings)
    np.testing.assert_array_equal(model.predict(ratings), before)
    with pytest.raises(FloatingPointError, match="epoch 1:"):
        Kind(lr=50.0).fit(ratings)


def test_an_error_that_is_large_and_finite_is_divergence_too(ratings):
    train = mf.Interactions(ratings)
    limit = 100 * 5.0  # the largest rating is 5
    fine, far = (n * limit**2 * train.n_ratings for n in (0.99, 1.01))
    _epochs.check_progress(mf.SGDModel(), 3, fine, train)
    with pytest.raises(FloatingPointError, match=r"epoch 3: .* Lower lr, now 0\.01"):
        _epochs.check_progress(mf.SGDModel(), 3, far, train)
    with pytest.raises(FloatingPointError, match="Raise reg"):
        _epochs.check_progress(mf.ALSModel(), 3, np.nan, train)


BAD = {
    "n_factors": [0, -1, 2.5, True, None],
    "reg": [-0.1, np.nan, "much"],
    "lr": [0, -1, np.inf],
    "decay": [-1],
    "n_epochs": [0, 1.5],
    "init_sd": [-1],
    "patience": [0],
    "seed": [-1, 0.5],
    "dtype": ["float16", np.float32],
    "engine": ["slow"],
    "center": ["bias", None],
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, all_ in BAD.items() for value in all_]
)
def test_a_senseless_hyper_parameter_is_named(name, value):
    for Kind in KINDS.values():
        if name != "center" or Kind is mf.SGDModel:
            with pytest.raises(ValueError, match=f"{name} must be .*got"):
                Kind(**{name: value})


def test_one_value_alone_is_predicted():
    frame = random_ratings(8, 6, 40).assign(rating=3.0)
    predicted = mf.SGDModel(n_epochs=100, reg=0.1, lr=0.05).fit(frame).predict(frame)
    np.testing.assert_allclose(predicted, 3.0, atol=1e-3)


# ---- Online --------------------------------------------------------------------------


def test_partial_fit_learns_the_new_and_keeps_the_old(ratings):
    old, new = ratings.iloc[:250], ratings.iloc[250:]
    new = pd.concat(
        [new, pd.DataFrame({"user": [7, 7], "item": [3, 999], "rating": [1.0, 5.0]})]
    )
    model = mf.SGDModel(n_factors=4).fit(old)
    untouched = ~old["user"].isin(new["user"]) & ~old["item"].isin(new["item"])
    before, error = model.predict(old), new["rating"] - model.predict(new)
    codes = model.train_.users.codes(old["user"])
    assert model.partial_fit(new, n_epochs=10) is model
    after = new["rating"] - model.predict(new)
    assert (after**2).mean() < (error**2).mean()
    np.testing.assert_array_equal(model.predict(old)[untouched], before[untouched])
    np.testing.assert_array_equal(model.train_.users.codes(old["user"]), codes)
    assert set(model.recommend(7, n=99)["item"]) == set(ratings["item"]) - {3, 999}


def test_partial_fit_is_a_pass_over_the_new_ratings_alone():
    frame = datasets.toy()
    model = mf.SGDModel(n_factors=2, n_epochs=3).fit(frame)
    new = frame.iloc[[4]].assign(rating=1.5)
    codes = [int(getattr(model.train_, side).codes(new[side[:-1]])[0]) for side in
             ("users", "items")]  # fmt: skip
    b_u, b_i, U, V = (getattr(model, name).copy() for name in LEARNED)
    csr = np.array([0, 1]), np.array([0]), np.array([1.5])
    u, i = codes
    rows = b_u[u : u + 1], b_i[i : i + 1], U[u : u + 1], V[i : i + 1]
    sgd.epoch_plain(*csr, model.global_mean_, *rows, model.lr, model.lr, model.reg)
    model.partial_fit(new)
    for name, wanted in zip(LEARNED, (b_u, b_i, U, V), strict=True):
        np.testing.assert_allclose(getattr(model, name), wanted, rtol=0, atol=1e-12)
    seen = model.train_.csr[u, i]
    assert seen == 1.5
    assert model.train_.n_ratings == len(frame)


def test_partial_fit_that_diverges_or_is_wrong_changes_nothing(ratings):
    model = mf.SGDModel(n_factors=3).fit(ratings)
    before, train = model.predict(ratings), model.train_
    new = pd.DataFrame({"user": [5, 5], "item": [3, 10], "rating": [1.0, 2.0]})
    model.lr = 1e6
    with (
        pytest.raises(FloatingPointError, match="diverged in epoch"),
        np.errstate(all="ignore"),
    ):
        model.partial_fit(new, n_epochs=40)
    with pytest.raises(ValueError, match="more than once"):
        model.partial_fit(pd.concat([new, new]))
    with pytest.raises(mf.NotFittedError):
        mf.SGDModel().partial_fit(new)
    np.testing.assert_array_equal(model.predict(ratings), before)
    assert model.train_ is train
    assert model.user_factors_.shape == (ratings["user"].nunique(), 3)


# ---- Newcomers -----------------------------------------------------------------------


@each_kind
def test_a_newcomers_row_is_the_minimum_of_their_part_of_the_objective(Kind, ratings):
    model = Kind(n_factors=3, reg=0.2).fit(ratings)
    new = ratings[ratings["user"] == 104][["item", "rating"]]
    bias, row = model.fold_in_user(new)
    code = model.train_.items.codes(new["item"])
    V, z = model.item_factors_[code], 0.0
    if Kind is mf.SVDppModel:
        z = model.implicit_factors_[code].sum(axis=0) / np.sqrt(len(new))
    level = model.global_mean_ + model.item_bias_[code]

    def part(x):
        e = new["rating"].to_numpy() - level - x[0] - V @ (x[1:] + z)
        return e @ e + 0.2 * len(new) * x @ x

    x = np.append(bias, row - z)
    rng = np.random.default_rng(0)
    for _ in range(20):
        step = rng.normal(size=4) * 1e-3
        assert part(x) < min(part(x + step), part(x - step))


# ---- Further ratings in a matrix -----------------------------------------------------


def test_merged_ratings_keep_codes_and_take_the_last(ratings):
    train = mf.Interactions(ratings.iloc[:200])
    more = ratings.iloc[150:].assign(rating=9.0)
    every, new = train.updated(more)
    assert every.n_ratings == len(ratings)
    assert new.n_ratings == 150
    ids = train.users.ids
    np.testing.assert_array_equal(every.users.codes(ids), np.arange(len(ids)))
    for part in (every, new):
        u = part.users.codes(more["user"])
        i = part.items.codes(more["item"])
        assert (part.csr[u, i] == 9.0).all()
        assert part.csr.has_sorted_indices
    old = ratings.iloc[:150]
    kept = every.csr[every.users.codes(old["user"]), every.items.codes(old["item"])]
    np.testing.assert_array_equal(np.asarray(kept).ravel(), old["rating"])
