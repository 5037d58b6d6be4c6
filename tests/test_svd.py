"""SVD of a filled matrix: by hand, by the book, by ALS, by its plain twin."""

from dataclasses import replace

import numba
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

import mfcourse as mf
from mfcourse import datasets
from mfcourse.models import svd
from tests.conftest import random_ratings

each_engine = pytest.mark.parametrize("engine", ["fast", "plain"])
each_fill = pytest.mark.parametrize("fill", ["mean", "zero"])


@pytest.fixture
def sparse(monkeypatch):
    """The fast engine does without the filled matrix, however small it is."""
    monkeypatch.setattr(svd, "SMALL", 0)


def frame(R):
    """All cells of an array but those that are NaN, as ratings."""
    user, item = np.nonzero(~np.isnan(R))
    return pd.DataFrame({"user": user, "item": item, "rating": R[user, item]})


def grid(m, n):
    return frame(np.zeros((m, n)))[["user", "item"]]


def real_ratings(m, n, n_ratings, seed=0):
    """Ratings no two of which are equal: singular values lie apart."""
    ratings = random_ratings(m, n, n_ratings, seed)
    noise = np.random.default_rng(seed).normal(size=n_ratings)
    return ratings.assign(rating=ratings["rating"] + noise)


def reconstruction(model):
    return model.user_factors_ @ model.item_factors_.T


def assert_close(a, b, atol=1e-10):
    np.testing.assert_allclose(a, b, rtol=0, atol=atol)


# ---- By hand and by the book ---------------------------------------------------------


@each_engine
@pytest.mark.parametrize("reg", [0.0, 1.5, 7.0])
def test_a_matrix_of_two_by_two_by_hand(engine, reg):
    # RᵀR = [[25, 20], [20, 25]] has eigenvalues 45 and 5, the first with (1, 1) / √2;
    # R (1, 1) / √2 / √45 = (1, 3) / √10. The missing cell and a 0 are the same here.
    R = np.array([[3, np.nan], [4, 5]])
    model = mf.SVDModel(n_factors=1, fill="zero", reg=reg, engine=engine).fit(frame(R))
    assert_close(model.singular_values_, [np.sqrt(45)])
    d = max(np.sqrt(45) - reg, 0)
    assert_close(model.user_factors_.T, [np.array([1, 3]) * np.sqrt(d / 10)])
    assert_close(model.item_factors_.T, [np.array([1, 1]) * np.sqrt(d / 2)])
    share = d / np.sqrt(45)
    expected = share * np.array([1.5, 1.5, 4.5, 4.5])
    assert_close(model.predict(grid(2, 2)), expected)
    squares = ((np.array([3, 4, 5]) - expected[[0, 2, 3]]) ** 2).sum()
    assert_close(model.history_["objective"], squares / 2 + reg * d)
    assert_close(model.history_["train_rmse"], np.sqrt(squares / 3))


@each_engine
def test_with_fill_mean_an_item_stands_at_its_mean_by_hand(engine):
    # Over the item means 3 and 2 are left [[1, 0], [−1, ·]]: rank 1.
    R = np.array([[4, 2], [2, np.nan]])
    model = mf.SVDModel(n_factors=1, engine=engine).fit(frame(R))
    assert model.global_mean_ == 8 / 3
    assert_close(model.item_bias_, [1 / 3, -2 / 3])
    assert_close(model.user_bias_, 0)
    assert_close(model.singular_values_, [np.sqrt(2)])
    assert_close(model.predict(grid(2, 2)), [4, 2, 2, 2])
    strangers = pd.DataFrame({"user": [9, 0, 9], "item": [1, 9, 9]})
    assert_close(model.predict(strangers), [2, 8 / 3, 8 / 3])


@each_engine
def test_with_fill_zero_nothing_is_centered_and_strangers_get_0(engine, ratings):
    model = mf.SVDModel(n_factors=3, fill="zero", engine=engine).fit(ratings)
    assert model.global_mean_ == 0
    assert not model.item_bias_.any()
    assert not model.user_bias_.any()
    stranger = pd.DataFrame({"user": [-1, 100], "item": [ratings["item"][0], -1]})
    assert (model.predict(stranger) == 0).all()
    pairs = ratings[["user", "item"]]
    assert model.predict(pairs).mean() < 0.8 * ratings["rating"].mean()  # zeros pull


@each_fill
def test_one_epoch_is_the_nearest_matrix_of_its_rank(fill, ratings, sparse):
    table = ratings.pivot_table(index="user", columns="item", values="rating")
    X = table if fill == "zero" else table - table.mean()
    F = X.fillna(0.0).to_numpy()
    singular = np.linalg.svd(F, compute_uv=False)
    pairs = pd.MultiIndex.from_product([table.index, table.columns])
    pairs = pairs.to_frame(index=False)
    base = 0.0 if fill == "zero" else np.tile(table.mean(), len(table))
    for k in (1, 3, 6, 20):
        model = mf.SVDModel(n_factors=k, fill=fill).fit(ratings)
        Z = (model.predict(pairs) - base).reshape(F.shape)
        assert_close(((F - Z) ** 2).sum(), (singular[k:] ** 2).sum())  # Eckart–Young
        assert np.linalg.matrix_rank(Z) <= k
        assert_close(model.singular_values_, singular[:k])


def by_the_book(R, model):
    """Predictions and objectives of iterated filling, in dense arrays."""
    mean = np.nanmean(R, axis=0) if model.fill == "mean" else np.zeros(R.shape[1])
    Z, objectives = np.zeros(R.shape), []
    for _ in range(model.n_epochs):
        F = np.where(np.isnan(R), Z, R - mean)
        P, s, Qt = np.linalg.svd(F)
        d = np.zeros(len(s))
        d[: model.n_factors] = np.maximum(s - model.reg, 0)[: model.n_factors]
        Z = P[:, : len(s)] @ np.diag(d) @ Qt[: len(s)]
        objectives.append(np.nansum((R - mean - Z) ** 2) / 2 + model.reg * d.sum())
    return mean + Z, objectives


@settings(max_examples=30)
@given(
    seed=st.integers(0, 10**6),
    shape=st.sampled_from([(5, 4), (4, 6), (3, 3)]),
    fill=st.sampled_from(["mean", "zero"]),
    reg=st.sampled_from([0.0, 0.3, 2.0, 50.0]),
    n_factors=st.integers(1, 3),
    n_epochs=st.sampled_from([1, 2, 7]),
    engine=st.sampled_from(["fast", "plain"]),
)
def test_predictions_are_those_of_the_book(seed, shape, **setting):
    rng = np.random.default_rng(seed)
    R = rng.normal(3, 1, shape)
    R[rng.random(shape) < 0.4] = np.nan
    R[0], R[:, 0] = 1.0 + rng.random(shape[1]), 2.0 + rng.random(shape[0])
    model = mf.SVDModel(**setting).fit(frame(R))
    expected, objectives = by_the_book(R, model)
    assert_close(model.predict(grid(*shape)), expected.ravel())
    assert_close(model.history_["objective"], objectives)


@settings(max_examples=25)
@given(
    seed=st.integers(0, 10**6),
    n_factors=st.integers(1, 8),
    reg=st.sampled_from([0.0, 0.5, 4.0]),
    fill=st.sampled_from(["mean", "zero"]),
    engine=st.sampled_from(["fast", "plain"]),
)
def test_the_objective_never_rises_with_a_bound_on_the_rank_too(seed, **setting):
    ratings = random_ratings(12, 8, 50, seed)
    model = mf.SVDModel(n_epochs=15, **setting).fit(ratings)
    objective = model.history_["objective"].to_numpy()
    assert (np.diff(objective) <= 1e-10 * objective[0]).all()


def test_twice_the_objective_is_that_of_als_where_lambda_is_not_weighted():
    ratings = random_ratings(9, 7, 40)
    for reg in (2.0, 4.0):
        soft = mf.SVDModel(n_factors=7, fill="zero", reg=reg, n_epochs=200)
        als = mf.ALSModel(
            n_factors=7, reg=reg, weighted=False, center="none", n_epochs=200
        )
        soft.fit(ratings), als.fit(ratings)
        half = soft.history_["objective"].iloc[-1]
        assert 2 * half == pytest.approx(als.history_["objective"].iloc[-1], rel=1e-9)
        assert_close(soft.predict(ratings), als.predict(ratings), 1e-4)
        U, V = soft.user_factors_, soft.item_factors_
        assert_close(U.T @ U, V.T @ V)  # balanced: the same lengths on both sides


def test_iterated_filling_recovers_a_planted_matrix_where_nothing_was_observed():
    ratings, truth = datasets.planted(40, 30, 2, density=0.6, seed=1)
    unseen = grid(40, 30).merge(ratings, how="left")
    unseen = unseen[unseen["rating"].isna()]
    expected = truth.predict(unseen)
    errors = {}
    for n_epochs in (1, 300):
        model = mf.SVDModel(n_factors=2, fill="zero", n_epochs=n_epochs).fit(ratings)
        error = np.linalg.norm(model.predict(unseen) - expected)
        errors[n_epochs] = error / np.linalg.norm(expected)
    assert errors[300] < 1e-3
    assert errors[1] > 0.1


# ---- The fast engine is the plain one ------------------------------------------------


@each_fill
@pytest.mark.parametrize("shape", [(30, 20), (20, 30), (25, 25)])
@pytest.mark.parametrize("reg", [0.0, 1.0])
def test_fast_is_plain_on_random_data(fill, shape, reg, sparse):
    for seed, n_factors, n_epochs in [(0, 1, 1), (1, 4, 6), (2, 6, 1), (3, 15, 2)]:
        ratings = real_ratings(*shape, 300, seed)
        model = mf.SVDModel(
            n_factors=n_factors, fill=fill, reg=reg, n_epochs=n_epochs, engine="plain"
        )
        plain, fast = model.fit(ratings), replace(model, engine="fast").fit(ratings)
        for name in ("user_factors_", "item_factors_", "singular_values_"):
            assert_close(getattr(fast, name), getattr(plain, name), 1e-8)
        columns = ["objective", "train_rmse"]
        assert_close(fast.history_[columns], plain.history_[columns], 1e-8)


def kron(size):
    """People in blocks who rate their own block's items alone."""
    R = np.kron(np.eye(6), np.ones((size, 4)))
    R[R == 0] = np.nan
    return R


DEGENERATE = {
    "rank 1": np.outer(np.arange(1, 25), np.arange(1, 19)).astype(float),
    "rank 3": np.arange(1, 25)[:, None] * np.eye(3)[np.arange(18) % 3].sum(1)
    + np.eye(3)[np.arange(24) % 3] @ np.eye(3)[np.arange(18) % 3].T,
    "equal singular values": kron(4),
    "identity": np.where(np.eye(20) > 0, 2.0, np.nan),
    "constant": np.where(np.random.default_rng(0).random((24, 20)) < 0.5, 3.1, np.nan),
    "zero": np.zeros((24, 20)),
}


@each_fill
@pytest.mark.parametrize("name", DEGENERATE)
def test_fast_is_plain_on_degenerate_spectra(name, fill, sparse):
    # Equal singular values leave the vectors open, but not how well they fit. More
    # epochs would fill with what was left open.
    for k in (1, 4, 6):
        plain = mf.SVDModel(n_factors=k, fill=fill, engine="plain")
        plain.fit(frame(DEGENERATE[name]))
        fast = replace(plain, engine="fast").fit(frame(DEGENERATE[name]))
        m, n = fast.train_.csr.shape
        table = frame(DEGENERATE[name]).pivot_table(
            index="user", columns="item", values="rating"
        )
        X = (table - (0 if fill == "zero" else table.mean())).fillna(0).to_numpy()
        left = [((X - reconstruction(one)) ** 2).sum() for one in (fast, plain)]
        assert_close(fast.singular_values_, plain.singular_values_, 1e-9)
        assert_close(*left, 1e-9)
        predicted = fast.predict(grid(m, n))
        assert np.isfinite(predicted).all()
        rank = np.linalg.matrix_rank(X)
        assert not fast.singular_values_[rank:].any()  # no rounding is kept
        assert not fast.user_factors_[:, rank:].any()
        assert not fast.item_factors_[:, rank:].any()


@each_engine
def test_constant_ratings_are_predicted_as_they_are(engine, sparse):
    ratings = random_ratings(15, 15, 90)
    for level in (3.0, 0.0, -1.25):
        same = ratings.assign(rating=level)
        for reg, n_epochs in [(0.0, 1), (0.7, 3)]:
            model = mf.SVDModel(n_factors=4, reg=reg, n_epochs=n_epochs, engine=engine)
            model.fit(same)
            assert (model.predict(same) == level).all()
            assert not model.singular_values_.any()
            row = model.fold_in_user(same[same["user"] == 100])
            assert row[0] == 0
            assert not row[1].any()


@each_engine
def test_a_lambda_above_all_singular_values_leaves_the_center(engine, ratings, sparse):
    model = mf.SVDModel(n_factors=3, reg=1e4, n_epochs=2, engine=engine).fit(ratings)
    mean = ratings.groupby("item")["rating"].transform("mean")
    assert_close(model.predict(ratings), mean)
    assert not model.fold_in_user(ratings[ratings["user"] == 100])[1].any()


def test_large_data_is_never_formed(monkeypatch):
    def formed(*args):
        raise AssertionError("the filled matrix was formed")

    monkeypatch.setattr(svd, "filled_svd_plain", formed)
    ratings = random_ratings(3_000, 1_500, 20_000)
    model = mf.SVDModel(n_factors=4, n_epochs=2, reg=1.0).fit(ratings)
    assert np.isfinite(model.predict(ratings)).all()
    with pytest.raises(AssertionError, match="was formed"):
        replace(model, engine="plain").fit(ratings)


def test_the_kernel_takes_what_is_predicted_from_each_rating():
    X = mf.Interactions(random_ratings(9, 7, 40)).csr
    rng = np.random.default_rng(0)
    U, V = rng.normal(size=(9, 3)), rng.normal(size=(7, 3))
    found = svd.residuals(X.indptr, X.indices, X.data, U, V)
    u, i = np.repeat(np.arange(9), np.diff(X.indptr)), X.indices
    assert_close(found, X.data - (U @ V.T)[u, i])


# ---- Same input, same bits -----------------------------------------------------------


def assert_same_bits(a, b):
    for name in ("user_factors_", "item_factors_", "singular_values_"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


@pytest.mark.parametrize("name", [*DEGENERATE, "random"])
def test_two_runs_give_the_same_bits(name, ratings, sparse):
    ratings = frame(DEGENERATE[name]) if name != "random" else ratings
    model = mf.SVDModel(n_factors=5, fill="zero", n_epochs=3, reg=0.1)
    assert_same_bits(replace(model).fit(ratings), replace(model).fit(ratings))


@pytest.mark.parametrize(
    ("engine", "n_factors", "size"),
    [("fast", 40, (2_000, 1_500, 30_000)), ("plain", 9, (300, 200, 6_000))],
)
def test_one_thread_and_all_threads_give_the_same_bits(engine, n_factors, size):
    # So large that BLAS sums in another order on two threads, were it let to.
    ratings = random_ratings(*size)
    threads = numba.get_num_threads()
    fitted = []
    try:
        for n in (1, numba.config.NUMBA_NUM_THREADS):
            numba.set_num_threads(n)
            model = mf.SVDModel(n_factors=n_factors, engine=engine, reg=0.1)
            with threadpool_limits(n):
                fitted.append(replace(model, n_epochs=2).fit(ratings))
    finally:
        numba.set_num_threads(threads)
    assert_same_bits(*fitted)


def test_the_seed_changes_rounding_alone(sparse):
    ratings = real_ratings(30, 20, 300)
    a, b = (mf.SVDModel(n_factors=5, seed=seed).fit(ratings) for seed in (0, 1))
    assert_close(a.user_factors_, b.user_factors_)
    assert_close(a.item_factors_, b.item_factors_)


@each_engine
def test_the_largest_entry_of_each_items_column_is_positive(engine, ratings, sparse):
    model = mf.SVDModel(n_factors=6, engine=engine).fit(ratings)
    V = model.item_factors_
    assert (V[abs(V).argmax(axis=0), np.arange(6)] > 0).all()


@each_engine
def test_of_two_entries_that_are_largest_the_first_is_positive(engine):
    R = np.array([[1.0, -1.0], [2.0, -2.0]])
    model = mf.SVDModel(n_factors=1, fill="zero", engine=engine).fit(frame(R))
    assert model.item_factors_[0] > 0 > model.item_factors_[1]
    turned = mf.SVDModel(n_factors=1, fill="zero", engine=engine).fit(frame(-R))
    assert_close(turned.item_factors_, model.item_factors_)


def test_renamed_ids_change_nothing(ratings):
    renamed = ratings.assign(
        user="u" + (999 - ratings["user"]).astype(str), item=-ratings["item"]
    )
    model = mf.SVDModel(n_factors=5, n_epochs=3)
    assert_same_bits(replace(model).fit(ratings), replace(model).fit(renamed))


# ---- A newcomer ----------------------------------------------------------------------


@each_fill
@each_engine
@pytest.mark.parametrize("reg", [0.0, 2.0])
def test_folding_in_a_known_users_ratings_gives_their_row(fill, engine, reg, sparse):
    ratings = real_ratings(25, 16, 200)
    setting = {"n_factors": 5, "fill": fill, "reg": reg, "engine": engine}
    once = mf.SVDModel(**setting).fit(ratings)
    for user, own in ratings.groupby("user"):
        bias, row = once.fold_in_user(own)
        code = once.train_.users.codes([user])[0]
        assert bias == 0
        assert_close(row, once.user_factors_[code])
        folded = once.fold_in(own, exclude_seen=False)
        assert_close(folded["score"], once.predict(folded.assign(user=user)))


def test_without_end_folding_in_is_the_row_solve_of_als():
    ratings = real_ratings(12, 9, 80)
    model = mf.SVDModel(n_factors=4, reg=2.0, n_epochs=500).fit(ratings)
    for user, own in list(ratings.groupby("user"))[:5]:
        items = model.train_.items.codes(own["item"])
        V = model.item_factors_[items]
        rest = own["rating"] - model.global_mean_ - model.item_bias_[items]
        expected = np.linalg.solve(V.T @ V + 2 * np.eye(4), V.T @ rest)
        row = model.fold_in_user(own)[1]
        assert_close(row, expected, 1e-8)
        code = model.train_.users.codes([user])[0]
        assert_close(row, model.user_factors_[code], 1e-6)  # once training has settled


def test_a_newcomer_without_ratings_gets_the_center(ratings):
    model = mf.SVDModel(n_factors=5, n_epochs=3).fit(ratings)
    bias, row = model.fold_in_user(ratings.iloc[:0])
    assert bias == 0
    assert not row.any()


# ---- Epochs --------------------------------------------------------------------------


def test_a_validation_frame_stops_learning_and_the_best_epoch_is_kept(ratings):
    train, validation = ratings.iloc[:240], ratings.iloc[240:]
    strangers = pd.DataFrame({"user": [-1, 100], "item": [3, -1], "rating": [3.0, 2.0]})
    validation = pd.concat([validation, strangers])
    model = mf.SVDModel(n_factors=8, n_epochs=200, patience=3)
    model.fit(train, validation=validation)
    errors = model.history_["validation_rmse"]
    assert model.best_epoch_ == errors.idxmin() + 1
    assert len(errors) == model.best_epoch_ + 3 < 200
    again = replace(model, n_epochs=model.best_epoch_).fit(train)
    assert_same_bits(model, again)
    error = validation["rating"] - model.predict(validation)
    assert_close(np.sqrt((error**2).mean()), errors.min())
    own = train[train["user"] == train["user"].iloc[0]]
    assert_close(model.fold_in_user(own)[1], again.fold_in_user(own)[1])


def test_the_progress_bar_shows_epochs_only_when_asked(ratings, capsys):
    mf.SVDModel(n_factors=2, n_epochs=3).fit(ratings)
    assert capsys.readouterr().err == ""
    mf.SVDModel(n_factors=2, n_epochs=3).fit(ratings, progress=True)
    shown = capsys.readouterr().err
    assert "SVD" in shown
    assert "3/3" in shown


# ---- Wrong input ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"n_factors": 0}, "n_factors must be a whole number of at least 1; got 0"),
        ({"n_factors": 2.0}, "n_factors must be a whole number"),
        ({"fill": "median"}, r"fill must be one of \['mean', 'zero'\]; got 'median'"),
        ({"n_epochs": 0}, "n_epochs must be a whole number of at least 1"),
        ({"reg": -0.1}, "reg must be a number of at least 0; got -0.1"),
        ({"patience": 0}, "patience must be"),
        ({"seed": -1}, "seed must be"),
        ({"engine": "gpu"}, "engine must be one of"),
    ],
)
def test_hyper_parameters_that_make_no_sense_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        mf.SVDModel(**wrong)


@each_engine
def test_more_factors_than_the_matrix_has_rows_or_columns(engine):
    ratings = random_ratings(6, 4, 20)
    with pytest.raises(
        ValueError, match=r"n_factors=5 .* 6 users × 4 items .* to 4 or"
    ):
        mf.SVDModel(n_factors=5, engine=engine).fit(ratings)
    model = mf.SVDModel(n_factors=4, engine=engine).fit(ratings)
    assert_close(
        model.predict(ratings), ratings["rating"]
    )  # full rank: nothing is lost
